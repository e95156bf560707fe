"""What every engine must do, on every engine: verdicts, questions, interruption, processes."""

import errno
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slic_harness import Running, result_of

from slic.engine import Capability, Engine
from slic.interposer import Call, Handler, Interposer, after, argument_tests, on
from slic.interposers.passthrough import PassThrough
from slic.tracee import Tracee
from slic.verdict import Asking, Blocking, Continue, Fail, Return, ReturnFd, Verdict

Guest = Callable[..., str]
HOME = b"".join(n.ljust(65, b"\0") for n in (b"Linux", b"home", b"6", b"1", b"x86_64", b"lab"))


class Name(Interposer):
    confines = False

    @on("uname")
    def uname(self, tracee: Tracee, buf: int) -> Verdict:
        tracee.write(buf, HOME)
        return Return(0)


class Answer(Interposer):
    """Answers getppid (a call no libc makes by itself) with what it is given."""

    confines = False

    def __init__(self, verdict: Verdict | Callable[[Tracee], Any]) -> None:
        self.verdict = verdict
        self.callers: list[tuple[int, int]] = []

    @on("getppid", needs=Capability.RETURN | Capability.ADD_FD)
    def getppid(self, tracee: Tracee) -> Any:
        self.callers.append((tracee.pid, tracee.tid))
        return self.verdict(tracee) if callable(self.verdict) else self.verdict


class Reads(Interposer):
    """Asks the host for what fd 0 delivers."""

    @on("read", where={"fd": {0}})
    def read(self, tracee: Tracee, buf: int, count: int) -> Asking:
        data = yield ("read", count)
        if isinstance(data, int):
            return Fail(data)
        tracee.write(buf, data[:count])
        return Return(len(data[:count]))


PPID = r"""
int main(void) { errno = 0; long v = syscall(SYS_getppid); printf("%ld %d\n", v, errno);
  return 0; }
"""


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Return(4242), "4242 0"),
        (Return(-errno.EXDEV), f"-1 {errno.EXDEV}"),
        (Return(-5000), "-5000 0"),
        (Return(1 << 40), f"{1 << 40} 0"),
        (Fail(errno.EPERM), f"-1 {errno.EPERM}"),
    ],
)
def test_verdicts_reach_the_program(
    engine: Engine, guest: Guest, verdict: Verdict, expected: str
) -> None:
    assert result_of(engine, [Answer(verdict)], [guest("ppid", PPID)]) == (0, expected + "\n")


def test_continue_runs_the_call(engine: Engine, guest: Guest) -> None:
    answer = Answer(Continue("as it is"))
    status, out = result_of(engine, [answer], [guest("ppid", PPID)])
    assert (status, out) == (0, f"{os.getpid()} 0\n")
    assert len(answer.callers) == 1


UNAME = r"""
int main(void) { struct utsname u; int r = uname(&u); printf("%d %s %s\n", r, u.nodename,
  u.domainname); r = uname((void *)8); printf("%d %d\n", r, errno);
  r = uname(mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  printf("%d %d\n", r, errno); return 0; }
"""


@pytest.mark.parametrize("flags", [(), ("-static",)], ids=["dynamic", "static"])
def test_memory_is_written_and_bad_pointers_are_efault(
    engine: Engine, guest: Guest, flags: tuple[str, ...]
) -> None:
    program = guest("uname" + "".join(flags), UNAME, *flags)
    efault = f"-1 {errno.EFAULT}\n"
    assert result_of(engine, [Name()], [program]) == (0, "0 home lab\n" + 2 * efault)


def test_everything_may_be_caught(engine: Engine, guest: Guest) -> None:
    everything = PassThrough()
    status, out = result_of(engine, [everything, Name()], [guest("uname", UNAME)])
    assert (status, out.splitlines()[0]) == (0, "0 home lab")
    assert {"execve", "mmap", "write", "exit_group", "uname"} <= set(everything.seen)


ADDFD = r"""
int main(void) { errno = 0; int fd = syscall(SYS_getppid); char b[9] = {0};
  printf("%d %d ", fd, errno); if (fd >= 0) { printf("%d ", fcntl(fd, F_GETFD));
  pread(fd, b, 8, 0); } printf("%s\n", b); return 0; }
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "3 0 0 secret"),
        ({"cloexec": True}, "3 0 1 secret"),
        ({"at": 9}, "9 0 0 secret"),
        ({"at": 0, "cloexec": True}, "0 0 1 secret"),
    ],
)
def test_a_descriptor_is_handed_in(
    engine: Engine, guest: Guest, tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    file = tmp_path / "file"
    file.write_text("secret")
    stack = [Answer(lambda _: ReturnFd(os.open(file, os.O_RDONLY), **options))]
    assert result_of(engine, stack, [guest("addfd", ADDFD)]) == (0, expected + "\n")


def test_a_full_table_is_the_programs_emfile(engine: Engine, guest: Guest) -> None:
    program = guest(
        "emfile",
        """#include <sys/resource.h>
        int main(void) { struct rlimit r = {3, 3}; setrlimit(RLIMIT_NOFILE, &r);
        long v = syscall(SYS_getppid); printf("%ld %d\\n", v, errno); return 0; }""",
    )
    stack = [Answer(lambda _: ReturnFd(os.open("/dev/null", os.O_RDONLY)))]
    assert result_of(engine, stack, [program]) == (0, f"-1 {errno.EMFILE}\n")


def test_results_pass_up_to_the_interposers_above(engine: Engine, guest: Guest) -> None:
    class Shift(Interposer):
        seen: list[int] = []

        @after("getppid", optional=True)
        def shift(self, tracee: Tracee, call: Call, result: int) -> int:
            self.seen.append(result)
            return result + 1

    stack = [Shift(), Answer(Return(10)), Shift()]
    assert result_of(engine, stack, [guest("ppid", PPID)]) == (0, "11 0\n")
    assert Shift.seen == [10]


# -- argument tests ------------------------------------------------------------------------------
class Ioctl(Interposer):
    confines = False

    def __init__(self, where: dict[str, Any]) -> None:
        self.where = where

    @on("ioctl", where={"cmd": {0x1234}})
    def ioctl(self, tracee: Tracee, fd: int, cmd: int, arg: int) -> Verdict:
        return Return(7)

    def declarations(self) -> Iterable[Handler]:
        return [replace(h, where=argument_tests(self.where)) for h in type(self).handlers]


IOCTL = r"""
int main(int c, char **v) { for (int i = 1; i + 2 < c; i += 3) { errno = 0;
  long r = syscall(SYS_ioctl, strtoull(v[i], 0, 0), strtoull(v[i + 1], 0, 0),
  strtoull(v[i + 2], 0, 0)); printf("%ld ", r); } printf("\n"); return 0; }
"""


@pytest.mark.parametrize(
    ("where", "calls", "expected"),
    [
        ({"cmd": {0x5413, 0x1234}}, ["9 0x1234 0", "9 0x1235 0"], "7 -1"),
        # The kernel drops the upper half of an unsigned int: so must the test.
        ({"cmd": {0x1234}}, ["9 0xf00001234 0"], "7"),
        ({"fd": {9}}, ["0xf00000009 1 1", "8 1 1"], "7 -1"),
        ({"arg": {5, 0x500000005}}, ["9 1 5", "9 1 0x500000005", "9 1 0x600000005"], "7 7 -1"),
        ({"cmd": {1}, "arg": {2}}, ["9 1 2", "9 2 2", "9 1 1"], "7 -1 -1"),
    ],
)
def test_arguments_are_tested_as_the_kernel_reads_them(
    engine: Engine, guest: Guest, where: dict[str, Any], calls: list[str], expected: str
) -> None:
    argv = [guest("ioctl", IOCTL), *" ".join(calls).split()]
    assert result_of(engine, [Ioctl(where)], argv) == (0, expected + " \n")


def test_a_long_list_of_values(engine: Engine, guest: Guest) -> None:
    argv = [guest("ioctl", IOCTL), *["9", "2000", "0", "9", "1999", "0", "9", "2001", "0"]]
    stack = [Ioctl({"cmd": set(range(1000, 2001, 2))})]
    assert result_of(engine, stack, argv) == (0, "7 -1 -1 \n")


# -- questions and interruption ------------------------------------------------------------------
READ = r"""
static void caught(int s) { write(1, "caught\n", 7); }
int main(int c, char **v) { char b[64]; struct sigaction a = {.sa_handler = caught};
  if (c > 1) { a.sa_flags = atoi(v[1]) ? SA_RESTART : 0; sigaction(SIGUSR1, &a, 0); }
  errno = 0; int n = read(0, b, 60); int e = errno;
  printf("%d %d %.*s\n", n, e, n > 0 ? n : 0, b); return 0; }
"""


def test_a_question_is_answered_later(engine: Engine, guest: Guest) -> None:
    with Running(engine, [Reads()], [guest("read", READ)]) as running:
        running.asks(1)
        ((call_id, question),) = running.host.asked
        assert question == ("read", 60)
        assert running.session.still_valid(call_id)
        assert running.session.answer(call_id, b"typed")
        assert not running.session.answer(call_id, b"twice")
        assert running.finish() == (0, "5 0 typed\n")
        assert running.host.gone == []


def test_a_question_may_be_answered_at_once(engine: Engine, guest: Guest) -> None:
    result = result_of(engine, [Reads()], [guest("read", READ)], lambda q: b"x" * q[1])
    assert result == (0, f"60 0 {'x' * 60}\n")


def test_an_errno_as_answer(engine: Engine, guest: Guest) -> None:
    result = result_of(engine, [Reads()], [guest("read", READ)], lambda _: errno.EIO)
    assert result == (0, f"-1 {errno.EIO} \n")


def test_an_exception_as_answer_is_raised_in_the_handler(engine: Engine, guest: Guest) -> None:
    result = result_of(
        engine, [Reads()], [guest("read", READ)], lambda _: OSError(errno.ENXIO, "home is gone")
    )
    assert result == (0, f"-1 {errno.ENXIO} \n")


def test_a_signal_without_restart_is_eintr(engine: Engine, guest: Guest) -> None:
    with Running(engine, [Reads()], [guest("read", READ), "0"]) as running:
        running.asks(1)
        os.kill(running.pid, signal.SIGUSR1)
        running.prints("caught")
        (call_id, _) = running.host.asked[0]
        running.session.sweep()
        assert running.host.gone == [call_id]
        assert not running.session.answer(call_id, b"too late")
        assert running.finish() == (0, f"caught\n-1 {errno.EINTR} \n")
        assert len(running.host.asked) == 1


def test_a_signal_with_restart_asks_again(engine: Engine, guest: Guest) -> None:
    with Running(engine, [Reads()], [guest("read", READ), "1"]) as running:
        running.asks(1)
        os.kill(running.pid, signal.SIGUSR1)
        running.asks(2)
        (first, _), (second, question) = running.host.asked
        assert first != second and question == ("read", 60)
        assert running.host.gone == [first]
        assert not running.session.answer(first, b"old")
        assert running.session.answer(second, b"new")
        assert running.finish() == (0, "caught\n3 0 new\n")


def test_a_stop_and_continue_asks_again_unseen(engine: Engine, guest: Guest) -> None:
    with Running(engine, [Reads()], [guest("read", READ)]) as running:
        running.asks(1)
        os.kill(running.pid, signal.SIGSTOP)
        running.until(lambda: running.host.stops or stopped(running.pid), "stopped")
        os.kill(running.pid, signal.SIGCONT)
        running.asks(2)
        assert running.host.gone == [running.host.asked[0][0]]
        assert running.session.answer(running.host.asked[1][0], b"on")
        assert running.finish() == (0, "2 0 on\n")


def stopped(pid: int) -> bool:
    text = Path(f"/proc/{pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0] == "T"


def test_an_ignored_signal_does_not_interrupt(engine: Engine, guest: Guest) -> None:
    """Not even a traced program, for which the kernel queues it: nobody hears of it."""
    program = guest(
        "ignores",
        r"""int main(void) { char b[9]; signal(SIGUSR2, SIG_IGN); if (!fork()) { usleep(1000);
            kill(getppid(), SIGUSR2); _exit(0); } /* and a SIGCHLD */
          int n = read(0, b, 9); printf("%d\n", n); fflush(stdout); read(0, b, 9);
          return 0; }""",
    )
    with Running(engine, [Reads()], [program]) as running:
        running.asks(1)
        pid = running.pid
        for number in (signal.SIGURG, signal.SIGWINCH, signal.SIGUSR2, signal.SIGCONT):
            os.kill(pid, number)
        running.until(lambda: _zombies_of(pid), "the child's end")
        running.session.sweep()
        assert running.session.answer(running.host.asked[0][0], b"four")
        running.prints("4\n")
        running.asks(2)
        assert running.host.gone == []
        assert running.session.answer(running.host.asked[1][0], b"")
        assert running.finish() == (0, "4\n")


def _zombies_of(pid: int) -> bool:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(") Z " in Path(f"/proc/{child}/stat").read_text() for child in children)


def test_death_is_heard_at_once(engine: Engine, guest: Guest) -> None:
    with Running(engine, [Reads()], [guest("read", READ)]) as running:
        running.asks(1)
        os.kill(running.pid, signal.SIGKILL)
        running.until(lambda: running.host.gone, "cancelled")
        assert running.host.gone == [running.host.asked[0][0]]
        assert running.finish() == (-signal.SIGKILL, "")


def test_others_are_served_while_one_waits(engine: Engine, guest: Guest) -> None:
    program = guest(
        "pair",
        r"""static void *other(void *p) { for (int i = 0; i < 50; i++) syscall(SYS_getppid);
          printf("%ld\n", syscall(SYS_getppid)); fflush(stdout); return 0; }
        int main(void) { pthread_t t; char b[9]; pthread_create(&t, 0, other, 0);
          int n = read(0, b, 9); pthread_join(t, 0); printf("%d\n", n); return 0; }""",
    )
    with Running(engine, [Answer(Return(5)), Reads()], [program]) as running:
        running.prints("5\n")
        running.asks(1)
        assert running.session.answer(running.host.asked[0][0], b"abc")
        assert running.finish() == (0, "5\n3\n")


def test_blocking_work_runs_beside(engine: Engine, guest: Guest) -> None:
    class Fed(Interposer):
        def __init__(self) -> None:
            self.pipe = os.pipe()

        @on("getppid")
        def getppid(self, tracee: Tracee) -> Asking:
            first = yield Blocking(lambda: os.read(self.pipe[0], 1))
            try:
                yield Blocking(lambda: os.open("/nowhere/at/all", 0))
            except FileNotFoundError:
                return Return(first[0])
            return Return(0)

        @on("getuid")
        def feed(self, tracee: Tracee) -> Verdict:
            os.write(self.pipe[1], b"A")
            return Return(0)

    program = guest(
        "beside",
        r"""static void *other(void *p) { syscall(SYS_getuid); return 0; }
        int main(void) { pthread_t t; pthread_create(&t, 0, other, 0);
          printf("%ld\n", syscall(SYS_getppid)); pthread_join(t, 0); return 0; }""",
    )
    fed = Fed()
    try:
        assert result_of(engine, [fed], [program]) == (0, "65\n")
    finally:
        os.close(fed.pipe[0])
        os.close(fed.pipe[1])


# Answers of 300 that the kernel may accept from unotify's supervisor and yet not give to the
# program (the window told in its docstring; about one in 100,000 is lost). No other may be.
KERNEL_LOSES = 2


def test_no_answer_is_lost_or_doubled_under_a_storm_of_signals(
    engine: Engine, guest: Guest
) -> None:
    """What `answer` says is what the program got: every byte once and in order."""
    program = guest(
        "sequence",
        r"""#include <sys/time.h>
        static void tick(int s) { (void)s; }
        int main(int c, char **v) { struct sigaction a = {.sa_handler = tick};
          a.sa_flags = atoi(v[1]) ? SA_RESTART : 0; sigaction(SIGALRM, &a, 0);
          struct itimerval t = {{0, 500}, {0, 500}}; setitimer(ITIMER_REAL, &t, 0);
          unsigned char b, next = 0; int missed = 0;
          for (int i = 0; i < 300; i++) { int n;
            while ((n = read(0, &b, 1)) < 0 && errno == EINTR) ;
            if (n != 1) return 1;
            missed += (b - next + 251) % 251; next = (b + 1) % 251; }
          printf("%d\n", missed); return 0; }""",
    )
    for restart in "01":
        with Running(engine, [Reads()], [program, restart]) as running:
            done = _answer_all(running)
            missed = done - 300
            assert 0 <= missed <= (0 if engine.reaps else KERNEL_LOSES)
            assert running.finish() == (0, f"{missed}\n")
            assert len(running.host.asked) == done + len(running.host.gone)


def _answer_all(running: Running) -> int:
    """Answer every question with the next byte, to the end; how many answers were accepted."""
    host, session, done = running.host, running.session, 0
    seen: list[int] = []
    while True:
        running.until(lambda: len(host.asked) > len(seen) or session.ended, "a question")
        if len(host.asked) == len(seen):
            return done
        call_id, _ = host.asked[len(seen)]
        seen.append(call_id)
        if call_id not in host.gone:
            done += session.answer(call_id, bytes([done % 251]))

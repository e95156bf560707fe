"""Process life under every engine: creation, threads, exec, privilege, other ABIs, endings."""

import errno
import os
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from slic_harness import Running, result_of
from test_slic_engines import PPID, READ, Answer, Name, Reads

from slic.engine import Engine
from slic.interposers.passthrough import PassThrough
from slic.kernel.libc import prctl
from slic.verdict import Continue, Return

Guest = Callable[..., str]
PR_SET_DUMPABLE = 4
SIX = Answer(Return(6))


def native_output(program: str) -> str:
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout


CREATE = r"""
#include <linux/sched.h>
static int says(const char *who) { char b[64]; int n = snprintf(b, 64, "%s %ld\n", who,
  syscall(SYS_getppid)); return write(1, b, n) != n; }
static int cloned(void *p) { return says("clone"); }
static void *thread(void *p) { says("thread"); return 0; }
int main(void) {
  int s; pid_t p; pthread_t t; static char stack[65536];
  if (!(p = fork())) _exit(says("fork"));
  waitpid(p, &s, 0); says("parent");
  if (!(p = vfork())) { syscall(SYS_getppid); _exit(3); }
  waitpid(p, &s, 0); printf("vfork %d\n", WEXITSTATUS(s)); fflush(stdout);
  p = clone(cloned, stack + 65536, SIGCHLD, 0); waitpid(p, &s, 0);
  struct clone_args a = {.exit_signal = SIGCHLD};
  if (!(p = syscall(SYS_clone3, &a, sizeof a))) _exit(says("clone3"));
  waitpid(p, &s, 0);
  pthread_create(&t, 0, thread, 0); pthread_join(t, 0);
  if (!(p = fork())) { if (!fork()) { if (!fork()) _exit(says("deep")); wait(&s); _exit(0); }
    wait(&s); _exit(0); }
  wait(&s); return 0; }
"""


def test_every_way_of_creation_is_followed(engine: Engine, guest: Guest) -> None:
    expected = ["fork 6", "parent 6", "vfork 3", "clone 6", "clone3 6", "thread 6", "deep 6"]
    answer = Answer(Return(6))
    status, out = result_of(engine, [answer], [guest("create", CREATE)])
    assert (status, out.splitlines()) == (0, expected)
    assert len(answer.callers) == 7  # the vfork child calls too
    assert sum(pid != tid for pid, tid in answer.callers) == 1


def test_many_threads_at_once(engine: Engine, guest: Guest) -> None:
    program = guest(
        "threads",
        r"""static void *one(void *p) { long s = 0; for (int i = 0; i < 200; i++)
          s += syscall(SYS_getppid); return (void *)s; }
        int main(void) { pthread_t t[16]; long s = 0; void *r;
          for (int i = 0; i < 16; i++) pthread_create(t + i, 0, one, 0);
          for (int i = 0; i < 16; i++) { pthread_join(t[i], &r); s += (long)r; }
          printf("%ld\n", s); return 0; }""",
    )
    assert result_of(engine, [SIX], [program]) == (0, f"{16 * 200 * 6}\n")


def test_exec_from_a_thread(engine: Engine, guest: Guest) -> None:
    program = guest(
        "threadexec",
        r"""static void *run(void *p) { char **v = p; execv(v[0], v); return 0; }
        static void *idle(void *p) { for (;;) syscall(SYS_getppid); }
        int main(int c, char **v) { pthread_t t; pid_t me = getpid();
          pthread_create(&t, 0, idle, 0); pthread_create(&t, 0, run, v + 1);
          for (;;) { pause(); (void)me; } }""",
    )
    answer = Answer(Return(6))
    assert result_of(engine, [answer], [program, guest("ppid", PPID)]) == (0, "6 0\n")


def test_an_orphan_is_served_after_its_parent_is_gone(engine: Engine, guest: Guest) -> None:
    program = guest(
        "orphan",
        r"""int main(void) { int p[2]; pipe(p); if (!fork()) { char b; close(p[1]);
          read(p[0], &b, 1); /* end of file: the parent is dead */
          printf("%ld\n", syscall(SYS_getppid)); fflush(stdout);
          return read(0, &b, 1) != 1; }
          return 9; }""",
    )
    with Running(engine, [SIX], [program]) as running:
        running.prints("6\n")
        assert not running.session.ended
        os.write(running.stdin, b"x")
        assert running.finish() == (9, "6\n")


def test_zombies_and_their_statuses(engine: Engine, guest: Guest) -> None:
    program = guest(
        "zombies",
        r"""int main(void) { int s; for (int i = 0; i < 5; i++) { pid_t p = fork();
            if (!p) { if (i == 3) raise(SIGTERM); if (i == 4) abort(); _exit(i * 10); }
            siginfo_t si; waitid(P_PID, p, &si, WEXITED | WNOWAIT); /* a zombie, looked at */
            printf("%d %d ", si.si_code == CLD_EXITED, si.si_status);
            if (waitpid(p, &s, 0) != p) puts("?"); printf("%x\n", s & 0xff7f); fflush(stdout); }
          printf("%d %d\n", waitpid(-1, &s, 0), errno); return 0; }""",
    )
    native = native_output(program)
    assert result_of(engine, [SIX, PassThrough(["wait4", "waitid", "exit_group"])], [program]) == (
        0,
        native,
    )
    assert native.count("\n") == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL, 40])
def test_death_by_signal_comes_out(engine: Engine, guest: Guest, number: int) -> None:
    program = guest(
        "raise", "int main(int c, char **v) { kill(getpid(), atoi(v[1])); pause(); return 0; }"
    )
    assert result_of(engine, [SIX], [program, str(int(number))]) == (-number, "")


def test_exit_codes_come_out(engine: Engine, guest: Guest) -> None:
    program = guest("exit", "int main(int c, char **v) { return atoi(v[1]); }")
    everything = [PassThrough()]
    assert [result_of(engine, everything, [program, str(n)])[0] for n in (0, 1, 255)] == [0, 1, 255]


@pytest.mark.root
def test_a_setuid_program_keeps_its_privilege(
    engine: Engine, guest: Guest, guest_folder: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    inner = guest_folder / "setuid"
    source = r"""int main(void) { printf("%d %d %ld\n", getuid(), geteuid(), syscall(SYS_getppid));
      return 0; }"""
    shutil.copy(guest("ids", source), inner)
    inner.chmod(0o4755)
    program = guest(
        "drop",
        r"""int main(int c, char **v) { if (setresgid(65534, 65534, 65534)
          || setresuid(65534, 65534, 65534)) return 3; execv(v[1], v + 1); return 4; }""",
    )
    assert result_of(engine, [SIX], [program, str(inner)]) == (0, "65534 0 6\n")


def test_without_root_no_new_privs_is_set(engine: Engine, guest: Guest) -> None:
    """The supervisor itself is an ordinary user: in a forked copy of this process."""
    program = guest("ppid", PPID)
    if (pid := os.fork()) == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                prctl(PR_SET_DUMPABLE, 1)  # a change of user made us untouchable for ourselves
            assert engine.unavailable() is None
            assert result_of(engine, [SIX, Name()], [program]) == (0, "6 0\n")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


# -- other ways into the kernel ------------------------------------------------------------------
INT80 = r"""
/* In the 32-bit table 64 is getppid and 110 is iopl; in the 64-bit one 110 is getppid. */
static long int80(long nr) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "0"(nr)
  : "memory", "r8", "r9", "r10", "r11"); return (int)r; }
int main(void) { long a = int80(64); long b = syscall(SYS_getppid | 0x40000000);
  printf("%s %s %ld\n", a == -ENOSYS ? "refused" : a == 6 ? "misread" : "passed",
  b == -1 && errno == ENOSYS ? "enosys" : "?", syscall(SYS_getppid)); return 0; }
"""


def test_the_32_bit_entry_is_refused_or_passed_never_misread(engine: Engine, guest: Guest) -> None:
    program = guest("int80", INT80)
    if result_of(engine, [SIX], [program])[0] == -signal.SIGSEGV:
        pytest.skip("the kernel has no 32-bit entry (CONFIG_IA32_EMULATION)")
    assert result_of(engine, [SIX], [program]) == (0, "passed enosys 6\n")
    # `Reads` confines: with it in the stack the other entry is closed.
    assert result_of(engine, [SIX, Reads()], [program]) == (0, "refused enosys 6\n")


def test_io_uring_is_refused_when_it_could_bypass(engine: Engine, guest: Guest) -> None:
    program = guest(
        "uring",
        r"""int main(void) { char p[120] = {0}; long r = syscall(425, 1, p);
          printf("%d\n", r == -1 && errno == ENOSYS); return 0; }""",
    )
    native = native_output(program)
    assert result_of(engine, [SIX], [program]) == (0, native)
    assert result_of(engine, [PassThrough(["openat"])], [program]) == (0, "1\n")


# -- endings -------------------------------------------------------------------------------------
def test_closing_the_session_leaves_nothing_stopped(engine: Engine, guest: Guest) -> None:
    """What the program sees then is the engine's to document; that it goes on is the contract."""
    with Running(engine, [Reads()], [guest("read", READ)]) as running:
        running.asks(1)
        os.write(running.stdin, b"native")
        running.session.close()
        assert running.host.gone == [running.host.asked[0][0]]
        _, status = os.waitpid(running.pid, 0)
        running.status = status
        code = os.waitstatus_to_exitcode(status)
        out = os.read(running._out, 100).decode()
        assert (code, out) in [
            (0, f"-1 {errno.ENOSYS} \n"),  # unotify: the listener is gone
            (0, "6 0 native\n"),  # ptrace: detached, the call runs natively
        ]


def test_the_first_call_can_be_interrupted_often(engine: Engine, guest: Guest) -> None:
    """A timer fires all the time, but a signal takes a slow machine 0.3 ms under ptrace; every
    answered call still gives the answer."""
    program = guest(
        "storm",
        r"""#include <sys/time.h>
        static volatile long n; static void tick(int s) { n++; }
        int main(void) { struct sigaction a = {.sa_handler = tick, .sa_flags = SA_RESTART};
          sigaction(SIGALRM, &a, 0); struct itimerval v = {{0, 1000}, {0, 1000}};
          setitimer(ITIMER_REAL, &v, 0); long bad = 0;
          for (int i = 0; i < 3000 || !n; i++) bad += syscall(SYS_getppid) != 6;
          printf("%ld\n", bad); return 0; }""",
    )
    assert result_of(engine, [SIX], [program]) == (0, "0\n")


def test_a_debugger_still_works_or_is_refused(engine: Engine, guest: Guest) -> None:
    program = guest(
        "tracer",
        r"""#include <sys/ptrace.h>
        int main(void) { pid_t p = fork(); int s; if (!p) { if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            _exit(errno == EPERM ? 7 : 8); raise(SIGSTOP); _exit(0); }
          waitpid(p, &s, 0); if (WIFSTOPPED(s)) { ptrace(PTRACE_CONT, p, 0, 0);
          waitpid(p, &s, 0); puts("traced"); } else printf("%d\n", WEXITSTATUS(s)); return 0; }""",
    )
    expected = "7\n" if engine.reaps else "traced\n"
    assert result_of(engine, [Answer(Continue())], [program]) == (0, expected)


@pytest.mark.parametrize("confines", [True, False])
def test_a_call_newer_than_the_table_is_refused_or_passed(
    engine: Engine, guest: Guest, monkeypatch: pytest.MonkeyPatch, confines: bool
) -> None:
    """The table made to end before epoll_pwait2, so that there is a call the kernel knows."""
    for module in ("filter", "ptrace.session"):
        monkeypatch.setattr(f"slic.engines.{module}.FIRST_UNKNOWN", 441)
    program = guest(
        "newer",
        r"""int main(void) { long r = syscall(441, -1, 0, 0, 0, 0, 0); printf("%ld %d\n", r, errno);
          return 0; }""",
    )
    answer = Answer(Return(6))
    answer.confines = confines  # type: ignore[misc]
    native = int(native_output(program).split()[1])
    assert native != errno.ENOSYS, "the kernel has no epoll_pwait2 (5.11)"
    assert result_of(engine, [answer], [program]) == (
        0,
        f"-1 {errno.ENOSYS if confines else native}\n",
    )

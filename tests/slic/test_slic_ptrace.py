"""What only engines with REWRITE, EXIT, INJECT, PROCESS and SIGNAL can do, and attaching."""

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slic_harness import DEADLINE, Recorder, Running, result_of
from test_slic_engines import PPID, READ, Answer, Reads

from slic.engine import Capability, Engine, MissingCapability
from slic.engines.ptrace.engine import PtraceEngine
from slic.interposer import Event, Interposer, ProcessEvent, after, on, on_event, on_signal
from slic.interposers.passthrough import PassThrough
from slic.policy import Policy
from slic.registry import engines
from slic.tracee import Tracee
from slic.verdict import Asking, Continue, Inject, Return, ReturnFd, Rewrite, Verdict

Guest = Callable[..., str]
PTRACE = [e for e in engines().values() if Capability.REWRITE in e.capabilities]


@pytest.fixture(params=PTRACE, ids=[e.name for e in PTRACE])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    if why := chosen.unavailable():
        pytest.skip(f"engine {chosen.name}: {why}")
    return chosen


def test_arguments_are_rewritten_and_put_back(engine: Engine, guest: Guest) -> None:
    class ToFive(Interposer):
        @on("dup", needs=Capability.REWRITE)
        def dup(self, tracee: Tracee, fildes: int) -> Verdict:
            return Rewrite({"fildes": 1})

    program = guest(
        "dup",
        r"""int main(void) { long r, seen; __asm__ volatile("syscall" : "=a"(r), "=D"(seen)
          : "0"(SYS_dup), "D"(77) : "rcx", "r11", "memory");
          printf("%d %ld\n", r >= 2, seen); return 0; }""",
    )
    assert result_of(engine, [ToFive()], [program]) == (0, "1 77\n")


def test_the_kernels_results_are_shown_and_replaced(engine: Engine, guest: Guest) -> None:
    class Result(Interposer):
        def __init__(self) -> None:
            self.seen: list[int] = []

        @after("getppid")
        def ppid(self, tracee: Tracee, result: int) -> int:
            self.seen.append(result)
            return result + 1

        @after("close")
        def close(self, tracee: Tracee, fd: int, result: int) -> None:
            if fd == 99:
                self.seen.append(result)

    result = Result()
    program = guest(
        "results",
        'int main(void) { close(99); printf("%ld\\n", syscall(SYS_getppid)); return 0; }',
    )
    assert result_of(engine, [result], [program]) == (0, f"{os.getpid() + 1}\n")
    assert result.seen == [-errno.EBADF, os.getpid()]


def test_calls_are_injected(engine: Engine, guest: Guest) -> None:
    class Opens(Interposer):
        def __init__(self, verdict: Verdict) -> None:
            self.verdict = verdict

        @on("getppid", needs=Capability.INJECT | Capability.RETURN)
        def getppid(self, tracee: Tracee) -> Asking:
            uid = yield Inject("getuid")
            fd = yield Inject("dup", (1,))
            bad = yield Inject("dup", (1000,))
            assert (uid, fd, bad) == (os.getuid(), 3, -errno.EBADF)
            yield Inject("close", (3,))
            return self.verdict

    ppid = guest("ppid", PPID)
    assert result_of(engine, [Opens(Return(8))], [ppid]) == (0, "8 0\n")
    assert result_of(engine, [Opens(Continue())], [ppid]) == (0, f"{os.getpid()} 0\n")


def test_injection_and_descriptors_after_a_late_answer(
    engine: Engine, guest: Guest, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("late")

    class Late(Interposer):
        @on("getppid", needs=Capability.INJECT | Capability.ADD_FD | Capability.RETURN)
        def getppid(self, tracee: Tracee) -> Asking:
            how = yield "how"
            pid = yield Inject("getpid")
            assert pid == tracee.pid
            again = yield "again"
            if how == "fd":
                return ReturnFd(os.open(tmp_path / "file", os.O_RDONLY))
            return Continue() if how == "kernel" else Return(again)

    program = guest(
        "late",
        r"""int main(void) { char b[9] = {0}; long v = syscall(SYS_getppid);
          if (v < 100) pread(v, b, 8, 0); printf("%ld %s\n", v, b); return 0; }""",
    )
    for how, expected in (("fd", "3 late"), ("kernel", f"{os.getpid()} "), ("value", "77 ")):
        with Running(engine, [Late()], [program]) as running:
            running.asks(1)
            assert running.session.answer(running.host.asked[0][0], how)
            running.asks(2)
            assert running.session.answer(running.host.asked[1][0], 77)
            assert running.finish() == (0, expected + "\n")


def test_process_events_are_told(engine: Engine, guest: Guest) -> None:
    class Watch(Interposer):
        def __init__(self) -> None:
            self.events: list[Event] = []

        @on_event(*ProcessEvent)
        def told(self, event: Event) -> None:
            self.events.append(event)

    program = guest(
        "family",
        r"""static void *thread(void *p) { return 0; }
        int main(int c, char **v) { pthread_t t; if (c > 1) return 5;
          pthread_create(&t, 0, thread, 0); pthread_join(t, 0);
          pid_t p = fork(); if (!p) execl(v[0], v[0], "again", (char *)0);
          waitpid(p, 0, 0); return 0; }""",
    )
    watch = Watch()
    with Running(engine, [watch], [program]) as running:
        assert running.finish() == (0, "")
    told = [e.what.value for e in watch.events if e.tid == running.pid]
    assert told == ["exec", "fork", "fork", "exit"]
    thread, child = (e for e in watch.events if e.what is ProcessEvent.FORK)
    assert (thread.value, child.value) == (1, 0)
    ends = {e.tid: e.value for e in watch.events if e.what is ProcessEvent.EXIT}
    assert ends == {running.pid: 0, thread.other: 0, child.other: 5 << 8}


def test_signals_are_seen_replaced_and_dropped(engine: Engine, guest: Guest) -> None:
    class Signals(Interposer):
        @on_signal(signal.SIGUSR1, signal.SIGTERM)
        def on_its_way(self, tid: int, signal: int) -> int:
            return 0 if signal == 15 else 12

    program = guest(
        "signals",
        r"""static void got(int s) { printf("%d\n", s); }
        int main(void) { signal(SIGUSR2, got); kill(getpid(), SIGTERM); kill(getpid(), SIGUSR1);
          return 0; }""",
    )
    assert result_of(engine, [Signals()], [program]) == (0, "12\n")


def test_a_session_of_another_thread(engine: Engine, guest: Guest) -> None:
    """The main thread may take the SIGCHLD that tells of a stop: the session must not miss it."""
    done: list[Any] = []
    program = guest("ppid", PPID)
    thread = threading.Thread(
        target=lambda: done.append(result_of(engine, [Answer(Return(3))], [program]))
    )
    thread.start()
    thread.join()
    assert done == [(0, "3 0\n")]


def test_unotify_refuses_what_only_ptrace_can(guest: Guest) -> None:
    class Result(Interposer):
        @after("getppid")
        def ppid(self, tracee: Tracee, result: int) -> None: ...

    with pytest.raises(MissingCapability, match=r"result\.ppid \(getppid\) needs EXIT"):
        engines()["unotify"].prepare(Policy([Result()]))


# -- attaching -----------------------------------------------------------------------------------
TICK = r"""
static void *calls(void *p) { for (;;) { if (syscall(SYS_getppid) == 6) write(1, p, 1);
  usleep(2000); } }
int main(void) { pthread_t t; if (!fork()) calls("c"); pthread_create(&t, 0, calls, "t");
  calls("m"); }
"""


class _Attached:
    """A running tree of guests of our own, and an engine put on it."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout is not None
        self.out = self.process.stdout.fileno()
        os.set_blocking(self.out, False)
        self.seen = b""

    def read(self) -> bool:
        try:
            self.seen += os.read(self.out, 4096)
        except BlockingIOError:
            return False
        return True

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _until(condition: Callable[[], Any], step: Callable[[], Any]) -> None:
    import time

    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        if not step():
            time.sleep(0.001)  # what the guests do has no descriptor to wait on


def test_attach_and_detach_a_running_tree(guest: Guest) -> None:
    engine = engines()["ptrace"]
    assert isinstance(engine, PtraceEngine)
    tree = _Attached(guest("tick", TICK))
    try:
        pid = tree.process.pid
        _until(lambda: len(os.listdir(f"/proc/{pid}/task")) == 2, lambda: False)
        answer = Answer(Return(6))
        with engine.attach(Policy([answer]), pid, Recorder()) as session:
            _until(lambda: tree.read() and set(tree.seen) == set(b"ctm"), session.step)
            assert len(session.tasks) == 3
        while tree.read():
            pass
        for tid in (pid, *(t for _, t in answer.callers)):
            status = Path(f"/proc/{tid}/status").read_text()
            assert "TracerPid:\t0" in status and "State:\tT" not in status
        # It goes on, natively: the same tree can be attached again.
        with engine.attach(Policy([Answer(Return(6))]), pid, Recorder()) as session:
            tree.seen = b""
            _until(lambda: tree.read() and set(tree.seen) == set(b"ctm"), session.step)
    finally:
        tree.end()


def test_an_attached_program_may_be_asked_about(guest: Guest) -> None:
    engine = engines()["ptrace"]
    assert isinstance(engine, PtraceEngine)
    program = guest(
        "asked",
        r"""int main(void) { while (syscall(SYS_getppid) != 6) usleep(1000); write(1, "6", 1);
          pause(); }""",
    )

    class Asks(Interposer):
        @on("getppid")
        def getppid(self, tracee: Tracee) -> Asking:
            return Return((yield "what"))

    tree = _Attached(program)
    try:
        host = Recorder()
        with engine.attach(Policy([Asks()]), tree.process.pid, host) as session:
            _until(lambda: host.asked, session.step)
            assert session.answer(host.asked[0][0], 5)
            _until(lambda: len(host.asked) == 2, session.step)
            assert session.answer(host.asked[1][0], 6)
            _until(lambda: tree.read() and tree.seen == b"6", session.step)
    finally:
        tree.end()


def test_attaching_to_a_tree_of_zombies_and_short_lives(guest: Guest) -> None:
    """The kernel refuses to trace a zombie: it is passed over, and so is one that ends just now."""
    engine = engines()["ptrace"]
    assert isinstance(engine, PtraceEngine)
    program = guest(
        "zombietree",
        r"""int main(void) { for (int i = 0; i < 3; i++) if (!fork()) _exit(0);
          for (;;) { pid_t p = fork(); if (!p) { syscall(SYS_getppid); _exit(0); }
            waitpid(p, 0, 0); write(1, "f", 1); } }""",
    )
    tree = _Attached(program)
    try:
        _until(tree.read, lambda: False)
        answer = Answer(Return(6))
        for _ in range(10):
            answer.callers.clear()
            with engine.attach(Policy([answer]), tree.process.pid, Recorder()) as session:
                _until(lambda: answer.callers, session.step)
        tree.seen = b""
        _until(lambda: tree.read() and b"f" in tree.seen, lambda: False)  # it goes on
    finally:
        tree.end()


def test_attaching_to_nobody_is_an_error() -> None:
    engine = engines()["ptrace"]
    assert isinstance(engine, PtraceEngine)
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(ProcessLookupError):
        engine.attach(Policy([PassThrough(["getppid"])]), gone.pid, Recorder())


def test_the_death_of_the_supervisor_kills_what_it_started(engine: Engine, guest: Guest) -> None:
    """SIGKILL for the supervisor while a call waits for its answer."""
    ours, theirs = os.pipe()
    if (supervisor := os.fork()) == 0:
        try:
            with Running(engine, [Reads()], [guest("read", READ)]) as running:
                running.asks(1)
                os.write(theirs, str(running.pid).encode())
                running.until(lambda: False)
        finally:
            os._exit(1)
    os.close(theirs)
    guest_pid = int(os.read(ours, 20))
    watched = os.pidfd_open(guest_pid)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    import select

    poll = select.poll()
    poll.register(watched, select.POLLIN)
    assert poll.poll(DEADLINE * 1000), "the guest still lives"
    os.close(watched)
    os.close(ours)

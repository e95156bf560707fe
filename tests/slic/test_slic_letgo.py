"""Whatever handlers and hosts raise: it leaves step(), and close() lets every program go on.

Contract paragraphs 5 and 7 of slic.engine. Each program here ends by itself with status 7 when it
is let go; one that were left stopped, or in a call that nobody answers, would meet the deadline.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from slic_harness import DEADLINE, Recorder, Running
from test_slic_engines import Reads
from test_slic_ptrace import TICK, _Attached, _until

from slic.engine import Engine, Host
from slic.engines.ptrace.engine import PtraceEngine
from slic.interposer import Event, Interposer, ProcessEvent, after, on, on_event, on_signal
from slic.policy import HookFailed, Policy
from slic.registry import engines
from slic.tracee import Tracee
from slic.verdict import Asking, Blocking, Capability, Inject, Return, ReturnFd, Verdict

Guest = Callable[..., str]
ANSWERS = Capability.RETURN | Capability.ADD_FD


class Broken(RuntimeError):
    """What the handlers of these tests raise."""


GUEST = r"""
static void got(int s) { write(1, "got\n", 4); }
static void *thread(void *p) { return 0; }
int main(int c, char **v) {
  char b[8]; int s; pthread_t t; signal(SIGUSR1, got);
  switch (v[1][0]) {
    case 's': raise(SIGUSR1); break;
    case 'z': raise(SIGSTOP); break;
    case 'f': if (!fork()) _exit(0); wait(&s); break;
    case 't': pthread_create(&t, 0, thread, 0); pthread_join(t, 0); break;
    case 'x': if (!fork()) execl("/bin/true", "true", (char *)0); wait(&s); break;
    case 'c': syscall(SYS_getppid); break;
    case 'r': if (read(0, b, 1) < 0 && errno != ENOSYS) return 8; break;
    case 'k': raise(SIGKILL); }
  write(1, "on\n", 3); return 7; }
"""


def let_go(running: Running, raises: type[BaseException] = Broken) -> None:
    """The exception leaves step(); close() comes back at once; the program goes on to its end."""
    with pytest.raises(raises):
        running.until(lambda: running.session.ended, "the exception")
    began = time.monotonic()
    with suppress(raises):  # again, if a task has ended meanwhile: told when all are let go
        running.session.close()
    assert time.monotonic() - began < DEADLINE / 4
    ends(running)
    assert b"on\n" in running.output


def ends(running: Running, status: int = 7) -> None:
    """A program that is let go ends by itself: the deadline is for one that is left behind."""
    told = running.host.ended.get(running.pid)
    running.status = _waited(running) if told is None else told
    assert os.waitstatus_to_exitcode(running.status) == status
    while data := os.read(running._out, 4096):
        running.output += data


def _waited(running: Running) -> int:
    os.kill(running.pid, signal.SIGCONT)  # for the one that has stopped itself
    with suppress(BrokenPipeError):  # it has ended
        os.write(running.stdin, b"natively")
    watched = os.pidfd_open(running.pid)
    try:
        assert select.select([watched], [], [], DEADLINE)[0], Path(
            f"/proc/{running.pid}/status"
        ).read_text()
    finally:
        os.close(watched)
    return os.waitpid(running.pid, 0)[1]


# -- any engine ----------------------------------------------------------------------------------
class Raises(Interposer):
    @on("getppid", needs=ANSWERS)
    def getppid(self, tracee: Tracee) -> Verdict:
        raise Broken


class RaisesLate(Interposer):
    """After its question has been answered."""

    @on("read", where={"fd": {0}})
    def read(self, tracee: Tracee) -> Asking:
        yield "what"
        raise Broken


class RaisesInThread(Interposer):
    @on("getppid", needs=ANSWERS)
    def getppid(self, tracee: Tracee) -> Asking:
        yield Blocking(self.work)
        return Return(0)

    def work(self) -> None:
        raise Broken


class RaisesAbove(Interposer):
    """In `after`, when a layer below has answered at once, or later, or with a descriptor."""

    @after("getppid", "read", optional=True)
    def seen(self, tracee: Tracee, result: int) -> None:
        raise Broken


class HandsIn(Interposer):
    @on("getppid", needs=ANSWERS)
    def getppid(self, tracee: Tracee) -> Verdict:
        return ReturnFd(os.open("/dev/null", os.O_RDONLY))


class HandsInLate(Interposer):
    @on("read", where={"fd": {0}}, needs=ANSWERS)
    def read(self, tracee: Tracee) -> Asking:
        yield "what"
        return ReturnFd(os.open("/dev/null", os.O_RDONLY))


class RaisesAtItsEnd(Interposer):
    """When its waiting handler is closed."""

    @on("read", where={"fd": {0}})
    def read(self, tracee: Tracee) -> Asking:
        try:
            yield "what"
        finally:
            raise Broken
        return Return(0)


@pytest.mark.parametrize(
    ("stack", "what"),
    [
        ([Raises()], "c"),
        ([RaisesLate()], "r"),
        ([RaisesInThread()], "c"),
        ([RaisesAbove(), HandsIn()], "c"),
        ([RaisesAbove(), HandsInLate()], "r"),
        ([RaisesAbove(), Reads()], "r"),
    ],
    ids=lambda v: "-".join(type(i).__name__ for i in v) if isinstance(v, list) else v,
)
def test_a_handler_that_raises(
    engine: Engine, guest: Guest, stack: list[Interposer], what: str
) -> None:
    program = guest("goes", GUEST)
    with Running(engine, stack, [program, what], reply=lambda _: b"x") as running:
        let_go(running)


@pytest.mark.parametrize("signalled", [0, signal.SIGUSR1], ids=["waiting", "interrupted"])
def test_a_handler_that_raises_when_it_is_closed(
    engine: Engine, guest: Guest, signalled: int
) -> None:
    program = guest("goes", GUEST)
    with Running(engine, [RaisesAtItsEnd(), Reads()], [program, "r"]) as running:
        running.asks(1)
        if signalled:
            os.kill(running.pid, signalled)
            with pytest.raises(Broken):
                running.until(lambda: running.session.sweep() or running.host.gone, "cancelled")
            running.session.close()
        else:
            with pytest.raises(Broken):
                running.session.close()
        assert running.host.gone == [running.host.asked[0][0]]
        running.session.close()
        ends(running)


class BadHost(Recorder):
    def __init__(self, method: str) -> None:
        super().__init__()
        self.bad = method

    def ask(self, call_id: int, question: Any, tracee: Tracee) -> None:
        super().ask(call_id, question, tracee)
        if self.bad == "ask":
            raise Broken

    def cancelled(self, call_id: int) -> None:
        if self.bad == "cancelled":
            raise Broken

    def stopped(self, pid: int, signal_number: int) -> None:
        if self.bad == "stopped":
            raise Broken


def with_host(running: Running, host: Host) -> None:
    """Exchange the host of a session that has not heard anything yet."""
    session: Any = running.session
    for owner in (session, session._pending):
        if hasattr(owner, "_host"):
            owner._host = host
    running.host = host  # type: ignore[assignment]


def test_a_host_that_raises_when_asked(engine: Engine, guest: Guest) -> None:
    with Running(engine, [Reads()], [guest("goes", GUEST), "r"]) as running:
        with_host(running, BadHost("ask"))
        let_go(running)


def test_a_host_that_raises_when_a_call_is_gone(engine: Engine, guest: Guest) -> None:
    with Running(engine, [Reads()], [guest("goes", GUEST), "r"]) as running:
        with_host(running, BadHost("cancelled"))
        running.asks(1)
        with pytest.raises(Broken):
            running.session.close()
        ends(running)


# -- engines with events and signals -------------------------------------------------------------
PTRACE = [e for e in engines().values() if Capability.REWRITE in e.capabilities]


@pytest.fixture(params=PTRACE, ids=[e.name for e in PTRACE])
def tracer(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    if why := chosen.unavailable():
        pytest.skip(f"engine {chosen.name}: {why}")
    return chosen


class SignalRaises(Interposer):
    def __init__(self, error: type[Exception] = Broken) -> None:
        self.error = error

    @on_signal()
    def came(self, tid: int, signal: int) -> int:
        raise self.error


class EventRaises(Interposer):
    """At every event of the kinds given, also while the tasks are let go."""

    def __init__(self, *kinds: ProcessEvent, error: type[Exception] = Broken) -> None:
        self.kinds = kinds
        self.error = error
        self.armed = False  # the start of the program itself passes

    @on_event(*ProcessEvent)
    def told(self, event: Event) -> None:
        if event.what is ProcessEvent.EXEC and not self.armed:
            self.armed = True
        elif event.what in self.kinds:
            raise self.error


class InjectsAndRaises(Interposer):
    @on("getppid", needs=Capability.INJECT | Capability.RETURN)
    def getppid(self, tracee: Tracee) -> Asking:
        yield Inject("getuid")
        raise Broken


class AsksInjectsAndRaises(Interposer):
    @on("read", where={"fd": {0}}, needs=Capability.INJECT | Capability.RETURN)
    def read(self, tracee: Tracee) -> Asking:
        yield "what"
        yield Inject("getuid")
        raise Broken


@pytest.mark.parametrize(
    ("stack", "what", "raises"),
    [
        ([SignalRaises()], "s", Broken),
        ([SignalRaises(ProcessLookupError)], "s", HookFailed),
        ([EventRaises(ProcessEvent.FORK)], "f", Broken),
        ([EventRaises(ProcessEvent.FORK)], "t", Broken),
        ([EventRaises(ProcessEvent.FORK, ProcessEvent.EXIT)], "f", Broken),
        ([EventRaises(ProcessEvent.EXIT)], "f", Broken),
        ([EventRaises(ProcessEvent.EXIT)], "t", Broken),
        ([EventRaises(ProcessEvent.EXEC)], "x", Broken),
        ([EventRaises(ProcessEvent.EXEC, error=ProcessLookupError)], "x", HookFailed),
        ([EventRaises(ProcessEvent.STOP)], "z", Broken),
        ([RaisesAbove()], "c", Broken),
        ([InjectsAndRaises()], "c", Broken),
        ([AsksInjectsAndRaises()], "r", Broken),
    ],
    ids=lambda v: "-".join(type(i).__name__ for i in v) if isinstance(v, list) else str(v),
)
def test_a_hook_that_raises(
    tracer: Engine,
    guest: Guest,
    stack: list[Interposer],
    what: str,
    raises: type[BaseException],
) -> None:
    program = guest("goes", GUEST)
    with Running(tracer, stack, [program, what], reply=lambda _: b"x") as running:
        let_go(running, raises)


def test_a_host_that_raises_at_a_stop(tracer: Engine, guest: Guest) -> None:
    with Running(tracer, [Reads()], [guest("goes", GUEST), "z"]) as running:
        with_host(running, BadHost("stopped"))
        let_go(running)


def test_the_end_of_the_program_is_told_though_a_hook_raises(tracer: Engine, guest: Guest) -> None:
    stack = [EventRaises(ProcessEvent.EXIT)]
    with Running(tracer, stack, [guest("goes", GUEST), "k"]) as running:
        with pytest.raises(Broken):
            running.until(lambda: running.session.ended)
        assert running.host.ended == {running.pid: signal.SIGKILL}
        running.session.close()


# -- attached programs ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "interposer",
    [Raises(), RaisesAbove(), InjectsAndRaises(), EventRaises(ProcessEvent.EXIT)],
    ids=lambda v: type(v).__name__,
)
def test_an_attached_tree_goes_on(guest: Guest, interposer: Interposer) -> None:
    """Three tasks tick; after the exception all three still make their calls, untraced."""
    engine = engines()["ptrace"]
    assert isinstance(engine, PtraceEngine)
    tree = _Attached(guest("tick", TICK))
    try:
        pid = tree.process.pid
        _until(lambda: len(os.listdir(f"/proc/{pid}/task")) == 2, lambda: False)
        session = engine.attach(Policy([interposer]), pid, Recorder())
        tasks = set(session.tasks)
        assert len(tasks) == 3
        if isinstance(interposer, EventRaises):
            (other,) = tasks - {int(t) for t in os.listdir(f"/proc/{pid}/task")}
            os.kill(other, signal.SIGKILL)
            tasks.discard(other)
        with pytest.raises(Broken):
            session.serve()
        session.close()
        for tid in tasks:
            moved(tid)
    finally:
        tree.end()


def moved(tid: int) -> None:
    """The task is nobody's tracee and gets on: it goes to sleep again and again."""
    status = Path(f"/proc/{tid}/status")

    def switches() -> int:
        fields = dict(line.split(":\t") for line in status.read_text().splitlines())
        assert fields["TracerPid"] == "0" and not fields["State"].startswith(("T", "t"))
        return int(fields["voluntary_ctxt_switches"])

    before = switches()
    _until(lambda: switches() > before + 2, lambda: False)


def test_leaving_an_attached_tree_from_a_signal_handler(guest: Guest) -> None:
    """^C at any moment, many times: no stop is lost, nothing hangs, the tree goes on."""
    engine = engines()["ptrace"]
    assert isinstance(engine, PtraceEngine)
    tree = _Attached(guest("tick", TICK))
    pid = tree.process.pid
    before = signal.getsignal(signal.SIGALRM)
    try:
        for number in range(30):
            with engine.attach(Policy([HandsIn()]), pid, Recorder()) as session:
                signal.signal(signal.SIGALRM, lambda *_: session.leave())
                signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.0007 * number)
                session.serve()
                assert not session.ended
            tree.read()
        for tid in os.listdir(f"/proc/{pid}/task"):
            moved(int(tid))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        tree.end()

"""Declarations, policies and engine choice: pure, nothing runs."""

import errno
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from slic_fake import FakeTracee, call

from slic import engine as engine_module
from slic import registry
from slic.engine import Capability, Engine, MissingCapability, check
from slic.interposer import (
    EVERY,
    Call,
    DeclarationError,
    Event,
    Interposer,
    ProcessEvent,
    after,
    any_of,
    on,
    on_event,
    on_signal,
)
from slic.interposers.passthrough import PassThrough
from slic.policy import Decision, Policy, UndeclaredVerdict
from slic.syscalls import BY_NAME, BY_NUMBER, IO_URING_CAN
from slic.tracee import Tracee
from slic.verdict import (
    Asking,
    Continue,
    Fail,
    Return,
    ReturnFd,
    Verdict,
)

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


class Name(Interposer):
    @on("uname")
    def uname(self, tracee: Tracee, buf: int) -> Verdict:
        tracee.write(buf, b"home")
        return Return(0)


class Log(Interposer):
    confines = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    @on(EVERY, needs=Capability.INSPECT)
    def before(self, tracee: Tracee, call: Call) -> Verdict:
        self.lines.append(call.name)
        return Continue()

    @after(EVERY, optional=True)
    def done(self, tracee: Tracee, call: Call, result: int) -> None:
        self.lines.append(f"{call.name}={result}")


class Asker(Interposer):
    @on("read", where={"fd": {0}})
    def read(self, tracee: Tracee, fd: int, count: int) -> Asking:
        answer = yield ("how much", fd, count)
        return Return(answer)


def test_the_table_agrees_with_the_headers() -> None:
    if not HEADER.exists():
        pytest.skip(f"{HEADER} is missing (linux-libc-dev)")
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    assert {n: int(v) for n, v in numbers.items()}.items() <= {
        n: s.number for n, s in BY_NAME.items()
    }.items()


def test_every_argument_has_a_usable_name() -> None:
    for syscall in BY_NAME.values():
        names = [a.name for a in syscall.arguments]
        assert len(set(names)) == len(names) <= 6
        assert all(n.isidentifier() for n in names), syscall
    assert set(BY_NAME) >= IO_URING_CAN
    assert len(BY_NUMBER) == len(BY_NAME)


def test_a_call_decodes_as_the_kernel_does() -> None:
    seen = call("openat", -100, 0x1000, (7 << 32) | 0o101, 0xFFFF0644)
    assert seen.named() == {"dirfd": -100, "filename": 0x1000, "flags": 0o101, "mode": 0x0644}
    assert call("readv", -1, 0, 1).arg("fd") == -1
    with pytest.raises(ValueError, match="list"):
        seen.arg("nothing")


@pytest.mark.parametrize(
    ("calls", "where", "complaint"),
    [
        (("opennat",), None, "no call 'opennat'"),
        ((), None, "names no call"),
        (("open", "openat"), None, "'dirfd' is no argument of open.*default"),
        (("close",), None, "'dirfd' is no argument of close"),
        (("openat",), {"wibble": {1}}, "'wibble' is no argument of openat"),
        (("openat",), {"flags": set()}, "allows no value"),
        ((EVERY, "openat"), None, "stands alone"),
    ],
)
def test_wrong_declarations_are_refused_with_the_class(
    calls: tuple[str, ...], where: dict[str, set[int]] | None, complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=complaint):

        class Wrong(Interposer):
            @on(*calls, where=where)
            def handler(self, tracee: Tracee, dirfd: int) -> Verdict:
                return Return(dirfd)


def test_other_handlers_are_checked_too() -> None:
    with pytest.raises(DeclarationError, match="first parameter"):

        class NoTracee(Interposer):
            @on("close")
            def handler(self, fd: int) -> Verdict:
                return Return(fd)

    with pytest.raises(DeclarationError, match="parameters must be"):

        class NoEvent(Interposer):
            @on_event(ProcessEvent.EXEC)
            def handler(self, what: Event) -> None:
                pass


def test_a_shared_handler_defaults_what_some_calls_lack() -> None:
    class Shared(Interposer):
        @on("open", "openat")
        def opened(self, tracee: Tracee, flags: int, dirfd: int = -100) -> Verdict:
            return Return(dirfd * 1000 + flags)

    policy = Policy([Shared()])
    assert policy.decide(call("open", 0, 7), FakeTracee()) == Decision(Return(-100 * 1000 + 7), 0)
    assert policy.decide(call("openat", 5, 0, 7), FakeTracee()) == Decision(Return(5007), 0)


def test_first_verdict_wins_and_results_pass_back_up() -> None:
    log = Log()
    policy = Policy([log, Name(), Log()])
    tracee = FakeTracee()
    seen = call("uname", 0x1000)
    decision = policy.decide(seen, tracee)
    assert decision == Decision(Return(0), 1)
    assert tracee.read(0x1000, 4) == b"home"
    assert policy.result(seen, tracee, 0, 1) == 0
    assert log.lines == ["uname", "uname=0"]
    below = policy.interposers[2]
    assert isinstance(below, Log) and below.lines == []


def test_a_question_travels_through_the_stack() -> None:
    policy = Policy([Log(), Asker()])
    deciding = policy.decide(call("read", 0, 0, 80), FakeTracee())
    assert not isinstance(deciding, Decision)
    assert next(deciding) == ("how much", 0, 80)
    with pytest.raises(StopIteration) as end:
        deciding.send(5)
    assert end.value.value == Decision(Return(5), 1)
    # Another descriptor is not the handler's, though the log above catches the call.
    assert policy.decide(call("read", 3, 0, 80), FakeTracee()) == Decision(Continue(), 2)


def test_after_may_replace_a_result() -> None:
    class Plus(Interposer):
        @after("getpid")
        def more(self, tracee: Tracee, result: int) -> int:
            return result + 1

    policy = Policy([Plus(), Plus()])
    assert policy.result(call("getpid"), FakeTracee(), 5, 2) == 7
    assert policy.result(call("getpid"), FakeTracee(), 5, 0) == 6


def test_an_undeclared_verdict_is_an_error() -> None:
    class Liar(Interposer):
        @on("openat")
        def opened(self, tracee: Tracee) -> Verdict:
            return ReturnFd(0)

    with pytest.raises(UndeclaredVerdict, match=r"liar\.opened"):
        Policy([Liar()]).decide(call("openat"), FakeTracee())


def test_errors_of_a_handler_become_the_calls_errors() -> None:
    class Wrong(Interposer):
        @on("uname", needs=Capability.INSPECT)
        def looks(self, tracee: Tracee, buf: int) -> Verdict:
            tracee.read(buf, 1)
            return Continue()

        @on("chdir")
        def answers(self, tracee: Tracee, filename: int) -> Asking:
            try:
                yield "late"
            except KeyError:
                raise PermissionError(errno.EACCES, "no") from None
            return Return(0)

    policy = Policy([Wrong(), Name()])
    # The looker has no RETURN: it is passed over, and the next handler's EFAULT is the answer.
    assert policy.decide(call("uname", 8), FakeTracee()) == Decision(Fail(errno.EFAULT), 1)
    deciding = policy.decide(call("chdir", 8), FakeTracee())
    assert not isinstance(deciding, Decision)
    next(deciding)
    with pytest.raises(StopIteration) as end:
        deciding.throw(KeyError())
    assert end.value.value == Decision(Fail(errno.EACCES), 0)


def test_subscription_merges_the_stack() -> None:
    class Ioctl(Interposer):
        @on("ioctl", where={"cmd": {0x5401, 0x5402}, "fd": {0}})
        def ioctl(self, tracee: Tracee) -> Verdict:
            return Fail(errno.ENOTTY)

    class Clone(Interposer):
        @on("clone", where={"flags": any_of(0x7E020000)}, needs=Capability.INSPECT)
        def clone(self, tracee: Tracee) -> Verdict:
            return Continue()

    both = Policy([Ioctl(), Clone()]).subscription()
    (tests,) = both.calls[BY_NAME["ioctl"].number]
    assert {(t.register, t.bits) for t in tests} == {(0, 32), (1, 32)}
    assert all(t.holds((1 << 32, 0x5401, 0, 0, 0, 0)) for t in tests)
    assert not all(t.holds((1, 0x5401, 0, 0, 0, 0)) for t in tests)
    (clone,) = both.calls[BY_NAME["clone"].number]
    assert clone[0].holds((0x20000, 0, 0, 0, 0, 0)) and not clone[0].holds((0x11, 0, 0, 0, 0, 0))
    assert both.io_uring_bypasses
    every = Policy([Ioctl(), PassThrough()]).subscription()
    assert every.calls[BY_NAME["ioctl"].number] == frozenset({()})
    assert not Policy([Name()]).subscription().io_uring_bypasses


def test_signals_and_events_reach_their_handlers() -> None:
    class Watch(Interposer):
        def __init__(self) -> None:
            self.events: list[Event] = []

        @on_event(ProcessEvent.FORK, ProcessEvent.EXIT)
        def told(self, event: Event) -> None:
            self.events.append(event)

        @on_signal(2)
        def interrupt(self, tid: int, signal: int) -> int:
            return 15

    watch = Watch()
    policy = Policy([watch])
    assert policy.subscription().signals == {2}
    assert (policy.signal(1, 2), policy.signal(1, 3)) == (15, 3)
    policy.event(Event(ProcessEvent.EXEC, 1))
    policy.event(Event(ProcessEvent.EXIT, 1, value=256))
    assert watch.events == [Event(ProcessEvent.EXIT, 1, value=256)]


class _Engine:
    reaps = False

    def __init__(self, name: str, capabilities: Capability, why: str | None = None) -> None:
        self.name, self.capabilities, self.why = name, capabilities, why

    def unavailable(self) -> str | None:
        return self.why

    def prepare(self, policy: Policy) -> engine_module.Launch:
        raise NotImplementedError


def _engines() -> Iterable[Engine]:
    some = Capability.INSPECT | Capability.RETURN | Capability.HOLD
    yield _Engine("small", some)
    yield _Engine("big", some | Capability.ADD_FD | Capability.EXIT)


def test_a_missing_capability_names_handler_and_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opener(Interposer):
        @on("openat", needs=Capability.ADD_FD)
        def opened(self, tracee: Tracee) -> Verdict:
            return ReturnFd(1)

    small, big = _engines()
    with pytest.raises(MissingCapability) as error:
        check(Policy([Opener()]), small, (small, big))
    assert str(error.value) == ("opener.opened (openat) needs ADD_FD: engine small cannot, big can")
    check(Policy([Opener()]), big)
    check(Policy([Log()]), small)  # its `after` is optional
    monkeypatch.setattr(registry, "engines", lambda: {"small": small, "big": big})
    assert registry.select(Policy([Opener()])).name == "big"
    assert registry.select(Policy([Log()])).name == "small"
    with pytest.raises(MissingCapability, match="engine small cannot"):
        registry.select(Policy([Opener()]), "small")
    with pytest.raises(engine_module.EngineUnavailable, match="no engine 'medium'"):
        registry.select(Policy([Log()]), "medium")


def test_passthrough_takes_names() -> None:
    policy = Policy([some := PassThrough.from_argument("read,write")])
    assert set(policy.subscription().calls) == {0, 1}
    policy.decide(call("read"), FakeTracee())
    assert some.seen == {"read": 1}
    with pytest.raises(ValueError, match="no call raed"):
        PassThrough.from_argument("raed")

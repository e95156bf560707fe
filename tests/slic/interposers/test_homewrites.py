"""Writes to home's files by a careful job, and files opened once more: questions and answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from signal import SIGXFSZ
from typing import Any

import pytest
from slic_fake import FakeTracee, call

from slic.interposers.home.descriptors import FILE_OUTPUT, HomeFds, StandIn
from slic.interposers.home.questions import CallHome, MayStream, Opened, RaiseSignal
from slic.interposers.home.reopens import REOPEN, HomeReopens
from slic.interposers.home.writes import WRITE_MAX, HomeWrites
from slic.policy import Decision, Policy
from slic.tracee import AT_FDCWD
from slic.verdict import Continue, Fail, Return, ReturnFd, Verdict

BASE = 0x1000
INPUT, OUTPUT = StandIn(0, "file", 5, 70), StandIn(1, FILE_OUTPUT, 6, 71)


@pytest.fixture
def tracee() -> FakeTracee:
    """fd 0 is the input, fd 1 the output, fd 2 a file of the node."""
    made = FakeTracee(bytes(WRITE_MAX + 4096), BASE)
    for fd, device, inode in ((0, 5, 70), (1, 6, 71), (2, 5, 99)):
        made.stats[fd] = os.stat_result((0o100600, inode, device, 1, 0, 0, 0, 0, 0, 0))
        made.flags[fd] = os.O_WRONLY
    return made


@pytest.fixture
def fds() -> HomeFds:
    return HomeFds([INPUT, OUTPUT])


def begun(policy: Policy, tracee: FakeTracee, name: str, *args: int) -> Generator[Any, Any, Any]:
    decided = policy.decide(call(name, *args), tracee)
    assert not isinstance(decided, Decision), decided
    return decided


def finished(asking: Generator[Any, Any, Any], answer: object) -> Verdict:
    with pytest.raises(StopIteration) as stop:
        asking.throw(answer) if isinstance(answer, OSError) else asking.send(answer)
    verdict: Verdict = stop.value.value.verdict
    return verdict


def test_a_write_that_may_go_later_is_the_kernels(tracee: FakeTracee, fds: HomeFds) -> None:
    policy = Policy([HomeWrites(fds)])
    asking = begun(policy, tracee, "write", 1, BASE, 5)
    assert next(asking) == MayStream(1, 5)
    assert isinstance(finished(asking, True), Continue)
    for other in (("write", 2, BASE, 5), ("write", 1, BASE, 0)):
        decided = policy.decide(call(*other), tracee)
        assert isinstance(decided, Decision) and isinstance(decided.verdict, Continue)
    refused = policy.decide(call("sendfile", 1, 2, 0, 9), tracee)
    assert isinstance(refused, Decision) and refused.verdict == Fail(errno.EINVAL)


def test_a_write_at_home_in_pieces_and_short(tracee: FakeTracee, fds: HomeFds) -> None:
    asking = begun(Policy([HomeWrites(fds)]), tracee, "write", 1, BASE, WRITE_MAX + 10)
    next(asking)
    first = asking.send(False)
    assert (first.call, first.fd, first.numbers, len(first.data)) == (
        "write",
        1,
        (-1, 0),
        WRITE_MAX,
    )
    assert len(asking.send((WRITE_MAX, [], b"")).data) == 10
    assert finished(asking, (4, [], b"")) == Return(WRITE_MAX + 4)


def test_a_file_that_is_too_large(tracee: FakeTracee, fds: HomeFds) -> None:
    asking = begun(Policy([HomeWrites(fds)]), tracee, "write", 1, BASE, 5)
    next(asking)
    asking.send(False)
    assert asking.throw(OSError(errno.EFBIG, "")) == RaiseSignal(SIGXFSZ)
    assert finished(asking, None) == Fail(errno.EFBIG)


def test_what_was_written_before_an_error_counts(tracee: FakeTracee, fds: HomeFds) -> None:
    asking = begun(Policy([HomeWrites(fds)]), tracee, "write", 1, BASE, WRITE_MAX + 10)
    next(asking)
    asking.send(False)
    asking.send((WRITE_MAX, [], b""))
    assert finished(asking, OSError(errno.ENOSPC, "")) == Return(WRITE_MAX)


@pytest.mark.parametrize(
    ("name", "flags", "fd"),
    [
        (b"/dev/stdout", os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 1),
        (b"/dev/fd/1", os.O_WRONLY | os.O_APPEND, 1),
        (b"/proc/self/fd/0", os.O_RDONLY, 0),
        (b"/dev/stdin", os.O_WRONLY, 0),
        (b"/dev/stdout", os.O_RDONLY, 1),
    ],
)
def test_opened_once_more(
    tracee: FakeTracee, fds: HomeFds, name: bytes, flags: int, fd: int
) -> None:
    tracee.write(BASE, name + b"\0")
    policy = Policy([HomeReopens(fds, reads=True, whole=False)])
    asking = begun(policy, tracee, "openat", AT_FDCWD, BASE, flags | os.O_CLOEXEC, 0o600)
    assert next(asking) == CallHome(REOPEN, fd, (), (flags & ~os.O_CREAT,))
    new = StandIn(80, FILE_OUTPUT, 6, 99)
    assert finished(asking, Opened(44, new)) == ReturnFd(44, cloexec=True)
    assert fds.leading(os.stat_result((0, 99, 6, 0, 0, 0, 0, 0, 0, 0))) == new


@pytest.mark.parametrize(
    ("name", "flags", "verdict"),
    [
        (b"/dev/stdin", os.O_PATH, Continue),
        (b"/dev/stdin", os.O_NOFOLLOW, Continue),
        (b"/dev/stderr", os.O_WRONLY, Continue),
        (b"/dev/stdouts", os.O_WRONLY, Continue),
        (b"/dev/fd/9", os.O_WRONLY, Continue),
        (b"/dev/stdout", os.O_RDWR, Fail),
    ],
)
def test_not_opened_at_home(
    tracee: FakeTracee, fds: HomeFds, name: bytes, flags: int, verdict: type
) -> None:
    tracee.write(BASE, name + b"\0")
    policy = Policy([HomeReopens(fds, reads=True, whole=False)])
    decided = policy.decide(call("open", BASE, flags, 0), tracee)
    assert isinstance(decided, Decision) and isinstance(decided.verdict, verdict)


def test_without_inputs_opens_for_reading_are_not_caught(fds: HomeFds) -> None:
    handlers = {h.method: h for h in HomeReopens(fds, reads=False, whole=False).declarations()}
    assert [name for name, _ in handlers["classic"].where] == ["flags"]

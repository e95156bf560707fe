"""What tells a file on fds 0-2 from its stand-in: which calls go home, and what they answer."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

import pytest
from slic_fake import FakeTracee, call

from slic.interposers.home.descriptors import FILE_OUTPUT, HomeFds, StandIn
from slic.interposers.home.kind import AT_EMPTY_PATH, F_GET_SEALS, F_SETLEASE, HomeKind
from slic.interposers.home.questions import CallHome
from slic.policy import Decision, Policy
from slic.verdict import PASS, Continue, Fail, Return, Verdict

BASE = 0x1000
INPUT = StandIn(0, "file", 5, 70)
OUTPUT = StandIn(1, FILE_OUTPUT, 6, 71)


@pytest.fixture
def tracee() -> FakeTracee:
    """fd 0 is the input, fd 1 the output, fds 2 and 7 are the node's own."""
    found = FakeTracee(bytes(4096), BASE)
    for fd, device, inode in ((0, 5, 70), (1, 6, 71), (2, 5, 99), (7, 5, 98)):
        found.stats[fd] = os.stat_result((0o100600, inode, device, 1, 0, 0, 0, 0, 0, 0))
        found.flags[fd] = os.O_RDWR
    return found


@pytest.fixture
def policy() -> Policy:
    return Policy([HomeKind(HomeFds([INPUT, OUTPUT]))])


def asked(policy: Policy, tracee: FakeTracee, name: str, *args: int) -> tuple[CallHome, Any]:
    decided: Any = policy.decide(call(name, *args), tracee)
    assert not isinstance(decided, Decision), decided
    question = next(decided)
    assert isinstance(question, CallHome)
    return question, decided


def verdict_after(asking: Any, answer: object) -> Verdict:
    resume = asking.throw if isinstance(answer, OSError) else asking.send
    with pytest.raises(StopIteration) as stop:
        resume(answer)
    verdict: Verdict = stop.value.value.verdict
    return verdict


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("epoll_ctl", (7, 1, 2, BASE)),
        ("epoll_ctl", (7, 1, 0, BASE)),  # a file in memory says EPERM itself
        ("epoll_ctl", (9, 1, 1, BASE)),  # EBADF is the kernel's to say
        ("fcntl", (2, F_GET_SEALS, 0)),
        ("fcntl", (0, F_SETLEASE, 0)),
        ("fcntl", (1, 3, 0)),
        ("fadvise64", (2, 0, 0, 0)),
        ("fgetxattr", (2, BASE, BASE, 8)),
        ("name_to_handle_at", (1, BASE, BASE, BASE, 0)),
    ],
)
def test_what_is_left_to_the_kernel(
    policy: Policy, tracee: FakeTracee, name: str, args: tuple[int, ...]
) -> None:
    decided = policy.decide(call(name, *args), tracee)
    assert isinstance(decided, Decision) and isinstance(decided.verdict, Continue)


def test_home_is_asked_once_whether_its_file_can_be_polled(
    policy: Policy, tracee: FakeTracee
) -> None:
    question, asking = asked(policy, tracee, "epoll_ctl", 7, 1, 1, BASE)
    assert question == CallHome("poll", 1)
    assert verdict_after(asking, OSError(errno.EPERM, "")) == Fail(errno.EPERM)
    again: Any = policy.decide(call("epoll_ctl", 7, 1, 1, BASE), tracee)
    if not isinstance(again, Decision):
        with pytest.raises(StopIteration) as stop:
            next(again)
        again = stop.value.value
    assert again.verdict == Fail(errno.EPERM)


def test_what_can_be_polled_is(policy: Policy, tracee: FakeTracee) -> None:
    _, asking = asked(policy, tracee, "epoll_ctl", 7, 1, 1, BASE)
    assert isinstance(verdict_after(asking, (0, [], b"")), type(PASS))


def test_numbers_are_signed(policy: Policy, tracee: FakeTracee) -> None:
    question, asking = asked(policy, tracee, "sync_file_range", 1, 2**64 - 5, 3, 2)
    assert question == CallHome("syncrange", 1, (), (-5, 3, 2))
    assert verdict_after(asking, OSError(errno.EINVAL, "")) == Fail(errno.EINVAL)
    question, _ = asked(policy, tracee, "fadvise64", 1, 2**64 - 5, 2**64 - 1, 3)
    assert question == CallHome("fadvise", 1, (), (-5, -1, 3))


def test_a_lease_has_a_known_kind(policy: Policy, tracee: FakeTracee) -> None:
    decided = policy.decide(call("fcntl", 1, F_SETLEASE, 9), tracee)
    assert isinstance(decided, Decision) and decided.verdict == Fail(errno.EINVAL)
    assert asked(policy, tracee, "fcntl", 1, F_SETLEASE, 0)[0] == CallHome("lease", 1)


@pytest.mark.parametrize(
    ("size", "expected", "written"),
    [(0, Return(5), b""), (4, Fail(errno.ERANGE), b""), (9, Return(5), b"value")],
)
def test_an_attribute(
    policy: Policy, tracee: FakeTracee, size: int, expected: Verdict, written: bytes
) -> None:
    tracee.write(BASE, b"user.x\0")
    question, asking = asked(policy, tracee, "fgetxattr", 0, BASE, BASE + 64, size)
    assert question == CallHome("getxattr", 0, (), (), b"user.x")
    assert verdict_after(asking, (0, [], b"value")) == expected
    assert tracee.read(BASE + 64, len(written)) == written


def test_setting_an_attribute(policy: Policy, tracee: FakeTracee) -> None:
    tracee.write(BASE, b"user.x\0value")
    question, asking = asked(policy, tracee, "fsetxattr", 1, BASE, BASE + 7, 5, 1)
    assert question == CallHome("setxattr", 1, (), (1,), b"user.x\0value")
    assert verdict_after(asking, (0, [], b"")) == Return(0)
    decided = policy.decide(call("fsetxattr", 1, BASE, BASE + 7, 1 << 17, 0), tracee)
    assert isinstance(decided, Decision) and decided.verdict == Fail(errno.E2BIG)


@pytest.mark.parametrize(("room", "expected"), [(0, Fail(errno.EOVERFLOW)), (8, Return(0))])
def test_a_handle(policy: Policy, tracee: FakeTracee, room: int, expected: Verdict) -> None:
    tracee.write(BASE + 64, struct.pack("=I", room))
    question, asking = asked(
        policy, tracee, "name_to_handle_at", 1, BASE, BASE + 64, BASE + 256, AT_EMPTY_PATH
    )
    assert question == CallHome("handle", 1)
    assert verdict_after(asking, (0, [1, 27], b"12345678")) == expected
    assert struct.unpack("=I", tracee.read(BASE + 64, 4)) == (8,)
    assert struct.unpack("=i", tracee.read(BASE + 256, 4)) == (27,)
    assert tracee.read(BASE + 72, 8) == (b"12345678" if room else bytes(8))

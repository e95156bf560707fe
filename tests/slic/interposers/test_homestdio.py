"""Files on fds 0-2: which calls go home, and what a program finds as their identity."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

import pytest
from slic_fake import FakeTracee, call

from slic.interposers.home.descriptors import FILE_OUTPUT, HomeFds, SeekHome, StandIn
from slic.interposers.home.questions import CallHome
from slic.interposers.home.stdio import HomeStdio
from slic.policy import Decision, Policy
from slic.verdict import Continue, Fail, Return, Verdict

BASE = 0x1000
INPUT = StandIn(0, "file", 5, 70)
OUTPUT = StandIn(1, FILE_OUTPUT, 6, 71)
HOME = [9, 900, 1, 0o100640, 7, 8, 0, 123, 4096, 8, 10**9, 2 * 10**9, 3 * 10**9]
"""Attributes of a file at home (slic.interposers.home.statbuf.FIELDS)."""


def made(given: StandIn | None) -> tuple[FakeTracee, Policy]:
    """fd 0 is the input, fd 1 the output, fd 2 a file of the node."""
    tracee = FakeTracee(bytes(4096), BASE)
    for fd, device, inode in ((0, 5, 70), (1, 6, 71), (2, 5, 99)):
        tracee.stats[fd] = os.stat_result((0o100600, inode, device, 1, 0, 0, 0, 0, 0, 0))
        tracee.flags[fd] = os.O_WRONLY | os.O_NONBLOCK
    fds = HomeFds([one for one in (given, OUTPUT) if one is not None])
    return tracee, Policy([HomeStdio(fds, given)])


def begun(policy: Policy, tracee: FakeTracee, name: str, *args: int) -> Any:
    decided = policy.decide(call(name, *args), tracee)
    assert not isinstance(decided, Decision), decided
    return decided


def finished(asking: Any, answer: object) -> Verdict:
    with pytest.raises(StopIteration) as stop:
        asking.send(answer)
    verdict: Verdict = stop.value.value.verdict
    return verdict


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("lseek", (2, 0, 1)),
        ("lseek", (0, 0, 1)),  # HomeFds's
        ("fstat", (2, BASE)),
        ("ftruncate", (2, 0)),
        ("pwrite64", (2, BASE, 1, 0)),
        ("fcntl", (0, 3, 0)),
    ],
)
def test_what_is_not_asked(name: str, args: tuple[int, ...]) -> None:
    tracee, policy = made(INPUT)
    decided = policy.decide(call(name, *args), tracee)
    assert isinstance(decided, Decision)
    assert isinstance(decided.verdict, Continue)


def test_a_seek_of_the_output() -> None:
    tracee, policy = made(None)
    asking = begun(policy, tracee, "lseek", 1, 5, os.SEEK_END)
    assert next(asking) == SeekHome(1, 5, os.SEEK_END)
    assert finished(asking, 128) == Return(128)
    refused = policy.decide(call("lseek", 1, 0, 9), tracee)
    assert isinstance(refused, Decision) and refused.verdict == Fail(errno.EINVAL)


def test_a_write_elsewhere_and_a_cut() -> None:
    tracee, policy = made(None)
    tracee.write(BASE, b"words")
    asking = begun(policy, tracee, "pwrite64", 1, BASE, 5, 40)
    assert next(asking) == CallHome("write", 1, (), (40, 0), b"words")
    assert finished(asking, (5, [], b"")) == Return(5)
    asking = begun(policy, tracee, "ftruncate", 1, 3)
    assert next(asking) == CallHome("ftruncate", 1, (), (3,))
    assert finished(asking, (0, [], b"")) == Return(0)


def test_flags_are_homes() -> None:
    tracee, policy = made(None)
    asking = begun(policy, tracee, "fcntl", 1, 3, 0)
    assert next(asking) == CallHome("getfl", 1)
    assert finished(asking, (os.O_WRONLY | os.O_APPEND, [], b"")) == Return(
        os.O_WRONLY | os.O_APPEND
    )


@pytest.mark.parametrize(
    ("fd", "home_output", "seen"),
    [
        (0, [9, 900], (5, 70)),  # the stand-in's, as /dev/stdin shows it
        (1, [9, 900], (5, 70)),  # the same file as the input
        (1, [9, 901], (9, 901)),
    ],
)
def test_identity(fd: int, home_output: list[int], seen: tuple[int, int]) -> None:
    tracee, policy = made(INPUT)
    asking = begun(policy, tracee, "fstat", fd, BASE)
    assert next(asking) == CallHome("fstat", fd)
    assert asking.send((0, HOME if fd == 0 else home_output + HOME[2:], b"")) == CallHome(
        "fstat", 0
    )
    assert finished(asking, (0, HOME, b"")) == Return(0)
    assert struct.unpack_from("=2Q", tracee.memory) == seen
    assert struct.unpack_from("=I", tracee.memory, 24) == (0o100640,)


def test_flags_are_left_alone_without_an_output() -> None:
    """A signal makes a caught call fail with EINTR, which fcntl natively never does."""
    caught = {h.method for h in HomeStdio(HomeFds([INPUT]), INPUT).declarations()}
    assert "fstat" in caught and not caught & {"get_flags", "set_flags"}
    both = {h.method for h in HomeStdio(HomeFds([INPUT, OUTPUT]), INPUT).declarations()}
    assert both - caught == {"get_flags", "set_flags"}

"""The program that may choose pids, run by somebody who says what it is to do."""

from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import Iterator

import pytest

from glunix.home.processes.forkserver import _packed, _unpacked, spawn
from glunix.home.processes.forkserver_build import built

EPERM, ESRCH = 1, 3


class Driven:
    """The program at the other end of a socket, as home's half has it."""

    def __init__(self, program: str) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(10)
        self.pid = spawn(program, theirs.fileno())
        theirs.close()
        self.chooses = self.hear("c")[0] != 0

    def say(self, kind: bytes, *words: int) -> None:
        self.sock.send(_packed(kind, *words))

    def hear(self, kind: str) -> list[int]:
        while True:
            words = _unpacked(self.sock.recv(8192))
            assert words, "it has ended"
            if chr(words[0]) == kind:
                return words[1:]

    def made(self, count: int) -> list[int]:
        self.say(b"M", count, os.getpgrp())
        return self.hear("m")[1:]

    def asked(self, kind: bytes, *words: int) -> int:
        """The errno of an answer."""
        self.say(kind, 77, *words)
        ask, error = self.hear("a")
        assert ask == 77
        return error

    def close(self) -> None:
        self.sock.close()
        os.waitpid(self.pid, 0)


@pytest.fixture
def driven() -> Iterator[list[Driven]]:
    program = built()
    if program is None:
        pytest.skip("needs gcc, for the program that is a shadow")
    made = [Driven(program) for _ in range(2)]
    yield made
    for one in made:
        one.close()
    if not made[0].chooses:
        pytest.skip("needs the right to choose pids")


def free_number() -> int:
    """A pid that nobody has, and that no shadow ever had."""
    return next(pid for pid in range(300, 32768) if not os.path.isdir(f"/proc/{pid}"))


def test_it_makes_no_process_under_a_number_that_was_not_its_own(driven: list[Driven]) -> None:
    """As a daemon's that has just ended, whose number is in a file of root's."""
    one = driven[0]
    number = free_number()
    for pid in (number, 0, -1, 1 << 22, 1 << 30, -(1 << 31), os.getpid()):
        assert one.asked(b"J", pid, os.getpgrp(), 0) == EPERM, pid
    assert not os.path.isdir(f"/proc/{number}")


def test_it_makes_its_own_anew(driven: list[Driven]) -> None:
    one = driven[0]
    pid = one.made(1)[0]
    if not one.chooses:
        return
    before = os.stat(f"/proc/{pid}").st_ino
    assert one.asked(b"J", pid, os.getpgrp(), 0) == 0
    assert os.stat(f"/proc/{pid}").st_ino != before


def test_anothers_shadow_is_taken_over_when_it_can_be_seen_to_be_one(driven: list[Driven]) -> None:
    one, other = driven
    (pid,) = one.made(1)
    assert other.asked(b"J", pid, os.getpgrp(), 0) == EPERM
    with subprocess.Popen(["sleep", "60"]) as stranger:
        assert other.asked(b"P", stranger.pid) == EPERM
        stranger.kill()
    assert other.asked(b"P", free_number()) == ESRCH
    assert other.asked(b"P", pid) == 0
    assert one.asked(b"L", pid) == 0
    if other.chooses:
        assert other.asked(b"J", pid, os.getpgrp(), 0) == 0
        assert os.readlink(f"/proc/{pid}/exe") == built()


def test_nothing_is_left_to_be_read(driven: list[Driven]) -> None:
    one = driven[0]
    one.say(b"J", 1)  # too short: what lies behind is nothing
    one.say(b"Q", 1, 2, 3)
    assert one.hear("a") == [1, EPERM] and one.hear("a") == [1, 0]
    assert not select.select([one.sock], [], [], 0.1)[0]

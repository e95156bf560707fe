"""A bare process makes an ioctl with a program's pages at their own addresses, and nothing else."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from glunix.home.calls.isolated import FLOCK, IOCTL, PAGE, BareCall, Pages, differences

FIOQSIZE = 0x5460
AT = 0x7F1234567000


@pytest.fixture
def terminal() -> Iterator[int]:
    """A terminal of 24 lines and 80 columns."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    yield slave
    os.close(master)
    os.close(slave)


def made(fd: int, command: int, argument: int, pages: Pages) -> tuple[int, Pages]:
    call = BareCall(IOCTL, fd, command, argument, pages)
    try:
        poll = select.poll()
        poll.register(call.fileno(), select.POLLIN)
        assert poll.poll(5000)
        return call.result()
    finally:
        call.close()


def test_memory_is_where_the_program_has_it(terminal: int) -> None:
    value, changed = made(terminal, termios.TIOCGWINSZ, AT + 16, [(AT, b"\xff" * PAGE)])
    assert value == 0
    assert b"".join(data for _, data in changed) == struct.pack("4H", 24, 80, 0, 0)
    assert changed[0][0] == AT + 16


def test_memory_is_read(terminal: int) -> None:
    page = struct.pack("4H", 33, 99, 0, 0).rjust(PAGE, b"\0")
    assert made(terminal, termios.TIOCSWINSZ, AT + PAGE - 8, [(AT, page)]) == (0, [])
    assert os.get_terminal_size(terminal) == (99, 33)


def test_what_the_program_has_not_is_not_there(terminal: int) -> None:
    assert made(terminal, termios.TIOCGWINSZ, AT, []) == (-errno.EFAULT, [])
    own = b"our own memory".ljust(64)
    assert made(terminal, termios.TIOCGWINSZ, id(own), []) == (-errno.EFAULT, [])


def test_an_answer_that_runs_out_of_memory_is_changed_up_to_there() -> None:
    fd = os.open("/etc/passwd", os.O_RDONLY)
    value, changed = made(fd, FIOQSIZE, AT + PAGE - 4, [(AT, b"\xff" * PAGE)])
    os.close(fd)
    assert value == -errno.EFAULT
    assert all(AT + PAGE - 4 <= at < AT + PAGE for at, _ in changed)


def test_a_number_is_a_number(terminal: int) -> None:
    assert made(terminal, termios.TCFLSH, 0, []) == (0, [])
    assert made(terminal, termios.TCFLSH, 9, []) == (-errno.EINVAL, [])
    assert made(terminal, 0x12345678, AT, [(AT, bytes(PAGE))]) == (-errno.ENOTTY, [])


def test_pages_apart_and_joined(terminal: int) -> None:
    pages = [(0x400000, bytes(PAGE)), (AT, b"\xff" * 3 * PAGE), (0x7FFFFFFFE000, bytes(PAGE))]
    value, changed = made(terminal, termios.TIOCGWINSZ, AT + PAGE - 2, pages)
    assert value == 0
    assert changed[0][0] == AT + PAGE - 2


def test_pages_in_its_own_place_are_refused(terminal: int) -> None:
    assert made(terminal, termios.TIOCGWINSZ, 0x10000, [(0x10000, bytes(PAGE))])[0] == -errno.EFAULT


def test_it_is_gone_when_it_is_killed(terminal: int) -> None:
    before = set(os.listdir("/proc/self/fd"))
    call = BareCall(IOCTL, terminal, termios.TIOCGWINSZ, AT, [(AT, bytes(PAGE))])
    call.kill()
    call.close()
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(call.pid, os.WNOHANG)


def test_a_lock_is_waited_for_and_belongs_to_the_open_file(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT) for _ in range(2))
    fcntl.flock(first, fcntl.LOCK_EX)
    call = BareCall(FLOCK, second, fcntl.LOCK_EX, 0, [])
    poll = select.poll()
    poll.register(call.fileno(), select.POLLIN)
    assert not poll.poll(50)
    fcntl.flock(first, fcntl.LOCK_UN)
    assert poll.poll(5000)
    assert call.result() == (0, [])
    call.close()
    with pytest.raises(BlockingIOError):
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(first)
    os.close(second)


@pytest.mark.parametrize(
    ("positions", "runs"),
    [
        ([], []),
        ([0], [(0, 1)]),
        ([62, 63, 64, 65], [(62, 4)]),
        ([63, 65], [(63, 1), (65, 1)]),
        ([*range(60, 200)], [(60, 140)]),
        ([255], [(255, 1)]),
    ],
)
def test_differences(positions: list[int], runs: list[tuple[int, int]]) -> None:
    before = bytes(256)
    after = bytes(int(at in positions) for at in range(256))
    assert differences(AT, before, after) == [(AT + at, b"\1" * size) for at, size in runs]

"""What home tells of its terminal's modes, and how long the node believes it."""

from __future__ import annotations

import os
import struct
import termios
from collections.abc import Iterator
from fcntl import ioctl

import pytest

from glunix.home.terminal.modes import LOOK, WATCH, ModeWatch
from glunix.home.terminal.tty import HomeTerminal
from glunix.msg.stream import Modes
from glunix.node.terminal.modes_cache import GOOD_FOR, KnownModes, is_query
from slic.interposers.home.descriptors import IoctlHome

TCGETS, TCGETS2, TIOCGWINSZ = 0x5401, 0x802C542A, 0x5413


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    master, slave = os.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def _resize(fd: int, rows: int) -> None:
    ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, 80, 0, 0))


def test_home_tells_changes_while_it_is_asked(
    pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("glunix.home.terminal.modes.time.monotonic", lambda: now)
    _, slave = pair
    sent: list[list[object]] = []
    watch = ModeWatch(0, HomeTerminal(slave, [0]), sent.append)

    def told() -> list[bytes]:
        found = [message[2] for message in sent]
        sent.clear()
        assert all(isinstance(data, bytes) for data in found)
        return found  # type: ignore[return-value]

    _resize(slave, 20)
    watch.look()
    assert (watch.turn(), told()) == ([], [])  # nobody asked
    watch.begin()
    whole = ioctl(slave, TCGETS2, bytes(44)) + ioctl(slave, TIOCGWINSZ, bytes(8))
    assert told() == [whole]
    assert (watch.turn(), told()) == ([LOOK], [])
    _resize(slave, 21)
    watch.look()
    watch.look()
    assert [data[44:46] for data in told()] == [bytes((21, 0))]
    _resize(slave, 22)
    assert watch.turn() == [LOOK]
    assert [data[44:46] for data in told()] == [bytes((22, 0))]
    now += WATCH + 0.1
    _resize(slave, 23)
    assert (watch.turn(), told()) == ([], [])
    watch.look()
    assert told() == []


def test_a_terminal_that_is_hung_up_is_not_known() -> None:
    master, slave = os.openpty()
    sent: list[list[object]] = []
    watch = ModeWatch(0, HomeTerminal(slave, [0]), sent.append)
    watch.begin()
    os.close(master)
    watch.look()
    os.close(slave)
    assert sent[1:] == [["modes", 0, b""]]


def test_the_node_answers_what_it_was_told_for_a_while() -> None:
    now = 5.0
    known = KnownModes(lambda: now)
    data = bytes(range(52))
    ask = {command: IoctlHome(0, command, 0, b"") for command in (TCGETS, TCGETS2, TIOCGWINSZ)}
    assert all(is_query(command) for command in ask)
    assert not is_query(0x541B)
    assert known.answer(ask[TCGETS]) is None
    known.told(Modes(0, data))
    assert known.answer(ask[TCGETS]) == (0, data[:36])
    assert known.answer(ask[TCGETS2]) == (0, data[:44])
    assert known.answer(ask[TIOCGWINSZ]) == (0, data[44:])
    assert known.answer(IoctlHome(7, TCGETS, 0, b"")) is None
    assert known.answer(IoctlHome(0, 0x541B, 0, b"")) is None
    now += GOOD_FOR + 0.01
    assert known.answer(ask[TCGETS]) is None
    known.told(Modes(0, data))
    known.told(Modes(0, b""))
    assert known.answer(ask[TCGETS]) is None
    with pytest.raises(ValueError, match="length 0 or 52"):
        Modes(0, data[:-1])


def test_home_looks_longer_than_the_node_believes() -> None:
    assert GOOD_FOR + 10 * LOOK < WATCH

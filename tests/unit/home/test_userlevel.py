"""A user-level job's side of its startup: what it sends and owns, with a startup that records."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from glunix.errors import NotRunning
from glunix.home.jobview import JobView
from glunix.home.userlevel import BACKGROUND_LOOK, UserLevel


class Terminal:
    """A home terminal that is a note."""

    def __init__(self, foreground: bool) -> None:
        self.foreground = foreground
        self.is_raw = False
        self.can_be_raw = True
        self.fds = [0, 1]

    def in_foreground(self) -> bool:
        return self.foreground

    def make_raw(self) -> bool:
        self.is_raw = self.foreground
        return self.foreground

    def restore(self) -> None:
        self.is_raw = False


class Recorded:
    """In the place of a Startup."""

    def __init__(self, tty: Terminal | None, fd: int) -> None:
        self.sent: list[tuple[int, object]] = []
        self.heard: list[int] = []
        self.said: list[str] = []
        self.tty = self.terminal = tty
        self.link = SimpleNamespace(pending=0)
        self.options = SimpleNamespace(fds={0: fd, 1: 1, 2: 2})
        self.job = JobView(7, [(5, "node1", [0]), (6, "node2", [1])])
        self.outputs = SimpleNamespace(open=lambda job, tty: None)

    def send(self, stream: int, message: object) -> None:
        self.sent.append((stream, message))

    def send_data(self, stream: int, data: bytes | memoryview) -> None:
        self.sent.append((stream, bytes(data)))

    def pass_on(self, number: int) -> None:
        self.heard.append(number)

    def complain(self, line: str) -> None:
        self.said.append(line)


Made = tuple[Recorded, UserLevel, int]


@pytest.fixture
def made() -> Iterator[Made]:
    reader, writer = os.pipe()
    startup: Any = Recorded(None, reader)
    level = UserLevel(startup)
    level.signals.catch = lambda: None  # type: ignore[method-assign]
    level.begin()
    yield startup, level, writer
    for fd in (reader, writer, *level.signals.fds):
        os.close(fd)


def test_input_goes_to_every_node_within_credit(made: Made) -> None:
    startup, level, writer = made
    os.write(writer, b"abc")
    wanted = level.fds()
    assert list(wanted.values()) == [select.POLLIN]
    level.receive(set(wanted))
    assert startup.sent == [(5, b"abc"), (6, b"abc")]
    assert level.take(5, "inclosed", [])
    assert level.take(6, "incredit", [3])
    os.write(writer, b"d")
    level.fds()
    level.receive(set(wanted))
    assert startup.sent[2:] == [(6, b"d")]
    assert not level.take(6, "started", [1, 9])


def test_no_input_is_taken_while_the_socket_is_full(made: Made) -> None:
    startup, level, writer = made
    os.write(writer, b"abc")
    fds = set(level.fds())
    startup.link.pending = 1 << 30
    assert not level.fds()
    level.receive(fds)
    assert startup.sent == []


def test_a_lost_job_is_said_and_the_way_is_the_daemons(made: Made) -> None:
    startup, level, _ = made
    level.lost("node1 is gone")
    assert startup.said == ["node1 is gone"]
    assert startup.job.over()
    with pytest.raises(NotRunning):
        level.lost_way(NotRunning("no daemon"))


def test_signals_are_for_the_group_and_stops_become_the_terminals(made: Made) -> None:
    startup, level, _ = made
    level.hear([signal.SIGINT, signal.SIGTTIN, signal.SIGCONT])
    assert startup.heard == [signal.SIGINT, signal.SIGTSTP, signal.SIGCONT]
    assert not level.signals_program_alone


def test_a_stop_is_seen_as_the_user_asked_for_it(made: Made) -> None:
    _, level, _ = made
    stops: list[int] = []
    level._stop = stops.append  # type: ignore[method-assign]
    level.hear([signal.SIGTTIN])
    level.blocked()
    level.stop(signal.SIGTSTP)
    level.stop(signal.SIGTSTP)
    level.stop(signal.SIGUSR1)  # no stopping one: what a node says
    assert stops == [signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP, signal.SIGSTOP]


def test_what_comes_for_a_job_of_which_only_output_is_left(made: Made) -> None:
    startup, level, _ = made
    ends: list[int] = []
    level._die = ends.append  # type: ignore[method-assign]
    for process in startup.job.live():
        startup.job.exited(process, 0, 0)
    level.hear([signal.SIGTSTP, signal.SIGCONT])
    assert (startup.heard, ends) == ([signal.SIGCONT], [])
    level.hear([signal.SIGTERM])
    assert ends == [signal.SIGTERM]


def test_the_terminal_is_raw_in_the_foreground_only() -> None:
    tty = Terminal(foreground=False)
    startup: Any = Recorded(tty, 0)
    level = UserLevel(startup)
    level.enter_terminal()
    assert startup.sent == [(0, ["tty", True]), (0, ["tty", False])]
    assert level.waits() == [BACKGROUND_LOOK]
    level.look(set())
    assert not tty.is_raw
    tty.foreground = True  # `fg`
    level.look(set())
    assert tty.is_raw
    assert level.waits() == []
    startup.sent.clear()
    level.leave_terminal()
    level.leave_terminal()
    assert startup.sent == [(0, ["tty", False])]
    for fd in level.signals.fds:
        os.close(fd)

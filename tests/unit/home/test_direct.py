"""A job's line at home when no descriptors are left: the supervisor that has come is heard."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from glunix.home import wire
from glunix.home.direct import SECRET, Line


class Relay:
    """The link to the daemon; notes what goes that way."""

    pending = 0

    def __init__(self) -> None:
        self.shapes = cast(Any, SimpleNamespace())
        self.sent: list[list[object]] = []

    def send(self, stream: int, message: list[object]) -> None:
        self.sent.append(message)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Of a process that can have no epoll."""

    def none() -> select.epoll:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(select, "epoll", none)
    made = Line(cast(Any, Relay()))
    yield made
    made.settle()  # closes the door
    if made._direct is not None:
        made._direct.close()


def come(line: Line) -> socket.socket:
    supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    supervisor.settimeout(5)
    supervisor.connect(line.name)
    return supervisor


def hello(line: Line) -> bytes:
    return wire.frame(1, ["line", line.spec[: SECRET // 2]])


def test_a_supervisor_that_has_come_is_answered_without_epoll(line: Line) -> None:
    with come(line) as supervisor:
        supervisor.sendall(hello(line))
        assert select.select([line.fileno()], [], [], 5)[0]
        line.receive(settles=False)
        assert line.spec[SECRET // 2 : SECRET] in supervisor.recv(1000)


def test_who_speaks_later_is_heard_at_the_nodes_first_word(line: Line) -> None:
    with come(line) as supervisor:
        assert select.select([line.fileno()], [], [], 5)[0]
        line.receive(settles=False)
        supervisor.sendall(hello(line))
        line.settle()
        assert line.spec[SECRET // 2 : SECRET] in supervisor.recv(1000)

"""Input that goes ahead: home's half and the node's half, wired together without a cluster.

A random schedule writes, reads, delivers, stops and continues; whoever reads, every byte is read
once and in order.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from glunix.errors import FrameError
from glunix.home.input.prefetch import InputPrefetch, PipePrefetch, SocketPrefetch
from glunix.msg.stream import INPUT_WINDOW
from glunix.node.input.feeds import Feed, PipeFeed, SocketFeed
from glunix.node.input.prefetched import PrefetchedInput

SEED = int(os.environ.get("GLUNIX_SEED", "0")) or random.randrange(1 << 32)


class Watches:
    """A Reactor that is asked for nothing: the schedule makes the calls."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None: ...
    def remove_reader(self, fd: int) -> None: ...
    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None: ...
    def remove_writer(self, fd: int) -> None: ...

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Watches:
        self.due.append(callback)
        return self

    def cancel(self) -> None: ...


class Rig:
    """One home pipe, one stand-in, and the two wires between the halves."""

    def __init__(self, kind: str) -> None:
        self.to_node: deque[list[Any]] = deque()
        self.to_home: deque[list[Any]] = deque()
        self.complaints: list[str] = []
        self.watches = Watches()
        make: Callable[..., InputPrefetch] = PipePrefetch
        if kind == "pipe":
            self.home, self.writer = os.pipe()
            self.program, ours = os.pipe()
            self.end: Callable[..., Feed] = lambda moved, gone: PipeFeed(
                self.watches, ours, moved, gone
            )
        else:
            make = SocketPrefetch
            self.home, self.writer = (s.detach() for s in socket.socketpair())
            one, other = socket.socketpair()
            self.program = os.dup(other.fileno())
            self.end = lambda moved, gone: SocketFeed(self.watches, one, other, moved)
        for fd in (self.program, self.home, self.writer):
            os.set_blocking(fd, False)
        self.ahead = make(
            self.home,
            lambda data: self.to_node.append(["in", bytes(data)]),
            self.to_node.append,
            self.complaints.append,
        )
        self.fed = PrefetchedInput(
            self.watches,
            self.end,
            lambda count: self.to_home.append(["incredit", count]),
            lambda: self.to_home.append(["inclosed"]),
            lambda number: self.to_home.append(["inback", number]),
        )

    def deliver_there(self) -> None:
        if self.to_node:
            tag, *rest = self.to_node.popleft()
            act = {"in": self.fed.feed, "inanew": self.fed.anew, "inrecall": self.fed.recall}
            act[tag](*rest)

    def deliver_here(self) -> None:
        if self.to_home:
            tag, *rest = self.to_home.popleft()
            act = {"incredit": self.ahead.took, "inback": self.ahead.back}
            act[tag](*rest)

    def settle(self) -> None:
        while self.to_node or self.to_home:
            self.deliver_there()
            self.deliver_here()

    def look(self) -> None:
        self.ahead.look()
        self.fed.look()
        due, self.watches.due = self.watches.due, []
        for call in due:
            call()

    def close(self) -> None:
        self.fed.end()
        self.ahead.close()
        for fd in {self.home, self.writer, self.program}:
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture(params=["pipe", "socket"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(request.param)
    yield made
    made.close()


def some(fd: int, count: int) -> bytes | None:
    """A read that does not wait; None: it would."""
    try:
        return os.read(fd, count)
    except BlockingIOError:
        return None


def play(rig: Rig, dice: random.Random, size: int) -> None:
    """Until all of `size` bytes were read, by the program or, while it is stopped, at home."""
    sent = got = 0
    whole = dice.randbytes(size)
    stopped = False

    def check(data: bytes | None) -> None:
        nonlocal got
        assert data is None or data == whole[got : got + len(data)], f"at {got}"
        got += len(data or b"")

    while got < size:
        match dice.randrange(8):
            case 0:
                with contextlib.suppress(BlockingIOError):
                    sent += os.write(rig.writer, whole[sent : sent + dice.choice((1, 99, 70000))])
            case 1 | 2:
                rig.deliver_there()
            case 3 | 4:
                rig.deliver_here()
            case 5:
                rig.look()
            case 6 if not stopped:
                check(some(rig.program, dice.choice((1, 50, 4096, 65536))))
            case 7 if stopped:
                check(some(rig.home, dice.choice((1, 50, 4096))))
                if dice.random() < 0.3:
                    rig.ahead.anew()
                    stopped = False
            case 7 if dice.random() < 0.05:
                rig.fed.recall()
                rig.settle()
                stopped = True
    assert sent == size and not rig.complaints


@pytest.mark.parametrize("number", range(6))
def test_every_byte_once_and_in_order(rig: Rig, number: int) -> None:
    print(f"GLUNIX_SEED={SEED}")
    play(rig, random.Random(SEED + number), 600_000)


def test_the_end_comes_after_the_last_byte(rig: Rig) -> None:
    os.write(rig.writer, b"abc")
    rig.look()
    os.close(rig.writer)
    rig.look()
    rig.settle()
    assert some(rig.program, 9) == b"abc"
    rig.look()  # a socket's end is kept until then, because what follows it cannot be called back
    assert some(rig.program, 9) == b""


def test_another_reader_is_noticed_and_what_went_ahead_called_back(rig: Rig) -> None:
    os.write(rig.writer, b"0123456789")
    rig.look()
    rig.settle()
    assert os.read(rig.home, 4) == b"0123"
    os.write(rig.writer, b"abcdef")
    rig.look()
    assert some(rig.program, 4) == b"0123"  # both got them: that is the limit
    rig.look()
    rig.settle()
    rig.look()
    rig.settle()
    assert rig.complaints
    rest = b"".join(iter(lambda: some(rig.program, 99) or b"", b""))
    assert b"456789abcdef".endswith(rest) and rest.endswith(b"ef")


def test_a_program_that_reads_nothing_keeps_home_waiting(rig: Rig) -> None:
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += os.write(rig.writer, bytes(65536))
            rig.look()
            rig.settle()
    assert 65536 <= sent <= 2 * INPUT_WINDOW


def test_more_than_the_window_is_refused(rig: Rig) -> None:
    for _ in range(INPUT_WINDOW // 65536):
        rig.fed.feed(bytes(65536))
    with pytest.raises(FrameError, match="without credit"):
        rig.fed.feed(b"x")


def test_a_reader_that_goes_is_told(rig: Rig) -> None:
    if isinstance(rig.ahead, SocketPrefetch):
        with socket.socket(fileno=os.dup(rig.program)) as program:
            program.shutdown(socket.SHUT_RD)
    os.close(rig.program)
    rig.fed.feed(b"x")
    assert rig.to_home == deque([["inclosed"]])

"""A file that is read ahead: the program reads every byte in order, and home's offset is where the
program left it whenever home hears of anything. A random schedule; home is a string."""

from __future__ import annotations

import os
import random
from collections import deque
from typing import Any

import pytest

from glunix.msg import stream
from glunix.msg.base import Message
from glunix.node.calls import reads as asks
from glunix.node.calls.reads import ForwardedReads
from slic.interposers.home.descriptors import ReadHome, SeekHome, TakeBack

SEED = int(os.environ.get("GLUNIX_SEED", "0")) or random.randrange(1 << 32)


class World:
    """Home's file, the wires, one program that makes one call at a time."""

    def __init__(self, whole: bytes) -> None:
        self.whole = whole
        self.offset = 0
        self.to_home: deque[Message] = deque()
        self.to_node: deque[Message] = deque()
        self.answers: dict[int, Any] = {}
        self.gone: set[int] = set()
        self.calls = 0
        self.timers: list[Any] = []
        self.wants = 0
        self.asks = ForwardedReads(self.to_home.append, self, self)  # type: ignore[arg-type]
        self.asks.read_ahead(0)

    # -- asks.Calls and Reactor

    def answer(self, call_id: int, value: Any) -> bool:
        if call_id in self.gone:
            return False
        self.answers[call_id] = value
        return True

    def still_valid(self, call_id: int) -> bool:
        return call_id not in self.gone

    def immune(self, tid: int, number: int) -> bool:
        return False

    def unread(self, fd: int, some: bool) -> None: ...
    def changed(self, question: object) -> None: ...

    def call_later(self, delay: float, callback: Any, *args: Any) -> None:
        self.timers.append(lambda: callback(*args))

    # -- the wires

    def home(self) -> None:
        message = self.to_home.popleft()
        if isinstance(message, stream.Want):
            self.wants += 1
            at = self.offset if message.offset < 0 else message.offset
            data = self.whole[at : at + message.count]
            self.offset += len(data) if message.offset < 0 else 0
            self.to_node.append(stream.Got(message.ask, 0, data))
        else:
            assert isinstance(message, stream.Seek)
            base = {0: 0, 1: self.offset, 2: len(self.whole)}[message.whence]
            self.offset = base + message.offset
            self.to_node.append(stream.IoctlDone(message.ask, self.offset, 0, b""))

    def node(self) -> None:
        message = self.to_node.popleft()
        if isinstance(message, stream.Got):
            self.asks.got(message)
        else:
            assert isinstance(message, stream.IoctlDone)
            self.asks.done(message)

    def ask(self, question: object) -> int:
        self.calls += 1
        self.asks.questions()[type(question)](self.calls, question, 1)
        return self.calls

    def call(self, question: object) -> Any:
        """A call, and everything until its answer."""
        call = self.ask(question)
        while call not in self.answers:
            if self.to_home:
                self.home()
            else:
                self.node()
        return self.answers.pop(call)

    def rest(self) -> None:
        """Everything that is under way arrives."""
        while self.to_home or self.to_node:
            if self.to_home:
                self.home()
            else:
                self.node()


def read(count: int) -> ReadHome:
    return ReadHome(0, count, False, -1)


def step(world: World, dice: random.Random, at: int, count: int) -> int:
    """One thing that a program does at offset `at`; returns where it is then."""
    match dice.randrange(40):
        case 0:  # a bad buffer: nothing is taken
            data = world.call(read(count))
            world.call(TakeBack(0, data))
        case 1:
            return int(world.call(SeekHome(0, dice.randrange(len(world.whole)), 0)))
        case 2:  # a read that a signal interrupts
            call = world.ask(read(count))
            if call in world.answers:
                return at + len(world.answers.pop(call))
            world.gone.add(call)
            world.asks.cancelled(call)
        case 3:  # it wrote something: home may look
            world.rest()
            world.asks.settle()
            world.rest()
            assert world.offset == at
        case 4:
            world.asks.drop_ahead()
        case 5 | 6 if world.to_home:
            world.home()
        case 7 | 8 if world.to_node:
            world.node()
        case 9:
            due, world.timers = world.timers, []
            for call_back in due:
                call_back()
        case _:
            data = world.call(read(count))
            assert data == world.whole[at : at + count][: len(data)], at
            assert data or at >= len(world.whole)
            return at + len(data)
    return at


@pytest.mark.parametrize("number", range(8))
def test_every_byte_once_and_in_order(number: int) -> None:
    print(f"GLUNIX_SEED={SEED}")
    dice = random.Random(SEED + number)
    world = World(dice.randbytes(3_000_000))
    at = 0
    for _ in range(60):
        count = dice.choice((1, 100, 4096, 65536, 131072))
        for _ in range(dice.randrange(1, 60)):
            at = step(world, dice, at, count)
    world.rest()
    world.asks.settle()
    world.rest()
    assert world.offset == at


def test_reads_that_follow_one_another_are_fetched_before() -> None:
    world = World(bytes(4_000_000))
    total = 0
    while data := world.call(read(4096)):
        total += len(data)
    assert total == 4_000_000
    assert world.wants < 60


def test_somebody_else_who_moves_the_offset_ends_it() -> None:
    world = World(bytes(4_000_000))
    for _ in range(20):
        world.call(read(4096))
    world.asks.settle()
    world.offset += 10
    world.rest()
    for _ in range(20):
        world.call(read(4096))
        world.asks.settle()
        world.rest()
    before = world.wants
    world.call(read(4096))
    assert world.wants == before + 1


def test_what_is_kept_is_soon_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(bytes(1_000_000))
    for _ in range(10):
        world.call(read(4096))
    monkeypatch.setattr("glunix.node.input.readahead.STALE", -1.0)
    world.rest()
    world.whole = b"x" * 1_000_000
    assert world.call(read(4096)) == b"x" * 4096
    assert asks.SETTLE < 0.1

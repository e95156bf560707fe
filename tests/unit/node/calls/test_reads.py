"""What home answers is no more than what was asked for: a home's half may lie, too."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from glunix.errors import FrameError
from glunix.home.wire import pack
from glunix.msg import stream
from glunix.msg.base import encode
from glunix.msg.homecalls import Memory, PagesDone
from glunix.msg.shadows import ShadowsMade
from glunix.node.calls.reads import ForwardedReads
from slic.interposers.home.descriptors import IoctlHome, PagesHome, ReadHome, is_within
from slic.interposers.home.statbuf import FIELDS, encode_stat, encode_statfs, encode_statx


class World:
    """Is the `Calls` of an Asks, and its way home."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.answers: list[object] = []
        self.asks = ForwardedReads(self.sent.append, self, self)  # type: ignore[arg-type]

    def answer(self, call: int, value: object) -> bool:
        self.answers.append(value)
        return True

    def still_valid(self, call: int) -> bool:
        return True

    def unread(self, fd: int, some: bool) -> None:
        pass

    def changed(self, question: IoctlHome) -> None:
        pass


@pytest.mark.parametrize("size", [10, 11, 4096])
def test_a_read_brings_no_more_than_was_asked_for(size: int) -> None:
    world = World()
    world.asks.read(1, ReadHome(0, 10, False, -1), 5)
    got = stream.Got(world.sent[0].ask, 0, bytes(size))
    if size > 10:
        with pytest.raises(FrameError, match=rf"{size} bytes, 10 were asked for - at `\$\[3\]`"):
            world.asks.got(got)
        assert world.answers == []
    else:
        world.asks.got(got)
        assert world.answers == [bytes(10)]


@pytest.mark.parametrize(
    ("address", "size"),
    [(0x1FFF, 1), (0x1FFF, 2), (0x2FFF, 2), (0x3000, 1), (0x5000, 4097), (0x0, 1), (2**63 - 1, 1)],
)
def test_only_memory_that_was_sent_is_written_back(address: int, size: int) -> None:
    world = World()
    pieces = [(0x2000, bytes(4096)), (0x5000, bytes(4096))]
    world.asks.questions()[PagesHome](1, PagesHome(0, 7, 0x2000, pieces), 5)
    fine = PagesDone(world.sent[0].ask, 0, [Memory(0x2FFF, b"x"), Memory(0x5000, bytes(4096))])
    bad = [Memory(0x2000, b"x"), Memory(address, bytes(size))]
    with pytest.raises(FrameError, match=r"at `\$\[3\]\[1\]`"):
        world.asks.pages_done(PagesDone(world.sent[0].ask, 0, bad))
    world.asks.questions()[PagesHome](2, PagesHome(0, 7, 0x2000, pieces), 5)
    world.asks.pages_done(PagesDone(world.sent[1].ask, *(fine.value, fine.changed)))
    assert world.answers == [(0, [(0x2FFF, b"x"), (0x5000, bytes(4096))])]
    assert not is_within([(0x2000, 4096)], 0x2000, 4097)


def test_an_answer_to_nothing_is_nothing() -> None:
    world = World()
    world.asks.got(stream.Got(77, 0, b"x"))
    world.asks.done(stream.IoctlDone(77, 0, 0, b"x"))
    world.asks.pages_done(PagesDone(77, 0, [Memory(1, b"x")]))
    assert world.answers == world.sent == []


RIGHT = [5, 77, 1, 0o100640, 1000, 1001, 0, 123456, 4096, 248, 10**18 + 7, 2 * 10**9, 3]


@pytest.mark.parametrize("encode_it", [encode_stat, encode_statx, encode_statfs])
@pytest.mark.parametrize("numbers", [[], [1], [*RIGHT, 1], [-1] * 13, [2**63 - 1] * 13, [-1] * 9])
def test_facts_that_no_file_has_are_an_error(encode_it: Any, numbers: list[int]) -> None:
    assert len(RIGHT) == len(FIELDS) and encode_stat(RIGHT)
    refused = None
    try:
        assert len(encode_it(numbers)) in (120, 144, 256)
    except OSError as error:
        refused = error
    assert refused is None or refused.errno == errno.EIO


@pytest.mark.parametrize("pids", [[1, 2], [5, 7], [9, 8], [5, 5], [5, 2**22]])
def test_shadows_have_numbers_in_a_row(pids: list[int]) -> None:
    """A hole would be filled with numbers that home never gave."""
    right = encode(ShadowsMade(3, [5, 6, 7]))
    assert stream.home_to_node.decode(right) == ShadowsMade(3, [5, 6, 7])
    at = right.index(b"\x93\x05\x06\x07")
    wrong = right[:at] + pack(pids)
    with pytest.raises(FrameError, match=r"in a row.*at `\$\[2\]`"):
        stream.home_to_node.decode(wrong)


@pytest.mark.parametrize("size", [1, 44, 51])
def test_modes_are_whole_or_none(size: int) -> None:
    assert stream.home_to_node.decode(pack(["modes", 0, bytes(52)])) == stream.Modes(0, bytes(52))
    with pytest.raises(FrameError, match=r"length 0 or 52 - at `\$\[2\]`"):
        stream.home_to_node.decode(pack(["modes", 0, bytes(size)]))

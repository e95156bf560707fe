"""A link whose other side has closed: what it said before is heard, whatever we still send."""

from __future__ import annotations

import socket

from glunix.comm.link import SMALL, Link
from glunix.comm.loop import Loop
from glunix.ids import StreamId
from glunix.msg.base import Body
from glunix.msg.frame import encode_frame


def heard_after_close(size: int) -> list[bytes]:
    """Frames that a link hears of a peer that sent one and closed, before we send `size` bytes."""
    loop, heard = Loop(), []
    ours, theirs = socket.socketpair()

    def frame(link: Link, stream: StreamId, body: Body) -> None:
        heard.append(bytes(body))

    def closed(link: Link, reason: str) -> None:
        loop.stop()

    link = Link(frame, closed)

    def last_words() -> None:
        if not link.is_open:
            loop.call_soon(last_words)
            return
        theirs.sendall(encode_frame(StreamId(1), b"the last words"))
        theirs.close()
        link.relay(StreamId(1), bytes(size))
        link.relay(StreamId(1), bytes(size))

    def start() -> None:
        loop.adopt(ours, link)
        loop.call_later(10, loop.stop)
        last_words()

    assert loop.run(start) == 0
    return heard


def test_last_words_are_heard_though_a_write_fails() -> None:
    assert heard_after_close(SMALL) == [b"the last words"]


def test_the_same_for_small_writes_that_wait_for_the_end_of_the_turn() -> None:
    assert heard_after_close(1) == [b"the last words"]

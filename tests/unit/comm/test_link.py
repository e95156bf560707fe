"""A link whose other side goes away: everything it said is heard, whatever we were sending."""

import asyncio
import os
import socket

import pytest

from glunix.comm.link import Link
from glunix.ids import StreamId
from glunix.msg.base import Body
from glunix.msg.frame import frame_head


@pytest.mark.parametrize("size", [10, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("waiting", [False, True], ids=["at once", "behind what waits"])
def test_last_words_are_heard_when_a_write_fails(size: int, waiting: bool) -> None:
    heard: list[bytes] = []
    reasons: list[str] = []

    def frame(link: Link, stream: StreamId, body: Body) -> None:
        heard.append(bytes(body))

    async def work() -> None:
        over = asyncio.Event()

        def closed(link: Link, reason: str) -> None:
            reasons.append(reason)
            over.set()

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        link = Link(frame, closed)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: link, ours)
        if waiting:  # more than the socket takes: the rest waits in the transport
            link.relay(StreamId(1), bytes(4_000_000))
        words = b"w" * size
        os.writev(theirs.fileno(), [frame_head(StreamId(2), size), words])
        theirs.close()
        link.relay(StreamId(1), b"x" * size)  # nothing was read yet, and this fails
        await asyncio.wait_for(over.wait(), 10)

    asyncio.run(work())
    assert [len(body) for body in heard] == [size]
    assert len(reasons) == 1

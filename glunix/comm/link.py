"""One connection, many streams: frames in order, both ways (the paper's Comm).

Owns the bytes between a transport and the frames; knows no message. A fault closes this link only,
with a reason that its owner hears once, in `closed`.
"""

import asyncio
from collections.abc import Callable

from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg.base import Message, encode
from glunix.msg.frame import Deframer, encode_frame

OnFrame = Callable[["Link", StreamId, bytes], None]
OnClosed = Callable[["Link", str], None]

SEND_MAX = 256 * 1024 * 1024
"""Unsent bytes after which a link is given up. Credit keeps streams far below; a peer that reads
nothing at all while we answer its requests is what this bounds."""


class Link(asyncio.BufferedProtocol):
    """A framed connection. `frame` is called for every frame, `closed` once at the end."""

    _READ = 512 * 1024

    def __init__(self, frame: OnFrame, closed: OnClosed, name: str = "") -> None:
        self.name = name
        self.reason = ""
        self.first = b""
        """Bytes that were received before the transport was made; taken before any other."""
        self._early: list[tuple[StreamId, bytes]] = []
        """What was sent before the transport was made."""
        self._frame = frame
        self._closed = closed
        self._deframer = Deframer()
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(self._READ))

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Never pause our own frames: credit bounds streams, SEND_MAX bounds the rest.
        transport.set_write_buffer_limits(high=SEND_MAX)
        early, self._early = self._early, []
        for stream, body in early:
            self.relay(stream, body)
        if self.first:
            self.feed(self.first)
        if self.reason:
            transport.close()  # closed before it was made

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.feed(bytes(self._buffer[:nbytes]))

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        try:
            for stream, body in self._deframer.feed(data):
                self._frame(self, stream, body)
                if self.reason:
                    return
        except FrameError as error:
            self.close(str(error))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        reason = self.reason or (str(exc) if exc else "closed by the other side")
        self._closed(self, reason)
        self.reason = reason

    def send(self, stream: StreamId, message: Message) -> None:
        """Send a message on a stream; silently nothing once the link is closing."""
        self.relay(stream, encode(message))

    def relay(self, stream: StreamId, body: bytes) -> None:
        """Send an already encoded body, undecoded."""
        transport = self._transport
        if transport is None:
            if not self.reason:
                self._early.append((stream, body))
            return
        if transport.is_closing():
            return
        transport.write(encode_frame(stream, body))
        if transport.get_write_buffer_size() > SEND_MAX:
            self.abort("the other side reads nothing")

    def close(self, reason: str) -> None:
        """End the link after what was sent has gone out."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """End the link now."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()

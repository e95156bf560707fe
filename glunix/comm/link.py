"""One connection, many streams: frames in order, both ways (the paper's Comm).

Owns the bytes between a transport and the frames; knows no message. A fault closes this link only,
with a reason that its owner hears once, in `closed`.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Sequence

from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg.base import Body, Message, encode
from glunix.msg.frame import CHUNK, Budget, Deframer, frame_head

OnFrame = Callable[["Link", StreamId, Body], None]
"""The body is valid during the call only: decode it, relay it, or copy it."""

OnClosed = Callable[["Link", str], None]

SEND_MAX = 256 * 1024 * 1024
"""Unsent bytes after which a link is given up. Credit keeps streams far below; a peer that reads
nothing at all while we answer its requests is what this bounds."""

UNREAD_MAX = 8 * 1024 * 1024
"""Unsent bytes after which a client that asks (see `Link`) is not listened to."""

SMALL = 4096
"""Bodies below this many bytes wait for the end of the turn and go out in one write."""

SOCKET_BUFFER = 4 * CHUNK
"""SO_SNDBUF of Unix sockets, which have no auto-tuning: a chunk fits, so one write sends it."""


class Link(asyncio.BufferedProtocol):
    """A framed connection. `frame` is called for every frame, `closed` once at the end."""

    def __init__(
        self,
        frame: OnFrame,
        closed: OnClosed,
        name: str = "",
        answers: bool = False,
        budget: Budget | None = None,
    ) -> None:
        self.name = name
        self._answers = answers
        """The other side asks: who does not read our answers is not heard until it does."""
        self.reason = ""
        self.serial = ""
        """Serial of the certificate at the other end (TLS only), to know it when it is revoked."""
        self._early: list[tuple[StreamId, bytes]] = []
        """What was sent before the transport was made."""
        self._frame = frame
        self._closed = closed
        self._deframer = Deframer(budget)
        self.full = False
        """Whether much (UNREAD_MAX) waits to be sent."""
        self._drained: list[Callable[[], None]] = []
        self._holds = 0
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        """The socket where plain writes to it are what the transport would do, else -1."""
        self._deferred: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def own_host(self) -> str:
        """Our address on this connection; empty for Unix sockets and when it is closed."""
        if self._transport is None:
            return ""
        name = self._transport.get_extra_info("sockname")
        return str(name[0]) if isinstance(name, tuple) else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Never pause our own frames: credit bounds streams, SEND_MAX bounds the rest.
        transport.set_write_buffer_limits(high=UNREAD_MAX)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX:
            self._fd = sock.fileno()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        early, self._early = self._early, []
        for stream, body in early:
            self.relay(stream, body)
        if self._holds:
            transport.pause_reading()
        if self.reason:
            transport.close()  # closed before it was made

    def begin(self, data: bytes) -> None:
        """Take bytes that came before the transport is made; what we send then waits for it."""
        self._take(self._deframer.feed(data))

    def get_buffer(self, sizehint: int) -> memoryview:
        try:
            return self._deframer.room()
        except FrameError as error:  # over the budget of this user
            self.abort(str(error))
            return memoryview(bytearray(1))

    def buffer_updated(self, nbytes: int) -> None:
        if self.reason:
            return  # closed, and what comes now may have found no room
        self._take(self._deframer.received(nbytes))

    def _take(self, frames: Iterable[tuple[StreamId, Body]]) -> None:
        try:
            for stream, body in frames:
                self._frame(self, stream, body)  # a held link still takes what came before
                if self.reason:
                    return
        except FrameError as error:
            self.close(str(error))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.full = True
        if self._answers:
            self.hold()

    def resume_writing(self) -> None:
        self.full = False
        if self._answers:
            self.go_on()
        drained, self._drained = self._drained, []
        for call in drained:
            call()

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call once when this link is not full any more, or is lost."""
        self._drained.append(call)

    def hold(self) -> None:
        """Read nothing of the other side until as many `go_on`."""
        self._holds += 1
        if self._holds == 1 and self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """See `hold`."""
        self._holds -= 1
        if self._holds == 0 and self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if isinstance(exc, OSError) and self._fd >= 0 and not (self.reason or self._answers):
            self._read_rest()
        self._deframer.release()
        self.full = False
        drained, self._drained = self._drained, []
        for call in drained:
            call()
        reason = self.reason or (str(exc) if exc else "closed by the other side")
        self._closed(self, reason)
        self.reason = reason

    def _read_rest(self) -> None:
        """Writing has failed because the other side is gone; what it said before still counts.

        asyncio drops a connection at the first failed write, unread data and all: a supervisor
        that had reported its program's status would pass for one that died. (Not of a client: what
        it asked for last is for nobody, and descriptors may lie in between.)
        """
        try:
            while not self.reason and (count := os.readv(self._fd, [self._deframer.room()])):
                self.buffer_updated(count)
        except OSError:
            pass  # nothing more came (EAGAIN), or it was reset

    def send(self, stream: StreamId, message: Message) -> None:
        """Send a message on a stream; silently nothing once the link is closing."""
        self.relay(stream, encode(message))

    def relay(self, stream: StreamId, *parts: Body) -> None:
        """Send an already encoded body, undecoded; it may come in parts that are not joined."""
        if self._transport is None and not self.reason:
            self._early.append((stream, b"".join(parts)))
            return
        if not self.is_open:
            return
        size = sum(map(len, parts))
        head = frame_head(stream, size)
        if size >= SMALL:
            held, self._deferred = self._deferred, []
            self._write([b"".join(held), head, *parts])
            return
        if not self._deferred:
            asyncio.get_running_loop().call_soon(self.flush)
        self._deferred += [head, *map(bytes, parts)]

    def flush(self) -> None:
        """Write what small frames wait for the end of this turn of the loop."""
        held, self._deferred = self._deferred, []
        if held:
            self._write([b"".join(held)])

    def _write(self, parts: Sequence[Body]) -> None:
        """Write to the socket itself while nothing waits in the transport: nothing is copied."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        sent = 0
        if self._fd >= 0 and transport.get_write_buffer_size() == 0:
            try:
                sent = os.writev(self._fd, parts)
            except OSError:
                pass  # full, or broken: the transport waits, or finds out
        for part in parts:
            if sent < len(part):
                transport.write(bytes(memoryview(part)[sent:]))
            sent = max(0, sent - len(part))
        if transport.get_write_buffer_size() > SEND_MAX:
            self.abort("the other side reads nothing")

    def close(self, reason: str) -> None:
        """End the link after what was sent has gone out."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self.flush()
            self._transport.close()

    def abort(self, reason: str) -> None:
        """End the link now."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()

"""The startup's connection to its node's daemon: one Unix socket, frames both ways.

Owns the socket and what could not be written yet. No library beyond the interpreter's own C
modules, because the startup pays for every import (see glunix.home.wire).
"""

from __future__ import annotations

import _socket
import posix

from glunix import config
from glunix.errors import FrameError, NotRunning
from glunix.home import wire
from glunix.msg.frame import CHUNK, Deframer

_SO_PEEK_OFF = 42
_SUN_PATH_MAX = 107
_SNDBUF = 4 * CHUNK
"""A chunk fits into the socket, so that one call sends it without a copy of ours."""


def _connect(sock: _socket.socket, folder: str, name: str) -> None:
    path = f"{folder}/{name}"
    if len(config.encoded(path)) <= _SUN_PATH_MAX:
        sock.connect(path)
        return
    at = posix.open(folder, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{at}/{name}")
    finally:
        posix.close(at)


class HomeLink:
    """A connected, non-blocking link. NotRunning when nobody answers."""

    def __init__(self, folder: str, name: str) -> None:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            _connect(sock, folder, name)
        except OSError as error:
            why = "no daemon is running" if error.errno in (2, 111) else error.strerror
            raise NotRunning(f"{why} ({folder}/{name}): start one with `glunix up`") from None
        self._set_up(sock)

    @classmethod
    def over(cls, sock: _socket.socket) -> HomeLink:
        """A link over a connected socket (glunix.home.direct)."""
        found = cls.__new__(cls)
        found._set_up(sock)
        found._control = None
        return found

    def _set_up(self, sock: _socket.socket) -> None:
        self._sock = sock
        self._control: wire.Shapes | None = wire.CONTROL
        """What is said on stream 0; None: nobody but a node is there."""
        sock.setblocking(False)
        try:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _SNDBUF)
        except OSError:
            pass  # a chunk takes two calls
        self._frames = Deframer()
        self._out = bytearray()
        self.shapes = wire.USER_LEVEL
        """What a node may say."""
        self._flags = 0
        self.dry = True
        """Whether the last `receive` took all that there was; else more may have come before."""

    def close(self) -> None:
        """Close it; not needed before a process ends."""
        self._sock.close()

    def fileno(self) -> int:
        """For poll."""
        return self._sock.fileno()

    def look_ahead(self, on: bool) -> None:
        """From now on `receive` takes nothing from the socket, and finds each message once; or,
        for the process that shares it, everything as ever."""
        self._flags = _socket.MSG_PEEK if on else 0
        self._sock.setsockopt(_socket.SOL_SOCKET, _SO_PEEK_OFF, 0 if on else -1)

    @property
    def pending(self) -> int:
        """Bytes that wait for the socket to take them."""
        return len(self._out)

    def send_first(self, message: object) -> None:
        """Send the first frame."""
        self._out += wire.frame(0, message)
        self.flush()

    def send(self, stream: int, message: list[object]) -> None:
        """Queue one message and send what the socket takes."""
        self._send_parts(wire.parts(stream, message))

    def send_data(self, stream: int, tag: str, data: wire.Bytes) -> None:
        """Queue `[tag, data]` and send what the socket takes; copies only what it does not."""
        self._send_parts([wire.data_head(stream, tag, len(data)), data])

    def _send_parts(self, parts: list[wire.Bytes]) -> None:
        sent = 0
        if not self._out:
            try:
                sent = self._sock.sendmsg(parts)
            except OSError:
                pass  # full, or broken, which `receive` will find
        for part in parts:
            if sent < len(part):
                self._out += memoryview(part)[sent:]
            sent = max(0, sent - len(part))
        if self._out:
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes now. A broken socket shows itself to the next `receive`."""
        while self._out:
            try:
                sent = self._sock.send(self._out)
            except BlockingIOError:
                return
            except OSError:
                self._out.clear()
                return
            del self._out[:sent]

    def send_rest(self) -> None:
        """Send what waits, before the end; waits a second at most for the other side."""
        try:
            self._sock.settimeout(1.0)
            self._sock.sendall(self._out)
        except OSError:
            pass  # it is gone, and has no use for it
        self._out.clear()

    def receive(self) -> list[tuple[int, list[wire.Value]]]:
        """The messages that have come; NotRunning when the daemon is gone, FrameError with the
        path of the fault for one that the types of its direction refuse.

        Data in them are views of the receive buffer, valid until the next call.
        """
        self.dry = False
        try:
            room = self._frames.room()
            count = self._sock.recv_into(room, 0, self._flags)
        except BlockingIOError:
            self.dry = True
            return []
        except OSError as error:
            raise NotRunning(f"lost the daemon of this node: {error.strerror}") from None
        if not count:
            raise NotRunning("lost the daemon of this node")
        self.dry = count < len(room)  # what comes from now on is for the next poll
        return [(stream, self._read(stream, body)) for stream, body in self._frames.received(count)]

    def _read(self, stream: int, body: wire.Bytes) -> list[wire.Value]:
        if stream == 0 and self._control is not None:
            return wire.checked(body, self._control, "daemon to client")
        return wire.checked(body, self.shapes, "node to home")


def integer(value: wire.Value) -> int:
    """The value as int; FrameError otherwise."""
    if type(value) is not int:
        raise FrameError("expected an integer")
    return value


def text(value: wire.Value) -> str:
    """The value as str; FrameError otherwise."""
    if type(value) is not str:
        raise FrameError("expected text")
    return value


def blob(value: wire.Value) -> bytes:
    """The value as bytes, copied; FrameError otherwise."""
    return bytes(view(value))


def view(value: wire.Value) -> memoryview:
    """The value as a view that the next `receive` may overwrite; FrameError otherwise."""
    if not isinstance(value, wire.Bytes):
        raise FrameError("expected bytes")
    return memoryview(value)


def kept(value: wire.Value) -> wire.Value:
    """The value without views: it outlives the next `receive`."""
    if isinstance(value, memoryview):
        return bytes(value)
    return [kept(item) for item in value] if isinstance(value, list) else value

"""Frames: the unit on every link. Sans-IO: bytes in, (stream, body) out.

A frame is the MessagePack array `[stream: uint, body: bin]`. The body is an encoded message of
the union that belongs to the stream and the direction; a relaying daemon passes it undecoded.
Limits hold before anything is allocated: what does not fit is a FrameError, which ends that link.

Bytes are received into the deframer's own buffer and bodies are views of it, so that job data is
not copied between a socket and the next one (a library's unpacker copies it twice: 0.5 ms a MB).
We write heads of one fixed size; any encoding of the two numbers is read.

The startup uses this module too: what it imports is counted (tests/unit/test_startup_imports.py).
"""

from __future__ import annotations

from glunix.errors import FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from glunix.ids import StreamId

BODY_MAX = 8 * 1024 * 1024
"""Bytes in one body: a Submit with a full environment (ARG_MAX, 2 MiB) fits."""

CHUNK = 256 * 1024
"""Bytes of job data that one frame carries at most."""

STREAM_MAX = 2**32 - 1
BUFFER = 512 * 1024
"""Bytes received at once where much comes; a larger frame gets a buffer of its own size for as
long as it lasts."""

_FIRST = 32 * 1024
"""Bytes received at once until that was not enough: most links carry a few small messages."""

_ROOM = 16 * 1024
_ARRAY2, _UINT32, _BIN32 = 0x92, 0xCE, 0xC6
_OPEN = bytes((_ARRAY2, _UINT32))
_HEAD = 11
"""Bytes before a body, as we write them: array of 2, uint 32, bin 32."""
_UINT = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}


def bulk_buffer(size: int) -> memoryview:
    """Return `size` bytes to receive into, not at the start of an allocation.

    The kernel copies from the start of its pages. A large allocation starts 16 bytes after the
    start of one of ours, and a `rep movsb` to a place that little ahead (modulo 4 KiB) of its
    source takes four times as long (measured on an AMD EPYC: 130 instead of 30 ms for 200 MB).
    """
    return memoryview(bytearray(size + 64))[64:]


def frame_head(stream: int, size: int) -> bytes:
    """Return the bytes before a body of `size` bytes; ValueError when that is over BODY_MAX."""
    if size > BODY_MAX:
        raise ValueError(f"a body of {size} bytes is over the limit of {BODY_MAX}")
    return _OPEN + stream.to_bytes(4, "big") + b"\xc6" + size.to_bytes(4, "big")


def encode_frame(stream: int, body: bytes) -> bytes:
    """Return the bytes of one frame; ValueError when the body is over BODY_MAX."""
    return frame_head(stream, len(body)) + body


def _number(view: memoryview, at: int, widths: dict[int, int], what: str) -> tuple[int, int] | None:
    """The number coded at `at` and where it ends; None when more bytes are needed."""
    if at >= len(view):
        return None
    width = widths.get(view[at])
    if width is None:
        raise FrameError(f"not a frame: {what}")
    end = at + 1 + width
    return (int.from_bytes(view[at + 1 : end], "big"), end) if end <= len(view) else None


def _own_head(view: memoryview) -> tuple[Any, int, int] | None:
    """As `_head`, for the one encoding that we write; None for all else."""
    if len(view) < _HEAD or view[:2] != _OPEN or view[6] != _BIN32:
        return None
    size = int.from_bytes(view[7:_HEAD], "big")
    return int.from_bytes(view[2:6], "big"), _HEAD, _HEAD + size


def _head(view: memoryview) -> tuple[Any, int, int] | None:
    """(stream, start of the body, its end) of the frame in `view`; None: more bytes are needed."""
    if view[0] != _ARRAY2:
        raise FrameError("not a frame: expected [stream, body]")
    if len(view) > 1 and view[1] < 0x80:
        found: tuple[int, int] | None = view[1], 2
    else:
        found = _number(view, 1, _UINT, "bad stream number")
    if found is None:
        return None
    stream, at = found
    if stream > STREAM_MAX:
        raise FrameError("not a frame: bad stream number")
    found = _number(view, at, _BIN, "body is not bin")
    if found is None:
        return None
    size, at = found
    return stream, at, at + size


class Budget:
    """Bytes that many deframers may hold together: all connections of one user."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> None:
        """Count bytes as held; FrameError when that is too much."""
        if count > self._left:
            raise FrameError("too much is under way in large messages of this user")
        self._left -= count

    def give(self, count: int) -> None:
        """They are held no more."""
        self._left += count


class Deframer:
    """Cuts a byte stream into frames. One per link and direction.

    Receive into `room()`, tell `received(count)` how much came, take every frame it yields. A body
    is a view that the next `room()` may overwrite: decode it, send it on, or copy it.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget
        self._buffer = bulk_buffer(_FIRST)
        self._usual = _FIRST
        self._start = 0
        self._end = 0
        self._need = 1
        """Bytes that the frame at `_start` has at least."""

    def room(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        held = self._end - self._start
        if not held:
            self._start = self._end = 0
        size = max(self._usual, self._need + _ROOM)
        missing = max(self._need - held, _ROOM)
        if len(self._buffer) - self._end < missing or len(self._buffer) > size:
            self._move(held, size)
        return self._buffer[self._end :]

    def _move(self, held: int, size: int) -> None:
        """Bring the unfinished frame to the front of a buffer that it will fit."""
        old = self._buffer[self._start : self._end]
        if size != len(self._buffer):
            if self._budget is not None:
                self._budget.take(size - len(self._buffer))
            self._buffer = bulk_buffer(size)
        self._buffer[:held] = old
        self._start, self._end = 0, held

    def release(self) -> None:
        """Nothing more comes: what the budget counts for us is free again."""
        if self._budget is not None:
            self._budget.give(len(self._buffer) - _FIRST)
            self._budget = None

    def received(self, count: int) -> Iterator[tuple[StreamId, memoryview]]:
        """Yield every frame completed by `count` more bytes; FrameError names what is wrong."""
        self._end += count
        if self._end == len(self._buffer):
            self._usual = BUFFER
        while self._end - self._start >= self._need:
            view = self._buffer[self._start : self._end]
            head = _own_head(view) or _head(view)
            if head is None:
                self._need = len(view) + 1
                return
            stream, start, end = head
            if end - start > BODY_MAX:
                raise FrameError("frame is larger than the limit")
            if len(view) < end:
                self._need = end
                return
            self._start, self._need = self._start + end, 1
            yield stream, view[start:end]

    def feed(self, data: bytes) -> Iterator[tuple[StreamId, bytes]]:
        """Take bytes that were received elsewhere; bodies are copies and may be kept."""
        rest = memoryview(data)
        while rest:
            room = self.room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            rest = rest[count:]
            for stream, body in self.received(count):
                yield stream, bytes(body)

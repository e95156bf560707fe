"""Frames: the unit on every link. Sans-IO: bytes in, (stream, body) out.

A frame is the MessagePack array `[stream: uint, body: bin]`. The body is an encoded message of
the union that belongs to the stream and the direction; a relaying daemon passes it undecoded.
Limits hold before anything is allocated: what does not fit is a FrameError, which ends that link.
"""

from collections.abc import Iterator

import msgpack

from glunix.errors import FrameError
from glunix.ids import StreamId

BODY_MAX = 8 * 1024 * 1024
"""Bytes in one body: a Submit with a full environment (ARG_MAX, 2 MiB) fits."""

CHUNK = 256 * 1024
"""Bytes of job data that one frame carries at most."""

STREAM_MAX = 2**32 - 1
_BUFFER_MAX = 2 * BODY_MAX


def encode_frame(stream: int, body: bytes) -> bytes:
    """Return the bytes of one frame; ValueError when the body is over BODY_MAX."""
    if len(body) > BODY_MAX:
        raise ValueError(f"a body of {len(body)} bytes is over the limit of {BODY_MAX}")
    packed: bytes = msgpack.packb((stream, body))
    return packed


class Deframer:
    """Cuts a byte stream into frames. One per link and direction."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            use_list=False,
            raw=True,
            max_buffer_size=_BUFFER_MAX,
            max_bin_len=BODY_MAX,
            max_array_len=2,
            max_map_len=0,
            max_str_len=0,
            max_ext_len=0,
        )

    def feed(self, data: bytes) -> Iterator[tuple[StreamId, bytes]]:
        """Take bytes, yield every complete frame in order; FrameError names what is wrong."""
        for start in range(0, len(data), BODY_MAX):
            piece = data[start : start + BODY_MAX] if len(data) > BODY_MAX else data
            try:
                self._unpacker.feed(piece)
            except msgpack.BufferFull:
                raise FrameError("frame is larger than the buffer allows") from None
            yield from self._drain()

    def _drain(self) -> Iterator[tuple[StreamId, bytes]]:
        while True:
            try:
                frame = self._unpacker.unpack()
            except msgpack.OutOfData:
                return
            except (ValueError, msgpack.UnpackException) as error:
                raise FrameError(f"not a frame: {error or type(error).__name__}") from None
            if type(frame) is not tuple or len(frame) != 2:
                raise FrameError("not a frame: expected [stream, body]")
            stream, body = frame
            if type(stream) is not int or not 0 <= stream <= STREAM_MAX:
                raise FrameError("not a frame: bad stream number")
            if type(body) is not bytes:
                raise FrameError("not a frame: body is not bin")
            yield StreamId(stream), body

"""Damaged frames, and how many of a sequence a service looks at before it ends the link.

Most damage is such that a link goes on: odd values in odd encodings, payloads that are noise, more
fields than we know. The rest ends it: what follows on that connection is sent for nothing, and is
not counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgpack

from glunix.errors import FrameError
from glunix.msg.base import Decoder, Message, encode
from glunix.msg.frame import Deframer, encode_frame

ODD = (b"", b"\xc0", b"\xff" * 9, b"\xcb" + b"\xff" * 8, b"\x91" * 3000, b"\xdd\xff\xff\xff\xff",
       b"\xdb\x7f\xff\xff\xff", b"\xc7\xff\x01", b"\x92\x01")  # fmt: skip
VALUES = (None, -1, 2**64 - 1, "x" * 5000, b"\0", [], {}, 1e308, float("nan"), [[[[]]]], True)
TEXTS = ("", "\0", "x" * 64, "\U0001f600" * 9, "../..", "node1\n", "%s%n", "é")


def _other_head(rng: random.Random, stream: int, body: bytes) -> bytes:
    """The same frame as another library would write it (MessagePack has several encodings)."""
    kinds = [b"\xce" + stream.to_bytes(4, "big"), b"\xcf" + stream.to_bytes(8, "big")]
    if stream < 128:
        kinds.append(bytes([stream]))
    if stream < 65536:
        kinds.append(b"\xcd" + stream.to_bytes(2, "big"))
    sizes = [b"\xc6" + len(body).to_bytes(4, "big")]
    if len(body) < 65536:
        sizes.append(b"\xc5" + len(body).to_bytes(2, "big"))
    if len(body) < 256:
        sizes.append(b"\xc4" + len(body).to_bytes(1, "big"))
    return b"\x92" + rng.choice(kinds) + rng.choice(sizes) + body


def bent(rng: random.Random, message: Message, stream: int) -> bytes:
    """A frame that is odd, and most often one that the link survives."""
    fields = msgpack.unpackb(encode(message), strict_map_key=False)
    for at in range(1, len(fields)):
        if rng.random() < 0.3:
            continue
        value = fields[at]
        if isinstance(value, bool):
            fields[at] = not value
        elif isinstance(value, int):
            # A large one is a job's number: it stays one that no job has.
            large = rng.randrange(2**30, 2**31)
            fields[at] = large if value > 2**20 else rng.choice([0, 1, 2, 64, large])
        elif isinstance(value, bytes) and len(value) < 65536:
            fields[at] = rng.randbytes(rng.randrange(200))
        elif isinstance(value, str):
            fields[at] = rng.choice(TEXTS)
    if rng.random() < 0.2:
        fields += [rng.choice(VALUES)] * rng.randint(1, 3)  # a newer peer's
    return _other_head(rng, stream, msgpack.packb(fields))


def broken(rng: random.Random, message: Message, stream: int) -> bytes:
    """A frame that is wrong in some way."""
    body = bytearray(encode(message))
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
    elif kind == 1:
        del body[rng.randrange(len(body)) :]
    elif kind == 2:
        at = rng.randrange(len(body))
        body[at:at] = rng.choice(ODD)
    elif kind == 3:
        fields = msgpack.unpackb(bytes(body), strict_map_key=False)
        fields[rng.randrange(len(fields))] = rng.choice(VALUES)
        body = bytearray(msgpack.packb(fields))
    frame = bytearray(encode_frame(rng.choice([stream, 1, 3, 2**32 - 1]), bytes(body)))
    if kind == 4:
        frame[rng.randrange(min(11, len(frame)))] = rng.randrange(256)
    elif kind == 5:
        frame = bytearray(rng.randbytes(rng.randint(1, 60)))
    return bytes(frame)


def looked_at(data: bytes, decoder: Decoder, other: Callable[[int, bytes], object]) -> int:
    """Frames that a door takes of `data`, with the one that ends the link.

    `other` takes those of streams, and raises FrameError as the door does.
    """
    count = 0
    try:
        for stream, body in Deframer().feed(data):
            count += 1
            if stream:
                other(stream, body)
            else:
                decoder.decode(body)
    except FrameError:
        pass
    return max(count, 1)


def sequence(
    rng: random.Random, messages: Sequence[Message], length: int, stream: Callable[[], int]
) -> bytes:
    """`length` bent frames, then a broken one, then one that ends every link."""
    frames = [bent(rng, rng.choice(messages), stream()) for _ in range(length)]
    frames.append(broken(rng, rng.choice(messages), stream()))
    return b"".join(frames) + b"\xc1"

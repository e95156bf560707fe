"""Frames received into the deframer's own buffer: in any encoding, around the buffer's end."""

from collections.abc import Iterable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glunix.errors import FrameError
from glunix.msg.frame import BODY_MAX, BUFFER, Deframer, encode_frame

FRAMES = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=8)


def received(deframer: Deframer, data: bytes, steps: Iterable[int]) -> list[tuple[int, bytes]]:
    """Receive `data` as a socket would give it: `steps` bytes at a time, round and round."""
    found, at, sizes = [], 0, list(steps)
    while at < len(data):
        for step in sizes:
            room = deframer.room()
            piece = data[at : at + min(step, len(room))]
            room[: len(piece)] = piece
            at += len(piece)
            found += [(s, bytes(body)) for s, body in deframer.received(len(piece))]
    return found


@given(FRAMES, st.lists(st.integers(1, 90), min_size=1, max_size=4))
def test_ours_and_any_other_encoding_in_pieces(
    frames: list[tuple[int, bytes]], steps: list[int]
) -> None:
    ours = b"".join(encode_frame(stream, body) for stream, body in frames)
    theirs = b"".join(msgpack.packb(frame) for frame in frames)
    assert received(Deframer(), ours, steps) == frames
    assert received(Deframer(), theirs, steps) == frames
    assert list(Deframer().feed(ours + theirs)) == frames + frames


@given(FRAMES)
def test_a_library_reads_what_we_write(frames: list[tuple[int, bytes]]) -> None:
    unpacker = msgpack.Unpacker(raw=True, use_list=False)
    unpacker.feed(b"".join(encode_frame(stream, body) for stream, body in frames))
    assert list(unpacker) == frames


@pytest.mark.parametrize("size", [0, BUFFER - 12, BUFFER, 3 * BUFFER + 1, BODY_MAX])
def test_sizes_around_the_buffer(size: int) -> None:
    deframer = Deframer()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    data = encode_frame(7, b"before") + encode_frame(8, body) + encode_frame(9, b"after")
    expected = [(7, b"before"), (8, body), (9, b"after")]
    assert received(deframer, data * 2, [1 << 20, 100_000]) == expected * 2


def test_the_buffer_of_a_large_frame_is_given_back() -> None:
    deframer = Deframer()
    received(deframer, encode_frame(1, bytes(BODY_MAX)), [1 << 20])
    assert len(deframer.room()) == BUFFER
    received(deframer, encode_frame(1, bytes(BUFFER)) * 3, [1 << 16])
    assert len(deframer.room()) <= BUFFER


@pytest.mark.parametrize(
    "data",
    [
        b"\x93",  # another array
        b"\x92\xc0",  # stream nil
        b"\x92\xff",  # stream negative
        b"\x92\xcf\0\0\0\1\0\0\0\0\xc4\0",  # stream over 32 bits
        b"\x92\x01\xa0",  # body text
        b"\x92\x01\xc6\0\x80\0\1",  # body over the limit
        b"\x92\xce\0\0\0\1\xc6\xff\xff\xff\xff",
        encode_frame(1, b"good") + b"\xc1",
    ],
)
def test_no_frame_is_refused_with_its_first_wrong_byte(data: bytes) -> None:
    deframer = Deframer()
    with pytest.raises(FrameError, match="frame"):
        received(deframer, data, [1])

"""Frames: whatever the pieces they arrive in, and whatever is no frame ends that link only."""

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glunix.errors import FrameError
from glunix.msg.frame import BODY_MAX, STREAM_MAX, Deframer, encode_frame

streams = st.integers(0, STREAM_MAX)
frames = st.lists(st.tuples(streams, st.binary(max_size=300)), max_size=6)


def feed_all(data: bytes, step: int) -> list[tuple[int, bytes]]:
    deframer = Deframer()
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(data), step):
        found += deframer.feed(data[at : at + step])
    return found


@given(frames)
def test_one_byte_at_a_time(sent: list[tuple[int, bytes]]) -> None:
    data = b"".join(encode_frame(stream, body) for stream, body in sent)
    assert feed_all(data, 1) == sent


@given(frames, st.integers(1, 700))
def test_any_pieces(sent: list[tuple[int, bytes]], step: int) -> None:
    data = b"".join(encode_frame(stream, body) for stream, body in sent)
    assert feed_all(data, step) == sent


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65535, 65536, BODY_MAX - 1, BODY_MAX])
def test_sizes_up_to_the_limit(size: int) -> None:
    body = b"x" * size
    data = encode_frame(STREAM_MAX, body) + encode_frame(1, b"next")
    assert feed_all(data, 256 * 1024) == [(STREAM_MAX, body), (1, b"next")]
    assert list(Deframer().feed(data)) == [(STREAM_MAX, body), (1, b"next")]


def test_a_body_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        encode_frame(1, b"x" * (BODY_MAX + 1))


def test_a_body_over_the_limit_is_refused() -> None:
    header = b"\x92\x01\xc6" + (BODY_MAX + 1).to_bytes(4, "big")
    with pytest.raises(FrameError):
        feed_all(header + b"x" * (BODY_MAX + 1), 1024 * 1024)


@pytest.mark.parametrize("kind", [b"\xc6", b"\xdb"], ids=["bin32", "str32"])
def test_a_body_of_4_gib_is_refused_at_its_head(kind: bytes) -> None:
    with pytest.raises(FrameError):
        list(Deframer().feed(b"\x92\x01" + kind + b"\xff\xff\xff\xff"))


def test_the_frames_before_a_bad_one_arrive() -> None:
    frames = Deframer().feed(encode_frame(1, b"good") + b"\xc1")
    assert next(frames) == (1, b"good")
    with pytest.raises(FrameError):
        next(frames)


@given(frames.filter(bool), st.data())
def test_truncated_waits_and_invents_nothing(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = b"".join(encode_frame(stream, body) for stream, body in sent)
    cut = data.draw(st.integers(0, len(whole) - 1))
    found = feed_all(whole[:cut], 5)
    assert found == sent[: len(found)]
    assert len(found) < len(sent)


NOT_FRAMES = {
    "number": 5,
    "nil": None,
    "bin": b"body",
    "empty array": [],
    "array of one": [1],
    "array of three": [1, b"", 3],
    "text": "text",
    "text body": [1, "text"],
    "empty text body": [1, ""],
    "number body": [1, 2],
    "nil body": [1, None],
    "array body": [1, [b"x"]],
    "negative stream": [-1, b""],
    "large stream": [STREAM_MAX + 1, b""],
    "true stream": [True, b""],
    "float stream": [1.0, b""],
    "bin stream": [b"1", b""],
    "map": {},
    "map with a key": {1: 2},
    "map body": [1, {b"k": b"v"}],
    "ext": msgpack.ExtType(5, b"x"),
    "time": [1, msgpack.Timestamp(1, 2)],
}


@pytest.mark.parametrize("value", NOT_FRAMES.values(), ids=NOT_FRAMES.keys())
@pytest.mark.parametrize("step", [1, 1000])
def test_wrong_types(value: object, step: int) -> None:
    with pytest.raises(FrameError):
        feed_all(msgpack.packb(value), step)


@pytest.mark.parametrize(
    "header",
    [
        b"\xdd\xff\xff\xff\xff",  # array of 2^32 - 1
        b"\xdc\xff\xff",
        b"\xdf\xff\xff\xff\xff",  # map
        b"\x92\x01\xc9\xff\xff\xff\xff\x01",  # ext
        b"\x91" * 2000,  # nested deeply
    ],
    ids=["array32", "array16", "map32", "ext32", "nested"],
)
def test_huge_promises_cost_nothing(header: bytes) -> None:
    with pytest.raises(FrameError):
        list(Deframer().feed(header))


@given(st.binary(max_size=400), st.integers(1, 50))
def test_random_bytes(data: bytes, step: int) -> None:
    deframer = Deframer()
    found: list[tuple[int, bytes]] = []
    with contextlib.suppress(FrameError):
        for at in range(0, len(data), step):
            found += deframer.feed(data[at : at + step])
    assert all(0 <= stream <= STREAM_MAX and type(body) is bytes for stream, body in found)


@given(frames.filter(bool), st.data())
def test_one_changed_byte_is_a_frame_error_or_other_frames(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(encode_frame(stream, body) for stream, body in sent))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found: list[tuple[int, bytes]] = []
    with contextlib.suppress(FrameError):
        found = feed_all(bytes(whole), 7)
    assert found != sent


def test_memory_stays_bounded_while_a_frame_never_ends() -> None:
    deframer = Deframer()
    assert list(deframer.feed(b"\x92\x01\xc6" + BODY_MAX.to_bytes(4, "big"))) == []
    piece = b"x" * (1024 * 1024)
    for _ in range(BODY_MAX // len(piece) - 1):
        assert list(deframer.feed(piece)) == []
    assert [len(body) for _, body in deframer.feed(piece)] == [BODY_MAX]

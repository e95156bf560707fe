"""The startup's small codec writes and reads exactly what msgspec does."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glunix.errors import FrameError
from glunix.home import wire
from glunix.msg import stream
from glunix.msg.base import encode
from glunix.msg.frame import Deframer, encode_frame

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=70)
    | st.binary(max_size=300)
)
VALUES = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=20), max_size=20)


@given(VALUES)
def test_same_value_as_msgspec(value: object) -> None:
    assert msgspec.msgpack.decode(wire.pack(value)) == value
    assert wire.unpack(msgspec.msgpack.encode(value)) == value


@given(st.dictionaries(st.binary(max_size=9), st.binary(max_size=300), max_size=40))
def test_environment_maps(env: dict[bytes, bytes]) -> None:
    decoded = msgspec.msgpack.decode(wire.pack(env), type=dict[bytes, bytes])
    assert decoded == env
    assert wire.unpack(msgspec.msgpack.encode(env)) == env


@given(st.lists(st.binary(max_size=400), max_size=5), st.integers(1, 7))
def test_frames_both_ways_in_pieces(blobs: list[bytes], step: int) -> None:
    sent = b"".join(wire.frame(n, ["in", blob]) for n, blob in enumerate(blobs))
    there = [(sid, stream.home_to_node.decode(body)) for sid, body in Deframer().feed(sent)]
    assert there == [(n, stream.In(blob)) for n, blob in enumerate(blobs)]
    back = b"".join(encode_frame(n, encode(stream.Out(3, 1, b))) for n, b in enumerate(blobs))
    reader, got = Deframer(), []
    for at in range(0, len(back), step):
        got += [(n, wire.message(body)) for n, body in reader.feed(back[at : at + step])]
    assert got == [(n, ["out", 3, 1, blob]) for n, blob in enumerate(blobs)]


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_wait(data: bytes) -> None:
    try:
        wire.unpack(data)
        wire.message(memoryview(data))
    except FrameError:
        pass


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 65535, 65536, 262144])
def test_length_boundaries(size: int) -> None:
    for value in (b"x" * size, "x" * size):
        assert msgspec.msgpack.decode(wire.pack(value)) == value
        assert wire.unpack(msgspec.msgpack.encode(value)) == value


@given(st.integers(0, 2**32 - 1), st.binary(max_size=300))
def test_data_frames(number: int, data: bytes) -> None:
    sent = wire.data_head(number, "in", len(data)) + data
    there = [(sid, stream.home_to_node.decode(body)) for sid, body in Deframer().feed(sent)]
    assert there == [(number, stream.In(data))]


def test_data_of_a_view_is_not_copied() -> None:
    body = bytearray(encode(stream.Out(3, 1, b"data")))
    found = wire.message(memoryview(body))
    body[-4:] = b"atad"
    assert found == ["out", 3, 1, b"atad"]


@given(st.integers(0, 4095), st.sampled_from([1, 2]), st.binary(max_size=300))
def test_output_in_two_parts_is_an_out(vnn: int, fd: int, data: bytes) -> None:
    body = stream.out_head(vnn, fd, len(data)) + data
    assert stream.node_to_home.decode(body) == stream.Out(vnn, fd, data)


@given(st.binary(max_size=70_000))
def test_input_without_copying(data: bytes) -> None:
    for body in (encode(stream.In(data)), wire.data_head(1, "in", len(data))[11:] + data):
        assert stream.in_data(memoryview(body)) == stream.in_data(body) == data


@given(st.binary(max_size=20), st.binary(max_size=40), st.integers(-3, 3))
def test_input_that_is_none_is_left_to_the_decoder(head: bytes, data: bytes, more: int) -> None:
    right = encode(stream.In(data))
    wrong = right + bytes(more) if more >= 0 else right[:more]
    for body in (head, head + right, wrong, right[:4] + head):
        found = stream.in_data(body)
        if found is not None:
            assert stream.home_to_node.decode(body) == stream.In(found)

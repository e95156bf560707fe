"""The startup refuses the same messages as the types of glunix.msg, and says where the fault is."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glunix.errors import FrameError
from glunix.home import wire
from glunix.home.shapes import TRANSPARENT
from glunix.msg import client, stream

from .shapes_of import shapes

TABLES = {
    "daemon to client": (wire.CONTROL, client.daemon_to_client),
    "node to home": (TRANSPARENT, stream.node_to_home),
    "user level": (wire.USER_LEVEL, stream.node_to_home),
}


def test_the_tables_are_those_of_the_types() -> None:
    assert shapes(stream.NodeToHome) == TRANSPARENT
    assert shapes(stream.NodeToHome, *wire.USER_LEVEL) == wire.USER_LEVEL
    assert shapes(client.DaemonToClient, *wire.CONTROL) == wire.CONTROL


EDGES = st.sampled_from(
    sorted(
        {
            edge + step
            for edge in (0, 1, 64, 255, 1023, 4095, 4096, 2**22, 2**31, 2**32, 2**63, -1, -(2**63))
            for step in (-1, 0, 1)
            if -(2**63) <= edge + step < 2**64
        }
        | {2**64 - 1}
    )
)
ODD = st.none() | st.booleans() | EDGES | st.text(max_size=3) | st.binary(max_size=3)


def of_length(least: int, most: int) -> st.SearchStrategy[int]:
    """Lengths inside and just outside; no huge ones, which a frame would not hold."""
    near = {least - 1, least, least + 1, min(most, 5000) - 1, min(most, 5000), min(most, 5000) + 1}
    return st.sampled_from(sorted(one for one in near if one >= 0))


def values(shape: Any) -> st.SearchStrategy[Any]:
    """Values of a shape and values that are just none, often."""
    kind = shape[0]
    if kind == "int":
        right = st.sampled_from([shape[1], shape[2]]) | st.integers(shape[1], shape[2])
        return right | right | EDGES | ODD
    if kind == "bool":
        return st.booleans() | ODD
    if kind == "str":
        return of_length(*shape[1:3]).map("x".__mul__) | ODD
    if kind == "bytes":
        return of_length(*shape[1:3]).map(bytes) | ODD
    if kind == "array":
        few = min(shape[2], 4)
        return st.lists(values(shape[3]), min_size=min(shape[1], few), max_size=few + 1) | ODD
    row = st.tuples(*map(values, shape[2])).map(list)
    return row | st.builds(lambda whole, cut: whole[:cut], row, st.integers(0, 5)) | ODD


def refusal(decode: Any, body: bytes) -> str | None:
    try:
        decode(body)
    except FrameError as error:
        return str(error)
    return None


def path(refused: str) -> str:
    found = re.search(r"at `(\$.*?)`", refused)
    return "$" if found is None else found[1]


MESSAGES = [
    pytest.param(what, tag, id=f"{what}: {tag}") for what in TABLES for tag in TABLES[what][0]
]


@pytest.mark.parametrize(("what", "tag"), MESSAGES)
def test_both_refuse_the_same(what: str, tag: str) -> None:
    table, decoder = TABLES[what]
    _, kinds = table[tag]
    whole = st.tuples(*map(values, kinds)).map(lambda fields: [tag, *fields])
    cut = st.builds(lambda message, end: message[:end], whole, st.integers(1, len(kinds) + 1))

    @settings(max_examples=60, deadline=None)
    @given(whole | cut | whole.map(lambda message: [*message, "new", 1, b"x"]))
    def same(message: list[object]) -> None:
        body = msgspec.msgpack.encode(message)
        ours = refusal(lambda body: wire.checked(body, table, what), body)
        theirs = refusal(decoder.decode, body)
        assert (ours is None) == (theirs is None), (message, ours, theirs)
        if ours is not None and theirs is not None:
            assert path(ours) == path(theirs), (message, ours, theirs)

    same()


@pytest.mark.parametrize("what", TABLES)
def test_what_is_no_message_of_a_direction(what: str) -> None:
    table, decoder = TABLES[what]
    for message in (["in", b""], [], ["no-such"], "out", 7, None, [7], [b"out"], {}):
        body = msgspec.msgpack.encode(message)
        assert refusal(decoder.decode, body)
        assert refusal(lambda body: wire.checked(body, table, what), body), message


def test_a_refusal_has_the_path_of_the_fault() -> None:
    body = wire.pack(["homecall", 1, "open", -1, [b"/a", b""], [0], b"", 0])
    with pytest.raises(FrameError, match=r"node to home.*length 1 to 4096 - at `\$\[4\]\[1\]`"):
        wire.checked(body, TRANSPARENT, "node to home")

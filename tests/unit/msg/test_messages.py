"""Every message class: round trip, wrong direction, wrong fields, newer peers."""

import re
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from msgspec.inspect import type_info

from glunix.errors import FrameError
from glunix.ids import DEGREE_MAX, NPID_MAX
from glunix.msg import batch, client, master, peer, stream
from glunix.msg.base import Decoder, Message, encode
from glunix.msg.frame import BODY_MAX, CHUNK
from glunix.msg.job import TERMIOS_SIZE

DIRECTIONS: dict[str, tuple[Any, Decoder]] = {
    "client to daemon": (batch.ClientToDaemon, batch.client_to_daemon),
    "daemon to client": (batch.DaemonToClient, batch.daemon_to_client),
    "daemon to master": (master.DaemonToMaster, master.daemon_to_master),
    "master to daemon": (master.MasterToDaemon, master.master_to_daemon),
    "peer to peer": (peer.PeerToPeer, peer.peer_to_peer),
    "stream opening": (stream.Start | stream.Restore, stream.opening),
    "home to node": (stream.HomeToNode, stream.home_to_node),
    "node to home": (stream.NodeToHome, stream.node_to_home),
}


ALL_OR_NOTHING = {
    (stream.Modes, "data"): stream.MODES_SIZE,
    (client.TtyMode, "left"): TERMIOS_SIZE,
}
"""Fields of one size, or empty (glunix.msg.base.all_or_nothing)."""


def classes(union: Any) -> list[type[Message]]:
    return list(typing.get_args(union)) or [union]


def simple(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type within its limits, as msgspec sees both."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return simple(kind.type)
    if isinstance(kind, msgspec.inspect.IntType):
        low = -(2**63) if kind.ge is None else kind.ge
        high = 2**63 - 1 if kind.le is None else kind.le
        high = high if kind.lt is None else kind.lt - 1
        return st.integers(low, high)
    if isinstance(kind, msgspec.inspect.FloatType):
        return st.floats(kind.ge or 0, kind.le or 1e9)
    if isinstance(kind, msgspec.inspect.BoolType):
        return st.booleans()
    if isinstance(kind, msgspec.inspect.NoneType):
        return st.none()
    if isinstance(kind, msgspec.inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, msgspec.inspect.StrType):
        most = 20 if kind.max_length is None else min(kind.max_length, 20)
        if kind.pattern is not None:
            shown = st.characters(min_codepoint=32, max_codepoint=126)
            some = st.text(shown, max_size=most)
            return some.filter(lambda text: re.search(kind.pattern, text) is not None)
        return st.text(min_size=kind.min_length or 0, max_size=most)
    if isinstance(kind, msgspec.inspect.BytesType):
        least = kind.min_length or 0
        most = 20 if kind.max_length is None else min(kind.max_length, 20)
        return st.binary(min_size=least, max_size=max(most, least))
    if isinstance(kind, msgspec.inspect.ListType):
        most = 3 if kind.max_length is None else min(kind.max_length, 3)
        return st.lists(simple(kind.item_type), min_size=kind.min_length or 0, max_size=most)
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return st.lists(simple(kind.item_type), max_size=3).map(tuple)
    if isinstance(kind, msgspec.inspect.DictType):
        return st.dictionaries(simple(kind.key_type), simple(kind.value_type), max_size=3)
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of([simple(one) for one in kind.types])
    assert isinstance(kind, msgspec.inspect.StructType), kind
    fields = {field.name: simple(field.type) for field in kind.fields}
    if kind.cls is batch.Array:
        return st.builds(lambda n, m: batch.Array(n, n + m), *[st.integers(0, 1000)] * 2)
    if kind.cls is stream.ShadowsMade:
        fields["pids"] = st.sampled_from([[], [2], [7, 8, 9]])
    for (cls, name), size in ALL_OR_NOTHING.items():
        if cls is kind.cls:
            fields[name] = st.sampled_from([b"", bytes(size)])
    return st.builds(kind.cls, **fields)


ALL = [
    pytest.param(cls, decoder, id=f"{what}: {cls.__name__}")
    for what, (union, decoder) in DIRECTIONS.items()
    for cls in classes(union)
]


@pytest.mark.parametrize(("cls", "decoder"), ALL)
def test_every_class_round_trips(cls: type[Message], decoder: Decoder) -> None:
    found = []

    @given(simple(type_info(cls)))
    def round_trip(message: Message) -> None:
        again = decoder.decode(encode(message))
        assert type(again) is cls
        assert again == message
        found.append(message)

    round_trip()
    assert len(set(map(repr, found))) > 1 or not cls.__struct_fields__


def example(cls: type[Message]) -> Message:
    """The plainest value of each class, the same each time."""
    return plain(type_info(cls))


def plain(kind: Any) -> Any:
    if isinstance(kind, msgspec.inspect.Metadata):
        return plain(kind.type)
    if isinstance(kind, msgspec.inspect.StructType):
        return kind.cls(**{field.name: plain(field.type) for field in kind.fields})
    if isinstance(kind, msgspec.inspect.IntType):
        return kind.ge or 0
    if isinstance(kind, msgspec.inspect.StrType):
        return "x" * (kind.min_length or 0)
    if isinstance(kind, msgspec.inspect.LiteralType):
        return kind.values[0]
    if isinstance(kind, msgspec.inspect.ListType):
        return [plain(kind.item_type)] * (kind.min_length or 0)
    if isinstance(kind, msgspec.inspect.BytesType):
        return bytes(kind.min_length or 0)
    if isinstance(kind, msgspec.inspect.UnionType):
        return None if kind.includes_none else plain(kind.types[0])
    values: dict[type, Any] = {
        msgspec.inspect.BoolType: False,
        msgspec.inspect.VarTupleType: (),
        msgspec.inspect.DictType: {},
        msgspec.inspect.FloatType: 0.0,
    }
    return values[type(kind)]


@pytest.mark.parametrize(("cls", "decoder"), ALL)
def test_fields_of_a_newer_peer_are_ignored(cls: type[Message], decoder: Decoder) -> None:
    message = example(cls)
    fields = msgspec.msgpack.decode(encode(message))
    for more in (["new"], [None, {"a": [1]}, b"x" * 100]):
        assert decoder.decode(msgspec.msgpack.encode(fields + more)) == message


@pytest.mark.parametrize(("cls", "decoder"), ALL)
def test_truncated_bodies(cls: type[Message], decoder: Decoder) -> None:
    whole = encode(example(cls))
    assert decoder.decode(whole)
    for cut in range(len(whole)):
        with pytest.raises(FrameError, match=decoder.what):
            decoder.decode(whole[:cut])


@pytest.mark.parametrize(("cls", "decoder"), ALL)
def test_bytes_after_the_message_are_refused(cls: type[Message], decoder: Decoder) -> None:
    with pytest.raises(FrameError, match="trailing"):
        decoder.decode(encode(example(cls)) + b"\xc0")


@pytest.mark.parametrize(("cls", "decoder"), ALL)
def test_every_field_refuses_a_wrong_type(cls: type[Message], decoder: Decoder) -> None:
    """A value of no field's type, in each field's place; the error says where."""
    fields = msgspec.msgpack.decode(encode(example(cls)))
    for at in range(1, len(fields)):
        wrong = [*fields[:at], msgspec.msgpack.Ext(1, b"x"), *fields[at + 1 :]]
        with pytest.raises(FrameError, match=rf"\$\[{at}\]"):
            decoder.decode(msgspec.msgpack.encode(wrong))


def tag(cls: type[Message]) -> str:
    return str(cls.__struct_config__.tag)


WRONG = [
    pytest.param(cls, other, id=f"{cls.__module__}.{cls.__name__} as {direction}")
    for union, _ in DIRECTIONS.values()
    for cls in classes(union)
    for direction, (expected, other) in DIRECTIONS.items()
    if tag(cls) not in {tag(one) for one in classes(expected)}
]


@pytest.mark.parametrize(("cls", "decoder"), WRONG)
def test_a_tag_of_another_direction_is_refused(cls: type[Message], decoder: Decoder) -> None:
    with pytest.raises(FrameError, match=decoder.what):
        decoder.decode(encode(example(cls)))


@pytest.mark.parametrize(("cls", "decoder"), ALL)
def test_the_same_tag_elsewhere_is_never_this_class(cls: type[Message], decoder: Decoder) -> None:
    """Directions may share a word; what comes out is always of the expected direction."""
    for union, _ in DIRECTIONS.values():
        for other in classes(union):
            try:
                got = decoder.decode(encode(example(other)))
            except FrameError:
                continue
            assert type(got) in {param.values[0] for param in ALL if param.values[1] is decoder}


@pytest.mark.parametrize("what", DIRECTIONS)
def test_random_bodies(what: str) -> None:
    decoder = DIRECTIONS[what][1]
    tags = [tag(cls) for cls in classes(DIRECTIONS[what][0])]
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=8,
    )
    tagged = st.builds(lambda name, rest: [name, *rest], st.sampled_from(tags), st.lists(values))
    bodies = st.binary(max_size=100) | tagged.map(msgspec.msgpack.encode)

    @given(bodies)
    def refused_or_right(body: bytes) -> None:
        try:
            message = decoder.decode(body)
        except FrameError:
            return
        assert type(message) in classes(DIRECTIONS[what][0])

    refused_or_right()


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (master.ProcStarted(0, 0, 1), r"\$\[1\]"),
        (master.ProcStarted(NPID_MAX + 1, 0, 1), r"\$\[1\]"),
        (master.ProcStarted(1, DEGREE_MAX, 1), r"\$\[2\]"),
        (master.ProcExited(1, 0, 256, 0), r"\$\[3\]"),
        (master.ProcExited(1, 0, 0, 65), r"\$\[4\]"),
        (master.LoadReport(-0.1, 0), r"\$\[1\]"),
        (master.LoadReport(float("nan"), 0), r"\$\[1\]"),
        (master.JobOver(1, "x" * 4097), r"\$\[2\]"),
        (master.Place(1, 0, "", 0, [], [], False), r"\$\[4\]"),
        (master.Place(1, 0, "", DEGREE_MAX + 1, [], [], False), r"\$\[4\]"),
        (master.Place(1, 0, "", 1, ["n" * 65], [], False), r"\$\[5\]\[0\]"),
        (master.Place(1, -1, "", 1, [], [], False), r"\$\[2\]"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_limits_name_the_path(message: Message, path: str) -> None:
    with pytest.raises(FrameError, match=path):
        master.daemon_to_master.decode(encode(message))


def test_a_full_chunk_fits_and_one_byte_more_does_not() -> None:
    full = stream.Out(0, 1, b"x" * CHUNK)
    assert stream.node_to_home.decode(encode(full)) == full
    assert len(encode(full)) < BODY_MAX
    with pytest.raises(FrameError, match=r"\$\[3\]"):
        stream.node_to_home.decode(encode(stream.Out(0, 1, b"x" * (CHUNK + 1))))


def test_text_that_is_not_utf8() -> None:
    body = msgspec.msgpack.encode(["over", 1]) + b""
    body = b"\x93" + body[1:] + b"\xa2\xff\xfe"
    with pytest.raises(FrameError, match="daemon to master"):
        master.daemon_to_master.decode(body)


def test_no_direction_has_a_tag_twice() -> None:
    for what, (union, _) in DIRECTIONS.items():
        tags = [tag(cls) for cls in classes(union)]
        assert len(tags) == len(set(tags)), what


def test_every_message_class_has_a_direction() -> None:
    told = {cls for union, _ in DIRECTIONS.values() for cls in classes(union)}
    for module in (client, master, peer, stream):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Message) and value is not Message:
                assert value in told, value


def test_meta_is_what_msgspec_calls_limits() -> None:
    """`simple` draws within limits only if msgspec reports them: one known case."""
    info = type_info(master.ProcExited)
    assert isinstance(info, msgspec.inspect.StructType)
    code = next(field.type for field in info.fields if field.name == "code")
    assert isinstance(code, msgspec.inspect.IntType)
    assert (code.ge, code.le) == (0, 255)
    assert Meta(ge=0).ge == 0

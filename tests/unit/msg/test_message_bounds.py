"""Every field of every message has a range: numbers, lengths of lists, texts and bytes."""

from collections.abc import Iterator
from typing import Any

import msgspec.inspect as look
import pytest

from glunix.msg import client, master, peer, stream, trust

UNIONS = {
    "client to daemon": client.ClientToDaemon,
    "daemon to client": client.DaemonToClient,
    "daemon to master": master.DaemonToMaster,
    "master to daemon": master.MasterToDaemon,
    "peer to peer": peer.PeerToPeer,
    "stream opening": stream.Start,
    "home to node": stream.HomeToNode,
    "node to home": stream.NodeToHome,
    "joiner to master": trust.Enrol,
    "master to joiner": trust.MasterToJoiner,
    "admin to master": trust.AdminToMaster,
    "master to admin": trust.MasterToAdmin,
}

FRAME_IS_THE_LIMIT = {
    "JobSpec.argv[]",  # execve(2) says what it takes, as at home
    "JobSpec.env{}",
    "StagedFile.data",
}
"""Bytes of the user's own that a frame (frame.BODY_MAX) bounds."""

FORMAT_IS_THE_LIMIT = {"Ioctl.argument", "IoctlPages.argument"}
"""A word of the program's: MessagePack ends at 2**64 - 1, which msgspec has no limit for."""


def unbounded(kind: Any, path: str) -> Iterator[str]:
    """Paths of what has no upper (of numbers: lower or upper) bound."""
    if isinstance(kind, look.Metadata):
        yield from unbounded(kind.type, path)
    elif isinstance(kind, look.UnionType):
        for one in kind.types:
            yield from unbounded(one, path)
    elif isinstance(kind, look.StructType):
        for field in kind.fields:
            yield from unbounded(field.type, f"{kind.cls.__name__}.{field.name}")
    elif isinstance(kind, look.IntType | look.FloatType):
        if kind.ge is None and kind.gt is None:
            yield f"{path} >="
        if kind.le is None and kind.lt is None and path not in FORMAT_IS_THE_LIMIT:
            yield f"{path} <="
    elif isinstance(kind, look.StrType | look.BytesType):
        if kind.max_length is None and path not in FRAME_IS_THE_LIMIT:
            yield path
    elif isinstance(kind, look.ListType | look.VarTupleType):
        if kind.max_length is None:
            yield f"{path}: how many"
        yield from unbounded(kind.item_type, f"{path}[]")
    elif isinstance(kind, look.DictType):
        if kind.max_length is None:
            yield f"{path}: how many"
        for one in (kind.key_type, kind.value_type):
            yield from unbounded(one, f"{path}{{}}")
    else:
        assert isinstance(kind, look.BoolType | look.LiteralType | look.NoneType), kind


@pytest.mark.parametrize("what", UNIONS)
def test_every_field_has_a_range(what: str) -> None:
    assert sorted(set(unbounded(look.type_info(UNIONS[what]), what))) == []


def test_the_walk_sees_what_has_none() -> None:
    class Bad(stream.Message, frozen=True, tag="bad"):
        number: int
        names: list[str]

    found = set(unbounded(look.type_info(Bad), ""))
    assert found == {"Bad.number >=", "Bad.number <=", "Bad.names: how many", "Bad.names[]"}

"""Messages at the edges of their types, drawn from the types themselves.

`typed(kind)` stays within a type's limits and takes its edges first; `raw(cls)` is an encoded
message with some fields just outside of them, or of another type. What is drawn for a field of a
name in `known` (a job's number, a node's name) is often one that exists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import reject
from hypothesis import strategies as st
from msgspec import inspect
from msgspec.inspect import type_info

Known = Mapping[str, Sequence[Any]]

INT_EDGES = (0, -1, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
FLOAT_EDGES = (0.0, -0.0, 1e-300, 1e9, 1e300, float("inf"), float("nan"), -1.0)
OTHER = (None, True, "", b"", [], {}, 1.5, "x" * 5000, [[[]]], "\0", "\U0001f600")
OUTSIDE = (*INT_EDGES, *FLOAT_EDGES, *OTHER)
LONG_TEXT = 5000
"""Longest text or bytes that are drawn, if the type allows more."""


def _int_edges(kind: inspect.IntType) -> tuple[list[int], list[int]]:
    """(within, outside) of an int's limits."""
    low = kind.ge if kind.ge is not None else (kind.gt + 1 if kind.gt is not None else -(2**63))
    high = kind.le if kind.le is not None else (kind.lt - 1 if kind.lt is not None else 2**63 - 1)
    edges = {*INT_EDGES, low, low + 1, low - 1, high, high - 1, high + 1}
    edges = {edge for edge in edges if -(2**63) <= edge < 2**64}
    return sorted(e for e in edges if low <= e <= high), sorted(
        e for e in edges if not low <= e <= high
    )


def _ints(kind: inspect.IntType) -> st.SearchStrategy[int]:
    within, _ = _int_edges(kind)
    low, high = min(within), max(within)
    return st.one_of(
        st.sampled_from(within), st.integers(low, min(high, low + 9)), st.integers(low, high)
    )


def _floats(kind: inspect.FloatType) -> st.SearchStrategy[float]:
    low = kind.ge if kind.ge is not None else kind.gt
    edges = [e for e in FLOAT_EDGES if (low is None or e >= low) and (not kind.le or e <= kind.le)]
    if kind.gt is not None:
        edges = [e for e in edges if e > kind.gt]
    if kind.le is not None:
        edges.append(float(kind.le))
    return st.sampled_from(edges)


ODD_TEXTS = ("\n", "\0", "../..", "-bad-", "é", "\x1b[2J")


def _sized(kind: inspect.StrType | inspect.BytesType, unit: Any) -> st.SearchStrategy[Any]:
    low = kind.min_length or 0
    high = LONG_TEXT if kind.max_length is None else kind.max_length
    long = st.sampled_from([low, min(low + 1, high), min(high, 300_000)]).map(unit.__mul__)
    if not isinstance(kind, inspect.StrType):
        return long
    texts = [text for text in ODD_TEXTS if low <= len(text) <= high]
    found = st.one_of(long, st.sampled_from(texts)) if texts else long
    if kind.pattern is not None:
        found = st.one_of(st.just("a" * max(low, 1)), found)
        return found.filter(lambda text: re.search(kind.pattern, text) is not None)
    return found


def typed(kind: Any, known: Known | None = None, name: str = "") -> st.SearchStrategy[Any]:
    """Values within the type, edges first."""
    known = known or {}
    found = _of_kind(kind, known)
    if name in known:
        return st.one_of(st.sampled_from(list(known[name])), found)
    return found


def _of_kind(kind: Any, known: Known) -> st.SearchStrategy[Any]:
    if isinstance(kind, inspect.Metadata):
        return _of_kind(kind.type, known)
    if isinstance(kind, inspect.IntType):
        return _ints(kind)
    if isinstance(kind, inspect.FloatType):
        return _floats(kind)
    if isinstance(kind, inspect.BoolType):
        return st.booleans()
    if isinstance(kind, inspect.NoneType):
        return st.none()
    if isinstance(kind, inspect.StrType):
        return _sized(kind, "x")
    if isinstance(kind, inspect.BytesType):
        return _sized(kind, b"\xff")
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        low = kind.min_length or 0
        high = min(4 if kind.max_length is None else kind.max_length, low + 4)
        return st.lists(_of_kind(kind.item_type, known), min_size=low, max_size=high)
    if isinstance(kind, inspect.DictType):
        keys, values = _of_kind(kind.key_type, known), _of_kind(kind.value_type, known)
        return st.dictionaries(keys, values, max_size=3)
    if isinstance(kind, inspect.UnionType):
        return st.one_of([_of_kind(one, known) for one in kind.types])
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, inspect.AnyType):
        return st.sampled_from(OTHER)
    assert isinstance(kind, inspect.StructType), kind
    fields = {f.name: typed(f.type, known, f.name) for f in kind.fields}
    return st.fixed_dictionaries(fields).map(lambda drawn: _made(kind.cls, drawn))


def _made(cls: type, drawn: dict[str, Any]) -> Any:
    """The message, if it is one: some of its rules are told by no type (bytes, 36 or none)."""
    try:
        return cls(**drawn)
    except ValueError:
        reject()


def messages(classes: Sequence[type], known: Known | None = None) -> st.SearchStrategy[Any]:
    """A message of one of the classes, as its type allows it."""
    return st.one_of([typed(type_info(cls), known) for cls in classes])


def raw(classes: Sequence[type], known: Known | None = None) -> st.SearchStrategy[bytes]:
    """An encoded message, often with a field outside of its type, or too few fields, or many."""
    good = messages(classes, known).map(msgspec.msgpack.encode)
    bent = st.builds(_bend, good, st.integers(0, 40), st.sampled_from(OUTSIDE), st.integers(0, 9))
    return st.one_of(good, bent)


def _bend(body: bytes, at: int, value: Any, how: int) -> bytes:
    fields = msgspec.msgpack.decode(body)
    if how == 0:
        return msgspec.msgpack.encode(fields[: at % len(fields)])
    if how == 1:
        return msgspec.msgpack.encode([*fields, value])
    where, path = fields, at
    while True:  # into records and lists, as far as `at` leads
        place = path % len(where)
        inner = where[place]
        if not isinstance(inner, list) or not inner or how > 6:
            break
        where, path = inner, path // len(where)
    where[place] = value
    return msgspec.msgpack.encode(fields)

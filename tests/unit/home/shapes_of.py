"""What glunix.home.wire checks, worked out from the types of glunix.msg."""

from __future__ import annotations

import typing
from typing import Any

import msgspec.inspect as look

NO_MORE = 2**64 - 1
"""MessagePack's largest number: what has no bound in glunix.msg."""


def shape(kind: Any) -> tuple[Any, ...]:
    """As glunix.home.wire.Shape."""
    if isinstance(kind, look.Metadata):
        return shape(kind.type)
    if isinstance(kind, look.IntType):
        high = NO_MORE if kind.le is None and kind.lt is None else kind.le
        return "int", kind.ge, kind.lt - 1 if high is None and kind.lt else high
    if isinstance(kind, look.BoolType):
        return ("bool",)
    if isinstance(kind, look.StrType):
        return "str", kind.min_length or 0, kind.max_length
    if isinstance(kind, look.BytesType):
        return "bytes", kind.min_length or 0, kind.max_length
    if isinstance(kind, look.ListType):
        return "array", kind.min_length or 0, kind.max_length, shape(kind.item_type)
    assert isinstance(kind, look.StructType), kind
    return "row", sum(field.required for field in kind.fields), fields(kind)


def fields(kind: look.StructType) -> tuple[Any, ...]:
    return tuple(shape(field.type) for field in kind.fields)


def shapes(union: Any, *tags: str) -> dict[str, tuple[int, tuple[Any, ...]]]:
    """tag -> (least length with the tag, its fields) of these messages of a union, or all."""
    found = {}
    for cls in typing.get_args(union):
        if tags and str(cls.__struct_config__.tag) not in tags:
            continue
        kind = look.type_info(cls)
        assert isinstance(kind, look.StructType)
        least = 1 + sum(field.required for field in kind.fields)
        found[str(cls.__struct_config__.tag)] = (least, fields(kind))
    return found

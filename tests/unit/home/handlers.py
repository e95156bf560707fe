"""Whether handlers of messages have the fields of the messages: the check that all tables share."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping

import msgspec.inspect as look

from glunix.msg import stream


def fields_of(tag: str) -> list[tuple[str, bool]]:
    """(name, whether an older node may leave it out) of each field of a node's message."""
    for cls in typing.get_args(stream.NodeToHome):
        if cls.__struct_config__.tag == tag:
            kind = look.type_info(cls)
            assert isinstance(kind, look.StructType)
            return [(field.name, not field.required) for field in kind.fields]
    raise AssertionError(f"no message {tag!r}")


def check(handlers: Mapping[str, Callable[..., object]], left_out: int, before: int) -> None:
    """Each parameter is a field, by its name; the first `left_out` fields are the dispatcher's, who
    gives `before` arguments instead."""
    for tag, handler in handlers.items():
        parameters = list(inspect.signature(handler).parameters.values())[before:]
        if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
            continue  # one that passes all of it on
        have = [(one.name, one.default is not inspect.Parameter.empty) for one in parameters]
        assert have == fields_of(tag)[left_out:], tag

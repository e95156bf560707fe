"""What every message shares: how it is encoded, decoded and refused.

A message is an array `[tag, field, ...]`: fields are only ever appended, with a default, so that an
older peer ignores what it does not know. One union per direction; a decoder is made per union, so
that a message of the wrong direction cannot be decoded.
"""

from typing import Any, TypeVar

import msgspec

from glunix.errors import FrameError

MAJOR = 1
MINOR = 0

T = TypeVar("T")

Body = bytes | memoryview
"""An encoded message; a view is valid only during the call that brings it (msg.frame)."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all messages; subclasses give `tag=`."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of values inside messages; no tag."""


def all_or_nothing(data: bytes, size: int, path: str) -> None:
    """For a field of exactly `size` bytes, or none: ValueError, which a decoder reports."""
    if len(data) not in (0, size):
        raise ValueError(f"Expected `bytes` of length 0 or {size} - at `{path}`")


_ENCODER = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return the body bytes of a message."""
    return _ENCODER.encode(message)


class Decoder:
    """Decodes one union. `what` names the direction in errors, e.g. "client to daemon"."""

    def __init__(self, union: Any, what: str) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(union)
        self.what = what

    def decode(self, body: Body) -> Any:
        """Return a message of the union; FrameError with the path of the fault otherwise."""
        try:
            return self._decoder.decode(body)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FrameError(f"bad message ({self.what}): {error}") from None

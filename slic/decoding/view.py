"""One call as decoders see it: its arguments, the caller's memory, and, once known, the result."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

from slic.decoding.text import pointer
from slic.interposer import Call
from slic.tracee import BadAddress, Tracee

Decoder = Callable[["View", int], "str | None"]  # None: this argument is not there


class View:
    """A call at its beginning, or (`result` is a number) at its end."""

    __slots__ = ("before", "call", "result", "tracee")

    def __init__(self, tracee: Tracee, call: Call, result: int | None = None) -> None:
        self.tracee = tracee
        self.call = call
        self.result = result
        self.before = ""  # at the end: how the same argument was shown at the beginning

    def raw(self, position: int) -> int:
        """The register of an argument."""
        return self.call.args[position]

    def int32(self, position: int) -> int:
        return ((self.call.args[position] & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000

    def words(self, address: int, form: str) -> tuple[Any, ...]:
        """A structure of the caller's memory; BadAddress, OSError."""
        layout = struct.Struct("=" + form)
        return layout.unpack(self.tracee.read(address, layout.size))


def in_memory(show: Callable[[View, int], str]) -> Decoder:
    """A decoder of what an argument points to: NULL, or the address where nothing can be read."""

    def decoder(view: View, address: int) -> str:
        if not address:
            return "NULL"
        try:
            return show(view, address)
        except (BadAddress, OSError, struct.error):
            return pointer(address)

    return decoder


def array(
    view: View, address: int, size: int, count: int, show: Callable[[int], str], most: int = 32
) -> str:
    """[a, b, ...] of `count` elements; what cannot be read is shown as the address there."""

    def elements() -> Iterator[str]:
        for number in range(min(count, most)):
            here = address + number * size
            try:
                yield show(here)
            except (BadAddress, OSError):
                yield f"... /* {here:#x} */"
                return
        if count > most:
            yield "..."

    return f"[{', '.join(elements())}]"

"""The startup's own MessagePack: the few types our messages use, without importing a library.

Why: `import msgpack` costs 6 ms and `import msgspec` 40 ms of a start-up whose whole budget is 16;
this module costs under 0.3. Only the startup uses it; `tests/unit/home/test_wire.py` proves with
random messages that it writes and reads exactly what `glunix.msg` does. Pure: bytes in, values out.
Source: the MessagePack specification.
"""

from __future__ import annotations

from glunix.errors import FrameError
from glunix.msg.frame import BODY_MAX, CHUNK, frame_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Shape = tuple[Any, ...]
    """(kind, its limits): int from-to, str and bytes and array least-most length (and of what), row
    (least length, fields), bool."""
    Shapes = dict[str, tuple[int, tuple[Shape, ...]]]
    """tag -> (least length of the message, its fields)."""

Value = None | bool | int | str | bytes | memoryview | list["Value"] | dict[bytes, bytes]

Bytes = bytes | memoryview

_DEPTH_MAX = 8


def _head(length: int, tiny: int, tiny_max: int, codes: tuple[int | None, int, int]) -> bytes:
    if length <= tiny_max:
        return bytes((tiny | length,))
    one, two, four = codes
    if one is not None and length < 0x100:
        return bytes((one, length))
    if length < 0x10000:
        return bytes((two,)) + length.to_bytes(2, "big")
    return bytes((four,)) + length.to_bytes(4, "big")


def _pack_int(value: int) -> bytes:
    if value < 0:
        if value >= -32:
            return bytes((value & 0xFF,))
        return b"\xd3" + value.to_bytes(8, "big", signed=True)
    if value < 0x80:
        return bytes((value,))
    for code, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if value < 1 << (8 * size):
            return bytes((code,)) + value.to_bytes(size, "big")
    raise ValueError(f"integer out of range: {value}")


def pack(value: object) -> bytes:
    """Encode None, bool, int, str, bytes or a view, list/tuple, dict; TypeError for others."""
    if isinstance(value, Bytes):
        return _head(len(value), 0, -1, (0xC4, 0xC5, 0xC6)) + value
    if value is None:
        return b"\xc0"
    if value is True:
        return b"\xc3"
    if value is False:
        return b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(len(raw), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + raw
    if isinstance(value, list | tuple):
        return _head(len(value), 0x90, 15, (None, 0xDC, 0xDD)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        items = b"".join(pack(k) + pack(v) for k, v in value.items())
        return _head(len(value), 0x80, 15, (None, 0xDE, 0xDF)) + items
    raise TypeError(f"cannot encode {type(value).__name__}")


def frame(stream: int, message: object) -> bytes:
    """Return one frame (glunix.msg.frame) that carries `message`."""
    body = pack(message)
    return frame_head(stream, len(body)) + body


BULK = 4096
"""Bytes from which on a field is not copied into the frame that carries it."""


def parts(stream: int, message: list[object]) -> list[Bytes]:
    """Return one frame in pieces to be sent one after the other; bulky fields are themselves."""
    found: list[Bytes] = []
    small = _head(len(message), 0x90, 15, (None, 0xDC, 0xDD))
    for field in message:
        if isinstance(field, Bytes) and len(field) >= BULK:
            found += (small + _head(len(field), 0, -1, (0xC4, 0xC5, 0xC6)), field)
            small = b""
        else:
            small += pack(field)
    found.append(small)
    return [frame_head(stream, sum(map(len, found))) + found[0], *found[1:]]


def data_head(stream: int, tag: str, size: int) -> bytes:
    """Return what goes before `size` bytes of data in a frame that carries `[tag, data]`."""
    head = b"\x92" + pack(tag) + b"\xc6" + size.to_bytes(4, "big")
    return frame_head(stream, len(head) + size) + head


class _Short(Exception):
    """More bytes are needed."""


_INTS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: -1, 0xD1: -2, 0xD2: -4, 0xD3: -8}
_SIZED = {
    0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4),
    0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4),
    0xDC: ("array", 2), 0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip


def _take(data: Bytes, at: int, size: int) -> tuple[Bytes, int]:
    end = at + size
    if end > len(data):
        raise _Short
    return data[at:end], end


def _text(raw: Bytes) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise FrameError("text that is not UTF-8") from None


def _unpack(data: Bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > _DEPTH_MAX:
        raise FrameError("value nests too deep")
    if at >= len(data):
        raise _Short
    code = data[at]
    at += 1
    if code < 0x80:
        return code, at
    if code >= 0xE0:
        return code - 0x100, at
    if code in _INTS:
        size = _INTS[code]
        raw, at = _take(data, at, abs(size))
        return int.from_bytes(raw, "big", signed=size < 0), at
    if code in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[code], at
    if code in _SIZED:
        kind, size = _SIZED[code]
        raw, at = _take(data, at, size)
        length = int.from_bytes(raw, "big")
    elif code < 0xC0:
        kind, length = ("map", code & 15) if code < 0x90 else ("array", code & 15)
        if code >= 0xA0:
            kind, length = "str", code & 31
    else:
        raise FrameError(f"value of unknown type 0x{code:02x}")
    return _unpack_sized(data, at, depth, kind, length)


def _unpack_sized(data: Bytes, at: int, depth: int, kind: str, length: int) -> tuple[Value, int]:
    if length > BODY_MAX:
        raise FrameError("value is over the size limit")
    if kind in ("bin", "str"):
        raw, at = _take(data, at, length)
        return (raw if kind == "bin" else _text(raw)), at
    items, at = _unpack_items(data, at, depth + 1, length if kind == "array" else 2 * length)
    if kind == "array":
        return items, at
    keys = [bytes(k) for k in items[::2] if isinstance(k, Bytes)]
    values = [bytes(v) for v in items[1::2] if isinstance(v, Bytes)]
    if len(keys) != length or len(values) != length:
        raise FrameError("a map of something other than bytes")
    return dict(zip(keys, values, strict=True)), at


def _unpack_items(data: Bytes, at: int, depth: int, count: int) -> tuple[list[Value], int]:
    """As many `_unpack`; what most fields are, small numbers, words and short data, at once."""
    items: list[Value] = []
    end = len(data)
    for _ in range(count):
        code = data[at] if at < end else 0xC1
        stop = at + 1
        if code < 0x80:
            items.append(code)
        elif 0xCC <= code <= 0xCE and (stop := at + 1 + (1 << code - 0xCC)) <= end:
            items.append(int.from_bytes(data[at + 1 : stop], "big"))
        elif 0xA0 <= code < 0xC0 and (stop := at + 1 + (code & 31)) <= end:
            items.append(_text(data[at + 1 : stop]))
        elif code == 0xC4 and at + 1 < end and (stop := at + 2 + data[at + 1]) <= end:
            items.append(data[at + 2 : stop])
        elif code in (0xC2, 0xC3):
            items.append(code == 0xC3)
        else:
            item, stop = _unpack(data, at, depth)
            items.append(item)
        at = stop
    return items, at


def unpack(body: Bytes) -> Value:
    """Decode one whole value; FrameError when it is cut short or has a tail.

    From a view, bins come as views of it.
    """
    try:
        value, end = _unpack(body, 0, 0)
    except _Short:
        raise FrameError("value is cut short") from None
    if end != len(body):
        raise FrameError("bytes after the value")
    return value


def message(body: Bytes) -> list[Value]:
    """Decode the body of a frame: `[tag, field...]`; FrameError when it is something else."""
    value = unpack(body)
    if not isinstance(value, list) or not value or type(value[0]) is not str:
        raise FrameError("not a message")
    return value


# -- what may be in a message --------------------------------------------------------------------
# As the types of glunix.msg have it, for which the startup has no library: test_shapes.py works
# these tables out of those types, and tries both with the same messages.

BOOL: Shape = ("bool",)
U32: Shape = ("int", 0, 2**32 - 1)
COUNT: Shape = ("int", 0, 2**31 - 1)
VNN: Shape = ("int", 0, 4095)
CODE: Shape = ("int", 0, 255)
ERRNO: Shape = ("int", 0, 4095)
PID: Shape = ("int", 1, 2**22)
SIGNAL: Shape = ("int", 0, 64)
REAL_SIGNAL: Shape = ("int", 1, 64)
NAME: Shape = ("str", 1, 64)
TEXT: Shape = ("str", 0, 4096)
DATA: Shape = ("bytes", 0, CHUNK)
_VNNS: Shape = ("array", 0, 4096, VNN)

CONTROL: Shapes = {
    "placed": (
        4, (U32, ("int", 1, 2**31 - 1), ("array", 1, 4096, ("row", 3, (U32, NAME, _VNNS))))
    ),
    "refused": (4, (U32, NAME, TEXT)),
    "lost": (4, (U32, NAME, TEXT)),
}  # fmt: skip
"""What this node's daemon says to a startup."""

USER_LEVEL: Shapes = {
    "started": (3, (VNN, PID, BOOL)),
    "failed": (5, (VNN, NAME, ERRNO, TEXT)),
    "out": (4, (VNN, ("int", 0, 1023), DATA)),
    "flushed": (3, (VNN, ("int", 0, 1023))),
    "incredit": (2, (COUNT,)),
    "inclosed": (1, ()),
    "stopped": (3, (VNN, REAL_SIGNAL)),
    "continued": (2, (VNN,)),
    "exited": (4, (VNN, CODE, SIGNAL, BOOL, BOOL, BOOL)),
}
"""What a node says of a user-level job; glunix.home.shapes has the rest."""


def _fault(value: Value, shape: Shape) -> tuple[str, str] | None:
    """(what is wrong, where in the value); None: nothing is."""
    kind = shape[0]
    if kind == "int":
        if type(value) is not int:
            return "Expected `int`", ""
        wrong = not shape[1] <= value <= shape[2]
        return (f"Expected `int` from {shape[1]} to {shape[2]}", "") if wrong else None
    if kind == "bool":
        return None if value is True or value is False else ("Expected `bool`", "")
    if kind == "str":
        if type(value) is not str:
            return "Expected `str`", ""
    elif kind == "bytes":
        if not isinstance(value, Bytes):
            return "Expected `bytes`", ""
    elif not isinstance(value, list):
        return "Expected `array`", ""
    return _size_fault(value, shape)


def _size_fault(value: Any, shape: Shape) -> tuple[str, str] | None:
    kind = shape[0]
    if kind == "row":
        if len(value) < shape[1]:
            return f"Expected `array` of at least length {shape[1]}, got {len(value)}", ""
        return _first_fault(zip(range(len(value)), value, shape[2], strict=False))
    if not shape[1] <= len(value) <= shape[2]:
        return f"Expected `{kind}` of length {shape[1]} to {shape[2]}", ""
    if kind == "array":
        return _first_fault((at, item, shape[3]) for at, item in enumerate(value))
    return None


def _first_fault(items: Iterable[tuple[int, Value, Shape]]) -> tuple[str, str] | None:
    for at, value, shape in items:
        if type(value) is int and shape[0] == "int" and shape[1] <= value <= shape[2]:
            continue  # most are
        fault = _fault(value, shape)
        if fault is not None:
            return fault[0], f"[{at}]{fault[1]}"
    return None


def checked(body: Bytes, shapes: Shapes, what: str) -> list[Value]:
    """Decode a message that is one of these; FrameError with the path of the fault otherwise.
    `what` names the direction, as glunix.msg.base.Decoder has it."""
    found = message(body)
    tag = found[0]
    known = shapes.get(tag) if isinstance(tag, str) else None
    if known is None:
        raise FrameError(f"bad message ({what}): Invalid value {str(tag)[:32]!r} - at `$[0]`")
    least, fields = known
    if len(found) < least:
        fault = f"Expected `array` of at least length {least}, got {len(found)}"
        raise FrameError(f"bad message ({what}): {fault}")
    wrong = _first_fault(zip(range(1, len(found)), found[1:], fields, strict=False))
    if wrong is not None:
        raise FrameError(f"bad message ({what}): {wrong[0]} - at `${wrong[1]}`")
    del found[len(fields) + 1 :]  # of a younger peer
    return found

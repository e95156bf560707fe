"""The words of `slic.decoding.calls`: what each argument looks like. Structures: `structs`.

Reads the caller's memory, changes nothing. An argument that cannot be read is its address.
"""

import os

from slic.decoding import structs, text
from slic.decoding.network import DECODERS as NETWORK
from slic.decoding.view import Decoder, View, array, in_memory
from slic.tracee import AT_FDCWD

PATH = 4096


def _plain(view: View, value: int) -> str:
    return str(value)


def _unsigned(view: View, value: int) -> str:
    return str(value & 0xFFFFFFFF)


def _at(view: View, value: int) -> str:
    value = (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
    return "AT_FDCWD" if value == AT_FDCWD else str(value)


def _id(view: View, value: int) -> str:
    value &= 0xFFFFFFFF
    return "-1" if value == 0xFFFFFFFF else str(value)


@in_memory
def _path(view: View, address: int) -> str:
    return text.quoted(view.tracee.cstring(address, PATH), None)


@in_memory
def _string(view: View, address: int) -> str:
    return text.quoted(view.tracee.cstring(address, PATH))


@in_memory
def _data(view: View, address: int) -> str:
    """What a call is given: as much as its argument for the size says."""
    return _quoted(view, address, _size_of(view))


@in_memory
def _buffer(view: View, address: int) -> str:
    """What a call has written: as much as its result says."""
    return _quoted(view, address, min(view.result or 0, _size_of(view)))


def _quoted(view: View, address: int, size: int) -> str:
    if not size:
        return '""'
    read = view.tracee.read_some(address, min(size, text.STRING))
    return text.quoted(read.ljust(min(size, text.STRING + 1), b"\0"))


def _size_of(view: View) -> int:
    given = view.call.named()
    names = ("count", "size", "len", "bufsiz")
    found = next((given[name] for name in names if name in given), None)
    return view.raw(2) if found is None else found


@in_memory
def _random(view: View, address: int) -> str:
    size = view.result or 0
    return text.hex_quoted(
        view.tracee.read(address, min(size, text.STRING)).ljust(min(size, text.STRING + 1), b"\0")
    )


@in_memory
def _text(view: View, address: int) -> str:
    return text.quoted(view.tracee.cstring(address, PATH), None)


@in_memory
def _words(view: View, address: int) -> str:
    """A NULL-terminated array of strings: argv."""
    shown: list[str] = []
    while True:
        (word,) = view.words(address + 8 * len(shown), "Q")
        if not word:
            break
        if len(shown) == text.STRING:
            shown.append("...")
            break
        shown.append(_string(view, word) or "")
    return f"[{', '.join(shown)}]"


@in_memory
def _environment(view: View, address: int) -> str:
    count = 0
    while view.words(address + 8 * count, "Q")[0]:
        count += 1
    return f"{address:#x} /* {count} var{'' if count == 1 else 's'} */"


def _mode(view: View, value: int) -> str:
    return text.octal(value & 0xFFFF)


def _created_mode(view: View, value: int) -> str | None:
    flags = view.raw(1 if view.call.name == "open" else 2)
    makes = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
    return text.octal(value & 0xFFFF) if makes else None


def _open_flags(view: View, value: int) -> str:
    return text.open_flags(value & 0xFFFFFFFF)


def _map_flags(view: View, value: int) -> str:
    kind, rest = text.one(value & 0xF, "MAP_TYPE"), value & 0xFFFFFFF0
    return f"{kind}|{text.flags(rest, 'MAP')}" if rest else kind


AT_STATX_SYNC_TYPE = 0x6000


def _statx_flags(view: View, value: int) -> str:
    kind = "" if value & AT_STATX_SYNC_TYPE else "AT_STATX_SYNC_AS_STAT"
    return "|".join(p for p in (kind, text.flags(value & 0xFFFFFFFF, "AT", "")) if p)


def _mremap_new(view: View, value: int) -> str | None:
    return text.pointer(value) if view.raw(3) & 2 else None  # MREMAP_FIXED


def _signal(view: View, value: int) -> str:
    return text.signal_name(value & 0xFFFFFFFF)


# -- clone(2) --------------------------------------------------------------------------------------
PARENT_SETTID, CHILD_CLEARTID, SETTLS, CHILD_SETTID = 0x100000, 0x200000, 0x80000, 0x1000000


def _clone_flags(view: View, value: int) -> str:
    bits, sent = text.flags(value & ~0xFF & 0xFFFFFFFF, "CLONE", ""), value & 0xFF
    return "|".join(part for part in (bits, text.signal_name(sent) if sent else "") if part) or "0"


def _with_flag(flag: int) -> Decoder:
    def decoder(view: View, value: int) -> str | None:
        return text.pointer(value) if view.raw(0) & flag else None

    return decoder


def _clone_parent(view: View, value: int) -> str | None:
    if not view.raw(0) & PARENT_SETTID:
        return None
    return structs.DECODERS["ints1"](view, value)


# -- calls whose arguments depend on others --------------------------------------------------------
FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET = 0, 1, 9, 10
FUTEX_REQUEUES = {3, 4, 11, 12}
FUTEX_WAITS = {FUTEX_WAIT, 6, FUTEX_WAIT_BITSET, 11, 13}
PRIVATE, REALTIME = 128, 256


def _futex_op(view: View, value: int) -> str:
    command = value & 0xFFFFFFFF & ~(PRIVATE | REALTIME)
    name = text.one(command, "FUTEX")
    name += "_PRIVATE" if value & PRIVATE else ""
    return name + ("|FUTEX_CLOCK_REALTIME" if value & REALTIME else "")


def _futex_command(view: View) -> int:
    return view.int32(1) & ~(PRIVATE | REALTIME)


def _futex_value(view: View, value: int) -> str | None:
    return None if _futex_command(view) == 7 else str(value & 0xFFFFFFFF)  # FUTEX_UNLOCK_PI


def _futex_timeout(view: View, value: int) -> str | None:
    command = _futex_command(view)
    if command in FUTEX_WAITS:
        return structs.DECODERS["timespec"](view, value)
    return str(value & 0xFFFFFFFF) if command in FUTEX_REQUEUES or command == 5 else None


def _futex_second(view: View, value: int) -> str | None:
    command = _futex_command(view)
    return text.pointer(value) if command in FUTEX_REQUEUES or command == 5 else None


def _futex_third(view: View, value: int) -> str | None:
    command, value = _futex_command(view), value & 0xFFFFFFFF
    if command in (FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET):
        return "FUTEX_BITSET_MATCH_ANY" if value == 0xFFFFFFFF else text.number(value)
    return str(value) if command in FUTEX_REQUEUES else None


def _fcntl_value(view: View, value: int) -> str | None:
    command = view.int32(1)
    names = {0: _plain, 1030: _plain, 4: _open_flags, 1031: _plain, 8: _plain}
    if command in names:
        return names[command](view, (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000)
    if command == 2:
        return text.flags(value & 0xFFFFFFFF, "FD")
    if command in (5, 6, 7, 36, 37, 38):
        return structs.DECODERS["lock"](view, value)
    if command == 1024:
        return text.one(value & 0xFFFFFFFF, "LOCK_TYPE")
    return None if command in (1, 3, 9, 11, 1025, 1032, 1034) else text.number(value)


def _ioctl_request(view: View, value: int) -> str:
    value &= 0xFFFFFFFF
    names = text.names_of("IOCTL")
    if value in names:
        return names[value]
    direction = ("_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE")[value >> 30]
    kind, number, size = value >> 8 & 0xFF, value & 0xFF, value >> 16 & 0x3FFF
    return f"_IOC({direction}, {kind:#x}, {number:#x}, {text.number(size)})"


# What ends in memory is shown when the call has succeeded: structs.DECODERS by request.
IOCTL_OUT = {0x5401: "termios", 0x5413: "winsize", 0x541B: "ints1", 0x540F: "ints1"} | {
    0x5411: "ints1",
    0x5429: "ints1",
    0x80045430: "ints1",
}
IOCTL_IN = {0x5402: "termios", 0x5403: "termios", 0x5404: "termios", 0x5414: "winsize"} | {
    0x5410: "ints1",
    0x5421: "ints1",
    0x5452: "ints1",
}
IOCTL_DESCRIPTORS = {0x40049409}  # FICLONE
IOCTL_BARE = {0x5450, 0x5451, 0x540C, 0x540D, 0x5422}


def _ioctl_argument(view: View, value: int) -> str | None:
    request = view.int32(1) & 0xFFFFFFFF
    if request in IOCTL_BARE:
        return None
    if request in IOCTL_DESCRIPTORS:
        return str(view.int32(2))
    if request in IOCTL_IN:
        return structs.DECODERS[IOCTL_IN[request]](view, value)
    if request in IOCTL_OUT and view.result is not None and view.result >= 0:
        return structs.DECODERS[IOCTL_OUT[request]](view, value)
    return text.number(value)


ARCH_GETS = {0x1003, 0x1004}


def _arch_value(view: View, value: int) -> str:
    return text.pointer(value)


def _prctl(position: int) -> Decoder:
    """The arguments of the commonest operations; of the others all, as numbers."""

    def decoder(view: View, value: int) -> str | None:
        operation = view.int32(0)
        if position == 2 and operation == 1:
            return text.signal_name(value)
        if position == 2 and operation == 15:
            return _string(view, value)
        if position == 2 and operation in (23, 24):
            return text.one(value, "CAP")
        if operation in (3, 7, 21, 27, 30) or (operation in PRCTL_OF_ONE and position > 2):
            return None
        return text.number(value)

    return decoder


PRCTL_OF_ONE = {1, 2, 4, 8, 15, 16, 22, 23, 24, 28, 29, 36, 37, 40}


def _personality(view: View, value: int) -> str:
    value &= 0xFFFFFFFF
    return text.number(value) if value else "PER_LINUX"


@in_memory
def _vector(view: View, address: int) -> str:
    return _iovec(view, address, view.result or 0)


@in_memory
def _given_vector(view: View, address: int) -> str:
    return _iovec(view, address, 1 << 62)


def _iovec(view: View, address: int, filled: int) -> str:
    """An iovec array; of what a call has written only the first `filled` bytes are its."""
    left = filled

    def one(here: int) -> str:
        nonlocal left
        base, size = view.words(here, "QQ")
        shown = min(size, left)
        left -= shown
        part = _quoted(view, base, shown) if base else "NULL"
        return text.fields({"iov_base": part, "iov_len": str(size)})

    return array(view, address, 16, view.int32(2), one)


DECODERS: dict[str, Decoder] = {
    "address": lambda view, value: text.pointer(value),
    "arch_value": _arch_value,
    "at": _at,
    "buffer": _buffer,
    "clone_child": _with_flag(CHILD_CLEARTID | CHILD_SETTID),
    "clone_flags": _clone_flags,
    "clone_parent": _clone_parent,
    "clone_tls": _with_flag(SETTLS),
    "created_mode": _created_mode,
    "d": _plain,
    "data": _data,
    "environment": _environment,
    "fcntl_value": _fcntl_value,
    "futex_op": _futex_op,
    "futex_second": _futex_second,
    "futex_third": _futex_third,
    "futex_timeout": _futex_timeout,
    "futex_value": _futex_value,
    "given_vector": _given_vector,
    "hex": lambda view, value: text.number(value & 0xFFFFFFFF),
    "id": _id,
    "ioctl_argument": _ioctl_argument,
    "ioctl_request": _ioctl_request,
    "map_flags": _map_flags,
    "map_offset": lambda view, value: text.number(value),
    "mode": _mode,
    "mremap_new": _mremap_new,
    "open_flags": _open_flags,
    "path": _path,
    "personality": _personality,
    "prctl_2": _prctl(2),
    "prctl_3": _prctl(3),
    "prctl_4": _prctl(4),
    "prctl_5": _prctl(5),
    "random": _random,
    "restarted": lambda view, value: "<... resuming interrupted call ...>",
    "restored_mask": lambda view, value: None,
    "signal": _signal,
    "statx_flags": _statx_flags,
    "string": _string,
    "text": _text,
    "u": _unsigned,
    "vector": _vector,
    "words": _words,
    **structs.DECODERS,
    **NETWORK,
}

"""Numbers, strings and sets as strace writes them. Pure."""

import errno
import os
import signal
from collections.abc import Mapping
from datetime import datetime

from slic.decoding.flags import FLAGS

STRING = 32  # bytes of a string that are shown
_ESCAPED = {b"\t": "\\t", b"\n": "\\n", b"\v": "\\v", b"\f": "\\f", b"\r": "\\r"} | {
    b'"': '\\"',
    b"\\": "\\\\",
}
_OCTAL = {b"%d" % digit for digit in range(8)}
_FILE_TYPES = {
    0o010000: "S_IFIFO",
    0o020000: "S_IFCHR",
    0o040000: "S_IFDIR",
    0o060000: "S_IFBLK",
    0o100000: "S_IFREG",
    0o120000: "S_IFLNK",
    0o140000: "S_IFSOCK",
}
_FILE_BITS = {0o4000: "S_ISUID", 0o2000: "S_ISGID", 0o1000: "S_ISVTX"}
# The kernel's own, of a call that a signal interrupted: it is made again, or fails with EINTR.
RESTARTED = {
    512: "ERESTARTSYS (To be restarted if SA_RESTART is set)",
    513: "ERESTARTNOINTR (To be restarted)",
    514: "ERESTARTNOHAND (To be restarted if no handler)",
    516: "ERESTART_RESTARTBLOCK (Interrupted by signal)",
}
_NAMES = {table: {v: n for n, v in names.items()} for table, names in FLAGS.items()}
# Where Python's table has the other of two names.
_ERRNO_NAMES = {11: "EAGAIN", 35: "EDEADLK", 95: "EOPNOTSUPP"}
KERNEL_SIGRTMIN = 32  # glibc keeps the first two for itself


def quoted(data: bytes, limit: int | None = STRING) -> str:
    """A C string constant; `...` behind it when there is more than `limit` bytes."""
    shown = data if limit is None else data[:limit]
    parts = []
    for at in range(len(shown)):
        char = shown[at : at + 1]
        if char in _ESCAPED:
            parts.append(_ESCAPED[char])
        elif 0x20 <= char[0] < 0x7F:
            parts.append(char.decode())
        else:
            digits = "03o" if shown[at + 1 : at + 2] in _OCTAL else "o"
            parts.append(f"\\{char[0]:{digits}}")
    return f'"{"".join(parts)}"' + ("..." if len(shown) < len(data) else "")


def hex_quoted(data: bytes, limit: int = STRING) -> str:
    """Like `quoted`, every byte as a number: for data that is never text."""
    shown = "".join(f"\\x{byte:02x}" for byte in data[:limit])
    return f'"{shown}"' + ("..." if len(data) > limit else "")


def number(value: int) -> str:
    """Hexadecimal, but a plain 0."""
    return f"{value:#x}" if value else "0"


def pointer(address: int) -> str:
    """An address, or NULL."""
    return f"{address:#x}" if address else "NULL"


def octal(mode: int) -> str:
    """Permissions: 0644, 022, 000."""
    return f"0{mode:02o}"


def file_mode(mode: int) -> str:
    """st_mode: type, special bits, permissions."""
    names = [_FILE_TYPES[mode & 0o170000]] if mode & 0o170000 in _FILE_TYPES else []
    names += [name for bit, name in _FILE_BITS.items() if mode & bit]
    return "|".join([*names, octal(mode & 0o777)])


def flags(value: int, table: str, zero: str = "0") -> str:
    """The names of the bits that are set; what has no name as one number behind them."""
    names, left = [], value
    # A flag of several bits (O_SYNC, O_TMPFILE) before its parts.
    for bit, name in sorted(_NAMES[table].items(), key=lambda pair: -pair[0].bit_count()):
        if bit and left & bit == bit:
            names.append((bit, name))
            left &= ~bit
    shown = [name for _, name in sorted(names)]
    if left:
        shown.append(f"{left:#x}")
    return "|".join(shown) or _NAMES[table].get(0, zero)


def names_of(table: str) -> Mapping[int, str]:
    """Value to name."""
    return _NAMES[table]


def one(value: int, table: str) -> str:
    """The name of a value of an enumeration, or the number with a comment."""
    names = _NAMES[table]
    if value in names:
        return names[value]
    return f"{number(value)} /* {next(iter(names.values())).partition('_')[0]}_??? */"


def open_flags(value: int) -> str:
    """Access mode and flags of an open: O_WRONLY|O_CREAT."""
    mode = one(value & os.O_ACCMODE, "OPEN_MODE")
    rest = value & ~os.O_ACCMODE
    return f"{mode}|{flags(rest, 'OPEN')}" if rest else mode


def signal_name(value: int) -> str:
    """SIGINT; SIGRTMIN and SIGRT_1 as the kernel counts them."""
    if KERNEL_SIGRTMIN <= value <= 64:
        return "SIGRTMIN" if value == KERNEL_SIGRTMIN else f"SIGRT_{value - KERNEL_SIGRTMIN}"
    try:
        name = signal.Signals(value).name
    except ValueError:
        return str(value)
    return {"SIGIOT": "SIGABRT", "SIGPOLL": "SIGIO", "SIGCLD": "SIGCHLD"}.get(name, name)


def signal_set(mask: int) -> str:
    """[CHLD INT], or what is missing when that is shorter: ~[KILL]."""
    mask &= (1 << 64) - 1
    inverted = mask.bit_count() > 32
    shown = ~mask if inverted else mask
    names = [signal_name(n).removeprefix("SIG") for n in range(1, 65) if shown >> (n - 1) & 1]
    return f"{'~' if inverted else ''}[{' '.join(names)}]"


def errno_name(number: int) -> str:
    """ENOENT."""
    return _ERRNO_NAMES.get(number) or errno.errorcode.get(number, str(number))


def error(result: int) -> str:
    """A negative result: -1 and the errno by name and in words."""
    if -result in RESTARTED:
        return f"? {RESTARTED[-result]}"
    return f"-1 {errno_name(-result)} ({os.strerror(-result)})"


def moment(seconds: int, nanoseconds: int) -> str:
    """A comment that says when that is."""
    try:
        local = datetime.fromtimestamp(seconds).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    part = f".{nanoseconds:09}" if nanoseconds else ""
    return f" /* {local:%Y-%m-%dT%H:%M:%S}{part}{local:%z} */"


def fields(pairs: Mapping[str, str], more: bool = False) -> str:
    """A structure: {name=value, ...}."""
    shown = [f"{name}={value}" for name, value in pairs.items()]
    return "{" + ", ".join(shown + ["..."] * more) + "}"

"""A call as one line: what is known when it begins, and all of it when it has returned."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from slic.decoding import text
from slic.decoding.calls import CALLS, ORDER
from slic.decoding.decoders import DECODERS
from slic.decoding.structs import descriptors_of
from slic.decoding.view import Decoder, View
from slic.interposer import Call
from slic.syscalls import Kind, Syscall
from slic.tracee import BadAddress, Tracee

COLUMN = 40  # where results stand when the line is shorter
ADDRESSES = {"brk", "mmap", "mremap", "shmat"}
NEVER_RETURN = {"exit", "exit_group"}
TEXT_ARGUMENTS = {"filename", "pathname", "path", "oldname", "newname", "old", "new", "name"}
IN_OUT = {"poll", "ppoll", "select", "pselect6"}
# Shown also when it has failed: what it was given, what remains of an interrupted sleep.
SHOWN_ALWAYS = {"clock_nanosleep", "nanosleep", "recvmsg"}
TIMEOUTS = {"ppoll": 2, "pselect6": 4, "select": 4}  # where what is left of the time stands
PR_GET_DUMPABLE = 3
DUMPABLE = ("SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT")
GETFD, GETFL = 1, 3
# Arguments whose meaning another argument decides, and which may be written: shown twice.
DEPENDING = {("clone3", 0), ("fcntl", 2), ("ioctl", 2), ("sendfile", 2)}
# Lengths that a call is given and tells.
DEPENDING |= {(name, 2) for name in ("accept", "accept4", "getpeername", "getsockname")}
DEPENDING |= {("getsockopt", 4), ("recvfrom", 5)}
POLLFD = 8


class Argument(NamedTuple):
    """One shown argument: its position, its decoder, whether it is known only at the end."""

    position: int
    decode: Decoder
    late: bool = False
    label: str = ""


def _flags(table: str) -> Decoder:
    return lambda view, value: text.flags(value & 0xFFFFFFFF, table)


def _one(table: str) -> Decoder:
    return lambda view, value: text.one(value & 0xFFFFFFFF, table)


def _argument(syscall: Syscall, position: int, word: str) -> Argument:
    label, colon, rest = word.rpartition(":")
    late, name = rest.startswith(">"), rest.lstrip(">")
    if name.startswith("|"):
        decode = _flags(name[1:])
    elif name.startswith("="):
        decode = _one(name[1:])
    elif name == "d" and position < len(syscall.arguments):
        kind = syscall.arguments[position].kind
        decode = _number(Kind.UINT64 if kind is Kind.ADDRESS else kind)
    else:
        decode = DECODERS[name]
    return Argument(position, decode, late, f"{label}=" if colon else "")


def _number(kind: Kind) -> Decoder:
    decoded = kind.decoder()
    return lambda view, value: str(decoded(value))


def _by_kind(syscall: Syscall, position: int) -> Argument:
    """An argument of a call that CALLS does not have."""
    given = syscall.arguments[position]
    if given.kind is Kind.ADDRESS:
        named = given.ctype == "const char *" and given.name in TEXT_ARGUMENTS
        return Argument(position, DECODERS["path" if named else "address"])
    if given.kind is Kind.UINT64:
        return Argument(position, lambda view, value: text.number(value))
    return Argument(position, _number(given.kind))


@cache
def arguments(syscall: Syscall) -> tuple[Argument, ...]:
    """How the arguments of a call are shown."""
    if syscall.name in CALLS:
        words = CALLS[syscall.name].split()
        order = ORDER.get(syscall.name, range(len(words)))
        return tuple(_argument(syscall, *pair) for pair in zip(order, words, strict=True))
    return tuple(_by_kind(syscall, position) for position in range(len(syscall.arguments)))


class Begun:
    """A call that has begun. `shown` is as much of its line as is known by then."""

    __slots__ = ("_begun", "call", "shown", "started")

    def __init__(self, tracee: Tracee, call: Call) -> None:
        view = View(tracee, call)
        self.call = call
        self.started = tracee.now()
        self._begun: list[str | None] = [
            None if a.late else _decoded(a, view) for a in arguments(call.syscall)
        ]
        known, more = self._known()
        self.shown = f"{call.name}({', '.join(known)}" + (", " if known and more else "")

    def _known(self) -> tuple[list[str], bool]:
        """The arguments before the first that is known only at the end; whether more come."""
        known: list[str] = []
        for argument, part in zip(arguments(self.call.syscall), self._begun, strict=True):
            if argument.late or (part and (self.call.name, argument.position) in DEPENDING):
                return known, True
            if part is not None:
                known.append(part)
        return known, False

    def all(self, tracee: Tracee, result: int | None) -> list[str]:
        """Every argument; without a result what a call writes is an address."""
        view = View(tracee, self.call, result)
        ended = result is not None and (result >= 0 or self.call.name in SHOWN_ALWAYS)
        parts = []
        for argument, part in zip(arguments(self.call.syscall), self._begun, strict=True):
            if argument.late:
                given = self.call.args[argument.position]
                part = _decoded(argument, view) if ended else text.pointer(given)
            elif ended and (self.call.name, argument.position) in DEPENDING:
                view.before = part or ""
                part = _decoded(argument, view)
            if part is not None:
                parts.append(part)
        return parts

    def rest(self, tracee: Tracee, result: int | None) -> str:
        """What of the line comes after `shown`, without the result."""
        return ", ".join(self.all(tracee, result)[len(self._known()[0]) :]) + ")"


def _decoded(argument: Argument, view: View) -> str | None:
    try:
        shown = argument.decode(view, view.raw(argument.position))
    except (BadAddress, OSError):  # the kernel will find the same fault
        shown = text.pointer(view.raw(argument.position))
    return None if shown is None else argument.label + shown


def result_text(tracee: Tracee, call: Call, result: int) -> str:
    """A raw result: a number, an errno by name, or what the number means for this call."""
    if -4096 < result < 0:
        return text.error(result)
    if call.name in ADDRESSES:
        return text.number(result)
    if call.name == "umask":
        return text.octal(result)
    view = View(tracee, call, result)
    if call.name == "fcntl" and view.int32(1) == GETFL:
        return f"{result:#x} (flags {text.open_flags(result)})"
    if call.name == "fcntl" and view.int32(1) == GETFD:
        return f"{result:#x} (flags {text.flags(result, 'FD')})" if result else "0"
    if call.name == "prctl" and view.int32(0) == PR_GET_DUMPABLE and result < len(DUMPABLE):
        return f"{result} ({DUMPABLE[result]})"
    if call.name in IN_OUT:
        return f"{result}{_ready(view, result)}"
    return str(result)


def _ready(view: View, result: int) -> str:
    """What of a poll or select is ready, in brackets."""
    if not result:
        return " (Timeout)"
    try:
        parts = list(_polled(view) if "poll" in view.call.name else _selected(view))
    except (BadAddress, OSError):
        return ""
    if "poll" in view.call.name:
        parts = [f"[{', '.join(parts)}]"]
    if (at := TIMEOUTS.get(view.call.name)) is not None and view.raw(at):
        clock = DECODERS["timeval" if view.call.name == "select" else "timespec"]
        parts.append(f"left {clock(view, view.raw(at))}")
    return f" ({', '.join(parts)})"


def _polled(view: View) -> Iterator[str]:
    for number in range(min(view.int32(1), 1024)):
        fd, _, ready = view.words(view.raw(0) + POLLFD * number, "ihh")
        if ready:
            yield text.fields({"fd": str(fd), "revents": text.flags(ready, "POLL")})


def _selected(view: View) -> Iterator[str]:
    for position, name in ((1, "in"), (2, "out"), (3, "except")):
        if address := view.raw(position):
            ready = descriptors_of(view, address)
            if ready:
                yield f"{name} [{' '.join(map(str, ready))}]"

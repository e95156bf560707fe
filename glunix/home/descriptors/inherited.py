"""Descriptors above 2 that a program would inherit here: a transparent job gets them as well.

Process substitution (`glurun -T diff <(a) <(b)`), make's jobserver and a shell's `exec 5<file` live
on them. What each leads to is told to the node, which makes a stand-in under the same number; reads
are asked for by a channel number, output comes on a channel of that number. Inherited means:
without FD_CLOEXEC when we were started (execve(2)).

What is open for reading and writing, sockets, directories and other terminals than the job's are
kept here, and every call on them is asked for (AT_HOME, glunix.home.descriptors.forwarded).

Limits: sockets that listen, and what leads to nothing of a file (epoll, events, ...), are not
passed on, nor is more than MOST; the user is told.
"""

from __future__ import annotations

import _socket
import os
import posix
import stat
from fcntl import F_GETFL, fcntl

from glunix.home.descriptors.openfile import F_GETSIG, must_care, same_open
from glunix.home.options import open_numbers
from glunix.home.sinks import reopened
from glunix.home.terminal.tty import device_of

_F_GETOWN_EX, _F_OWNER_PGRP = 16, 2

FIRST, MOST = 16, 64
"""Channel numbers; those that follow are glunix.home.calls.files's."""

DEVICES = {3: "null", 5: "zero", 7: "full", 8: "random", 9: "urandom"}
"""Memory devices (minor numbers of major 1, null(4), random(4)): the node has the same."""


FILE_OUTPUT = "file-out"
"""A file that is written (glunix.msg.job.Inherited)."""


SOCKETS = {1: "stream", 2: "dgram", 5: "packet"}
"""By SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET."""

AT_HOME = ("file-both", "dir", "other", *SOCKETS.values())
"""Kinds of what is asked for at home, call by call: a file that is open for reading and writing, a
directory, another terminal or pipe that is, a socket."""


def is_file(fd: int) -> bool:
    """Whether the user gave us this descriptor, and of a file."""
    try:
        return stat.S_ISREG(posix.fstat(fd).st_mode) and not fcntl(fd, F_GETFL) & os.O_PATH
    except OSError:
        return False


def _is_read_only(fd: int) -> bool:
    return fcntl(fd, F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def needs_checked_writes(found: list[Inherited]) -> bool:
    """As glunix.msg.job.JobSpec.careful."""
    outputs = [fd for fd in (1, 2) if is_file(fd) and not _is_read_only(fd)]
    more = [one.number for one in found if one.kind in (FILE_OUTPUT, "file-both")]
    written = any(one.kind == FILE_OUTPUT for one in found)
    return bool(outputs or written) and must_care(outputs + more)


class Inherited:
    """One of them: `number` is the program's, `size` is of a file, or the number it equals (as)."""

    path = b""
    """Of one that is asked for at home: its name there."""

    def __init__(self, number: int, channel: int, kind: str, size: int) -> None:
        self.number = number
        self.channel = channel
        self.kind = kind
        self.size = size

    def row(self) -> list[object]:
        """As glunix.msg.job.Inherited."""
        return [self.number, self.channel, self.kind, self.size, self.path]


def inherited(terminal_fd: int, left_out: list[int], channels: int = 0) -> list[Inherited]:
    """What there is; from now on our own children do not inherit it. `terminal_fd` -1: none.

    `left_out` gets those that are not passed on. `channels` from FIRST on are taken (`standard`).
    """
    given = [fd for fd in open_numbers() if fd > 2 and _is_inheritable(fd)]
    if not given:
        return []
    terminal = device_of(terminal_fd) if terminal_fd >= 0 else 0
    known: dict[tuple[int, int, int], list[int]] = {}
    for fd in (0, 1, 2):
        try:
            known.setdefault(_identity(fd), []).append(fd)
        except OSError:
            pass  # closed
    found: list[Inherited] = []
    for fd in given:
        posix.set_inheritable(fd, False)
        if channels + len(found) == MOST:
            left_out.append(fd)
            continue
        kind, size = _kind(fd, terminal)
        if kind in ("pipe", "out", "file", FILE_OUTPUT, *AT_HOME):
            others = known.setdefault(_identity(fd), [])
            shares = kind in ("file", FILE_OUTPUT, *AT_HOME)
            same = next((n for n in others if not shares or same_open(fd, n)), fd)
            kind, size = (kind, size) if same == fd else ("as", same)
            others.append(fd)
        if kind:
            found.append(Inherited(fd, FIRST + channels + len(found), kind, size))
            if kind in AT_HOME:
                found[-1].path = os.readlink(b"/proc/self/fd/%d" % fd)
        else:
            left_out.append(fd)
    return found


_USUAL = (
    {"tty", "pipe", "file", "stream"},
    {"tty", "out", FILE_OUTPUT, "file-both", "stream"},
)
"""Kinds of fd 0, and of fds 1 and 2, that glunix.msg.job.JobSpec has always described; a memory
device only says how it is open (JobSpec.opened)."""


def standard(terminal_fd: int) -> list[Inherited]:
    """Those of fds 0-2 that are open in another way than shells open them: `0<>file`, `1<file`, a
    directory, another terminal, packets. `terminal_fd` -1: none."""
    terminal = device_of(terminal_fd) if terminal_fd >= 0 else 0
    found: list[Inherited] = []
    for fd in (0, 1, 2):
        try:
            kind, size = _kind(fd, terminal)
        except OSError:
            continue  # closed
        # What two of them share is one: that is seen in the order of what is written to it.
        known = [o.number for o in found] if kind in AT_HOME else [1, 2] if fd == 0 else []
        same = next((other for other in known if _is_same(fd, other)), None)
        if same is not None and kind in ("out", FILE_OUTPUT, *AT_HOME):
            kind, size = "as", same
        usual = kind in _USUAL[fd > 0] and not (kind == "stream" and _is_network(fd))
        if kind and not usual and kind not in DEVICES.values():
            found.append(Inherited(fd, FIRST + len(found), kind, size))
            if kind in AT_HOME:
                found[-1].path = os.readlink(b"/proc/self/fd/%d" % fd)
    return found


def _is_network(fd: int) -> bool:
    """Whether this socket has addresses and options that its program asks for (inetd's)."""
    sock = _socket.socket(fileno=posix.dup(fd))
    try:
        return sock.family != _socket.AF_UNIX
    finally:
        sock.close()


def _is_same(fd: int, other: int) -> bool:
    try:
        return _identity(fd) == _identity(other) and same_open(fd, other)
    except OSError:
        return False  # closed


def open_states() -> list[list[int]]:
    """Of fds 0-2, as glunix.msg.job.OpenState."""
    found = []
    for fd in (0, 1, 2):
        try:
            state = [fcntl(fd, F_GETFL), _owner(fd), fcntl(fd, F_GETSIG)]
        except OSError:
            state = [os.O_PATH, 0, 0]
        found.append(state)
    return found


def _owner(fd: int) -> int:
    """As F_GETOWN has it, which Python takes for an error when it is a group's (fcntl(2))."""
    found = fcntl(fd, _F_GETOWN_EX, bytes(8))
    kind, pid = (int.from_bytes(found[at : at + 4], "little", signed=True) for at in (0, 4))
    return -pid if kind == _F_OWNER_PGRP else pid


def is_read_output(fd: int) -> bool:
    """Whether this output is a file that the program may read as well."""
    return is_file(fd) and fcntl(fd, F_GETFL) & os.O_ACCMODE == os.O_RDWR


def memory_device(found: os.stat_result) -> str:
    """Its name; empty when it is none that the node has."""
    is_one = stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == 1
    return DEVICES.get(os.minor(found.st_rdev), "") if is_one else ""


def _is_inheritable(fd: int) -> bool:
    try:
        return posix.get_inheritable(fd)
    except OSError:
        return False  # that of the listing itself


def _identity(fd: int) -> tuple[int, int, int]:
    seen = posix.fstat(fd)
    return seen.st_dev, seen.st_ino, fcntl(fd, F_GETFL) & (os.O_ACCMODE | os.O_PATH)


def _kind(fd: int, terminal: int) -> tuple[str, int]:
    """(kind, size) as glunix.msg.job.Inherited; an empty kind is not passed on."""
    found, flags = posix.fstat(fd), fcntl(fd, F_GETFL)
    access = flags & os.O_ACCMODE
    if flags & os.O_PATH:
        return "", 0
    if stat.S_ISCHR(found.st_mode):
        name = memory_device(found)
        if not name and terminal and device_of(fd) == terminal:
            return "tty", 0
        return (name, 0) if name or not posix.isatty(fd) else _other(fd, flags)
    if stat.S_ISDIR(found.st_mode):
        return "dir", flags
    if stat.S_ISSOCK(found.st_mode):
        from glunix.home.calls.sockets import carried

        return SOCKETS.get(carried(fd), ""), flags
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISFIFO(found.st_mode):
        return "", 0
    if access == os.O_WRONLY:
        return FILE_OUTPUT if stat.S_ISREG(found.st_mode) else "out", 0
    if access != os.O_RDONLY:
        return ("file-both", flags) if stat.S_ISREG(found.st_mode) else _other(fd, flags)
    return ("file", found.st_size) if stat.S_ISREG(found.st_mode) else ("pipe", 0)


def _other(fd: int, flags: int) -> tuple[str, int]:
    return ("other", flags) if can_be_forwarded(fd, flags) else ("", 0)


def can_be_forwarded(fd: int, flags: int) -> bool:
    """Whether a pipe or terminal can be had as another open file."""
    own = reopened(fd, flags & os.O_ACCMODE)
    if own >= 0:
        posix.close(own)
    return own >= 0

"""`HomeFds`: reads, seeks and terminal ioctls on stand-ins are asked of the home node.

A stand-in is the object on the execution node that a program finds behind a descriptor of home's:
a pseudo-terminal, a pipe or an empty file. Nothing is ever read from a stand-in itself: each read
becomes a question for exactly the bytes the program asked for, so that what it did not ask for
stays at home (the 1997 paper's unsolved "lost input", section 7). A descriptor is known by what
it leads to, not by its number: dup'ed, inherited and reopened ones count.

Limits: copies inside the kernel from a stand-in (splice, sendfile, tee, copy_file_range) fail with
EINVAL, on which programs fall back to read and write, where `HomeCopies` does not make them; a file
stand-in keeps the size that home's file had at the start.
"""

import errno
import os
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from msgspec import Struct

from slic.interposer import Bits, Handler, Interposer, argument_tests, on
from slic.interposers.home.ioctls import (
    LEADING_ELSEWHERE,
    NATIVE,
    TERMINAL_IOCTLS,
    ProgramPages,
    is_natives,
)
from slic.objects import Objects
from slic.tracee import Address, BadAddress, Tracee
from slic.verdict import PASS, Fail, Return, Verdict

READ_MAX = 256 * 1024
"""Bytes asked for at most in one question; a longer read is answered short, as read(2) allows."""

_TTY_DEVICE = os.makedev(5, 0)
"""/dev/tty: stands for the caller's controlling terminal."""


class ReadHome(Struct, frozen=True):
    """Question: up to `count` bytes of home's `fd`. Answer: bytes; OSError for an errno."""

    fd: int
    count: int
    nonblock: bool
    offset: int


class SeekHome(Struct, frozen=True):
    """Question: lseek on home's `fd`. Answer: the new offset; OSError for an errno."""

    fd: int
    offset: int
    whence: int


class IoctlHome(Struct, frozen=True):
    """Question: this ioctl on home's `fd`; `data` is the memory it reads, or room for its answer.

    `argument` is the third argument itself, for commands that take a number. Answer: (value,
    memory afterwards); OSError for an errno.
    """

    fd: int
    command: int
    argument: int
    data: bytes


class PagesHome(Struct, frozen=True):
    """Question: this ioctl on home's `fd` with these pages of the program at their addresses.

    Answer: (value or -errno, [(address, bytes that it changed)]).
    """

    fd: int
    command: int
    argument: int
    pages: list[tuple[int, bytes]]


class TakeBack(Struct, frozen=True):
    """Question: these bytes were fetched but could not be delivered; keep them for the next read.
    Answer: anything."""

    fd: int
    data: bytes


class Native(Struct, frozen=True):
    """An answer to any question: let this node's kernel decide the call (job control)."""


class StandIn(NamedTuple):
    """One stand-in: home's descriptor, and what identifies the object on the node.

    `kind` is as glunix.msg.job.JobSpec.stdin has it, or "out" for one that is only written.

    `device` is st_rdev of a terminal; else (`device`, `inode`) are st_dev and st_ino. `path` is
    home's name of what the job opened there itself (`HomePaths`); empty for descriptors 0-2.
    `place` is the node's name of a stand-in directory.
    """

    fd: int
    kind: str
    device: int
    inode: int
    path: bytes = b""
    place: str = ""
    is_read: bool = False
    """It is written, and its file at home can be read as well."""


def is_within(pieces: Iterable[tuple[int, int]], address: int, size: int) -> bool:
    """Whether `size` bytes at `address` lie inside one of these (address, bytes)."""
    return any(at <= address and address + size <= at + room for at, room in pieces)


SEEKABLE = ("file", "dir")

FILE_OUTPUT = "file-out"
OUTPUTS = ("out", FILE_OUTPUT)
"""Kinds of what is only written; home's is a file where `HomeStdio` has to know."""

Asking = Generator[object, Any, Verdict]


class HomeFds(Interposer):
    """Reads and terminal ioctls of the given stand-ins go home; every other descriptor passes."""

    confines = False

    def __init__(self, stand_ins: Iterable[StandIn], opens: bool = False) -> None:
        """`opens`: more will be added while the job runs."""
        self._opens = opens
        self._terminals: dict[int, StandIn] = {}
        self._others: dict[tuple[int, int], StandIn] = {}
        self._places: dict[str, StandIn] = {}
        self._objects = Objects()
        for stand_in in stand_ins:
            if stand_in.kind == "tty":
                self._terminals[stand_in.device] = stand_in
                self._objects.add_device(stand_in.device)
                self._objects.add_device(_TTY_DEVICE)
            else:
                self.add(stand_in)

    def add(self, stand_in: StandIn) -> None:
        """The job has one more."""
        self._others[stand_in.device, stand_in.inode] = stand_in
        self._objects.add(stand_in.device, stand_in.inode)
        if stand_in.place:
            self._places[stand_in.place] = stand_in

    def remove(self, stand_in: StandIn) -> None:
        """No process has it any more; its numbers may come again."""
        self._others.pop((stand_in.device, stand_in.inode), None)
        self._objects.discard(stand_in.device, stand_in.inode)
        self._places.pop(stand_in.place, None)

    def named(self, node_path: str) -> bytes:
        """Home's name of a place where the caller is; empty when it is this node's."""
        stand_in = self._places.get(node_path.removesuffix(" (deleted)"))
        return stand_in.path if stand_in is not None else b""

    def kinds(self) -> set[str]:
        """Of the stand-ins that there are now."""
        return {s.kind for s in (*self._terminals.values(), *self._others.values())}

    def declarations(self) -> Iterable[Handler]:
        """What is only written is no reason to catch reads, nor what has no offset seeks."""
        kinds = self.kinds()
        if self._opens or kinds & set(SEEKABLE) or any(s.is_read for s in self._others.values()):
            return type(self).handlers
        if kinds <= set(OUTPUTS):
            return [h for h in type(self).handlers if h.method == "ioctl"]
        at_the_offset = argument_tests({"pos_l": {-1}})
        return [
            replace(h, where=at_the_offset) if h.method == "preadv" else h
            for h in type(self).handlers
            if h.method not in ("lseek", "pread")
        ]

    def find(self, tracee: Tracee, fd: int) -> StandIn | None:
        """What a descriptor of the caller stands for; None: for itself."""
        try:
            seen = tracee.fd_stat(fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise  # unknown is not "another file": the call fails, it is never let through
            return None  # the kernel will say EBADF
        return self.leading(seen)

    def objects(self) -> Objects:
        """The stand-ins."""
        return self._objects

    def leading(self, seen: os.stat_result) -> StandIn | None:
        """The stand-in that this is; None: it is none."""
        found = self._others.get((seen.st_dev, seen.st_ino))
        if found is not None or not self._terminals:
            return found
        if seen.st_rdev == _TTY_DEVICE:
            return next(iter(self._terminals.values()))
        return self._terminals.get(seen.st_rdev)

    def writable(self, tracee: Tracee, fd: int, stand_in: StandIn) -> int:
        """A descriptor of our own with which a stand-in that is a file in memory is filled.

        The caller's threads may put another file behind the number at any time: what was got is
        looked at once more, and then used whatever the number means.
        """
        own = tracee.fd_dup(fd)
        try:
            if self.leading(os.fstat(own)) is not stand_in:
                raise OSError(errno.EBADF, "exchanged meanwhile")
            return os.open(f"/proc/self/fd/{own}", os.O_WRONLY | os.O_CLOEXEC)
        finally:
            os.close(own)

    # -- reads -------------------------------------------------------------------------------

    @on("read", about="fd")
    def read(self, tracee: Tracee, fd: int, buf: Address, count: int) -> Verdict | Asking:
        stand_in = self.find(tracee, fd)
        if stand_in is None or count == 0:
            return PASS
        return self._ask(tracee, stand_in, fd, [(buf, count)], -1)

    @on("readv", about="fd")
    def readv(self, tracee: Tracee, fd: int, vec: Address, vlen: int) -> Verdict | Asking:
        stand_in = self.find(tracee, fd)
        if stand_in is None:
            return PASS
        return self._ask(tracee, stand_in, fd, tracee.iovec(vec, vlen), -1)

    @on("pread64", about="fd")
    def pread(
        self, tracee: Tracee, fd: int, buf: Address, count: int, pos: int
    ) -> Verdict | Asking:
        stand_in = self.find(tracee, fd)
        if stand_in is None or not self._has_offset(stand_in) or pos < 0:
            return PASS  # ESPIPE and EINVAL are the kernel's to say
        return self._ask(tracee, stand_in, fd, [(buf, count)], pos)

    @on("preadv", "preadv2", about="fd")
    def preadv(
        self, tracee: Tracee, fd: int, vec: Address, vlen: int, pos_l: int
    ) -> Verdict | Asking:
        stand_in = self.find(tracee, fd)
        if stand_in is None or (not self._has_offset(stand_in) and pos_l != -1):
            return PASS
        return self._ask(tracee, stand_in, fd, tracee.iovec(vec, vlen), pos_l)

    @staticmethod
    def _has_offset(stand_in: StandIn) -> bool:
        return stand_in.kind == "file" or stand_in.is_read

    def _ask(
        self,
        tracee: Tracee,
        stand_in: StandIn,
        fd: int,
        vector: list[tuple[int, int]],
        offset: int,
    ) -> Asking:
        flags = tracee.fd_flags(fd)
        if flags & os.O_ACCMODE == os.O_WRONLY and not stand_in.is_read:
            return PASS
        if stand_in.kind == "dir":
            return Fail(errno.EISDIR)
        wanted = min(sum(size for _, size in vector), READ_MAX)
        if not wanted:
            return PASS
        nonblock = bool(flags & os.O_NONBLOCK)
        data = yield ReadHome(stand_in.fd, wanted, nonblock, offset)
        if type(data) is Native:
            return PASS
        if len(data) > wanted:
            return Fail(errno.EIO)
        try:
            return Return(tracee.scatter(vector, data))
        except BadAddress:
            # Natively a wrong pointer loses nothing either.
            if offset < 0 and self._has_offset(stand_in):
                yield SeekHome(stand_in.fd, -len(data), os.SEEK_CUR)
            elif offset < 0:
                yield TakeBack(stand_in.fd, data)
            return Fail(errno.EFAULT)

    @on("splice", about="fd_in")
    def splice(self, tracee: Tracee, fd_in: int) -> Verdict:
        return self._no_copy(tracee, fd_in)

    @on("copy_file_range", about="fd_in")
    def copy_file_range(self, tracee: Tracee, fd_in: int) -> Verdict:
        return self._no_copy(tracee, fd_in)

    @on("sendfile", about="in_fd")
    def sendfile(self, tracee: Tracee, in_fd: int) -> Verdict:
        return self._no_copy(tracee, in_fd)

    @on("tee", about="fdin")
    def tee(self, tracee: Tracee, fdin: int) -> Verdict:
        return self._no_copy(tracee, fdin)

    def _no_copy(self, tracee: Tracee, fd: int) -> Verdict:
        stand_in = self.find(tracee, fd)
        if stand_in is None or (stand_in.kind in OUTPUTS and not stand_in.is_read):
            return PASS
        return Fail(errno.EINVAL)

    # -- seeks and ioctls --------------------------------------------------------------------

    @on("lseek", about="fd")
    def lseek(self, tracee: Tracee, fd: int, offset: int, whence: int) -> Verdict | Asking:
        stand_in = self.find(tracee, fd) if self._others else None
        if stand_in is None or stand_in.kind not in SEEKABLE or not 0 <= whence <= 4:
            return PASS
        return self._seek(stand_in, offset, whence)

    def _seek(self, stand_in: StandIn, offset: int, whence: int) -> Asking:
        position = yield SeekHome(stand_in.fd, offset, whence)
        return Return(position)

    # In the filter, not here: a native ioctl does not wait, so no signal may interrupt it.
    @on("ioctl", where={"cmd": Bits(0xFFFFFFFF, NATIVE, negate=True)}, about="fd")
    def ioctl(self, tracee: Tracee, fd: int, cmd: int, arg: int) -> Verdict | Asking:
        stand_in = self.find(tracee, fd)
        if stand_in is None or (not stand_in.path and is_natives(stand_in.kind, cmd)):
            return PASS
        if cmd in LEADING_ELSEWHERE:
            return Fail(LEADING_ELSEWHERE[cmd])
        if cmd in TERMINAL_IOCTLS:
            return self._known_ioctl(tracee, stand_in, cmd, arg)
        return self._any_ioctl(tracee, stand_in, cmd, arg)

    def _known_ioctl(self, tracee: Tracee, stand_in: StandIn, cmd: int, arg: int) -> Asking:
        how = TERMINAL_IOCTLS[cmd]
        room = max(how.reads, how.writes)
        data = tracee.read(arg, how.reads) if how.reads else bytes(room)
        answer = yield IoctlHome(stand_in.fd, cmd, 0 if room else arg, data)
        if type(answer) is Native:
            return PASS
        value, memory = answer
        if how.writes:  # no byte more, and none of an answer that is too short
            tracee.write(arg, memory[: how.writes].ljust(how.writes, b"\0"))
        return Return(value)

    def _any_ioctl(self, tracee: Tracee, stand_in: StandIn, cmd: int, arg: int) -> Asking:
        pages = ProgramPages(tracee, cmd, arg)
        while True:
            sent = pages.pieces()
            value, changed = yield PagesHome(stand_in.fd, cmd, arg, sent)
            if value != -errno.EFAULT or not pages.grow():
                break
        given = [(at, len(data)) for at, data in sent]
        if not all(is_within(given, address, len(data)) for address, data in changed):
            return Fail(errno.EIO)
        for address, data in changed:
            tracee.write(address, data)
        return Fail(-value) if value < 0 else Return(value)


class StandInCalls(Interposer):
    """What interposers share whose handlers are about the stand-ins of a `HomeFds`."""

    confines = False

    def __init__(self, fds: HomeFds) -> None:
        self._fds = fds

    def objects(self) -> Objects:
        """The stand-ins."""
        return self._fds.objects()

    def _of_kind(self, tracee: Tracee, fd: int, *kinds: str) -> StandIn | None:
        stand_in = self._fds.find(tracee, fd)
        return stand_in if stand_in is not None and stand_in.kind in kinds else None

    def _output(self, tracee: Tracee, fd: int) -> StandIn | None:
        return self._of_kind(tracee, fd, FILE_OUTPUT)

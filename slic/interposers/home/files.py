"""`HomeFiles`: what a program does with descriptors of files that it opened at home.

Reads, seeks and ioctls are `HomeFds`'; here are writes, attributes and the rest. The descriptor
leads to a stand-in that is a file, directory or terminal as home's is, so dup, fork, exec, close,
poll, select and epoll are native; the offset, O_APPEND and the end of file are home's.

Limits: a map shows what the file held when mmap was called (up to 256 MiB); one that is shared and
written fails with ENODEV. Locks belong to the open file, also those that fcntl gives a process
(F_OFD_SETLK). Extended attributes fail with EOPNOTSUPP; copies inside the kernel (sendfile, splice,
copy_file_range) with EINVAL, on which programs read and write. O_ASYNC, leases and notifications
(inotify) see nothing.
"""

import errno
import os
import struct

from slic.interposer import Bits, on
from slic.interposers.home.descriptors import Asking, ReadHome, StandIn, StandInCalls
from slic.interposers.home.questions import CallHome, RaiseSignal
from slic.interposers.home.statbuf import FIELDS, NANO, encode_stat, encode_statfs
from slic.interposers.home.writes import RAISES, WRITE_MAX, write_home
from slic.interposers.support.callers import gathered, signed
from slic.tracee import BadAddress, Tracee
from slic.verdict import PASS, Fail, Return, Verdict

MAP_MAX = 256 * 1024 * 1024
"""Bytes of a file that is mapped."""

MAP_TYPE, MAP_PRIVATE, MAP_ANONYMOUS, PROT_WRITE = 0xF, 2, 0x20, 2
F_SETFL = 4
LOCKS = {5: "getlk", 6: "setlk", 7: "setlkw", 36: "getlk", 37: "setlk", 38: "setlkw"}
"""F_GETLK, F_SETLK, F_SETLKW, and those of open file descriptions."""

_FLOCK = struct.Struct("=hh4xqqi4x")
UNCHANGED = (1 << 32) - 1
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
NOW, OMIT = -(1 << 62), -(1 << 62) - 1
"""As a time in nanoseconds."""


def settable(flags: int) -> int:
    """What F_SETFL changes of a file at home."""
    return flags & (os.O_APPEND | os.O_NOATIME | os.O_NONBLOCK | os.O_ASYNC)


def owner(user: int, group: int) -> tuple[int, int]:
    """As chown(2) means them: -1 leaves what is."""
    return (-1 if user == UNCHANGED else user), (-1 if group == UNCHANGED else group)


def times(tracee: Tracee, address: int) -> tuple[int, int]:
    """(access, modification) of a struct timespec[2] (utimensat(2)) in nanoseconds, NOW or OMIT."""
    if not address:
        return NOW, NOW
    words = struct.unpack("=4q", tracee.read(address, 32))
    return _moment(*words[:2]), _moment(*words[2:])


def _moment(seconds: int, nanoseconds: int) -> int:
    special = {UTIME_NOW: NOW, UTIME_OMIT: OMIT}.get(nanoseconds)
    if special is not None:
        return special
    if not 0 <= nanoseconds < NANO:
        raise OSError(errno.EINVAL, "tv_nsec")
    return seconds * NANO + nanoseconds


class DescriptorCalls(StandInCalls):
    """Calls on a descriptor of home that need no more than numbers; `_for_home` says which those
    descriptors are."""

    def _for_home(self, tracee: Tracee, fd: int) -> StandIn | None:
        """The stand-in that such calls are made on; None: this node's kernel decides."""
        raise NotImplementedError

    def _refused(self, tracee: Tracee, fd: int, number: int) -> Verdict:
        return PASS if self._for_home(tracee, fd) is None else Fail(number)

    def _plain(self, tracee: Tracee, call: str, fd: int, *numbers: int) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        return PASS if stand_in is None else self._call(call, stand_in, numbers)

    def _call(self, call: str, stand_in: StandIn, numbers: tuple[int, ...]) -> Asking:
        try:
            value, _, _ = yield CallHome(call, stand_in.fd, (), numbers)
        except OSError as error:
            if error.errno == errno.EFBIG:  # beyond the limit of size (ftruncate(2))
                yield RaiseSignal(RAISES[errno.EFBIG])
            raise
        return Return(value)

    def _set_flags(self, stand_in: StandIn, arg: int) -> Asking:
        """F_SETFL: the stand-in has the flags, too, for F_GETFL and O_NONBLOCK."""
        yield CallHome("setfl", stand_in.fd, (), (settable(arg),))
        return PASS

    @on("fstatfs", about="fd")
    def fstatfs(self, tracee: Tracee, fd: int, buf: int) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        return PASS if stand_in is None else self._fstatfs(tracee, stand_in, buf)

    def _fstatfs(self, tracee: Tracee, stand_in: StandIn, buf: int) -> Asking:
        _, numbers, _ = yield CallHome("fstatfs", stand_in.fd)
        tracee.write(buf, encode_statfs(numbers))
        return Return(0)

    @on("ftruncate", about="fd")
    def ftruncate(self, tracee: Tracee, fd: int, length: int) -> Verdict | Asking:
        return self._plain(tracee, "ftruncate", fd, signed(length))

    @on("fallocate", about="fd")
    def fallocate(
        self, tracee: Tracee, fd: int, mode: int, offset: int, len: int
    ) -> Verdict | Asking:
        if mode:
            return self._plain(tracee, "fallocmode", fd, signed(offset), signed(len), mode)
        return self._plain(tracee, "fallocate", fd, signed(offset), signed(len))

    @on("fchmod", about="fd")
    def fchmod(self, tracee: Tracee, fd: int, mode: int) -> Verdict | Asking:
        return self._plain(tracee, "fchmod", fd, mode & 0o7777)

    @on("fchown", about="fd")
    def fchown(self, tracee: Tracee, fd: int, user: int, group: int) -> Verdict | Asking:
        return self._plain(tracee, "fchown", fd, *owner(user, group))

    @on("fsync", "fdatasync", about="fd")
    def fsync(self, tracee: Tracee, fd: int) -> Verdict | Asking:
        return self._plain(tracee, "fsync", fd)

    @on("flock", about="fd")
    def flock(self, tracee: Tracee, fd: int, cmd: int) -> Verdict | Asking:
        return self._plain(tracee, "flock", fd, cmd)


class HomeFiles(DescriptorCalls):
    """See the module."""

    def _for_home(self, tracee: Tracee, fd: int) -> StandIn | None:
        stand_in = self._fds.find(tracee, fd)
        return stand_in if stand_in is not None and stand_in.path else None

    # -- writes ------------------------------------------------------------------------------

    @on("write", "pwrite64", about="fd")
    def write(
        self, tracee: Tracee, fd: int, buf: int, count: int, pos: int | None = None
    ) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        if stand_in is None:
            return PASS
        return self._write(tracee, stand_in, fd, [(buf, count)], pos)

    @on("writev", "pwritev", "pwritev2", about="fd")
    def writev(
        self, tracee: Tracee, fd: int, vec: int, vlen: int, pos_l: int | None = None
    ) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        if stand_in is None:
            return PASS
        where = None if pos_l == -1 else pos_l
        return self._write(tracee, stand_in, fd, tracee.iovec(vec, vlen), where)

    def _write(
        self,
        tracee: Tracee,
        stand_in: StandIn,
        fd: int,
        vector: list[tuple[int, int]],
        pos: int | None,
    ) -> Asking:
        """`pos` None: at the descriptor's own offset."""
        if pos is not None and pos < 0:
            return Fail(errno.EINVAL)
        nonblock = bool(tracee.fd_flags(fd) & os.O_NONBLOCK)
        return (yield from write_home(stand_in, gathered(tracee, vector), pos, nonblock))

    # -- attributes --------------------------------------------------------------------------

    @on("fstat", about="fd")
    def fstat(self, tracee: Tracee, fd: int, statbuf: int) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        return PASS if stand_in is None else self._fstat(tracee, stand_in, statbuf)

    def _fstat(self, tracee: Tracee, stand_in: StandIn, statbuf: int) -> Asking:
        _, numbers, _ = yield CallHome("fstat", stand_in.fd)
        tracee.write(statbuf, encode_stat(numbers))
        return Return(0)

    @on("fcntl", where={"cmd": {F_SETFL}}, about="fd")
    def set_flags(self, tracee: Tracee, fd: int, arg: int) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        if stand_in is None:
            return PASS
        return self._set_flags(stand_in, arg)

    # -- directories -------------------------------------------------------------------------

    @on("getdents64", about="fd")
    def getdents64(self, tracee: Tracee, fd: int, dirent: int, count: int) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        if stand_in is None:
            return PASS
        return self._getdents(tracee, stand_in, dirent, count)

    def _getdents(self, tracee: Tracee, stand_in: StandIn, dirent: int, count: int) -> Asking:
        room = max(0, min(count, WRITE_MAX))
        _, _, data = yield CallHome("getdents", stand_in.fd, (), (room,))
        if len(data) > room:
            return Fail(errno.EIO)
        try:
            tracee.write(dirent, data)
        except BadAddress:
            return Fail(errno.EFAULT)
        return Return(len(data))

    # -- locks -------------------------------------------------------------------------------

    @on("fcntl", where={"cmd": LOCKS}, about="fd")
    def lock(self, tracee: Tracee, fd: int, cmd: int, arg: int) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        return PASS if stand_in is None else self._lock(tracee, stand_in, LOCKS[cmd], arg)

    def _lock(self, tracee: Tracee, stand_in: StandIn, call: str, arg: int) -> Asking:
        asked = _FLOCK.unpack(tracee.read(arg, _FLOCK.size))
        _, found, _ = yield CallHome(call, stand_in.fd, (), asked[:4])
        if call == "getlk":
            try:
                lock = _FLOCK.pack(*found)
            except struct.error:
                return Fail(errno.EIO)  # no kernel says that
            tracee.write(arg, lock)
        return Return(0)

    # -- maps --------------------------------------------------------------------------------

    @on("mmap", where={"flags": Bits(MAP_ANONYMOUS, frozenset({0}))}, about="fd")
    def mmap(self, tracee: Tracee, prot: int, flags: int, fd: int) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd)
        if stand_in is None or stand_in.kind in ("stream", "dgram", "packet"):
            return PASS  # no socket but TCP's can be mapped
        if stand_in.kind != "file" or (prot & PROT_WRITE and flags & MAP_TYPE != MAP_PRIVATE):
            return Fail(errno.ENODEV)
        if tracee.fd_flags(fd) & os.O_ACCMODE == os.O_WRONLY:
            return PASS  # EACCES
        return self._map(stand_in, self._fds.writable(tracee, fd, stand_in))

    def _map(self, stand_in: StandIn, own: int) -> Asking:
        """Fill the stand-in, which is a file in memory, with what is at home now."""
        try:
            _, facts, _ = yield CallHome("fstat", stand_in.fd)
            size = facts[FIELDS.index("size")]
            if not 0 <= size <= MAP_MAX:
                return Fail(errno.ENODEV)
            os.ftruncate(own, size)
            done = 0
            while done < size:
                data = yield ReadHome(stand_in.fd, min(size - done, WRITE_MAX), False, done)
                if not data:
                    break
                done += os.pwrite(own, data[: size - done], done)
        finally:
            os.close(own)
        return PASS

    # -- what cannot be ----------------------------------------------------------------------

    @on("getdents", about="fd")
    def getdents(self, tracee: Tracee, fd: int) -> Verdict:
        return self._refused(tracee, fd, errno.EINVAL)

    @on("fgetxattr", "flistxattr", "fsetxattr", "fremovexattr", about="fd")
    def attributes(self, tracee: Tracee, fd: int) -> Verdict:
        return self._refused(tracee, fd, errno.EOPNOTSUPP)

    @on("splice", "copy_file_range")
    def copied_in(self, tracee: Tracee, fd_out: int) -> Verdict:
        return self._refused(tracee, fd_out, errno.EINVAL)

    @on("sendfile")
    def sent_in(self, tracee: Tracee, out_fd: int) -> Verdict:
        return self._refused(tracee, out_fd, errno.EINVAL)

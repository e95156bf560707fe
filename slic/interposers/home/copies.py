"""`HomeCopies`: copies inside the kernel from home's input (splice, sendfile, ...), and maps of it.

A copy takes from home what its target has room for now, and writes that; a target without room is
refused with EINVAL, on which programs read and write. A map shows what the file held when mmap was
called (up to 256 MiB).
"""

import dataclasses
import errno
import fcntl
import os
import select
import stat
import struct
import termios
from collections.abc import Collection, Iterable

from slic.interposer import Bits, Handler, argument_tests, on
from slic.interposers.home.descriptors import (
    Asking,
    HomeFds,
    ReadHome,
    SeekHome,
    StandIn,
    StandInCalls,
)
from slic.interposers.home.files import MAP_MAX
from slic.interposers.home.writes import WRITE_MAX
from slic.tracee import Tracee
from slic.verdict import PASS, Fail, Return, Verdict

SPLICE_F_NONBLOCK = 2
SOCKET_ROOM = 16 * 1024
"""Bytes that a stream socket of the usual size takes when poll says that it is writable."""

ANY = Bits(0xFFFFFFFF, frozenset({0}))


class HomeCopies(StandInCalls):
    """`files` are the program's descriptors that begin as files of home."""

    def __init__(self, fds: HomeFds, files: Collection[int]) -> None:
        super().__init__(fds)
        self._files = frozenset(files)

    def declarations(self) -> Iterable[Handler]:
        """Maps of other descriptors are none of ours: every program is mapped to begin with."""
        where = argument_tests({"fd": Bits(0xFFFFFFFF, self._files)})
        for handler in type(self).handlers:
            if handler.method != "mmap":
                yield handler
            elif self._files:
                yield dataclasses.replace(handler, where=where)

    # -- copies ------------------------------------------------------------------------------

    @on("splice", about="fd_in")
    def splice(
        self, tracee: Tracee, fd_in: int, off_in: int, fd_out: int, len: int, flags: int
    ) -> Verdict | Asking:
        stand_in = self._of_kind(tracee, fd_in, "file", "tty")
        if stand_in is None:
            return PASS
        if off_in and stand_in.kind == "tty":
            return Fail(errno.EINVAL)
        if self._output(tracee, fd_out) is not None:
            return Fail(errno.EINVAL)  # neither of them is a pipe at home
        nonblock = bool(flags & SPLICE_F_NONBLOCK or tracee.fd_flags(fd_in) & os.O_NONBLOCK)
        return self._copy(tracee, stand_in, off_in, _Target(tracee, fd_out, "pipe"), len, nonblock)

    @on("sendfile", about="in_fd")
    def sendfile(
        self, tracee: Tracee, out_fd: int, in_fd: int, offset: int, count: int
    ) -> Verdict | Asking:
        stand_in = self._of_kind(tracee, in_fd, "file", "tty")
        if stand_in is None:
            return PASS
        if offset and stand_in.kind == "tty":
            return Fail(errno.ESPIPE)
        return self._copy(tracee, stand_in, offset, _Target(tracee, out_fd, ""), count, False)

    @on("copy_file_range", about="fd_in")
    def copy_file_range(
        self, tracee: Tracee, fd_in: int, off_in: int, fd_out: int, off_out: int, len: int
    ) -> Verdict | Asking:
        stand_in = self._of_kind(tracee, fd_in, "file")
        if stand_in is None or off_out:
            return PASS
        return self._copy(tracee, stand_in, off_in, _Target(tracee, fd_out, "file"), len, False)

    def _copy(
        self,
        tracee: Tracee,
        stand_in: StandIn,
        offset: int,
        target: "_Target",
        count: int,
        nonblock: bool,
    ) -> Asking:
        """`offset` is where the caller has one of its own (loff_t), or 0: the descriptor's."""
        try:
            wanted = min(count, target.room())
            if not count:
                return Return(0)
            if not wanted:
                return Fail(errno.EINVAL)
            if stand_in.kind == "tty":
                data = yield ReadHome(stand_in.fd, wanted, nonblock, -1)
                return Return(target.write(data))
            if offset:
                (at,) = struct.unpack("=q", tracee.read(offset, 8))
            else:
                at = yield SeekHome(stand_in.fd, 0, os.SEEK_CUR)
            data = yield ReadHome(stand_in.fd, wanted, False, at)
            done = target.write(data) if data else 0
            if offset:
                tracee.write(offset, struct.pack("=q", at + done))
            else:
                yield SeekHome(stand_in.fd, at + done, os.SEEK_SET)
            return Return(done)
        except OSError as error:
            return Fail(error.errno or errno.EIO)
        finally:
            target.close()

    # -- maps --------------------------------------------------------------------------------

    @on("mmap", where={"fd": ANY})
    def mmap(self, tracee: Tracee, flags: int, fd: int) -> Verdict | Asking:
        stand_in = self._of_kind(tracee, fd, "file") if fd in self._files else None
        if stand_in is None or stand_in.path:
            return PASS
        return self._map(stand_in, self._fds.writable(tracee, fd, stand_in))

    def _map(self, stand_in: StandIn, own: int) -> Asking:
        """Fill the stand-in, which is a file in memory, with what is at home now."""
        try:
            done = 0
            while data := (yield ReadHome(stand_in.fd, WRITE_MAX, False, done)):
                done += os.pwrite(own, data, done)
                if done > MAP_MAX:
                    return Fail(errno.ENODEV)
            os.ftruncate(own, done)
        finally:
            os.close(own)
        return PASS


class _Target:
    """Where a copy goes: the caller's own open file. `kind`: what alone it may be."""

    def __init__(self, tracee: Tracee, fd: int, kind: str) -> None:
        self._fd = tracee.fd_dup(fd)
        self._appends = bool(fcntl.fcntl(self._fd, fcntl.F_GETFL) & os.O_APPEND)
        self._is_ours = tracee.uid == os.geteuid()
        """Whether a receiver that asks who has written (SO_PASSCRED) hears of the caller's uid."""
        self._kind = kind
        self._mode = os.fstat(self._fd).st_mode

    def room(self) -> int:
        """Bytes that it takes without waiting; 0 when it is not for us to say."""
        if not self._is_ours:
            return 0
        is_pipe, is_file = stat.S_ISFIFO(self._mode), stat.S_ISREG(self._mode)
        if (self._kind == "pipe" and not is_pipe) or (self._kind == "file" and not is_file):
            return 0
        if is_file:
            return 0 if self._appends else WRITE_MAX  # EINVAL, EBADF: programs read and write then
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if not any(events & select.POLLOUT for _, events in poll.poll(0)):
            return 0
        if is_pipe:
            there = int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), "little")
            return select.PIPE_BUF if there else fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)
        return SOCKET_ROOM if stat.S_ISSOCK(self._mode) else select.PIPE_BUF

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        os.close(self._fd)

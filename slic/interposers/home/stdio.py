"""`HomeStdio`: what a program finds on its fds 0-2 where they are files at home.

The stand-in of an output is a pipe, so that writes are native and stream home. What tells a file
from a pipe is asked of home, after all that was written before: offset, attributes, flags, size,
writes elsewhere. Of an input, which `HomeFds` reads, attributes and locks are home's, too.

Limits: home's errors of a streamed write come after it has returned (but see `HomeWrites`);
poll sees a pipe.
"""

import errno
import os
from collections.abc import Iterable

from slic.interposer import Handler, any_of, on
from slic.interposers.home.descriptors import FILE_OUTPUT, Asking, HomeFds, SeekHome, StandIn
from slic.interposers.home.files import DescriptorCalls, settable
from slic.interposers.home.questions import CallHome
from slic.interposers.home.statbuf import encode_stat, encode_statx
from slic.interposers.home.writes import write_home
from slic.interposers.support.callers import gathered
from slic.tracee import Tracee
from slic.verdict import PASS, Fail, Return, Verdict

AT_EMPTY_PATH = 0x1000
STATX_RESERVED = 0x80000000
F_GETFL, F_SETFL = 3, 4
WHENCES = 5
"""SEEK_SET to SEEK_HOLE (lseek(2))."""


class HomeStdio(DescriptorCalls):
    """See the module."""

    def __init__(self, fds: HomeFds, given: StandIn | None) -> None:
        """`given` stands for the input, if that is a file."""
        super().__init__(fds)
        self._input = given
        self._last = 0
        """The thread whose last call of these was fstatfs."""
        self._direct: dict[int, int] = {}
        """home's fd -> O_DIRECT, where the program has set it."""

    def declarations(self) -> Iterable[Handler]:
        """Without an output that is a file nobody's flags are home's: fcntl, which never waits
        natively, is left alone, so that no signal can make it fail."""
        if FILE_OUTPUT in self._fds.kinds():
            return type(self).handlers
        return [h for h in type(self).handlers if h.method not in ("get_flags", "set_flags")]

    def _for_home(self, tracee: Tracee, fd: int) -> StandIn | None:
        stand_in = self._fds.find(tracee, fd)
        if stand_in is None or stand_in.kind == FILE_OUTPUT:
            return stand_in
        return stand_in if stand_in.kind == "file" or stand_in.path else None

    # -- its offset and attributes -------------------------------------------------------------

    @on("lseek", about="fd")
    def lseek(self, tracee: Tracee, fd: int, offset: int, whence: int) -> Verdict | Asking:
        stand_in = self._output(tracee, fd)
        if stand_in is None:
            return PASS
        if not 0 <= whence < WHENCES:
            return Fail(errno.EINVAL)
        return self._seek(stand_in, offset, whence)

    def _seek(self, stand_in: StandIn, offset: int, whence: int) -> Asking:
        position = yield SeekHome(stand_in.fd, offset, whence)
        return Return(position)

    def _fstatfs(self, tracee: Tracee, stand_in: StandIn, buf: int) -> Asking:
        self._last = tracee.tid
        return (yield from super()._fstatfs(tracee, stand_in, buf))

    @on("fstat", about="fd")
    def fstat(self, tracee: Tracee, fd: int, statbuf: int) -> Verdict | Asking:
        return self._stat(tracee, fd, statbuf)

    @on("newfstatat", where={"flag": any_of(AT_EMPTY_PATH)}, about="dfd")
    def newfstatat(self, tracee: Tracee, dfd: int, filename: int, statbuf: int) -> Verdict | Asking:
        return PASS if self._is_named(tracee, filename) else self._stat(tracee, dfd, statbuf)

    @on("statx", where={"flags": any_of(AT_EMPTY_PATH)}, about="dirfd")
    def statx(
        self, tracee: Tracee, dirfd: int, pathname: int, mask: int, statxbuf: int
    ) -> Verdict | Asking:
        if mask & STATX_RESERVED or self._is_named(tracee, pathname):
            return PASS
        return self._stat(tracee, dirfd, statxbuf, extended=True)

    @staticmethod
    def _is_named(tracee: Tracee, path: int) -> bool:
        return path != 0 and tracee.read(path, 1) != b"\0"

    def _stat(
        self, tracee: Tracee, fd: int, address: int, extended: bool = False
    ) -> Verdict | Asking:
        stand_in = self._for_home(tracee, fd) if fd >= 0 else None
        if stand_in is None:
            return PASS
        return self._ask_stat(tracee, stand_in, address, extended)

    def _ask_stat(self, tracee: Tracee, stand_in: StandIn, address: int, extended: bool) -> Asking:
        _, numbers, _ = yield CallHome("fstat", stand_in.fd)
        given = self._input
        if given is not None:
            # Also seen by name (/dev/stdin), it has the stand-in's identity; so has an output
            # that is the same file: who reads what he writes must be able to know.
            _, own, _ = yield CallHome("fstat", given.fd)
            # But not right after fstatfs: so fpathconf(3) tells ext4 from ext2, by the device.
            device = numbers[0] if self._last == tracee.tid else given.device
            if own[:2] == numbers[:2]:
                numbers = [device, given.inode, *numbers[2:]]
        self._last = 0
        tracee.write(address, encode_statx(numbers) if extended else encode_stat(numbers))
        return Return(0)

    # -- its flags -----------------------------------------------------------------------------

    @on("fcntl", where={"cmd": {F_GETFL}}, about="fd")
    def get_flags(self, tracee: Tracee, fd: int) -> Verdict | Asking:
        stand_in = self._output(tracee, fd)
        if stand_in is None:
            return PASS
        return self._get_flags(stand_in)

    def _get_flags(self, stand_in: StandIn) -> Asking:
        flags, _, _ = yield CallHome("getfl", stand_in.fd)
        return Return(flags | self._direct.get(stand_in.fd, 0))

    @on("fcntl", where={"cmd": {F_SETFL}}, about="fd")
    def set_flags(self, tracee: Tracee, fd: int, arg: int) -> Verdict | Asking:
        stand_in = self._output(tracee, fd)
        if stand_in is None:
            return PASS
        return self._set_flags(stand_in, arg)

    def _set_flags(self, stand_in: StandIn, arg: int) -> Asking:
        """Home's file has them, the pipe that stands for it none: with O_NONBLOCK it would refuse
        what a file takes. O_DIRECT is shown, not done: home's half writes from memory that no
        device takes."""
        yield CallHome("setfl", stand_in.fd, (), (settable(arg),))
        self._direct[stand_in.fd] = arg & os.O_DIRECT
        return Return(0)

    # -- its content ---------------------------------------------------------------------------

    # By number: reads of other descriptors are many, and cost nothing this way.
    @on("pread64", "preadv", "preadv2", where={"fd": {0, 1, 2}}, about="fd")
    def pread(self, tracee: Tracee, fd: int, pos: int = 0, pos_l: int = 0) -> Verdict:
        """A pipe would say ESPIPE."""
        stand_in = self._output(tracee, fd)
        if stand_in is None or stand_in.is_read or pos < 0 or pos_l < 0:
            return PASS
        return Fail(errno.EBADF)

    @on("pwrite64", about="fd")
    def pwrite(self, tracee: Tracee, fd: int, buf: int, count: int, pos: int) -> Verdict | Asking:
        stand_in = self._output(tracee, fd)
        if stand_in is None:
            return PASS
        return self._write(tracee, stand_in, [(buf, count)], pos)

    @on("pwritev", "pwritev2", about="fd")
    def pwritev(self, tracee: Tracee, fd: int, vec: int, vlen: int, pos_l: int) -> Verdict | Asking:
        stand_in = self._output(tracee, fd)
        if stand_in is None or pos_l == -1:
            return PASS
        return self._write(tracee, stand_in, tracee.iovec(vec, vlen), pos_l)

    def _write(
        self, tracee: Tracee, stand_in: StandIn, vector: list[tuple[int, int]], pos: int
    ) -> Asking:
        if pos < 0:
            return Fail(errno.EINVAL)
        return (yield from write_home(stand_in, gathered(tracee, vector), pos))

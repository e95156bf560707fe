"""`HomeWrites`: writes to files of home by a job that has to be careful with them.

The stand-in of an output is a pipe, so that writes are native and stream home. Here each is looked
at first: it is let through when home surely has room for it and after what was written through
other descriptors has gone, so that two open files keep the order of their writes. Else it is made
at home now, and its error, or how much was taken, is the program's, at that very write.

Limits: copies inside the kernel (sendfile, splice, copy_file_range) are refused with EINVAL, on
which programs read and write. When somebody else takes the room meanwhile, the error comes with the
next write.
"""

import errno
from signal import SIGPIPE, SIGXFSZ

from slic.interposer import on
from slic.interposers.home.descriptors import Asking, StandIn, StandInCalls
from slic.interposers.home.questions import CallHome, MayStream, RaiseSignal
from slic.interposers.support.callers import gathered
from slic.tracee import Tracee
from slic.verdict import PASS, Fail, Return, Verdict

WRITE_MAX = 256 * 1024
"""Bytes that one question carries."""

RAISES = {errno.EPIPE: SIGPIPE, errno.EFBIG: SIGXFSZ}
"""Errors of a write that come with a signal (write(2))."""


def write_home(stand_in: StandIn, data: bytes, pos: int | None, nonblock: bool = False) -> Asking:
    """Write at home and be told what came of it. pos None: at the descriptor's own offset."""
    done = 0
    while True:
        piece = data[done : done + WRITE_MAX]
        where = -1 if pos is None else pos + done
        try:
            count, _, _ = yield CallHome("write", stand_in.fd, (), (where, int(nonblock)), piece)
        except OSError as error:
            if done:
                return Return(done)
            if error.errno in RAISES:
                yield RaiseSignal(RAISES[error.errno])
            raise
        done += count
        if done >= len(data) or count < len(piece):
            return Return(done)


class HomeWrites(StandInCalls):
    """See the module."""

    @on("write", about="fd")
    def write(self, tracee: Tracee, fd: int, buf: int, count: int) -> Verdict | Asking:
        stand_in = self._output(tracee, fd)
        return PASS if stand_in is None else self._write(tracee, stand_in, [(buf, count)])

    @on("writev", "pwritev2", about="fd")
    def writev(
        self, tracee: Tracee, fd: int, vec: int, vlen: int, pos_l: int = -1
    ) -> Verdict | Asking:
        stand_in = self._output(tracee, fd)
        if stand_in is None or pos_l != -1:
            return PASS
        return self._write(tracee, stand_in, tracee.iovec(vec, vlen))

    def _write(
        self, tracee: Tracee, stand_in: StandIn, vector: list[tuple[int, int]]
    ) -> Verdict | Asking:
        count = sum(size for _, size in vector)
        return self._looked_at(tracee, stand_in, vector, count) if count else PASS

    def _looked_at(
        self, tracee: Tracee, stand_in: StandIn, vector: list[tuple[int, int]], count: int
    ) -> Asking:
        if (yield MayStream(stand_in.fd, count)):
            return PASS
        return (yield from write_home(stand_in, gathered(tracee, vector), None))

    @on("splice", "copy_file_range", about="fd_out")
    def copied_in(self, tracee: Tracee, fd_out: int) -> Verdict:
        return PASS if self._output(tracee, fd_out) is None else Fail(errno.EINVAL)

    @on("sendfile", about="out_fd")
    def sent_in(self, tracee: Tracee, out_fd: int) -> Verdict:
        return PASS if self._output(tracee, out_fd) is None else Fail(errno.EINVAL)

"""The lines of MPI ranks to this daemon: a PMI server (paper 4.6; glunix.state.pmi).

Each process of a user-level job of several gets the other end of a socket pair (PMI_FD). Which rank
speaks is therefore known without a word of its own. Their key-value space grows at fences, which
are barriers of glunix.state.barrier, over all nodes of the job. A rank that has begun and ends
without finalize, or aborts, ends the job with its status.
"""

import socket
from typing import TYPE_CHECKING

from glunix.comm.loop import Loop
from glunix.state.barrier import Barrier, Release
from glunix.state.pmi import Abort, Fence, ProtocolFault, Rank, Say, Wish

if TYPE_CHECKING:
    from glunix.daemon.node_stream import NodeStream
    from glunix.daemon.parallel import Parallel

READ = 65536


class _Line:
    def __init__(self, stream: "NodeStream", rank: Rank, ours: socket.socket) -> None:
        self.stream = stream
        self.rank = rank
        self.sock = ours
        self.is_open = True


class MpiRanks:
    """All lines of one daemon, by (NPID, VNN)."""

    def __init__(self, loop: Loop, parallel: "Parallel") -> None:
        self._loop = loop
        self._parallel = parallel
        self._lines: dict[tuple[int, int], _Line] = {}
        self._spaces: dict[int, dict[str, str]] = {}

    def open(self, stream: "NodeStream", vnn: int) -> int:
        """A line for this process that is about to begin: its end of it, to be closed by the
        caller; -1: none can be made, and an MPI program says that it has no process manager."""
        npid = stream.start.npid
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            return -1
        ours.setblocking(False)
        space = self._spaces.setdefault(npid, {})
        rank = Rank(stream.start.mark or str(npid), vnn, self._parallel.nodes_of(stream), space)
        self._lines[npid, vnn] = _Line(stream, rank, ours)
        self._loop.add_reader(ours.fileno(), self._readable, npid, vnn)
        return theirs.detach()

    def _readable(self, npid: int, vnn: int) -> None:
        line = self._lines.get((npid, vnn))
        if line is None or not line.is_open:
            return
        try:
            data = line.sock.recv(READ)
            wishes = line.rank.received(data)
        except BlockingIOError:
            return
        except (OSError, ProtocolFault):
            data, wishes = b"", []
        if not data:
            self._close(line)
        for wish in wishes:
            self._carry_out(line, npid, vnn, wish)

    def _carry_out(self, line: _Line, npid: int, vnn: int, wish: Wish) -> None:
        if isinstance(wish, Say):
            self._send(line, wish.line)
        elif isinstance(wish, Fence):
            barrier = self._parallel.barrier_of(line.stream, "pmi")
            if isinstance(barrier, str):
                self._send(line, "cmd=barrier_out rc=-1")
                return
            self._parallel.do(barrier, barrier.enter(vnn, vnn, wish.puts))
        elif isinstance(wish, Abort):
            self._abort(line.stream, f"rank {vnn} aborts the job", wish.status)

    def _abort(self, stream: "NodeStream", why: str, status: int) -> None:
        barrier = self._parallel.barrier_of(stream, "pmi")
        if isinstance(barrier, Barrier):
            self._parallel.do(barrier, barrier.break_up(why, status))

    def _send(self, line: _Line, text: str) -> None:
        if not line.is_open:
            return
        data = text.encode() + b"\n"
        try:
            whole = line.sock.send(data) == len(data)
        except OSError:
            whole = False
        if not whole:  # it does not read: no rank has so many questions open
            self._close(line)

    def release(self, npid: int, effect: Release) -> None:
        """All have come to a fence; or (`why`) they never will."""
        vnn = effect.waiter
        assert isinstance(vnn, int)
        self._spaces.setdefault(npid, {}).update(effect.data)
        line = self._lines.get((npid, vnn))
        if line is None:
            return
        if effect.why:
            self._send(line, "cmd=barrier_out rc=-1")
            return
        for said in line.rank.released():
            self._send(line, said.line)

    def ended(self, stream: "NodeStream", vnn: int, status: int) -> None:
        """A process has ended: what it said before is read first."""
        npid = stream.start.npid
        line = self._lines.get((npid, vnn))
        if line is None:
            return
        self._readable(npid, vnn)
        rank = line.rank
        self._close(line)
        del self._lines[npid, vnn]
        if rank.has_begun and not rank.has_finished:
            self._abort(stream, f"rank {vnn} ended without MPI_Finalize", status or 1)

    def forget(self, stream: "NodeStream") -> None:
        """A job is over here."""
        npid = stream.start.npid
        for vnn in stream.start.vnns:
            line = self._lines.pop((npid, vnn), None)
            if line is not None:
                self._close(line)
        self._spaces.pop(npid, None)

    def _close(self, line: _Line) -> None:
        """Its rank stays known: what its end means depends on what it has said."""
        if line.is_open:
            line.is_open = False
            self._loop.remove_reader(line.sock.fileno())
            line.sock.close()

"""What the startup knows of its job: one entry per process, and how all of it ends.

Owns the bookkeeping of starts, stops, ends and output channels; does no I/O. Paper 4.3: the exit
status is the program's own, 128+signal when killed, the highest for an N-way job.
"""

import errno

from glunix.errors import FrameError
from glunix.home.link import integer, text
from glunix.home.wire import Value

NOT_FOUND, NOT_EXECUTABLE = 127, 126
SIGINT = 2


class ProcessView:
    """One process of the job as home hears of it."""

    __slots__ = (
        "channels", "ended", "killed_by", "node", "parted", "started", "status", "stopped",
        "stream", "vnn",
    )  # fmt: skip

    def __init__(self, stream: int, node: str, vnn: int) -> None:
        self.stream = stream
        self.node = node
        self.vnn = vnn
        self.started = False
        self.stopped = 0
        self.parted = False
        """Transparent: the program has ended, processes that it left behind live on."""
        self.ended = False
        self.status = 0
        self.killed_by = 0
        """Signal that ended it; 0: none."""
        self.channels = {1, 2}


def placed_streams(message: list[Value]) -> list[tuple[int, str, list[int]]]:
    """(stream, node, VNNs) of each node in a Placed; FrameError when it is something else."""
    streams: list[tuple[int, str, list[int]]] = []
    rows = message[3]
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, list) or not isinstance(row[2], list):
            raise FrameError("bad placement")
        streams.append((integer(row[0]), text(row[1]), [integer(v) for v in row[2]]))
    return streams


class JobView:
    """All processes of one job, by (stream, VNN)."""

    def __init__(self, npid: int, streams: list[tuple[int, str, list[int]]]) -> None:
        self.npid = npid
        self.streams = [stream for stream, _, _ in streams]
        self.processes = {
            (stream, vnn): ProcessView(stream, node, vnn)
            for stream, node, vnns in streams
            for vnn in vnns
        }
        self.killed_by = 0
        """Signal that ended a one-process job (0: it exited)."""
        self.aborted_with: int | None = None
        """Exit status of the MPI rank that ended the job."""

    @property
    def degree(self) -> int:
        """Number of processes."""
        return len(self.processes)

    def on_stream(self, stream: int) -> list[ProcessView]:
        """The processes on one node."""
        return [p for p in self.processes.values() if p.stream == stream]

    def live(self) -> list[ProcessView]:
        """Processes that have not ended."""
        return [p for p in self.processes.values() if not p.ended]

    def outlived(self) -> bool:
        """Whether the program has ended and what it started has not."""
        return any(p.parted and not p.ended for p in self.processes.values())

    def all_started(self) -> bool:
        """Whether every process began or failed."""
        return all(p.started or p.ended for p in self.processes.values())

    def stopped_by(self) -> int:
        """The signal that stopped the job, once every live process is stopped; else 0."""
        live = self.live()
        if not live or not all(p.stopped for p in live):
            return 0
        return live[0].stopped

    def goes_on(self) -> None:
        """All of it was continued."""
        for process in self.live():
            process.stopped = 0

    def over(self) -> bool:
        """Every process ended and every output channel with it."""
        return all(p.ended and not p.channels for p in self.processes.values())

    def status(self) -> int:
        """The job's exit status."""
        if self.aborted_with is not None:
            return self.aborted_with
        return max(p.status for p in self.processes.values())

    @property
    def interrupted(self) -> bool:
        """Whether SIGINT ended it, as a `^C` does: all of its processes."""
        return all(p.killed_by == SIGINT for p in self.processes.values())

    def exited(self, process: ProcessView, code: int, signal: int, aborts: bool = False) -> None:
        """A process ended by itself or by a signal; `aborts`: as an MPI job ends early."""
        process.ended = True
        self._has_status(process, code, signal)
        if aborts and self.aborted_with is None:
            self.aborted_with = process.status

    def parted(self, process: ProcessView, code: int, signal: int) -> None:
        """Its program ended so; what it started lives on."""
        process.parted = True
        self._has_status(process, code, signal)

    def _has_status(self, process: ProcessView, code: int, signal: int) -> None:
        process.stopped = 0
        process.status = 128 + signal if signal else code
        process.killed_by = signal
        if self.degree == 1:
            self.killed_by = signal

    def failed(self, process: ProcessView, step: str, error: int, failure: int) -> None:
        """A process could not be started; `failure` is the status of GLUnix's own failures."""
        process.ended = True
        process.channels.clear()
        if step != "exec":
            process.status = failure
        elif error in (errno.ENOENT, errno.ENOTDIR):
            process.status = NOT_FOUND
        else:
            process.status = NOT_EXECUTABLE

    def lost(self, failure: int, killed_by: int) -> None:
        """A node is gone and with it the job (paper 4.2.3); transparent ones as if by a signal."""
        self.killed_by = killed_by
        # Of all, not of the live: some may have been killed for it, and told first.
        for process in self.live() if killed_by else self.processes.values():
            process.ended = True
            process.status = failure
        for process in self.processes.values():
            process.channels.clear()

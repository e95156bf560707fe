"""The processes of one user-level job on this node: the node's end of one stream (paper 4.3).

Owns the fan-out of input to all of them (credit goes home when all have taken it), the routing of
signals and credit by VNN, and the end of what they left behind. Knows no socket.
"""

import os
import signal
from collections import deque
from collections.abc import Callable

from glunix.errors import FrameError
from glunix.msg import stream
from glunix.msg.base import Body, Message
from glunix.msg.frame import BODY_MAX
from glunix.node.reactor import Reactor
from glunix.node.spawn.sessions import Sessions
from glunix.node.userlevel.process import Begin, Process


def job_environment(start: stream.Start, node: str, vnn: int) -> dict[bytes, bytes]:
    """What every process of a job finds in its environment besides home's."""
    return {
        b"GLUNIX_NPID": b"%d" % start.npid,
        b"GLUNIX_VNN": b"%d" % vnn,
        b"GLUNIX_DEGREE": b"%d" % start.degree,
        b"GLUNIX_NODE": node.encode(),
        **_torch(start, node, vnn),
    }


def _torch(start: stream.Start, node: str, vnn: int) -> dict[bytes, bytes]:
    """As torchrun sets them, if `glurun --env torch` asked for it. Nobody can know a port that will
    be free on VNN 0's node: MASTER_PORT is one of 10,000 by the job's number."""
    if start.spec.env.get(b"GLUNIX_ENV") != b"torch":
        return {}
    first = next((place for place in start.places if 0 in place.vnns), None)
    address = first.address if first is not None else ""
    host = address[4:].rpartition(":")[0].strip("[]") if address.startswith("tcp:") else ""
    same = [v for place in start.places for v in place.vnns if place.node == node] or start.vnns
    return {
        b"RANK": b"%d" % vnn,
        b"WORLD_SIZE": b"%d" % start.degree,
        b"LOCAL_RANK": b"%d" % sorted(same).index(vnn),
        b"LOCAL_WORLD_SIZE": b"%d" % len(same),
        b"MASTER_ADDR": (host or "127.0.0.1").encode(),
        b"MASTER_PORT": b"%d" % (20000 + start.npid % 10000),
    }


class UserJob:
    """Made by a Start. `tell` sends home on the stream, `ended` is called when all is reported."""

    def __init__(
        self,
        start: stream.Start,
        node: str,
        reactor: Reactor,
        tell: Callable[[Message], None],
        output: Callable[[int, int, Body], None],
        ended: Callable[["UserJob"], None],
        sessions: Sessions | None = None,
    ) -> None:
        self.start = start
        self.node = node
        self._reactor = reactor
        self._tell = tell
        self._output = output
        self._ended = ended
        self.enter: Callable[[], None] | None = None
        """Moves a child into the job's control groups."""
        self.begin: Begin | None = None
        """Where a child begins in them (glunix.node.processes.cgroups.JobGroup.begin)."""
        self.line_of: Callable[[int], int] | None = None
        """Makes the line of a VNN to the PMI server; None: there are none."""
        self.apart = False
        """Each process has a reaper of its own (.session_leader), with or without a terminal."""
        self._sessions = sessions
        self._processes = {vnn: self._process_of(vnn) for vnn in start.vnns}
        self._by_pid: dict[int, Process] = {}
        self._live = set(start.vnns)
        self._to_launch = deque(start.vnns)
        self._launched = False
        self._given_up = False
        self._early: list[bytes] = []
        self._early_size = 0
        self._early_kills: list[tuple[int, list[int] | None]] = []
        """What came before all were launched, and waits for it."""
        self._received = 0
        self._given = 0
        """Bytes of input that came, and that home has got credit for on top of INPUT_WINDOW."""
        self._input_closed_told = False

    @property
    def npid(self) -> int:
        """The job's network process id."""
        return self.start.npid

    def _process_of(self, vnn: int) -> Process:
        return Process(
            vnn,
            self.start,
            job_environment(self.start, self.node, vnn),
            self._reactor,
            self._tell,
            self._output,
            self._input_moved,
            self._process_over,
            self._sessions,
        )

    def launch(self) -> None:
        """Start every process; what fails is told home one by one."""
        while self.launch_some():
            pass

    def launch_some(self) -> bool:
        """Start the next process; whether there are more. After the last, do what came meanwhile.

        FrameError as `frame`.
        """
        process = self._processes[self._to_launch.popleft()]
        if self._given_up:
            process.never_started()
        else:
            try:
                child = self._launch_one(process)
                if child:
                    self._by_pid[child] = process
            except OSError as error:
                process.not_started(error)
        if self._to_launch:
            return True
        self._launched = True
        self._input_moved()
        early, self._early = self._early, []
        for body in early:
            self.frame(body)
        for number, vnns in self._early_kills:
            self.kill(number, vnns)
        return False

    def _launch_one(self, process: Process) -> int:
        line = -1 if self.line_of is None else self.line_of(process.vnn)
        try:
            return process.launch(self.enter, self.begin, self.apart, line)
        finally:
            if line >= 0:
                os.close(line)

    # -- from home ---------------------------------------------------------------------------

    def frame(self, body: Body) -> None:
        """A frame of the stream arrived; FrameError when it is not of the union."""
        if not self._launched:
            self._early.append(bytes(body))
            self._early_size += len(body)
            if self._early_size > stream.INPUT_WINDOW + BODY_MAX:
                raise FrameError("input without credit")
            return
        data = stream.in_data(body)
        if data is not None:
            self._input(data)
            return
        message = stream.home_to_node.decode(body)
        if isinstance(message, stream.In):
            self._input(message.data)
        elif isinstance(message, stream.Credit):
            self._process(message.vnn).credit(message.fd, message.count)
        elif isinstance(message, stream.Refuse):
            self._process(message.vnn).refuse(message.fd)
        elif isinstance(message, stream.Signal):
            self.kill(message.signal, None if message.vnn is None else [message.vnn])
        elif isinstance(message, stream.Resize):
            for process in self._processes.values():
                process.resize(message.size)
        else:
            raise FrameError("an answer to a question that a user-level job never asks")

    def _process(self, vnn: int) -> Process:
        process = self._processes.get(vnn)
        if process is None:
            raise FrameError(f"no VNN {vnn} on this stream")
        return process

    def _input(self, data: Body) -> None:
        self._received += len(data)
        if self._received - self._given > stream.INPUT_WINDOW:
            raise FrameError("input without credit")
        for process in self._processes.values():
            if process.input is not None:
                process.input.write(data)
        self._input_moved()

    def _input_moved(self) -> None:
        """Give home credit for what every process that still reads has taken, not for every bit:
        home cannot run out while less than a quarter of its window is owed."""
        totals = [
            p.input.total
            for p in self._processes.values()
            if p.input is not None and p.input.is_open
        ]
        if not totals:
            if not self._input_closed_told and self._launched:
                self._input_closed_told = True
                self._tell(stream.InClosed())
            return
        taken = min(totals)
        if taken - self._given >= stream.INPUT_WINDOW // 4:
            self._tell(stream.InCredit(taken - self._given))
            self._given = taken

    def kill(self, number: int, vnns: list[int] | None) -> int:
        """Signal some or all processes that still run. Returns how many that were."""
        if not self._launched:
            if number == signal.SIGKILL and vnns is None:
                self._given_up = True
            else:
                self._early_kills.append((number, vnns))
                return len(self._live)
        chosen = [p for v, p in self._processes.items() if vnns is None or v in vnns]
        running = [p for p in chosen if not p.ended]
        for process in running:
            process.kill(number)
        return len(running)

    def abandon(self) -> None:
        """Home hears nothing any more: do not wait for credit to empty the outputs."""
        self._given_up = True
        for process in self._processes.values():
            process.close_outputs()

    # -- from the processes ------------------------------------------------------------------

    def wait_status(self, pid: int, status: int) -> bool:
        """A child of the daemon changed state; False when it is not of this job."""
        process = self._by_pid.get(pid)
        if process is None:
            return False
        if not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
            del self._by_pid[pid]  # reaped: the number may soon be another job's
        if process.is_kept:
            return True  # the keeper itself: its socket tells the story
        process.wait_status(status)
        if process.ended and not self.start.spec.keep:
            _signal_group(pid, signal.SIGHUP)
        return True

    def roots(self) -> list[int]:
        """Our children that were not reaped yet."""
        return list(self._by_pid)

    def vnns_by_root(self) -> dict[int, int]:
        """Of which VNN each of `roots` is."""
        return {pid: process.vnn for pid, process in self._by_pid.items()}

    def is_root(self, pid: int) -> bool:
        """Whether `pid` is the program (or keeper) of a process of this job."""
        return pid in self._by_pid

    def _process_over(self, process: Process) -> None:
        self._live.discard(process.vnn)
        if not self._live:
            self._ended(self)


def _signal_group(pgid: int, number: int) -> None:
    try:
        os.killpg(pgid, number)
        os.killpg(pgid, signal.SIGCONT)
    except (ProcessLookupError, PermissionError):
        pass

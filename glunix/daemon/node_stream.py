"""The node's end of one job's stream: from the Start that a peer sent to its processes' end.

Owns what becomes of the Start (refused, staged, launched), and tells home and the master of it. The
job itself is a UserJob or a TransparentJob.
"""

import os
import signal
import time
from collections.abc import Callable
from resource import RLIMIT_NOFILE
from typing import TYPE_CHECKING

from glunix.daemon.announced import Placed
from glunix.daemon.arriving import Arriving
from glunix.daemon.authorization import RefusedJob
from glunix.daemon.leaving import Leaving
from glunix.daemon.peers import PeerLink
from glunix.daemon.transparent_job import TransparentJob
from glunix.errors import FrameError, Refused
from glunix.ids import StreamId, Why
from glunix.msg import master, move, peer, stream
from glunix.msg.base import Body, Message
from glunix.msg.frame import BODY_MAX
from glunix.msg.job import RunningProc
from glunix.node.processes.cgroups import JobGroup
from glunix.node.spawn.exec import LINE
from glunix.node.staging import Stage
from glunix.node.userlevel.job import UserJob
from glunix.state.homejobs import command_text

if TYPE_CHECKING:
    from glunix.daemon.daemon import Daemon


class NodeStream:
    """The node's end of one job stream (a peers.Route)."""

    def __init__(
        self,
        daemon: "Daemon",
        mate: PeerLink,
        number: StreamId,
        start: stream.Start,
        epoch: int,
    ):
        """`epoch`: of the move by which the job comes here; 0: it starts here."""
        self._daemon = daemon
        self._mate = mate
        self._number = number
        self.start = start
        self.since = time.time()
        self.running: dict[int, tuple[int, bool]] = {}
        """vnn -> (pid, stopped), for the next hello to a master."""
        self.ended: set[int] = set()
        """VNNs of processes that have ended, or were never started."""
        self.stage: Stage | None = None
        self.group: JobGroup | None = None
        self._aborted = 0
        """Exit status of processes that are killed because the job was aborted; 0: it was not."""
        self._launched = False
        self._early = 0
        """Bytes of frames that came before the launch."""
        node, loop = daemon.config.node, daemon.loop
        self.job: UserJob | TransparentJob | RefusedJob
        self._announced: Callable[[], None] | None = None
        """To be called when the master's word has come; None: it is not waited for."""
        self._said = Placed(tuple(start.vnns), None)
        members, peer = daemon.membership, mate.peer
        try:
            if members is not None and peer is not None and members.is_announced(peer):
                uid = members.users.canonical(peer.node, start.owner.uid)
                self._said = Placed(tuple(start.vnns), uid)
                self._announced = members.announced.reserve(str(peer.node), start)
            start = daemon.vetted(mate, start)
            daemon.admit(start)
            if start.spec.staged:
                self.stage = daemon.stages.take(start)
                start = self.stage.start(start)
            self.start = start
        except Refused as refusal:
            self._settled()
            daemon.sparse(mate.node, f"refused a job of {mate.node}: {refusal}")
            self.job = RefusedJob(start, refusal, self._tell_home, self._ended)
            return
        if start.spec.transparent:
            setuid = daemon.config.setuid
            self.job = TransparentJob(
                start, node, loop, self.tell, self._relay, self._ended, setuid, epoch > 0
            )
            self.job.spare = daemon.spare
            if epoch:
                self.job.move = Arriving(
                    loop, self.job, epoch, self._say, self._taken, self._live, self._dead
                )
        else:
            ended = lambda job: self._ended()  # noqa: E731
            self.job = UserJob(start, node, loop, self.tell, self._output, ended, daemon.sessions)
            if start.degree > 1 and _has_room(start):
                self.job.line_of = self._line

    def opened(self) -> None:
        """Start the processes, at the pace of all starts here."""
        start, peer = self.start, self._mate.peer
        members = self._daemon.membership
        if members is None or peer is None or self._announced is None:
            self._launch()
        else:
            members.announced.when_expected(
                peer.node, start.npid, self._said, self._launch, self._unknown
            )

    def _settled(self) -> None:
        if self._announced is not None:
            self._announced()
            self._announced = None

    def _launch(self) -> None:
        self._settled()
        if isinstance(self.job, RefusedJob):
            self._launch_now()
            return
        try:
            self.group = self._daemon.groups.of(self.start)
        except Refused as refusal:
            self._refuse(refusal)
            return
        if self.group is not None:
            self.job.enter = self.group.enter
            if isinstance(self.job, UserJob):
                self.job.begin = self.group.begin
            else:
                self.job.group = self.group
        else:
            if self.start.owner.uid != os.geteuid():
                self.job.enter = self._daemon.groups.limit
            if isinstance(self.job, UserJob):
                self.job.apart = True
        if self.stage is None:
            self._launch_now()
        else:
            self._daemon.stages.fill(self.stage, self.job.enter, self._filled)

    def _filled(self, text: str) -> None:
        if text:
            self._refuse(Refused(Why.BAD_REQUEST, f"cannot stage files: {text}"))
        else:
            self._launch_now()

    def _launch_now(self) -> None:
        self._launched = True
        self._daemon.pace.add(self._launch_some)

    # -- moves (glunix.daemon.handover) ------------------------------------------------------

    def moving(self, message: peer.Moving) -> None:
        """See peers.Route."""
        if not isinstance(self.job, TransparentJob):
            return
        under_way = self.job.move
        if isinstance(message, move.MoveOrder):
            if message.order in ("ask", "explain"):
                self._leave(self.job, message)
            elif under_way is not None:
                under_way.order(message.order, message.epoch)
        elif isinstance(message, move.MovePiece) and isinstance(under_way, Arriving):
            under_way.piece(message)
        elif isinstance(message, move.MoveTaken) and isinstance(under_way, Leaving):
            under_way.taken(message.count)

    def _leave(self, job: TransparentJob, message: move.MoveOrder) -> None:
        epoch = message.epoch
        pid, _ = self.running.get(self.start.vnns[0], (0, False))
        if job.move is not None or not pid:
            why = "it is being moved already" if job.move else "it has not begun yet (may pass)"
            self._mate.say(move.MoveSaid(self._number, epoch, "refused", why))
            return

        def piece(part: str, data: bytes) -> None:
            self._mate.say(move.MovePiece(self._number, epoch, part, data))  # type: ignore[arg-type]

        job.move = Leaving(
            self._daemon.loop, job, pid, epoch, self._say, piece, lambda gone: self._left(job)
        )
        job.move.order(message.order, epoch)

    def _left(self, job: TransparentJob) -> None:
        job.move = None

    def _say(self, said: str, text: str, pid: int = 0) -> None:
        under_way = self.job.move if isinstance(self.job, TransparentJob) else None
        if under_way is not None:
            self._mate.say(
                move.MoveSaid(self._number, under_way.epoch, said, text, pid)  # type: ignore[arg-type]
            )

    def _taken(self, count: int) -> None:
        if isinstance(self.job, TransparentJob) and self.job.move is not None:
            self._mate.say(move.MoveTaken(self._number, self.job.move.epoch, count))

    def _live(self, pid: int, stopped: bool) -> None:
        """The job is here."""
        self.running[self.start.vnns[0]] = (pid, stopped)
        assert isinstance(self.job, TransparentJob)
        self.job.move = None
        self.job.is_here()

    def _dead(self) -> None:
        """It does not come."""
        self.job.abandon()

    def _refuse(self, refusal: Refused) -> None:
        if isinstance(self.job, TransparentJob) and isinstance(self.job.move, Arriving):
            self.job.move.failed(str(refusal))
        self._daemon.sparse(self._mate.node, f"refused a job of {self._mate.node}: {refusal}")
        self.job = RefusedJob(self.start, refusal, self._tell_home, self._ended)
        self._launch_now()

    def _unknown(self) -> None:
        """The master knows of no such job: nothing was started yet."""
        self._settled()
        text = f"the master did not place job {self.start.npid} here"
        self._refuse(Refused(Why.NOT_YOURS, text))

    def _launch_some(self) -> bool:
        try:
            return self.job.launch_some()
        except FrameError as error:  # in what came before all had started
            self._bad_frame(error)
            return False

    def frame(self, body: Body) -> None:
        """From home; a bad frame ends this job, not the link that other jobs share."""
        try:
            if not self._launched:
                self._early += len(body)
                if self._early > stream.INPUT_WINDOW + BODY_MAX:
                    raise FrameError("too much before it was started")
            self.job.frame(body)
        except FrameError as error:
            self._bad_frame(error)

    def _bad_frame(self, error: FrameError) -> None:
        self._daemon.sparse(self._mate.node, f"job {self.start.npid}: {error}")
        self.job.kill(signal.SIGKILL, None)

    def closed(self, text: str, lost: bool) -> None:
        """Home gave up this stream: kill what still runs (paper 4.2.3)."""
        if isinstance(self.job, TransparentJob) and self.job.move is not None:
            self.job.move.cut()
        if self.job.kill(signal.SIGKILL, None):
            why = text or "home closed the stream"
            self._daemon.sparse(self._mate.node, f"job {self.start.npid} killed: {why}")
        self.job.abandon()

    def _tell_home(self, message: Message) -> None:
        """A refusal is not the master's business: whose job this number is, nobody knows."""
        self._mate.send_on(self._number, message)

    def _line(self, vnn: int) -> int:
        return self._daemon.parallel.mpi.open(self, vnn)

    def abort(self, status: int) -> None:
        """An MPI rank ends the job with this status: end all that is here."""
        if not self._aborted:
            self._aborted = status
            self.job.kill(signal.SIGKILL, None)

    def _as_rank(self, message: stream.Exited) -> stream.Exited:
        """Of an MPI program that did not end as it should, or was ended with its job: so marked."""
        status = _status(message)
        self._daemon.parallel.mpi.ended(self, message.vnn, status)
        if not self._aborted:
            return message
        killed = message.signal == signal.SIGKILL
        code = self._aborted if killed else status
        return stream.Exited(message.vnn, code, 0, message.core, message.orphaned, True)

    def tell(self, message: Message) -> None:
        """Send home, and to the master what Pdb wants to know."""
        if isinstance(message, stream.Exited):
            message = self._as_rank(message)
        self._mate.send_on(self._number, message)
        npid = self.start.npid
        if isinstance(message, stream.Started):
            self.running[message.vnn] = (message.pid, False)
            self._daemon.uplink.send(master.ProcStarted(npid, message.vnn, message.pid))
        elif isinstance(message, stream.Stopped | stream.Continued):
            number = message.signal if isinstance(message, stream.Stopped) else 0
            pid, _ = self.running.get(message.vnn, (0, False))
            self.running[message.vnn] = (pid, number != 0)
            self._daemon.uplink.send(master.ProcStopped(npid, message.vnn, number))
        elif isinstance(message, stream.Exited):
            self.running.pop(message.vnn, None)
            self._over(message.vnn)
            self._daemon.uplink.send(
                master.ProcExited(npid, message.vnn, message.code, message.signal)
            )
        elif isinstance(message, stream.Failed):
            self._over(message.vnn)
            self._daemon.uplink.send(master.ProcExited(npid, message.vnn, 127, 0, message.text))

    def _over(self, vnn: int) -> None:
        self.ended.add(vnn)
        self._daemon.parallel.ended(self, vnn)

    def roots(self) -> dict[int, int]:
        """Pids, as this daemon sees them, of processes of which all of a VNN's come -> that VNN."""
        if len(self.start.vnns) == 1:
            found = dict.fromkeys(self.job.roots(), self.start.vnns[0])
        else:
            found = {}
        if not self.start.spec.transparent:  # else they are numbers of home
            found.update({pid: vnn for vnn, (pid, _) in self.running.items()})
        if isinstance(self.job, UserJob):
            found.update(self.job.vnns_by_root())
        return found

    def _output(self, vnn: int, fd: int, data: Body) -> None:
        self._mate.relay_on(self._number, stream.out_head(vnn, fd, len(data)), data)

    def _relay(self, body: Body) -> None:
        self._mate.relay_on(self._number, body)

    def _ended(self) -> None:
        self._mate.close_stream(self._number, "")
        self._daemon.job_ended(self)

    def rows(self) -> list[RunningProc]:
        """What runs, for a master that comes back."""
        start = self.start
        return [
            RunningProc(
                start.npid,
                vnn,
                pid,
                start.owner.uid,
                start.home,
                command_text(start.spec),
                start.degree,
                start.spec.transparent,
                self.since,
                stopped,
            )
            for vnn, (pid, stopped) in self.running.items()
        ]


def _status(message: stream.Exited) -> int:
    """As a shell has it."""
    return 128 + message.signal if message.signal else message.code


def _has_room(start: stream.Start) -> bool:
    """Whether a process may have a descriptor LINE."""
    limits = [limit.soft for limit in start.spec.rlimits if limit.resource == RLIMIT_NOFILE]
    return all(soft < 0 or soft > LINE for soft in limits)

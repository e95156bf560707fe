"""What the nodes report of the processes of jobs: started, stopped, exited.

Owns which report can be true in which state. A report about a job that is over is no fault, since
it may have crossed an order on its way; one that contradicts the books is (PeerFault).
"""

from glunix.ids import Npid, Vnn
from glunix.msg.master import KillOrder, ProcExited, ProcStarted, ProcStopped
from glunix.state.core import MasterCore, PeerFault
from glunix.state.events import Level
from glunix.state.jobs import Proc, ProcState
from glunix.state.ndb import Node
from glunix.state.termination import SIGKILL


class Reports:
    """Applies the reports of a node to Pdb."""

    def __init__(self, core: MasterCore) -> None:
        self._core = core

    def started(self, node: Node, told: ProcStarted, now: float) -> None:
        """A process runs; it gets the signals that were sent to it before."""
        proc = self._find(node, told, now) or self._missing(node, told)
        if proc is None or not proc.live:
            text = f"{node.name} started {told.npid}.{told.vnn}, which is over: killed"
            self._core.out.log(Level.INFO, text)
            self._order(node, told, SIGKILL)
            return
        if proc.state is not ProcState.PLACED:
            if proc.pid != told.pid:
                raise PeerFault(f"process {told.npid}.{told.vnn} started twice")
            return
        proc.pid = told.pid
        self._core.pdb.move(proc, ProcState.RUNNING, now)
        pending, proc.pending = proc.pending, []
        for number in pending:
            self._order(node, told, number)

    def stopped(self, node: Node, told: ProcStopped, now: float) -> None:
        """A process stopped, or with signal 0 went on."""
        proc = self._find(node, told, now)
        if proc is None or not proc.live:
            return
        if proc.state is ProcState.PLACED:
            raise PeerFault(f"process {told.npid}.{told.vnn} stopped before it started")
        state = ProcState.STOPPED if told.signal else ProcState.RUNNING
        if state is not proc.state:
            self._core.pdb.move(proc, state, now)

    def exited(self, node: Node, told: ProcExited, now: float) -> None:
        """A process ended or could not be started."""
        proc = self._find(node, told, now)
        if proc is None or not proc.live:
            return
        pdb = self._core.pdb
        job = pdb.jobs[proc.npid]
        if told.reason:
            many = f"process {told.vnn} on {node.name}: " if job.degree > 1 else ""
            pdb.blame(job, many + told.reason)
        proc.code, proc.signal = told.code, told.signal
        pdb.move(proc, ProcState.KILLED if told.signal else ProcState.EXITED, now)

    def _find(
        self, node: Node, told: ProcStarted | ProcStopped | ProcExited, now: float
    ) -> Proc | None:
        """The process of a live job, on the node that speaks of it; None when there is none."""
        job = self._core.pdb.jobs.get(Npid(told.npid))
        if job is None:
            return None
        proc = job.procs.get(Vnn(told.vnn))
        if proc is None:
            if told.vnn >= job.degree:
                raise PeerFault(f"no process {told.npid}.{told.vnn}: {job.degree}-way")
            return None
        if proc.node != node.name and self._core.pdb.intended(proc) == node.name:
            self._core.pdb.relocate(proc, node.name, now)  # its home's word is still under way
        if proc.node != node.name and self._core.pdb.has_left(proc, node.name):
            return None
        if proc.node != node.name:
            raise PeerFault(f"process {told.npid}.{told.vnn} is on {proc.node}")
        return proc

    def _missing(self, node: Node, told: ProcStarted) -> Proc | None:
        """After a restart without journal: the job is known by its home, this process by nobody."""
        pdb = self._core.pdb
        job = pdb.jobs.get(Npid(told.npid))
        if job is None or not job.settling:
            return None
        proc = Proc(job.npid, Vnn(told.vnn), node.name)
        pdb.attach(job, proc)
        return proc

    def _order(self, node: Node, told: ProcStarted, number: int) -> None:
        assert node.link is not None
        self._core.out.send(node.link, KillOrder(told.npid, [told.vnn], number))

"""What a daemon says it has, against what the books say (master restart, broken links).

Owns the rules of agreement; they hold for the first hello of a node, for a node of the journal and
for a daemon that lost its link for a moment:

- what the daemon could not tell while there was no master comes first;
- a process that both know is confirmed; one that only the books know ended unseen, except that a
  process that was only placed may still be on its way there;
- a process that only the daemon knows is added to its job, or makes the job known again, when the
  job's startup can still be there; it is ordered to die when its job is over or another's;
- a job whose home came back without it has no startup any more and is ended everywhere.
"""

from glunix.ids import NodeName, Npid, Vnn, node_name
from glunix.msg.job import RunningProc
from glunix.msg.master import JobOver, KillOrder, NodeHello, ProcExited
from glunix.state.batch import Batch
from glunix.state.core import Deadline, MasterCore
from glunix.state.events import Level
from glunix.state.jobs import Job, Proc, ProcState
from glunix.state.ndb import Node, NodeState
from glunix.state.reports import Reports
from glunix.state.termination import SIGKILL, Ending


def fault(hello: NodeHello) -> str:
    """What contradicts itself in a hello; empty when nothing does."""
    for told in hello.running:
        if told.vnn >= told.degree:
            return f"process {told.npid}.{told.vnn} of a {told.degree}-way job"
        try:
            node_name(told.home)
        except ValueError as error:
            return f"process {told.npid}.{told.vnn}: {error}"
    if len({(told.npid, told.vnn) for told in hello.running}) < len(hello.running):
        return "a process is told twice"
    if len({told.npid for told in hello.homes}) < len(hello.homes):
        return "a job is told twice"
    return ""


class Returning:
    """Brings a hello and the books together."""

    def __init__(self, core: MasterCore, ending: Ending, batch: Batch) -> None:
        self._core = core
        self._ending = ending
        self._batch = batch
        self._reports = Reports(core)

    def agree(self, node: Node, hello: NodeHello, known: bool, now: float) -> None:
        """`known`: this master saw this daemon (same boot) before, so it knew all its jobs."""
        for report in hello.unsent:
            self._unsent(node, report, now)
        self._homes(node, hello, known, now)
        told = {(Npid(proc.npid), Vnn(proc.vnn)): proc for proc in hello.running}
        for proc in self._core.pdb.on_node(node.name):
            if not proc.live:
                continue
            seen = told.get((proc.npid, proc.vnn))
            if seen is not None and self._same(self._core.pdb.jobs[proc.npid], seen):
                del told[proc.npid, proc.vnn]
                self._confirm(node, proc, seen, now)
            elif proc.state is not ProcState.PLACED:
                self._ended_unseen(node, proc, now)
        for stranger in told.values():
            self._stranger(node, stranger, known, now)

    def _unsent(self, node: Node, report: ProcExited | JobOver, now: float) -> None:
        """What fits the books is taken in; the rest is of jobs that are over for other reasons."""
        pdb, npid = self._core.pdb, Npid(report.npid)
        if isinstance(report, ProcExited):
            if (npid, Vnn(report.vnn)) in pdb.by_node.get(node.name, {}):
                self._reports.exited(node, report, now)
            return
        job = pdb.jobs.get(npid)
        if job is not None and job.home == node.name:
            self._ending.home_over(job, report.reason, now)

    def _homes(self, node: Node, hello: NodeHello, known: bool, now: float) -> None:
        core = self._core
        told = {Npid(job.npid): job for job in hello.homes}
        launched = set(hello.launched)
        for job in core.pdb.homed(node.name):
            if told.pop(job.npid, None) is not None or job.ending:
                continue
            if self._batch.was_never_launched(job, hello.boot, launched):
                self._batch.never_began(job, f"{node.name} was not told of it", now)
            else:
                self._ending.doom(job, f"its startup on {node.name} is gone", now)
        for npid, home in told.items():
            over = npid in core.pdb.ended or npid in core.queue.entries
            if known or over or npid in core.pdb.jobs:
                core.out.log(Level.INFO, f"{node.name} is home of job {npid}, which is over")
                continue
            self._again(
                Job(
                    npid=npid,
                    uid=home.uid,
                    home=node.name,
                    command=home.command,
                    degree=home.degree,
                    transparent=home.transparent,
                    started=core.epoch + now,
                ),
                now,
            )

    def _again(self, job: Job, now: float) -> None:
        """A job the journal does not know; for a while other nodes may know more of it."""
        job.settling = True
        self._core.pdb.add(job, (), now)
        self._core.timer.set((Deadline.SETTLE, job.npid), now + self._core.grace)

    def _same(self, job: Job, told: RunningProc) -> bool:
        return (job.home, job.uid, job.degree) == (told.home, told.uid, told.degree)

    def _confirm(self, node: Node, proc: Proc, told: RunningProc, now: float) -> None:
        pdb = self._core.pdb
        job = pdb.jobs[proc.npid]
        proc.pid = told.pid
        proc.row = None
        if proc.state is ProcState.PLACED or (proc.state is ProcState.STOPPED and not told.stopped):
            pdb.move(proc, ProcState.RUNNING, now)
        if told.stopped and proc.state is ProcState.RUNNING:
            pdb.move(proc, ProcState.STOPPED, now)
        pdb.settle(job, now)
        pdb.note(proc.npid, now, f".{proc.vnn} confirmed by {node.name}")
        pending, proc.pending = proc.pending, []
        if job.orders:
            pending = [SIGKILL]
        for number in pending:
            self._order(node, proc.npid, proc.vnn, number)

    def _ended_unseen(self, node: Node, proc: Proc, now: float) -> None:
        pdb = self._core.pdb
        pdb.blame(pdb.jobs[proc.npid], f"process {proc.vnn} ended on {node.name} unseen")
        pdb.move(proc, ProcState.LOST, now)

    def _stranger(self, node: Node, told: RunningProc, known: bool, now: float) -> None:
        """A process that the books do not have on this node."""
        core, npid, vnn = self._core, Npid(told.npid), Vnn(told.vnn)
        job = core.pdb.jobs.get(npid)
        if job is None and not known and npid not in core.pdb.ended and self._home_open(told):
            job = Job(
                npid=npid,
                uid=told.uid,
                home=NodeName(told.home),
                command=told.command,
                degree=told.degree,
                transparent=told.transparent,
                started=told.started,
            )
            self._again(job, now)
            if core.ndb.get(job.home) is None:
                core.ndb.expect(job.home, now)
                core.timer.set((Deadline.EXPECTED, job.home), now + core.grace)
        fits = job is not None and self._same(job, told) and vnn not in job.procs
        if job is None or not fits or job.ending:
            core.out.log(Level.WARNING, f"{node.name} runs {npid}.{vnn}, which is over: killed")
            self._order(node, npid, vnn, SIGKILL)
            return
        state = ProcState.STOPPED if told.stopped else ProcState.RUNNING
        core.pdb.attach(job, Proc(npid, vnn, node.name, state, told.pid))
        job.started = min(job.started, told.started)
        core.pdb.note(npid, now, f".{vnn} told by {node.name}")
        if len(job.procs) == job.degree:
            job.settling = False
            core.timer.cancel((Deadline.SETTLE, npid))
        core.pdb.settle(job, now)

    def _home_open(self, told: RunningProc) -> bool:
        """Whether its startup may be there: its home has not come back yet."""
        ndb = self._core.ndb
        return ndb.state(told.home) in (None, NodeState.EXPECTED)

    def _order(self, node: Node, npid: Npid, vnn: Vnn, number: int) -> None:
        assert node.link is not None
        self._core.out.send(node.link, KillOrder(npid, [vnn], number))

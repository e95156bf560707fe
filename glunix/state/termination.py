"""How jobs end when something other than their programs ends them (paper 4.2.3).

A lost node, a lost home, a startup that is gone: each decides the end of jobs, orders SIGKILL where
processes of them are left, and sees to it that the nodes report. Never waits for ever: what a
living node does not report is ordered once more, then given up with the job's story.
"""

import signal

from glunix.msg.master import KillOrder, NodeLost
from glunix.state.core import Deadline, MasterCore
from glunix.state.events import Level, clip, many
from glunix.state.jobs import Job, JobState, ProcState
from glunix.state.ndb import Node, NodeInput, NodeState

SIGKILL = int(signal.SIGKILL)
ORDERS = 2
"""How often SIGKILL is ordered before the processes are called lost."""


class Ending:
    """Ends jobs in the books."""

    def __init__(self, core: MasterCore) -> None:
        self._core = core

    def node_lost(self, node: Node, how: NodeInput, reason: str, now: float) -> None:
        """A node is gone: tell the others, end what ran there and what was started from there."""
        core, name = self._core, node.name
        core.ndb.lost(node, how, now)
        core.seats.node_gone(name, now)
        for deadline in (Deadline.SILENT, Deadline.EXPECTED):
            core.timer.cancel((deadline, name))
        text = clip(f"node {name} lost: {reason}")
        core.out.log(Level.WARNING, f"{text}\n{core.story.story(f'node {name}')}")
        for other in core.ndb.up():
            assert other.link is not None
            core.out.send(other.link, NodeLost(name, text))
        for proc in core.pdb.on_node(name):
            # It may have left already: its home knows, and says so, or that the job is over.
            to = core.pdb.intended(proc)
            if to is not None and core.ndb.state(to) is NodeState.UP:
                core.pdb.relocate(proc, to, now)
        gone = core.pdb.on_node(name)
        for job in [core.pdb.jobs[npid] for npid in dict.fromkeys(p.npid for p in gone)]:
            self._decide(job, text)
            for proc in [proc for proc in gone if proc.npid == job.npid]:
                core.pdb.move(proc, ProcState.LOST, now)
            self._kill(job, now)
        for job in core.pdb.homed(name):
            self.doom(job, f"home {text}", now)

    def doom(self, job: Job, reason: str, now: float) -> None:
        """This job must end: SIGKILL wherever it has processes."""
        self._decide(job, reason)
        self._kill(job, now)

    def home_over(self, job: Job, reason: str, now: float) -> None:
        """The home daemon is done with the job; with a reason, not because its programs ended.

        Its nodes end what is left when home closes their streams; their reports may still be on
        the way, so that nothing is ordered before the deadline.
        """
        core = self._core
        core.pdb.blame(job, reason)
        if reason:
            job.fate = JobState.KILLED
        if job.ending:
            return
        job.ending = True
        job.settling = False
        core.pdb.note(job.npid, now, f"its home is done with it {reason}".rstrip())
        core.pdb.settle(job, now)
        self._watch(job, now)

    def overdue(self, job: Job, now: float) -> None:
        """The deadline of an ending job came and processes of it are still not reported."""
        core, key = self._core, f"job {job.npid}"
        if job.orders < ORDERS:
            self._order(job, now)
            return
        left = job.live_procs()
        where = ", ".join(dict.fromkeys(proc.node for proc in left))
        text = f"the end of {many(len(left), 'process')} was not reported by {where}"
        core.pdb.blame(job, text)
        for proc in left:
            core.pdb.move(proc, ProcState.LOST, now)
        core.out.log(Level.WARNING, f"{key}: {text}\n{core.story.story(key)}")

    def _decide(self, job: Job, reason: str) -> None:
        self._core.pdb.blame(job, reason)
        job.fate = JobState.KILLED
        job.ending = True
        job.settling = False

    def _kill(self, job: Job, now: float) -> None:
        if job.npid not in self._core.pdb.jobs or job.orders:
            return
        self._core.pdb.note(job.npid, now, f"is to end: {job.reason}")
        self._order(job, now)

    def _order(self, job: Job, now: float) -> None:
        """SIGKILL to every node with live processes of it. Those never started are over at once."""
        core = self._core
        job.orders += 1
        left = job.live_procs()
        for name in dict.fromkeys(proc.node for proc in left):
            node = core.ndb.nodes[name]
            if node.link is not None:
                core.out.send(node.link, KillOrder(job.npid, [], SIGKILL))
        for proc in left:
            if proc.state is ProcState.PLACED:
                core.pdb.move(proc, ProcState.KILLED, now)
        if job.npid in core.pdb.jobs:
            core.pdb.settle(job, now)
        self._watch(job, now)

    def _watch(self, job: Job, now: float) -> None:
        if job.npid in self._core.pdb.jobs:
            self._core.timer.set((Deadline.ENDING, job.npid), now + self._core.lost_after)

"""How jobs end when something other than their programs ends them (paper 4.2.3).

A lost node, a lost home, a startup that is gone: each decides the end of jobs, orders SIGKILL where
processes of them are left, and sees to it that the nodes report. Never waits for ever: what a
living node does not report is ordered once more, then given up with the job's story.
"""

import signal

from glunix.msg.master import KillOrder, NodeLost
from glunix.state.core import Books, Deadline
from glunix.state.events import Level, clip, many
from glunix.state.jobs import Job, JobState, ProcState
from glunix.state.ndb import Node, NodeInput, NodeState

SIGKILL = int(signal.SIGKILL)
ORDERS = 2
"""How often SIGKILL is ordered before the processes are called lost."""


class Ending:
    """Ends jobs in the books."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def node_lost(self, node: Node, how: NodeInput, reason: str, now: float) -> None:
        """A node is gone: tell the others, end what ran there and what was started from there."""
        books, name = self._books, node.name
        books.ndb.lost(node, how, now)
        books.seats.node_gone(name, now)
        for deadline in (Deadline.SILENT, Deadline.EXPECTED):
            books.timer.cancel((deadline, name))
        text = clip(f"node {name} lost: {reason}")
        books.out.log(Level.WARNING, f"{text}\n{books.story.story(f'node {name}')}")
        for other in books.ndb.up():
            assert other.link is not None
            books.out.send(other.link, NodeLost(name, text))
        for proc in books.pdb.on_node(name):
            # It may have left already: its home knows, and says so, or that the job is over.
            to = books.pdb.intended(proc)
            if to is not None and books.ndb.state(to) is NodeState.UP:
                books.pdb.relocate(proc, to, now)
        gone = books.pdb.on_node(name)
        for job in [books.pdb.jobs[npid] for npid in dict.fromkeys(p.npid for p in gone)]:
            self._decide(job, text)
            for proc in [proc for proc in gone if proc.npid == job.npid]:
                books.pdb.move(proc, ProcState.LOST, now)
            self._kill(job, now)
        for job in books.pdb.homed(name):
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
        books = self._books
        books.pdb.blame(job, reason)
        if reason:
            job.fate = JobState.KILLED
        if job.ending:
            return
        job.ending = True
        job.settling = False
        books.pdb.note(job.npid, now, f"its home is done with it {reason}".rstrip())
        books.pdb.settle(job, now)
        self._watch(job, now)

    def overdue(self, job: Job, now: float) -> None:
        """The deadline of an ending job came and processes of it are still not reported."""
        books, key = self._books, f"job {job.npid}"
        if job.orders < ORDERS:
            self._order(job, now)
            return
        left = job.live_procs()
        where = ", ".join(dict.fromkeys(proc.node for proc in left))
        text = f"the end of {many(len(left), 'process')} was not reported by {where}"
        books.pdb.blame(job, text)
        for proc in left:
            books.pdb.move(proc, ProcState.LOST, now)
        books.out.log(Level.WARNING, f"{key}: {text}\n{books.story.story(key)}")

    def _decide(self, job: Job, reason: str) -> None:
        self._books.pdb.blame(job, reason)
        job.fate = JobState.KILLED
        job.ending = True
        job.settling = False

    def _kill(self, job: Job, now: float) -> None:
        if job.npid not in self._books.pdb.jobs or job.orders:
            return
        self._books.pdb.note(job.npid, now, f"is to end: {job.reason}")
        self._order(job, now)

    def _order(self, job: Job, now: float) -> None:
        """SIGKILL to every node with live processes of it. Those never started are over at once."""
        books = self._books
        job.orders += 1
        left = job.live_procs()
        for name in dict.fromkeys(proc.node for proc in left):
            node = books.ndb.nodes[name]
            if node.link is not None:
                books.out.send(node.link, KillOrder(job.npid, [], SIGKILL))
        for proc in left:
            if proc.state is ProcState.PLACED:
                books.pdb.move(proc, ProcState.KILLED, now)
        if job.npid in books.pdb.jobs:
            books.pdb.settle(job, now)
        self._watch(job, now)

    def _watch(self, job: Job, now: float) -> None:
        if job.npid in self._books.pdb.jobs:
            self._books.timer.set((Deadline.ENDING, job.npid), now + self._books.lost_after)

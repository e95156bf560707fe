"""Nmgt, node management: who is on which link, who comes, who comes back, who is lost.

Owns links and the deadlines of nodes. A daemon is told from another of the same name by `boot`:
the same one on a new link has lost its link and replaces it; another one while the first is alive
is refused. Paper 4.1.
"""

from glunix.ids import node_name
from glunix.msg.base import MAJOR, MINOR
from glunix.msg.master import Goodbye, LoadReport, NodeHello, Welcome
from glunix.state.batch import Batch
from glunix.state.core import Deadline, MasterCore
from glunix.state.events import Level, LinkId, clip, many
from glunix.state.ndb import Node, NodeInput, NodeState
from glunix.state.reconcile import Returning, fault
from glunix.state.termination import Ending


class Nmgt:
    """Links and nodes."""

    def __init__(self, core: MasterCore, ending: Ending, batch: Batch) -> None:
        self._core = core
        self._ending = ending
        self._returning = Returning(core, ending, batch)
        self.silent_links: set[LinkId] = set()
        """Links that have not said hello."""

    def knows(self, link: LinkId) -> bool:
        """Whether this link is open as far as the master wants."""
        return link in self.silent_links or link in self._core.ndb.by_link

    def peer_up(self, link: LinkId, now: float) -> None:
        """A connection, from whomever."""
        self.silent_links.add(link)
        self._core.timer.set((Deadline.HELLO, link), now + self._core.lost_after)

    def peer_down(self, link: LinkId, reason: str, now: float) -> None:
        """A connection ended."""
        self._forget(link)
        node = self._core.ndb.by_link.get(link)
        if node is not None:
            self._ending.node_lost(node, NodeInput.LINK_DOWN, reason, now)

    def drop(self, link: LinkId, reason: str, now: float) -> None:
        """Close a link for a reason; its node, if it has one, is lost with it."""
        self._core.out.close(link, reason)
        self._core.out.log(Level.WARNING, f"link {link} closed: {reason}")
        self.peer_down(link, reason, now)

    def hello(self, link: LinkId, hello: NodeHello, now: float) -> None:
        """A daemon introduces itself: welcome, or goodbye and why."""
        core = self._core
        refusal = self._refusal(hello)
        if refusal:
            core.out.send(link, Goodbye(clip(refusal)))
            self.drop(link, refusal, now)
            return
        before = core.ndb.get(hello.node)
        known = before is not None and before.boot == hello.boot
        if before is not None and before.link is not None:
            core.out.close(before.link, f"{hello.node} has a new link")
        node = core.ndb.hello(link, hello, now)
        self._forget(link)
        core.timer.cancel((Deadline.EXPECTED, node.name))
        core.timer.set((Deadline.SILENT, node.name), now + core.lost_after)
        how = "is back" if known else "is there"
        running = many(len(hello.running), "process")
        core.out.log(Level.INFO, f"node {node.name} {how} with {running}")
        core.out.send(link, Welcome(MAJOR, MINOR, core.cluster, core.heartbeat))
        self._returning.agree(node, hello, known, now)
        average = "pid" not in hello.isolated  # glunix.daemon.uplink.measure_load
        core.seats.node_up(
            node.name, hello.cpus, hello.memory_total, hello.accepts_jobs, average, now
        )
        core.queue.home_up(node.name)

    def heard(self, node: Node, now: float) -> None:
        """Any message of a node is a sign of life."""
        self._core.ndb.heard(node, now)
        self._core.timer.set((Deadline.SILENT, node.name), now + self._core.lost_after)

    def load(self, node: Node, report: LoadReport, now: float) -> None:
        """The load of a node."""
        self._core.ndb.report(node, report.load, report.memory_free)
        self._core.seats.report(node.name, report.load, report.memory_free, now)

    def expect(self, now: float) -> None:
        """After the journal was read: every node that a job names has the grace to come back."""
        core = self._core
        for job in core.pdb.jobs.values():
            for name in (job.home, *(proc.node for proc in job.live_procs())):
                if core.ndb.get(name) is None:
                    core.ndb.expect(name, now)
                    core.timer.set((Deadline.EXPECTED, name), now + core.grace)

    def overdue(self, kind: Deadline, about: int | str, now: float) -> None:
        """The deadline of a link or a node came."""
        core = self._core
        if kind is Deadline.HELLO:
            link = LinkId(int(about))
            self.drop(link, f"no hello within {core.lost_after:g} s", now)
            return
        node = core.ndb.get(str(about))
        if node is None:
            return
        if kind is Deadline.EXPECTED:
            reason = f"not back within {core.grace:g} s"
            self._ending.node_lost(node, NodeInput.NOT_BACK, reason, now)
        elif node.link is not None:
            reason = f"silent for {core.lost_after:g} s"
            core.out.close(node.link, reason)
            self._ending.node_lost(node, NodeInput.SILENT, reason, now)

    def _refusal(self, hello: NodeHello) -> str:
        if hello.major != MAJOR:
            return f"protocol {hello.major}.{hello.minor} is not {MAJOR}.{MINOR}"
        try:
            node_name(hello.node)
        except ValueError as error:
            return str(error)
        if not hello.boot:
            return "hello without a boot id"
        node = self._core.ndb.get(hello.node)
        if node is not None and node.state is NodeState.UP and node.boot != hello.boot:
            return f"node {hello.node} is already there (another daemon of that name)"
        return fault(hello)

    def _forget(self, link: LinkId) -> None:
        self.silent_links.discard(link)
        self._core.timer.cancel((Deadline.HELLO, link))

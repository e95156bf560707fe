"""The master as a pure state machine: Ndb, Pdb, Rexec and Nmgt behind one `handle`.

Owns the order of things within one event; the parts own the decisions. Reads no clock, opens
nothing, and is never surprised by a peer: whatever a daemon says ends in an answer or in the end of
its link. Only a bug raises (glunix.debug.Bug), with the story of what went before.
"""

from collections.abc import Callable, Iterable, Mapping

from glunix.debug import Bug, InvariantBroken
from glunix.ids import Npid
from glunix.msg.base import Message
from glunix.msg.batch import AskJobAt, EnqueueAt, HoldAt, NotLaunched, QueueRow
from glunix.msg.job import JobRow
from glunix.msg.master import (
    JobOver,
    JobsQuery,
    KillRequest,
    LoadReport,
    MoveQuery,
    NodeHello,
    NodesQuery,
    Place,
    ProcExited,
    ProcMoved,
    ProcStarted,
    ProcStopped,
)
from glunix.state.asking import Asking
from glunix.state.batch import Batch
from glunix.state.core import BatchRules, Deadline, MasterCore, PeerFault
from glunix.state.events import (
    Effect,
    Event,
    ForgetJob,
    Level,
    LinkId,
    PeerDown,
    PeerUp,
    Received,
    SaveJob,
    Tick,
)
from glunix.state.feeder import Feeder
from glunix.state.jobs import JobState
from glunix.state.moving import Moving
from glunix.state.ndb import Node, NodeState
from glunix.state.nmgt import Nmgt
from glunix.state.queries import jobs_table, nodes_table
from glunix.state.reports import Reports
from glunix.state.rexec import Rexec
from glunix.state.termination import Ending

SAVE: tuple[Deadline, int] = (Deadline.SAVE, 0)
SAVE_AFTER = 0.25
"""Seconds that the start, stop and end of single processes may wait for the journal. What a crash
loses of them the nodes tell again."""

PROCESSES_EACH = 16384
"""Processes that the jobs of one user may have, if nobody says otherwise."""


class Master:
    """One cluster's master.

    `heartbeat`: seconds within which a daemon reports its load. `lost_after`: seconds of silence
    that make a node lost. `grace`: seconds that nodes have to come back after a restart (twice
    `lost_after` if not given). `epoch` is what turns `now`, which should be a monotonic clock, into
    seconds since the epoch for the tables: `time.time() - time.monotonic()`. `processes_each`:
    processes that the jobs of one user may have.
    """

    def __init__(
        self,
        cluster: str,
        heartbeat: float,
        lost_after: float,
        *,
        grace: float | None = None,
        epoch: float = 0.0,
        processes_each: int = PROCESSES_EACH,
        rules: BatchRules | None = None,
    ) -> None:
        self.core = MasterCore(
            cluster=cluster,
            heartbeat=heartbeat,
            lost_after=lost_after,
            grace=2 * lost_after if grace is None else grace,
            epoch=epoch,
            processes_each=processes_each,
            rules=rules or BatchRules(),
        )
        self._ending = Ending(self.core)
        self._batch = Batch(self.core, self._ending)
        self._feeder = Feeder(self.core, self._batch)
        self._asking = Asking(self.core, self._batch, self._feeder)
        self._nmgt = Nmgt(self.core, self._ending, self._batch)
        self._rexec = Rexec(self.core, self._batch)
        self._reports = Reports(self.core)
        self._moving = Moving(self.core)
        self._started = False

    def restore(
        self,
        rows: Iterable[JobRow],
        now: float,
        queued: Iterable[QueueRow] = (),
        used: Mapping[int, float] | None = None,
    ) -> list[Effect]:
        """Take in the journal, once, before the first event: jobs, the queue, usage by uid."""
        if self._started:
            raise Bug("restore() after the first event")
        self._started = True
        jobs, faults = self.core.pdb.restore(rows, now)
        for fault in faults:
            self.core.out.log(Level.ERROR, fault)
        for job in jobs:
            if job.ending:
                self.core.timer.set((Deadline.ENDING, job.npid), now + self.core.lost_after)
            if job.settling:
                self.core.timer.set((Deadline.SETTLE, job.npid), now + self.core.grace)
        self._nmgt.expect(now)
        for fault in self._batch.restore(queued, dict(used or {}), now):
            self.core.out.log(Level.ERROR, fault)
        return self._effects(now)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event at `now` seconds; return what is to be done, in order."""
        self._started = True
        match event:
            case Received(link, message):
                self._received(link, message, now)
            case PeerUp(link):
                if self._nmgt.knows(link):
                    raise Bug(f"link {link} is up twice")
                self._nmgt.peer_up(link, now)
            case PeerDown(link, reason):
                self._asking.forget(link)
                self._nmgt.peer_down(link, reason, now)
            case Tick():
                self._tick(now)
        return self._effects(now)

    def next_deadline(self) -> float | None:
        """When a Tick is due, on the clock of `now`; None when nothing is waited for."""
        return self.core.timer.next()

    def story(self, *keys: str) -> str:
        """The last events of "job 7", "node node2"."""
        return self.core.story.story(*keys)

    def _received(self, link: LinkId, message: Message, now: float) -> None:
        if not self._nmgt.knows(link):
            return  # it was on its way when we closed the link
        node = self.core.ndb.by_link.get(link)
        try:
            if isinstance(message, NodeHello):
                if node is not None:
                    raise PeerFault("second hello on a link")
                self._nmgt.hello(link, message, now)
                return
            if node is None:
                raise PeerFault(f"{type(message).__name__} before hello")
            self._nmgt.heard(node, now)
            handler = HANDLERS.get(type(message))
            if handler is None:
                raise PeerFault(f"{type(message).__name__} is not for a master")
            handler(self, node, link, message, now)
        except PeerFault as fault:
            self._nmgt.drop(link, str(fault), now)

    def _load(self, node: Node, link: LinkId, message: LoadReport, now: float) -> None:
        self._nmgt.load(node, message, now)
        self._feeder.relieve(node.name, now)

    def _place(self, node: Node, link: LinkId, message: Place, now: float) -> None:
        self._rexec.place(link, node, message, now)

    def _proc_started(self, node: Node, link: LinkId, message: ProcStarted, now: float) -> None:
        self._reports.started(node, message, now)

    def _proc_stopped(self, node: Node, link: LinkId, message: ProcStopped, now: float) -> None:
        self._reports.stopped(node, message, now)

    def _proc_exited(self, node: Node, link: LinkId, message: ProcExited, now: float) -> None:
        self._reports.exited(node, message, now)

    def _job_over(self, node: Node, link: LinkId, message: JobOver, now: float) -> None:
        job = self.core.pdb.jobs.get(Npid(message.npid))
        if job is None:
            return  # every process was reported before its home spoke
        if job.home != node.name:
            raise PeerFault(f"job {job.npid} has its home on {job.home}")
        self._ending.home_over(job, message.reason, now)

    def _kill(self, node: Node, link: LinkId, message: KillRequest, now: float) -> None:
        self._rexec.kill(link, message, now)

    def _may_move(self, node: Node, link: LinkId, message: MoveQuery, now: float) -> None:
        self._moving.asked(link, node, message, now)

    def _proc_moved(self, node: Node, link: LinkId, message: ProcMoved, now: float) -> None:
        self._moving.moved(node, message, now)

    def _jobs(self, node: Node, link: LinkId, message: JobsQuery, now: float) -> None:
        self.core.out.send(link, jobs_table(self.core, message))

    def _nodes(self, node: Node, link: LinkId, message: NodesQuery, now: float) -> None:
        self.core.out.send(link, nodes_table(self.core, message))

    def _enqueue(self, node: Node, link: LinkId, message: EnqueueAt, now: float) -> None:
        self._batch.enqueue(link, node, message, now)

    def _not_launched(self, node: Node, link: LinkId, message: NotLaunched, now: float) -> None:
        self._batch.not_launched(node, message, now)

    def _ask_job(self, node: Node, link: LinkId, message: AskJobAt, now: float) -> None:
        self._asking.ask(link, message, now)

    def _hold(self, node: Node, link: LinkId, message: HoldAt, now: float) -> None:
        self._asking.hold(link, message, now)

    def _tick(self, now: float) -> None:
        timer = self.core.timer
        first = timer.next()
        late = 0.0 if first is None else now - first
        if late > self.core.heartbeat:
            # The master itself did not run. What the nodes sent meanwhile is still to be read, so
            # nobody can be blamed for silence yet.
            timer.postpone(late + self.core.heartbeat)
            self.core.out.log(Level.WARNING, f"the master did not run for {late:.1f} s")
        for kind, about in timer.due(now):
            if kind is Deadline.SAVE:
                self.core.pdb.save_all()
            elif kind is Deadline.LIMIT:
                self._batch.overdue(Npid(int(about)), now)
            elif kind is Deadline.ENDING or kind is Deadline.SETTLE:
                self._job_overdue(kind, Npid(int(about)), now)
            else:
                self._nmgt.overdue(kind, about, now)

    def _job_overdue(self, kind: Deadline, npid: Npid, now: float) -> None:
        job = self.core.pdb.jobs.get(npid)
        if job is None:
            return  # an earlier deadline of the same Tick ended it
        if kind is Deadline.ENDING:
            self._ending.overdue(job, now)
        elif job.settling:
            job.settling = False
            if not job.procs:
                self.core.pdb.blame(job, "no node reported a process of it")
                job.fate = JobState.LOST
            self.core.pdb.settle(job, now)

    def _effects(self, now: float) -> list[Effect]:
        pdb, timer = self.core.pdb, self.core.timer
        while finished := pdb.take_finished():
            for row in finished:
                self._batch.finished(row, now)
                self._asking.over(row)
        self._feeder.feed(now)
        rows, forgotten = pdb.take_changes()
        for row in rows:
            if row.npid not in pdb.jobs:
                timer.cancel((Deadline.ENDING, row.npid))
                timer.cancel((Deadline.SETTLE, row.npid))
        if not pdb.unsaved:
            timer.cancel(SAVE)
        elif SAVE not in timer:
            timer.set(SAVE, now + SAVE_AFTER)
        saved: list[Effect] = [SaveJob(row) for row in rows]
        saved += [ForgetJob(npid) for npid in forgotten]
        return saved + self.core.out.take()

    def check(self) -> None:
        """Raise InvariantBroken, with the story, unless every invariant holds."""
        ndb, pdb, timer = self.core.ndb, self.core.pdb, self.core.timer
        ndb.check()
        pdb.check()
        self.core.queue.check()
        alive = (NodeState.UP, NodeState.EXPECTED)
        for name, procs in pdb.by_node.items():
            self._must(
                not procs or ndb.state(name) in alive, f"live on lost {name}", f"node {name}"
            )
        wanted: set[tuple[Deadline, int | str]] = set()
        for npid, job in pdb.jobs.items():
            open_home = ndb.state(job.home) in alive
            self._must(open_home or job.ending, f"job {npid} without home", f"job {npid}")
            if job.ending:
                wanted.add((Deadline.ENDING, npid))
            if job.settling:
                wanted.add((Deadline.SETTLE, npid))
            entry = self.core.queue.runs.get(npid)
            if entry is not None and entry.terms.seconds and (Deadline.LIMIT, npid) in timer:
                wanted.add((Deadline.LIMIT, npid))
        for name, node in ndb.nodes.items():
            if node.state is NodeState.UP:
                wanted.add((Deadline.SILENT, name))
            elif node.state is NodeState.EXPECTED:
                wanted.add((Deadline.EXPECTED, name))
        if pdb.unsaved:
            wanted.add(SAVE)
        wanted |= {(Deadline.HELLO, link) for link in self._nmgt.silent_links}
        both = self._nmgt.silent_links & ndb.by_link.keys()
        self._must(not both, f"links {both} both greeted and silent")
        have = set(timer.keys())
        stale = {(kind, about) for kind, about in have - wanted if kind is not Deadline.SETTLE}
        self._must(not wanted - have, f"nothing watches {wanted - have}")
        self._must(not stale, f"deadlines of nothing: {stale}")

    def _must(self, holds: bool, text: str, *keys: str) -> None:
        if not holds:
            raise InvariantBroken(text, self.core.story.story(*keys))


Handler = Callable[..., None]

HANDLERS: dict[type[Message], Handler] = {
    AskJobAt: Master._ask_job,
    EnqueueAt: Master._enqueue,
    HoldAt: Master._hold,
    NotLaunched: Master._not_launched,
    JobOver: Master._job_over,
    JobsQuery: Master._jobs,
    KillRequest: Master._kill,
    LoadReport: Master._load,
    MoveQuery: Master._may_move,
    NodesQuery: Master._nodes,
    Place: Master._place,
    ProcExited: Master._proc_exited,
    ProcMoved: Master._proc_moved,
    ProcStarted: Master._proc_started,
    ProcStopped: Master._proc_stopped,
}
"""Who takes which message of a node that has said hello; NodeHello is Nmgt's."""

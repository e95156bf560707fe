"""Rexec, remote execution: who gets a new job, and who may signal one (paper 3.2, 4.2).

Owns the placement rule and the rule of who may signal whom. Starts nothing: the home daemon dials
the nodes that it is told.
"""

from collections.abc import Sequence
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM

from glunix.errors import Refused
from glunix.ids import NodeName, Npid, Vnn, Why
from glunix.msg.job import PlacedProc
from glunix.msg.master import KillDone, KillOrder, KillRequest, Place, PlacedJob, RequestRefused
from glunix.state.batch import Batch
from glunix.state.core import MasterCore
from glunix.state.events import Level, LinkId, clip
from glunix.state.jobs import Job, Proc, ProcState
from glunix.state.ndb import Ndb, Node, NodeState
from glunix.state.queue import Entry

ROOT = 0
ENDS = frozenset({SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM})
"""Signals that remove a job from the queue, and after which it does not run again."""

NAMED = 8
"""Unknown names that a refusal lists."""
TOLD = 1000
"""Users' attempts on others' jobs that are remembered as logged."""


def choose(ndb: Ndb, degree: int, wanted: Sequence[str], excluded: Sequence[str]) -> list[NodeName]:
    """The node of each VNN: the `degree` least loaded, round again when there are fewer nodes.

    Refused when a name is unknown (BAD_REQUEST) or nothing accepts jobs (NO_NODE).
    """
    unknown = ndb.unknown([*wanted, *excluded])
    if unknown:
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        plural = "s" if len(unknown) > 1 else ""
        raise Refused(Why.BAD_REQUEST, f"no such node{plural}: {', '.join(unknown[:NAMED])}{more}")
    found = ndb.least_loaded(degree, wanted, excluded)
    if not found:
        raise Refused(Why.NO_NODE, _why_nowhere(ndb, wanted, excluded))
    return [found[vnn % len(found)].name for vnn in range(degree)]


def _why_nowhere(ndb: Ndb, wanted: Sequence[str], excluded: Sequence[str]) -> str:
    """Why `least_loaded` found nothing among nodes that are all known."""
    asked = [name for name in dict.fromkeys(wanted) if name not in excluded]
    if not asked or len(asked) > NAMED:
        where = " among those asked for" if wanted or excluded else ""
        return f"no node accepts jobs{where}"
    whys = []
    for name in asked:
        node = ndb.get(name)
        state = node.state if node is not None else None
        whys.append(f"{name} takes no jobs" if state is NodeState.UP else f"{name} is {state}")
    return f"no node accepts jobs among those asked for: {', '.join(whys)}"


class Rexec:
    """Answers Place and KillRequest."""

    def __init__(self, core: MasterCore, batch: Batch) -> None:
        self._core = core
        self._batch = batch
        self._told: set[tuple[int, int]] = set()

    def place(self, link: LinkId, home: Node, ask: Place, now: float) -> None:
        """Give the job an NPID and nodes, or say why not."""
        core = self._core
        try:
            self._within_share(ask)
            if ask.beside:
                names = self._beside(ask)
            else:
                names = choose(core.ndb, ask.degree, ask.nodes, ask.exclude)
        except Refused as refusal:
            self._refuse(link, ask.request, refusal)
            return
        job = Job(
            npid=core.pdb.allocate(),
            uid=ask.uid,
            home=home.name,
            command=ask.command,
            degree=ask.degree,
            transparent=ask.transparent,
            started=core.epoch + now,
        )
        core.pdb.add(job, names, now)
        core.ndb.placed(names)
        core.seats.placed(names, now)
        core.out.send(
            link,
            PlacedJob(
                request=ask.request,
                npid=job.npid,
                procs=[PlacedProc(vnn, name) for vnn, name in enumerate(names)],
                addresses={name: core.ndb.nodes[name].address for name in names},
            ),
        )

    def _beside(self, ask: Place) -> list[NodeName]:
        """The node of each process of a running job; Refused (Glib_CoSpawn, Table 2)."""
        core, npid = self._core, ask.beside
        job = core.pdb.jobs.get(Npid(npid))
        if job is None:
            ended = Npid(npid) in core.pdb.ended
            raise Refused(Why.NO_JOB, f"job {npid} has ended" if ended else f"no job {npid}")
        if ask.uid not in (job.uid, ROOT):
            raise Refused(Why.NOT_YOURS, f"job {npid} belongs to uid {job.uid}")
        if ask.degree != job.degree:
            text = f"job {npid} has {job.degree} processes, not {ask.degree}"
            raise Refused(Why.BAD_REQUEST, text)
        names = [job.procs[Vnn(vnn)].node for vnn in range(job.degree)]
        for name in names:
            node = core.ndb.nodes[name]
            if node.link is None or name in ask.exclude:
                state = node.state if node.link is None else "not a node for this user"
                raise Refused(Why.NO_NODE, f"{name}, a node of job {npid}, is {state}")
        return names

    def _within_share(self, ask: Place) -> None:
        """Refused when the jobs of this user would have too many processes."""
        most, have = self._core.processes_each, self._core.pdb.processes_by_uid[ask.uid]
        if have + ask.degree > most:
            text = f"uid {ask.uid} has {have} processes, {ask.degree} more are over {most}"
            raise Refused(Why.BAD_REQUEST, f"{text} ([limits] processes)")

    def kill(self, link: LinkId, ask: KillRequest, now: float) -> None:
        """Order a signal for the owner or root, or say why not. Signal 0 only asks."""
        entry = self._core.queue.entries.get(Npid(ask.npid))
        if entry is not None and ask.vnn is None:
            self._kill_queued(link, entry, ask, now)
            return
        try:
            procs = self._target(ask)
        except Refused as refusal:
            if refusal.why is Why.NOT_YOURS:
                self._log_attempt(link, ask, refusal, now)
            self._refuse(link, ask.request, refusal)
            return
        if ask.signal:
            self._core.pdb.note(Npid(ask.npid), now, f"signal {ask.signal} from uid {ask.uid}")
            self._deliver(procs, ask.signal)
        self._core.out.send(link, KillDone(ask.request, len(procs)))

    def _kill_queued(self, link: LinkId, entry: Entry, ask: KillRequest, now: float) -> None:
        """A signal for a batch job: what runs of it gets it, what waits is removed or held."""
        core = self._core
        if ask.uid not in (entry.uid, ROOT):
            refusal = Refused(Why.NOT_YOURS, f"job {ask.npid} belongs to uid {entry.uid}")
            self._log_attempt(link, ask, refusal, now)
            self._refuse(link, ask.request, refusal)
            return
        count = entry.pending()
        runs = [core.pdb.jobs[npid] for npid in entry.runs if npid in core.pdb.jobs]
        for job in runs:
            procs = job.live_procs()
            count += len(procs)
            if ask.signal and procs:
                self._deliver(procs, ask.signal)
        if ask.signal in ENDS:
            self._batch.cancel(entry, now)
        elif ask.signal in (SIGSTOP, SIGCONT) and entry.pending():
            self._batch.hold(entry, ask.signal == SIGSTOP, now)
        core.out.send(link, KillDone(ask.request, count))

    def _target(self, ask: KillRequest) -> list[Proc]:
        name = f"{ask.npid}" if ask.vnn is None else f"{ask.npid}.{ask.vnn}"
        job = self._core.pdb.jobs.get(Npid(ask.npid))
        if job is None:
            ended = Npid(ask.npid) in self._core.pdb.ended
            raise Refused(Why.NO_JOB, f"job {name} has ended" if ended else f"no job {name}")
        if ask.uid not in (job.uid, ROOT):
            raise Refused(Why.NOT_YOURS, f"job {name} belongs to uid {job.uid}")
        if ask.vnn is None:
            return job.live_procs()
        proc = job.procs.get(Vnn(ask.vnn))
        if proc is None:
            raise Refused(Why.NO_JOB, f"no process {name}: job {ask.npid} is {job.degree}-way")
        if not proc.live:
            raise Refused(Why.NO_JOB, f"process {name} has ended")
        return [proc]

    def _deliver(self, procs: Sequence[Proc], number: int) -> None:
        """What runs gets it now; what its node has not reported yet gets it, once, when it does.

        SIGKILL goes out for that at once, too: on its node it may be waiting for a start that never
        comes, and a node that does not know it yet takes no notice.
        """
        core = self._core
        orders: dict[LinkId, list[int]] = {}
        for proc in procs:
            node_link = core.ndb.nodes[proc.node].link
            is_placed = proc.state is ProcState.PLACED
            if node_link is not None and (not is_placed or number == SIGKILL):
                orders.setdefault(node_link, []).append(proc.vnn)
            if (is_placed or node_link is None) and number not in proc.pending:
                proc.pending.append(number)
        for node_link, vnns in orders.items():
            core.out.send(node_link, KillOrder(procs[0].npid, vnns, number))

    def _log_attempt(self, link: LinkId, ask: KillRequest, refusal: Refused, now: float) -> None:
        """Once for each user and job: who asks again and again shall not fill the disk."""
        if (ask.uid, ask.npid) in self._told:
            return
        if len(self._told) >= TOLD:
            self._told.clear()
        self._told.add((ask.uid, ask.npid))
        core = self._core
        node = core.ndb.by_link[link].name
        core.pdb.note(Npid(ask.npid), now, f"refused signal {ask.signal} from uid {ask.uid}")
        core.out.log(Level.WARNING, f"refused a signal of uid {ask.uid} on {node}: {refusal}")

    def _refuse(self, link: LinkId, request: int, refusal: Refused) -> None:
        text = clip(str(refusal))
        self._core.out.send(link, RequestRefused(request, refusal.why, text))

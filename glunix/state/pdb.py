"""Pdb, the job database: which jobs there are, where their processes are, how they ended.

Owns NPIDs, the jobs that live and the history of those that ended. Knows no node (Ndb does), sends
nothing; what must go to the journal is collected until `take_changes()`. Paper 3.1 and 4.1.
"""

from collections import Counter
from collections.abc import Container, Iterable

from glunix.debug import Bug, IllegalTransition, InvariantBroken, Story
from glunix.ids import NPID_MAX, NodeName, Npid, Vnn
from glunix.msg.job import JobRow
from glunix.state.events import clip
from glunix.state.jobs import (
    JOB_FINAL,
    JOB_MOVES,
    PROC_MOVES,
    Job,
    JobState,
    Proc,
    ProcState,
    job_of,
)

HISTORY = 200
"""Ended jobs that are remembered."""


class Pdb:
    """Jobs by NPID: those that live, and the last that ended."""

    def __init__(
        self, story: Story, epoch: float = 0.0, queued: Container[Npid] = frozenset()
    ) -> None:
        """`queued`: NPIDs that belong to the queue of batch jobs."""
        self._queued = queued
        self.finished: list[JobRow] = []
        """Jobs that came to their end since `take_finished`."""
        self.jobs: dict[Npid, Job] = {}
        self.ended: dict[Npid, JobRow] = {}
        self.by_node: dict[NodeName, dict[tuple[Npid, Vnn], Proc]] = {}
        self.processes_by_uid: Counter[int] = Counter()
        """uid -> processes of all jobs of that user that are not over; only those not zero."""
        self.last_npid = 0
        self._story = story
        self._epoch = epoch
        self._changed: dict[Npid, None] = {}
        self.unsaved: dict[Npid, None] = {}
        """Live jobs with changes that can wait: a 1,000-way job is not saved 2,000 times."""
        self._forgotten: dict[Npid, None] = {}
        self._left: dict[tuple[Npid, Vnn], set[NodeName]] = {}
        """Where live processes were once."""
        self._intents: dict[tuple[Npid, Vnn], NodeName] = {}
        """Where live processes are to move."""

    def allocate(self) -> Npid:
        """The next NPID: 1..NPID_MAX, then from 1 again, never one that is still known."""
        npid = self.last_npid
        for _ in range(NPID_MAX):
            npid = npid % NPID_MAX + 1
            if npid not in self.jobs and npid not in self.ended and npid not in self._queued:
                self.last_npid = npid
                return Npid(npid)
        raise Bug("no NPID is free")

    def take_finished(self) -> list[JobRow]:
        """The jobs that came to their end since the last call."""
        finished, self.finished = self.finished, []
        return finished

    def conclude(self, row: JobRow) -> None:
        """Something that was no job of this database (an array, a queued job) is over."""
        self.ended[Npid(row.npid)] = row
        self.finished.append(row)
        self._changed[Npid(row.npid)] = None
        self._bound()

    def add(self, job: Job, nodes: Iterable[NodeName], now: float) -> None:
        """A new job; VNN i goes to the i-th of `nodes`."""
        if job.npid in self.jobs or job.npid in self.ended:
            raise Bug(f"NPID {job.npid} is taken", self._story.story(f"job {job.npid}"))
        self._hold(job)
        for vnn, node in enumerate(nodes):
            self.attach(job, Proc(job.npid, Vnn(vnn), node))
        self.note(job.npid, now, f"uid {job.uid} at {job.home}: {job.degree}-way {job.command!r}")
        job.state = job.rule()
        self._save_now(job)

    def _hold(self, job: Job) -> None:
        self.jobs[job.npid] = job
        self.processes_by_uid[job.uid] += job.degree

    def attach(self, job: Job, proc: Proc) -> None:
        """Put a process, in whatever state it is, under its job and its node."""
        if proc.vnn in job.procs:
            raise Bug(f"{job.npid}.{proc.vnn} is there twice")
        job.procs[proc.vnn] = proc
        job.count[proc.state] += 1
        if proc.live:
            self.by_node.setdefault(proc.node, {})[proc.npid, proc.vnn] = proc
        self.unsaved[job.npid] = None

    def move(self, proc: Proc, state: ProcState, now: float) -> None:
        """Change the state of a process, and with it that of its job."""
        key = f"job {proc.npid}"
        if state not in PROC_MOVES[proc.state]:
            raise IllegalTransition(
                f"process {proc.npid}.{proc.vnn} cannot go from {proc.state} to {state}",
                self._story.story(key),
            )
        text = f".{proc.vnn} on {proc.node}: {proc.state} -> {state}"
        self._story.note(key, now, text)
        job = self.jobs[proc.npid]
        job.count[proc.state] -= 1
        job.count[state] += 1
        proc.state = state
        proc.row = None
        if not proc.live:
            proc.pending.clear()
            self._intents.pop((proc.npid, proc.vnn), None)
            self._left.pop((proc.npid, proc.vnn), None)
            del self.by_node[proc.node][proc.npid, proc.vnn]
        self.settle(job, now)

    def settle(self, job: Job, now: float) -> None:
        """Give the job the state that its processes say; a job that is over goes to history."""
        self.unsaved[job.npid] = None
        state = job.rule()
        if state is job.state:
            return
        key = f"job {job.npid}"
        if state not in JOB_MOVES[job.state]:
            raise IllegalTransition(
                f"{key} cannot go from {job.state} to {state}", self._story.story(key)
            )
        self._story.note(key, now, f"{job.state} -> {state} {job.reason}".rstrip())
        job.state = state
        if state is JobState.ENDING or state in JOB_FINAL:
            self._save_now(job)
        if state in JOB_FINAL:
            del self.jobs[job.npid]
            self.processes_by_uid[job.uid] -= job.degree
            if not self.processes_by_uid[job.uid]:
                del self.processes_by_uid[job.uid]
            row = self.ended[job.npid] = job.as_row(ended=self._epoch + now)
            self.finished.append(row)
            self._bound()

    def intend(self, proc: Proc, node: NodeName | None) -> None:
        """This process is to move there; None: it stays."""
        if node is None:
            self._intents.pop((proc.npid, proc.vnn), None)
        else:
            self._intents[proc.npid, proc.vnn] = node

    def intended(self, proc: Proc) -> NodeName | None:
        """Where it is to move, if anywhere."""
        return self._intents.get((proc.npid, proc.vnn))

    def has_left(self, proc: Proc, node: NodeName) -> bool:
        """Whether it was on that node once: what that one still says of it is old."""
        return node in self._left.get((proc.npid, proc.vnn), ())

    def relocate(self, proc: Proc, node: NodeName, now: float) -> None:
        """A live process runs on another node from now on."""
        del self.by_node[proc.node][proc.npid, proc.vnn]
        self._left.setdefault((proc.npid, proc.vnn), set()).add(proc.node)
        self._story.note(f"job {proc.npid}", now, f".{proc.vnn} moved from {proc.node} to {node}")
        proc.node, proc.row = node, None
        self.by_node.setdefault(node, {})[proc.npid, proc.vnn] = proc
        self._intents.pop((proc.npid, proc.vnn), None)
        self.unsaved[proc.npid] = None

    def blame(self, job: Job, reason: str) -> None:
        """Say why the job ends; the first reason stays."""
        if reason and not job.reason:
            job.reason = clip(reason)
            self.unsaved[job.npid] = None

    def on_node(self, name: NodeName) -> list[Proc]:
        """The live processes of a node."""
        return list(self.by_node.get(name, {}).values())

    def homed(self, name: NodeName) -> list[Job]:
        """The jobs whose startup is on this node."""
        return [job for job in self.jobs.values() if job.home == name]

    def load(self) -> dict[NodeName, int]:
        """Live processes per node."""
        return {name: len(procs) for name, procs in self.by_node.items() if procs}

    def note(self, npid: Npid, now: float, text: str) -> None:
        """Add a line to the job's story."""
        self._story.note(f"job {npid}", now, text)

    def restore(self, rows: Iterable[JobRow], now: float) -> tuple[list[Job], list[str]]:
        """Take in the journal, before anything else; returns live jobs and faults found.

        Rows that make no sense are forgotten in the journal too, and named in the faults.
        """
        faults = []
        newest = (0.0, 0)
        for row in sorted(rows, key=lambda row: (row.ended, row.npid)):
            try:
                job = job_of(row)
            except ValueError as error:
                faults.append(f"journal: job {row.npid}: {error}")
                self._forgotten[Npid(row.npid)] = None
                continue
            newest = max(newest, (row.started, row.npid))
            if job.state in JOB_FINAL:
                self.ended[job.npid] = row
                continue
            self._hold(job)
            for proc in job.live_procs():
                self.by_node.setdefault(proc.node, {})[proc.npid, proc.vnn] = proc
            self.note(job.npid, now, f"restored from the journal as {job.state}")
        self.last_npid = newest[1]
        self._bound()
        return list(self.jobs.values()), faults

    def save_all(self) -> None:
        """What could wait has waited long enough."""
        self._changed.update(self.unsaved)
        self.unsaved.clear()

    def _save_now(self, job: Job) -> None:
        self._changed[job.npid] = None
        self.unsaved.pop(job.npid, None)

    def take_changes(self) -> tuple[list[JobRow], list[Npid]]:
        """Rows to save and NPIDs to forget since the last call."""
        if not self._changed and not self._forgotten:
            return [], []
        rows = [
            self.jobs[npid].as_row() if npid in self.jobs else self.ended[npid]
            for npid in self._changed
            if npid not in self._forgotten
        ]
        forgotten = list(self._forgotten)
        self._changed.clear()
        self._forgotten.clear()
        return rows, forgotten

    def _bound(self) -> None:
        while len(self.ended) > HISTORY:
            npid = next(iter(self.ended))
            del self.ended[npid]
            self._forgotten[npid] = None

    def check(self) -> None:
        """Raise InvariantBroken when jobs, processes and indexes do not agree."""
        seen = 0
        for npid, job in self.jobs.items():
            live = job.live_procs()
            good = (
                job.npid == npid
                and 1 <= npid <= NPID_MAX
                and npid not in self.ended
                and job.state not in JOB_FINAL
                and job.state is job.rule()
                and (live or job.settling)
                and len(job.procs) <= job.degree
                and +job.count == Counter(proc.state for proc in job.procs.values())
                and all(proc.vnn == vnn < job.degree for vnn, proc in job.procs.items())
                and all(self.by_node[p.node].get((npid, p.vnn)) is p for p in live)
                and all(proc.live or not proc.pending for proc in job.procs.values())
            )
            seen += len(live)
            if not good:
                raise InvariantBroken(f"bad job {job}", self._story.story(f"job {npid}"))
        processes_by_uid: Counter[int] = Counter()
        for job in self.jobs.values():
            processes_by_uid[job.uid] += job.degree
        if processes_by_uid != self.processes_by_uid:
            raise InvariantBroken(f"users hold {processes_by_uid}, not {self.processes_by_uid}")
        if not self.unsaved.keys() <= self.jobs.keys():
            raise InvariantBroken(f"unsaved {self.unsaved} of {self.jobs.keys()}")
        if seen != sum(len(procs) for procs in self.by_node.values()):
            raise InvariantBroken(f"processes of no job: {self.by_node}")
        if len(self.ended) > HISTORY:
            raise InvariantBroken(f"{len(self.ended)} ended jobs")
        for npid, row in self.ended.items():
            if row.npid != npid or JobState(row.state) not in JOB_FINAL:
                raise InvariantBroken(f"bad ended job {row}", self._story.story(f"job {npid}"))

"""Pdb, the job database: which jobs there are, where their processes are, how they ended.

Owns NPIDs, job and process states, and the history of ended jobs. Knows no node (Ndb does), sends
nothing; what must go to the journal is collected until `take_changes()`. Paper 3.1 and 4.1.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from glunix.debug import Bug, IllegalTransition, InvariantBroken, Story
from glunix.ids import NPID_MAX, NodeName, Npid, Vnn
from glunix.msg.job import JobRow, ProcRow
from glunix.state.events import clip

HISTORY = 200
"""Ended jobs that are remembered."""


class ProcState(StrEnum):
    """One process of a job."""

    PLACED = "placed"
    """It has a node, which has not reported it yet."""
    RUNNING = "running"
    STOPPED = "stopped"
    EXITED = "exited"
    KILLED = "killed"
    """Ended by a signal, or never started because its job was killed."""
    LOST = "lost"
    """Nobody can tell how it ended."""


class JobState(StrEnum):
    """One job. All but the three last have live processes."""

    PLACED = "placed"
    STARTING = "starting"
    """Some of its processes run, others are still only placed."""
    RUNNING = "running"
    STOPPED = "stopped"
    """Every live process is stopped."""
    ENDING = "ending"
    """Its end is decided; the nodes have yet to report the end of each process."""
    EXITED = "exited"
    KILLED = "killed"
    LOST = "lost"


_P, _J = ProcState, JobState
_PROC_FINAL = frozenset({_P.EXITED, _P.KILLED, _P.LOST})
_JOB_FINAL = frozenset({_J.EXITED, _J.KILLED, _J.LOST})

PROC_MOVES: dict[ProcState, frozenset[ProcState]] = {
    _P.PLACED: _PROC_FINAL | {_P.RUNNING},
    _P.RUNNING: _PROC_FINAL | {_P.STOPPED},
    _P.STOPPED: _PROC_FINAL | {_P.RUNNING},
    _P.EXITED: frozenset(),
    _P.KILLED: frozenset(),
    _P.LOST: frozenset(),
}
"""state -> the states a process may go to; anything else is a bug."""

JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    _J.PLACED: _JOB_FINAL | {_J.STARTING, _J.RUNNING, _J.ENDING},
    _J.STARTING: _JOB_FINAL | {_J.RUNNING, _J.STOPPED, _J.ENDING},
    _J.RUNNING: _JOB_FINAL | {_J.STOPPED, _J.ENDING},
    _J.STOPPED: _JOB_FINAL | {_J.RUNNING, _J.ENDING},
    _J.ENDING: _JOB_FINAL,
    _J.EXITED: frozenset(),
    _J.KILLED: frozenset(),
    _J.LOST: frozenset(),
}
"""state -> the states a job may go to; anything else is a bug."""


@dataclass(slots=True)
class Proc:
    """One process of a job. `pid` is its node's, 0 before it started."""

    npid: Npid
    vnn: Vnn
    node: NodeName
    state: ProcState = ProcState.PLACED
    pid: int = 0
    code: int = 0
    signal: int = 0
    pending: list[int] = field(default_factory=list)
    """Signals to deliver when it starts, each at most once."""
    row: ProcRow | None = None

    @property
    def live(self) -> bool:
        """Whether it has not ended as far as the master knows."""
        return self.state not in _PROC_FINAL

    def as_row(self) -> ProcRow:
        """Its row, made again only after a change: a 1,000-way job is saved at every report."""
        if self.row is None:
            self.row = ProcRow(
                self.vnn, self.node, self.pid, self.state.value, self.code, self.signal
            )
        return self.row


@dataclass(slots=True)
class Job:
    """One job that is not over. Times are seconds since the epoch."""

    npid: Npid
    uid: int
    home: NodeName
    command: str
    degree: int
    transparent: bool
    started: float
    state: JobState = JobState.PLACED
    procs: dict[Vnn, Proc] = field(default_factory=dict)
    count: Counter[ProcState] = field(default_factory=Counter)
    reason: str = ""
    fate: JobState | None = None
    """How it is to be called once it is over, when that is not told by its processes."""
    ending: bool = False
    orders: int = 0
    """How often SIGKILL was ordered for all that is left of it."""
    settling: bool = False
    """Made from reports after a restart; other nodes may still report processes of it."""

    @property
    def live(self) -> int:
        """Processes that have not ended."""
        return self.count[_P.PLACED] + self.count[_P.RUNNING] + self.count[_P.STOPPED]

    def live_procs(self) -> list[Proc]:
        """The processes that have not ended, by VNN."""
        return [proc for proc in self.procs.values() if proc.live]

    def as_row(self, ended: float = 0.0) -> JobRow:
        """The job as glups shows it and the journal keeps it."""
        return JobRow(
            npid=self.npid,
            uid=self.uid,
            home=self.home,
            command=self.command,
            degree=self.degree,
            transparent=self.transparent,
            state=self.state.value,
            started=self.started,
            ended=ended,
            reason=self.reason,
            procs=[proc.as_row() for proc in self.procs.values()],
        )

    def rule(self) -> JobState:
        """The state that its processes and its decided end amount to."""
        count, live = self.count, self.live
        if not live and not self.settling:
            if self.fate is not None:
                return self.fate
            if count[_P.LOST]:
                return _J.LOST
            return _J.KILLED if count[_P.KILLED] else _J.EXITED
        if self.ending:
            return _J.ENDING
        if live and count[_P.STOPPED] == live:
            return _J.STOPPED
        if not count[_P.PLACED]:
            return _J.RUNNING
        return _J.PLACED if count[_P.PLACED] == len(self.procs) else _J.STARTING


class Pdb:
    """Jobs by NPID: those that live, and the last that ended."""

    def __init__(self, story: Story, epoch: float = 0.0) -> None:
        self.jobs: dict[Npid, Job] = {}
        self.ended: dict[Npid, JobRow] = {}
        self.by_node: dict[NodeName, dict[tuple[Npid, Vnn], Proc]] = {}
        self.last_npid = 0
        self._story = story
        self._epoch = epoch
        self._changed: dict[Npid, None] = {}
        self.unsaved: dict[Npid, None] = {}
        """Live jobs with changes that can wait: a 1,000-way job is not saved 2,000 times."""
        self._forgotten: dict[Npid, None] = {}

    def allocate(self) -> Npid:
        """The next NPID: 1..NPID_MAX, then from 1 again, never one that is still known."""
        npid = self.last_npid
        for _ in range(len(self.jobs) + len(self.ended) + 1):
            npid = npid % NPID_MAX + 1
            if npid not in self.jobs and npid not in self.ended:
                self.last_npid = npid
                return Npid(npid)
        raise Bug("no NPID is free")

    def add(self, job: Job, nodes: Iterable[NodeName], now: float) -> None:
        """A new job; VNN i goes to the i-th of `nodes`."""
        if job.npid in self.jobs or job.npid in self.ended:
            raise Bug(f"NPID {job.npid} is taken", self._story.story(f"job {job.npid}"))
        self.jobs[job.npid] = job
        for vnn, node in enumerate(nodes):
            self.attach(job, Proc(job.npid, Vnn(vnn), node))
        self.note(job.npid, now, f"uid {job.uid} at {job.home}: {job.degree}-way {job.command!r}")
        job.state = job.rule()
        self._save_now(job)

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
        if state is _J.ENDING or state in _JOB_FINAL:
            self._save_now(job)
        if state in _JOB_FINAL:
            del self.jobs[job.npid]
            self.ended[job.npid] = job.as_row(ended=self._epoch + now)
            self._bound()

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
            if job.state in _JOB_FINAL:
                self.ended[job.npid] = row
                continue
            self.jobs[job.npid] = job
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
                and job.state not in _JOB_FINAL
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
        if not self.unsaved.keys() <= self.jobs.keys():
            raise InvariantBroken(f"unsaved {self.unsaved} of {self.jobs.keys()}")
        if seen != sum(len(procs) for procs in self.by_node.values()):
            raise InvariantBroken(f"processes of no job: {self.by_node}")
        if len(self.ended) > HISTORY:
            raise InvariantBroken(f"{len(self.ended)} ended jobs")
        for npid, row in self.ended.items():
            if row.npid != npid or JobState(row.state) not in _JOB_FINAL:
                raise InvariantBroken(f"bad ended job {row}", self._story.story(f"job {npid}"))


def job_of(row: JobRow) -> Job:
    """A job as the journal has it; ValueError when the row contradicts itself."""
    npid = Npid(row.npid)
    if not 1 <= npid <= NPID_MAX:
        raise ValueError(f"bad NPID {npid}")
    job = Job(
        npid=npid,
        uid=row.uid,
        home=NodeName(row.home),
        command=row.command,
        degree=row.degree,
        transparent=row.transparent,
        started=row.started,
        state=JobState(row.state),
        reason=row.reason,
    )
    for given in row.procs:
        vnn = Vnn(given.vnn)
        if not 0 <= vnn < row.degree or vnn in job.procs:
            raise ValueError(f"bad VNN {vnn}")
        state = ProcState(given.state)
        job.procs[vnn] = Proc(
            npid, vnn, NodeName(given.node), state, given.pid, given.code, given.signal
        )
        job.count[state] += 1
    if job.state in _JOB_FINAL:
        if job.live:
            raise ValueError(f"{job.state} with live processes")
        return job
    job.ending = job.state is JobState.ENDING
    job.settling = len(job.procs) < job.degree and not job.ending
    if not job.live and not job.settling:
        raise ValueError(f"{job.state} without live processes")
    if job.ending and job.reason:
        job.fate = JobState.KILLED
    job.state = job.rule()
    return job

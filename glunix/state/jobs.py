"""What a job and its processes are to the master: states, and which state may follow which.

Owns the two transition tables and the rule by which processes make the state of their job. Paper
3.1: a job has an NPID, its processes are told apart by VNN.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from glunix.ids import NPID_MAX, NodeName, Npid, Vnn
from glunix.msg.job import JobRow, ProcRow


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
PROC_FINAL = frozenset({_P.EXITED, _P.KILLED, _P.LOST})
JOB_FINAL = frozenset({_J.EXITED, _J.KILLED, _J.LOST})

PROC_MOVES: dict[ProcState, frozenset[ProcState]] = {
    _P.PLACED: PROC_FINAL | {_P.RUNNING},
    _P.RUNNING: PROC_FINAL | {_P.STOPPED},
    _P.STOPPED: PROC_FINAL | {_P.RUNNING},
    _P.EXITED: frozenset(),
    _P.KILLED: frozenset(),
    _P.LOST: frozenset(),
}
"""state -> the states a process may go to; anything else is a bug."""

JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    _J.PLACED: JOB_FINAL | {_J.STARTING, _J.RUNNING, _J.ENDING},
    _J.STARTING: JOB_FINAL | {_J.RUNNING, _J.STOPPED, _J.ENDING},
    _J.RUNNING: JOB_FINAL | {_J.STOPPED, _J.ENDING},
    _J.STOPPED: JOB_FINAL | {_J.RUNNING, _J.ENDING},
    _J.ENDING: JOB_FINAL,
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
        return self.state not in PROC_FINAL

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
    if job.state in JOB_FINAL:
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

"""Batch: what is submitted, held and removed, and what happens when a run is over (paper 8.2).

Owns the life of an entry of the queue: waiting, running, to run again, over. Who gets nodes when is
Feeder's (glunix.state.feeder). What a crash must not forget is in the journal before anybody is
answered; a run that a crash cut off is said to have been cut off, and runs again only if asked.
"""

from collections.abc import Collection, Iterable

import msgspec

from glunix.errors import Refused
from glunix.ids import NodeName, Npid, Why
from glunix.msg.batch import EnqueueAt, Launch, NotLaunched, Queued, QueueRow, Run, Sealed
from glunix.msg.job import JobRow, PlacedProc, status_of
from glunix.msg.master import RequestRefused
from glunix.state.core import Deadline, MasterCore, PeerFault
from glunix.state.events import (
    ForgetQueued,
    ForgetSurroundings,
    Level,
    LinkId,
    SaveQueued,
    SaveSurroundings,
    SaveUsage,
    SendFromQueue,
    clip,
)
from glunix.state.jobs import Job, JobState, ProcState
from glunix.state.ndb import Node
from glunix.state.queue import Entry, entry_of
from glunix.state.termination import Ending

LAUNCHES = 5
"""How often home may say that it could not begin a run before the job is given up."""

NO_SEAL = b"\0" * 16
"""In a message that the journal's blobs are put into."""


class Batch:
    """Entries of the queue in the books."""

    def __init__(self, core: MasterCore, ending: Ending) -> None:
        self._core = core
        self._ending = ending
        self._users_of: dict[int, int] = {}
        """Number of surroundings -> entries that need them."""
        self._last = 0
        self._failed_launches: dict[Npid, int] = {}
        self._displaced: set[Npid] = set()
        """Runs that were ended to make room: they run again and nothing is counted."""

    # -- submission ----------------------------------------------------------------------------

    def enqueue(self, link: LinkId, home: Node, ask: EnqueueAt, now: float) -> None:
        """Take tasks in, all or none, and answer with their NPIDs."""
        core = self._core
        try:
            self._admit(ask)
        except Refused as refusal:
            text = clip(str(refusal))
            core.out.send(link, RequestRefused(ask.request, refusal.why, text))
            return
        self._last += 1
        number = self._last
        core.out.add(SaveSurroundings(number, ask.surroundings, ask.seal))
        self._users_of[number] = len(ask.tasks)
        npids = [self._add(home, ask.uid, sealed, number, now) for sealed in ask.tasks]
        core.out.send(link, Queued(ask.request, list(npids)))

    def _add(self, home: Node, uid: int, sealed: Sealed, number: int, now: float) -> Npid:
        core = self._core
        terms = core.queue.shared(sealed.terms)
        entry = Entry(
            npid=core.pdb.allocate(),
            uid=uid,
            home=home.name,
            terms=terms,
            surroundings=number,
            submitted=core.epoch + now,
            order=core.queue.next_order(),
            next=terms.array.first if terms.array else 0,
            held=terms.held,
        )
        core.queue.add(entry, self._live(terms.after))
        core.pdb.note(entry.npid, now, f"uid {uid} at {home.name} queued {terms.command!r}")
        core.out.add(SaveQueued(entry.row(), sealed.task, sealed.seal))
        return entry.npid

    def _admit(self, ask: EnqueueAt) -> None:
        """Refused when one of the tasks cannot be taken."""
        core = self._core
        more = sum(len(task.terms.array) if task.terms.array else 1 for task in ask.tasks)
        have = core.queue.asked[ask.uid]
        if have + more > core.rules.queued:
            text = f"uid {ask.uid} has {have} queued, {more} more are over {core.rules.queued}"
            raise Refused(Why.BAD_REQUEST, f"{text} ([batch] queued)")
        for terms in {id(t.terms.need): t.terms for t in ask.tasks}.values():
            need = terms.need
            unknown = core.ndb.unknown([*need.nodes, *need.exclude])
            if unknown:
                raise Refused(Why.BAD_REQUEST, f"no such node: {', '.join(unknown[:8])}")
            if need.degree * need.cpus > 2**32:
                raise Refused(Why.BAD_REQUEST, "no cluster has so many processors")
        for npid in {npid for task in ask.tasks for npid in task.terms.after}:
            if not self._is_known(Npid(npid)):
                raise Refused(Why.NO_JOB, f"--after {npid}: no such job")

    def _is_known(self, npid: Npid) -> bool:
        pdb = self._core.pdb
        return npid in pdb.jobs or npid in pdb.ended or npid in self._core.queue.entries

    def _live(self, npids: Iterable[int]) -> list[Npid]:
        core = self._core
        asked = [Npid(npid) for npid in npids]
        return [n for n in asked if n in core.pdb.jobs or n in core.queue.entries]

    # -- runs ----------------------------------------------------------------------------------

    def start(self, entry: Entry, names: list[NodeName], now: float) -> None:
        """Give the next run of this entry its nodes and tell its home."""
        core, need = self._core, entry.need
        home = core.ndb.nodes[entry.home]
        assert home.link is not None
        index = entry.take_index()
        is_array = entry.terms.array is not None
        # A second run gets a number of its own: what home and nodes still say of the first one
        # must not be taken for it.
        npid = core.pdb.allocate() if is_array or entry.has_run else entry.npid
        entry.has_run = True
        command = f"{entry.terms.command} [{index}]" if is_array else entry.terms.command
        job = Job(
            npid=npid,
            uid=entry.uid,
            home=entry.home,
            command=command,
            degree=need.degree,
            transparent=entry.terms.transparent,
            started=core.epoch + now,
        )
        core.pdb.add(job, names, now)
        core.queue.begin(entry, npid, Run(npid, index, home.boot))
        self._changed(entry)
        for name in names:
            core.seats.take(name, need, now)
        core.fair.begin(entry.uid, need.degree * need.cpus, now)
        if entry.terms.seconds:
            core.timer.set((Deadline.LIMIT, npid), now + entry.terms.seconds)
        launch = Launch(
            npid=npid,
            entry=entry.npid,
            is_array=is_array,
            index=index,
            name=entry.terms.name,
            degree=need.degree,
            procs=[PlacedProc(vnn, name) for vnn, name in enumerate(names)],
            addresses={name: core.ndb.nodes[name].address for name in names},
            surroundings=b"",
            surroundings_seal=NO_SEAL,
            task=b"",
            task_seal=NO_SEAL,
        )
        core.out.add(SendFromQueue(home.link, launch, entry.npid, entry.surroundings))

    def not_launched(self, home: Node, told: NotLaunched, now: float) -> None:
        """Home could not begin this run; nothing of it was started anywhere."""
        job = self._core.pdb.jobs.get(Npid(told.npid))
        if job is None or job.npid not in self._core.queue.runs:
            return
        if job.home != home.name:
            raise PeerFault(f"job {job.npid} has its home on {job.home}")
        self.never_began(job, told.reason, now, is_final=told.final)

    def was_never_launched(self, job: Job, boot: str, launched: Collection[int]) -> bool:
        """Whether a home that came back without this job has certainly never begun it.

        The same daemon says which launches came to it: what it and the nodes reported of one may
        have been lost with the master. A process that was reported by its node was begun.
        """
        entry = self._core.queue.runs.get(job.npid)
        if entry is None or entry.runs[job.npid].boot != boot or job.npid in launched:
            return False
        return all(proc.state is ProcState.PLACED for proc in job.procs.values())

    def never_began(self, job: Job, reason: str, now: float, *, is_final: bool = False) -> None:
        """End a run of which nothing was started; it goes back into the queue."""
        pdb, npid = self._core.pdb, job.npid
        entry = self._core.queue.runs[npid]
        count = self._failed_launches.get(entry.npid, 0) + 1
        if is_final or count >= LAUNCHES:
            self._failed_launches.pop(entry.npid, None)
        else:
            self._failed_launches[entry.npid] = count
            self._displaced.add(npid)
        pdb.blame(job, reason)
        pdb.note(npid, now, f"did not begin: {reason}")
        for proc in job.live_procs():
            pdb.move(proc, ProcState.KILLED, now)

    def displace(self, job: Job, reason: str, now: float) -> None:
        """End a background run to make room; it goes back into the queue."""
        self._displaced.add(job.npid)
        self._ending.doom(job, reason, now)

    def overdue(self, npid: Npid, now: float) -> None:
        """The time limit of a run is over."""
        job, entry = self._core.pdb.jobs.get(npid), self._core.queue.runs.get(npid)
        if job is None or entry is None or job.ending:
            return
        entry.tries[entry.runs[npid].index] = entry.terms.retry  # again would take as long
        self._ending.doom(job, f"its time limit of {entry.terms.seconds:g} s is over", now)

    def finished(self, row: JobRow, now: float) -> None:
        """A job is over; when it is a run of the queue's, decide what follows."""
        core, npid = self._core, Npid(row.npid)
        core.timer.cancel((Deadline.LIMIT, npid))
        if npid not in core.queue.runs:
            core.queue.over(npid)
            return
        entry, run = core.queue.end(npid)
        for proc in row.procs:
            core.seats.give(NodeName(proc.node), entry.need, now)
        core.fair.end(entry.uid, entry.need.degree * entry.need.cpus, now)
        core.out.add(SaveUsage(core.fair.snapshot(now)))
        self._judge(entry, run, row)
        self._after_change(entry, now, row)

    def _judge(self, entry: Entry, run: Run, row: JobRow) -> None:
        """Whether this index runs again, and what it leaves of its end."""
        displaced = Npid(run.npid) in self._displaced
        self._displaced.discard(Npid(run.npid))
        if displaced and not entry.is_cancelled:
            entry.put_back(run.index)
            return
        status = status_of(row)
        tries = entry.tries.get(run.index, 0)
        if status and tries < entry.terms.retry and not entry.is_cancelled:
            entry.tries[run.index] = tries + 1
            entry.put_back(run.index)
            return
        entry.tries.pop(run.index, None)
        entry.worst = max(entry.worst, status)

    def _after_change(self, entry: Entry, now: float, last: JobRow | None = None) -> None:
        """Save an entry or, when nothing of it is left, take it out of the queue."""
        core = self._core
        if not entry.is_over():
            core.queue.offer(entry)
            self._changed(entry)
            return
        if entry.terms.array is not None or last is None:
            core.pdb.conclude(self._end_row(entry, now))
        elif last.npid != entry.npid:
            core.pdb.conclude(msgspec.structs.replace(last, npid=entry.npid))
        self._failed_launches.pop(entry.npid, None)
        core.queue.remove(entry)
        core.queue.over(entry.npid)
        core.out.add(ForgetQueued(entry.npid))
        self._let_go(entry.surroundings)

    def _end_row(self, entry: Entry, now: float) -> JobRow:
        """History's row of an array, or of a job that never ran."""
        state = JobState.KILLED if entry.is_cancelled else JobState.EXITED
        reason = "removed from the queue" if entry.is_cancelled else ""
        if entry.worst and not reason:
            reason = f"highest exit status {entry.worst}"
        ended = self._core.epoch + now
        return JobRow(
            npid=entry.npid,
            uid=entry.uid,
            home=entry.home,
            command=entry.terms.command,
            degree=entry.need.degree,
            transparent=entry.terms.transparent,
            state=state.value,
            started=entry.submitted,
            ended=ended,
            reason=reason,
            procs=[],
        )

    def _let_go(self, number: int) -> None:
        self._users_of[number] -= 1
        if not self._users_of[number]:
            del self._users_of[number]
            self._core.out.add(ForgetSurroundings(number))

    def _changed(self, entry: Entry) -> None:
        self._core.out.add(SaveQueued(entry.row()))

    # -- what users do to it -------------------------------------------------------------------

    def hold(self, entry: Entry, is_held: bool, now: float) -> None:
        """Keep an entry from starting, or let it again."""
        entry.held = is_held
        self._core.pdb.note(entry.npid, now, "held" if is_held else "released")
        self._after_change(entry, now)

    def cancel(self, entry: Entry, now: float) -> None:
        """Nothing more of it starts; what runs is its caller's to end."""
        entry.cancel()
        self._core.pdb.note(entry.npid, now, "removed from the queue")
        self._after_change(entry, now)

    # -- restart -------------------------------------------------------------------------------

    def restore(self, rows: Iterable[QueueRow], used: dict[int, float], now: float) -> list[str]:
        """Take in the journal; returns the faults found. Jobs must have been restored before."""
        core, faults = self._core, []
        core.fair.restore(used, now)
        for row in sorted(rows, key=lambda row: row.order):
            try:
                entry = entry_of(row)
            except ValueError as error:
                faults.append(f"journal: queued job {row.npid}: {error}")
                core.out.add(ForgetQueued(row.npid))
                continue
            self._last = max(self._last, entry.surroundings)
            self._users_of[entry.surroundings] = self._users_of.get(entry.surroundings, 0) + 1
            core.queue.add(entry, ())
        for entry in list(core.queue.entries.values()):
            core.queue.wait_for(entry, self._live(entry.terms.after))
            core.pdb.last_npid = max(core.pdb.last_npid, entry.npid)
            if core.ndb.get(entry.home) is None:
                core.ndb.expect(entry.home, now)
                core.timer.set((Deadline.EXPECTED, entry.home), now + core.grace)
            for npid in list(entry.runs):
                self._again(entry, npid, now)
        return faults

    def _again(self, entry: Entry, npid: Npid, now: float) -> None:
        """A run that the journal knows: it goes on, or it ended when the master did."""
        core = self._core
        job = core.pdb.jobs.get(npid)
        core.fair.begin(entry.uid, entry.need.degree * entry.need.cpus, now)
        if job is not None:
            for proc in job.procs.values():
                core.seats.take(proc.node, entry.need, now)
            if entry.terms.seconds:
                left = job.started + entry.terms.seconds - (core.epoch + now)
                core.timer.set((Deadline.LIMIT, npid), now + max(0.0, left))
            return
        row = core.pdb.ended.get(npid)
        if row is None:
            core.out.log(Level.ERROR, f"journal: run {npid} of {entry.npid} is in no table")
            row = JobRow(
                npid, entry.uid, entry.home, entry.terms.command, entry.need.degree,
                entry.terms.transparent, JobState.LOST.value, entry.submitted,
                core.epoch + now, "the journal lost it", [],
            )  # fmt: skip
        for ended in row.procs:
            core.seats.take(NodeName(ended.node), entry.need, now)
        self.finished(row, now)

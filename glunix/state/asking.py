"""Answers about one job, now or when it is over (glups --why, glups -w, glubatch --attach). Pure.

Owns who waits for the end of which job. Who waits on a link that ends is forgotten with it.
"""

import itertools

from glunix.errors import Refused
from glunix.ids import Npid, Why
from glunix.msg.batch import AskJobAt, HoldAt, JobFactsAt
from glunix.msg.job import JobRow
from glunix.msg.master import KillDone, RequestRefused
from glunix.state.batch import Batch
from glunix.state.core import MasterCore
from glunix.state.events import LinkId, SendFromQueue, clip
from glunix.state.feeder import Feeder
from glunix.state.queue import Entry

ROOT = 0
QUEUED = "queued"
HELD = "held"
RUNS_TOLD = 4096


class Asking:
    """Answers AskJobAt and HoldAt."""

    def __init__(self, core: MasterCore, batch: Batch, feeder: Feeder) -> None:
        self._core = core
        self._batch = batch
        self._feeder = feeder
        self._waiting: dict[Npid, list[tuple[LinkId, AskJobAt]]] = {}

    def ask(self, link: LinkId, ask: AskJobAt, now: float) -> None:
        """Say what is known of a job, or remember who wants to know its end."""
        core, npid = self._core, Npid(ask.npid)
        entry = core.queue.entries.get(npid)
        job = core.pdb.jobs.get(npid)
        ended = core.pdb.ended.get(npid)
        if entry is None and job is None and ended is None:
            core.out.send(link, RequestRefused(ask.request, Why.NO_JOB, f"no job {npid}"))
        elif ask.wait and (entry is not None or job is not None):
            self._waiting.setdefault(npid, []).append((link, ask))
        elif entry is not None:
            self._entry(link, ask, entry, now)
        else:
            row = job.as_row() if job is not None else ended
            assert row is not None
            core.out.send(link, JobFactsAt(ask.request, row))

    def _entry(self, link: LinkId, ask: AskJobAt, entry: Entry, now: float) -> None:
        core = self._core
        why = self._feeder.why(entry, now)
        runs = [int(npid) for npid in itertools.islice(entry.runs, RUNS_TOLD)]
        job = core.pdb.jobs.get(entry.npid)
        row = job.as_row() if job is not None else queued_row(entry, core.queue.place(entry))
        facts = JobFactsAt(ask.request, row, clip(why), b"", runs)
        if ask.uid in (entry.uid, ROOT):
            core.out.add(SendFromQueue(link, facts, entry.npid))
        else:
            core.out.send(link, facts)

    def over(self, row: JobRow) -> None:
        """A job ended; when nothing of it is to run again, say so to those who wait."""
        npid = Npid(row.npid)
        if npid in self._core.queue.entries:
            return
        for link, ask in self._waiting.pop(npid, ()):
            self._core.out.send(link, JobFactsAt(ask.request, row))

    def forget(self, link: LinkId) -> None:
        """A link is down."""
        for npid in list(self._waiting):
            left = [one for one in self._waiting[npid] if one[0] != link]
            if left:
                self._waiting[npid] = left
            else:
                del self._waiting[npid]

    def hold(self, link: LinkId, ask: HoldAt, now: float) -> None:
        """Hold or release a queued job for its owner or root."""
        core = self._core
        entry = core.queue.entries.get(Npid(ask.npid))
        try:
            if entry is None:
                raise Refused(Why.NO_JOB, f"job {ask.npid} is not in the queue")
            if ask.uid not in (entry.uid, ROOT):
                raise Refused(Why.NOT_YOURS, f"job {ask.npid} belongs to uid {entry.uid}")
            if not entry.pending():
                raise Refused(Why.BAD_REQUEST, f"job {ask.npid} runs already")
        except Refused as refusal:
            core.out.send(link, RequestRefused(ask.request, refusal.why, str(refusal)))
            return
        self._batch.hold(entry, ask.held, now)
        core.out.send(link, KillDone(ask.request, 1))


def queued_row(entry: Entry, place: int) -> JobRow:
    """An entry of the queue as glups shows it; `place` 0: not told."""
    array = entry.terms.array
    command = entry.terms.command
    if array is not None:
        command = f"{command} [{entry.pending()} of {len(array)}]"
    state = HELD if entry.held else QUEUED
    return JobRow(
        npid=entry.npid,
        uid=entry.uid,
        home=entry.home,
        command=command,
        degree=entry.need.degree,
        transparent=entry.terms.transparent,
        state=state,
        started=entry.submitted,
        ended=0.0,
        reason="",
        procs=[],
        name=entry.terms.name,
        place=place,
    )

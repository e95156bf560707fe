"""Answers to queries: the rows of glups and glustat, within what one frame can carry."""

from collections.abc import Iterable

from glunix.msg.frame import BODY_MAX
from glunix.msg.job import JobRow
from glunix.msg.master import JobsQuery, JobsTable, NodesQuery, NodesTable
from glunix.state.asking import queued_row
from glunix.state.core import MasterCore
from glunix.state.jobs import JobState

ROOM = BODY_MAX * 3 // 4
"""Bytes that the rows of one answer may take, by the estimate of `size`."""


def size(row: JobRow) -> int:
    """At least the bytes that a row takes: texts as UTF-8 of 4 bytes a character, and its rest."""
    texts = len(row.home) + len(row.command) + len(row.reason)
    return 100 + 4 * texts + sum(60 + 4 * len(proc.node) for proc in row.procs)


def jobs_table(core: MasterCore, ask: JobsQuery) -> JobsTable:
    """The caller's running jobs; with `everything` all jobs, also those that ended.

    A job whose end is decided is not running any more, though its nodes may still report.
    """
    jobs = core.pdb.jobs.values()
    rows: Iterable[JobRow]
    if ask.everything:
        rows = [job.as_row() for job in jobs] + list(reversed(core.pdb.ended.values()))
    else:
        rows = [
            job.as_row() for job in jobs if job.uid == ask.uid and job.state is not JobState.ENDING
        ]
    waiting = queued(core, ask)
    again = {row.npid for row in waiting}
    rows = [*(row for row in rows if not row.ended or row.npid not in again), *waiting]
    room, told, left_off = ROOM, [], max(0, queue_length(core, ask) - QUEUED_TOLD)
    for row in rows:
        room -= size(row)
        if room >= 0:
            told.append(row)
        else:
            left_off += 1
    told.sort(key=lambda row: (row.started, row.npid))
    return JobsTable(ask.request, told, left_off)


QUEUED_TOLD = 2000
"""Entries of the queue that one answer tells."""


def queue_length(core: MasterCore, ask: JobsQuery) -> int:
    """Entries of the queue that the asker may see."""
    entries = core.queue.entries.values()
    if ask.everything:
        return len(entries)
    return sum(entry.uid == ask.uid for entry in entries)


def queued(core: MasterCore, ask: JobsQuery) -> list[JobRow]:
    """The first of the queue that have something to start, each with its place."""
    rows: list[JobRow] = []
    place = 0
    for entry in core.queue.entries.values():
        if not entry.pending():
            continue
        place += 1
        if ask.everything or entry.uid == ask.uid:
            rows.append(queued_row(entry, place))
            if len(rows) == QUEUED_TOLD:
                break
    return rows


def nodes_table(core: MasterCore, ask: NodesQuery) -> NodesTable:
    """Every node that the master knows."""
    return NodesTable(ask.request, core.ndb.rows(core.pdb.load()))

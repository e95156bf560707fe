"""Feeder: which of the queue starts now (paper 8.2: the queue watches the cluster and feeds it).

Only idle processors are filled. The user who has used least lately goes first, within his jobs the
one that was submitted first; one that finds no room lets others pass, until it has waited for
`patience` seconds: then the nodes that it will get are kept for it, so that nothing starves.
"""

from glunix.ids import NodeName
from glunix.state.batch import Batch
from glunix.state.core import MasterCore
from glunix.state.ndb import NodeState
from glunix.state.queue import Entry

DEPTH = 64
"""Kinds of need of one user that are tried in one round."""


class Feeder:
    """Starts what may start, and ends background jobs where others come."""

    def __init__(self, core: MasterCore, batch: Batch) -> None:
        self._core = core
        self._batch = batch

    def feed(self, now: float) -> None:
        """Give idle processors to the queue."""
        core = self._core
        if not core.queue.lines or core.seats.idle <= 0:
            return
        kept: set[NodeName] = set()
        open_users = dict.fromkeys(core.queue.lines, DEPTH)
        while open_users and core.seats.idle > 0:
            uid = min(open_users, key=lambda uid: (core.fair.rank(uid, now), uid))
            if not self._one(uid, kept, now):
                open_users[uid] -= 1
                if not open_users[uid] or core.queue.lines[uid].first() is None:
                    del open_users[uid]
        core.queue.end_round()

    def _one(self, uid: int, kept: set[NodeName], now: float) -> bool:
        """Start one run of this user's; False when his first finds no room and was set aside."""
        core = self._core
        line = core.queue.lines[uid]
        entry = line.first()
        if entry is None:
            return False
        names = None
        if core.ndb.state(entry.home) is not NodeState.UP:
            core.queue.park(entry)
            return True
        if not self._own_limit(entry):
            names = core.seats.choose(entry.need, kept)
            if names is None and not kept and self._has_waited(entry, now):
                kept.update(core.seats.could(entry.need))
        if names is None:
            line.set_aside()
            return False
        self._batch.start(entry, names, now)
        return True

    def _has_waited(self, entry: Entry, now: float) -> bool:
        return self._core.epoch + now - entry.submitted > self._core.rules.patience

    def _own_limit(self, entry: Entry) -> str:
        """What keeps this one entry from starting although there is room; empty when nothing."""
        core = self._core
        if core.ndb.state(entry.home) is not NodeState.UP:
            return f"its home {entry.home} is not up"
        running = core.queue.running[entry.uid]
        if core.rules.running and running >= core.rules.running:
            return f"uid {entry.uid} has {running} batch jobs running ([batch] running)"
        have = core.pdb.processes_by_uid[entry.uid]
        if have + entry.need.degree > core.processes_each:
            return f"uid {entry.uid} has {have} processes ([limits] processes)"
        return ""

    def why(self, entry: Entry, now: float) -> str:
        """What this entry waits for, in one sentence."""
        core = self._core
        if not entry.pending():
            return "it runs"
        reason = entry.blocked() or self._own_limit(entry) or core.seats.ever(entry.need)
        if reason:
            return reason
        place = core.queue.place(entry)
        busy = f"{core.seats.idle} processors are idle and it needs "
        busy += f"{entry.need.degree * entry.need.cpus}"
        if place > 1:
            return f"{place - 1} were queued before it; {busy}"
        return f"it is the first in the queue; {busy}"

    def relieve(self, name: NodeName, now: float) -> None:
        """End background runs on a node that others want, the newest first."""
        core = self._core
        over = core.seats.overload(name, core.rules.spare)
        if over <= 0:
            return
        found = dict.fromkeys(npid for npid, _ in core.pdb.by_node.get(name, {}))
        for npid in sorted(found, reverse=True):
            entry, job = core.queue.runs.get(npid), core.pdb.jobs[npid]
            if entry is None or not entry.terms.background or job.ending:
                continue
            self._batch.displace(job, f"{name} was wanted by others: it runs again later", now)
            over -= entry.need.cpus
            if over <= 0:
                return

"""Batch jobs at their home: sealed when they are queued, begun when the master says so. Pure.

Owns which launch waits for which batch server (glunix.batch.server), one for each owner. Whose job
it is, and what it runs, is this daemon's own word of the time of submission: it comes back from the
master under a seal that only this daemon can make, so that a master can delay a job or forget it,
and not make one.
"""

import dataclasses

import msgspec

from glunix.msg import batch
from glunix.msg.job import JobSpec, Owner
from glunix.msg.master import HomeJob

_encode = msgspec.msgpack.Encoder().encode

ROOT = 0


@dataclasses.dataclass(frozen=True)
class Ticket:
    """A launch with its blobs opened."""

    launch: batch.Launch
    owner: Owner
    spec: JobSpec
    task: batch.Task


class BadTicket(ValueError):
    """A launch that this daemon never sealed, or cannot carry out; one line."""


def owner_key(owner: Owner) -> bytes:
    """Owners with the same key may share a batch server."""
    return _encode(owner)


class HomeBatch:
    """Tickets and servers. `key` seals; `uid` is the daemon's own, `host` its host name."""

    def __init__(self, node: str, uid: int, host: str, key: bytes) -> None:
        self._node = node
        self._uid = uid
        self._host = host
        self._key = key
        self.servers: dict[bytes, int] = {}
        """Owner's key -> client link of the server."""
        self._waiting: dict[bytes, list[Ticket]] = {}
        self.offered: dict[int, tuple[int, Ticket]] = {}
        """NPID -> (link, ticket): its server is opening files."""

    def question(self, number: int, owner: Owner, ask: batch.Enqueue) -> batch.EnqueueAt:
        """What a client queues, sealed for the master."""
        around = _encode(batch.Surroundings(owner, ask.spec))
        seal = batch.seal_of(self._key, around)
        sealed = []
        for asked in ask.tasks:
            task = _encode(asked.task)
            sealed.append(batch.Sealed(asked.terms, task, batch.seal_of(self._key, seal, task)))
        return batch.EnqueueAt(number, owner.uid, around, seal, sealed)

    def opened(self, launch: batch.Launch) -> Ticket:
        """Open a launch; BadTicket."""
        seal = batch.seal_of(self._key, launch.surroundings)
        good = seal == launch.surroundings_seal
        if not good or batch.seal_of(self._key, seal, launch.task) != launch.task_seal:
            raise BadTicket(f"{self._node} did not queue it (its key may be another one now)")
        around = batch.surroundings_decoder.decode(launch.surroundings)
        task = batch.task_decoder.decode(launch.task)
        if self._uid not in (ROOT, around.owner.uid):
            raise BadTicket(f"{self._node} serves uid {self._uid} only")
        env = {**around.spec.env}
        if launch.is_array:
            env[b"GLUNIX_ARRAY_NPID"] = b"%d" % launch.entry
            env[b"GLUNIX_ARRAY_INDEX"] = b"%d" % launch.index
        env[b"GLUNIX_BATCH_NPID"] = b"%d" % launch.entry
        spec = msgspec.structs.replace(
            around.spec,
            argv=task.argv,
            env=env,
            home_host=around.spec.home_host or self._host,
            tty=None,
        )
        return Ticket(launch, around.owner, spec, task)

    def wait(self, ticket: Ticket) -> bool:
        """There is no server for this owner: True when one is to be started for this launch."""
        waiting = self._waiting.setdefault(owner_key(ticket.owner), [])
        waiting.append(ticket)
        return len(waiting) == 1

    def server_up(self, link: int, owner: Owner) -> list[Ticket]:
        """A server is there; returns what waited for it."""
        key = owner_key(owner)
        self.servers[key] = link
        return self._waiting.pop(key, [])

    def server_failed(self, owner: Owner) -> list[Ticket]:
        """No server can be started; returns what waited for it."""
        return self._waiting.pop(owner_key(owner), [])

    def server_down(self, link: int) -> list[Ticket]:
        """A link is gone; returns what was offered there and not begun."""
        for key in [key for key, one in self.servers.items() if one == link]:
            del self.servers[key]
        lost = [npid for npid, (one, _) in self.offered.items() if one == link]
        return [self.offered.pop(npid)[1] for npid in lost]

    def has(self, npid: int) -> bool:
        """Whether this launch is on its way."""
        return npid in self.offered or any(
            ticket.launch.npid == npid for waiting in self._waiting.values() for ticket in waiting
        )

    def on_the_way(self) -> list[HomeJob]:
        """Launches that have not begun, for a (re)connecting master."""
        tickets = [ticket for _, ticket in self.offered.values()]
        tickets += [ticket for waiting in self._waiting.values() for ticket in waiting]
        return [
            HomeJob(t.launch.npid, t.owner.uid, "", t.launch.degree, t.spec.transparent)
            for t in tickets
        ]

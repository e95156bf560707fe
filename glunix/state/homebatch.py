"""Batch jobs at their home: sealed when they are queued, begun when the master says so. Pure.

Owns which launch waits for which batch server (glunix.batch.server), one for each owner. Whose job
it is, and what it runs, is this daemon's own word of the time of submission: it comes back from the
master under a seal that only this daemon can make, so that a master can delay a job or forget it,
and not make one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import msgspec

from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg import batch, client
from glunix.msg.base import Message
from glunix.msg.job import JobSpec, Owner
from glunix.msg.master import HomeJob
from glunix.state.events import clip
from glunix.state.home_effects import DaemonEffect, Dial, StartBatchServer, ToClient, ToMaster

_encode = msgspec.msgpack.Encoder().encode

ROOT = 0
TOLD = 65536
"""Launches that are remembered for a master that comes back."""


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


class Home(Protocol):
    """What the home side of a daemon (glunix.state.homejobs) does for batch jobs."""

    def has(self, npid: int) -> bool:
        """Whether this job has begun here."""

    def take_streams(self, link: int, count: int) -> list[int]:
        """Numbers for so many new streams of this client."""

    def begin(
        self,
        npid: int,
        link: int,
        owner: Owner,
        spec: JobSpec,
        streams: dict[StreamId, client.StreamOf],
        addresses: Mapping[str, str],
    ) -> None:
        """A job of this client has its nodes, which are about to be dialled."""

    def abandon(self, npid: int, link: int, reason: str) -> list[DaemonEffect]:
        """A job of this client ends for its client's sake."""


@dataclasses.dataclass(frozen=True)
class _Offer:
    """A launch whose batch server is opening files."""

    link: int
    ticket: Ticket
    streams: list[client.StreamOf]


class HomeBatch:
    """Batch jobs of one home. `key` seals; `uid` is the daemon's own, `host` its host name."""

    def __init__(self, home: Home, node: str, uid: int, host: str, key: bytes) -> None:
        self._home = home
        self._node = node
        self._uid = uid
        self._host = host
        self._key = key
        self._servers: dict[bytes, int] = {}
        """Owner's key -> client link of the server."""
        self._waiting: dict[bytes, list[Ticket]] = {}
        self._told: dict[int, None] = {}
        """Launches that came, the newest TOLD of them."""
        self._offered: dict[int, _Offer] = {}
        """By NPID."""

    # -- clients -----------------------------------------------------------------------------

    def question(self, number: int, owner: Owner, ask: batch.Enqueue) -> batch.EnqueueAt:
        """What a client queues, sealed for the master."""
        around = _encode(batch.Surroundings(owner, ask.spec))
        seal = batch.seal_of(self._key, around)
        sealed = []
        for asked in ask.tasks:
            task = _encode(asked.task)
            sealed.append(batch.Sealed(asked.terms, task, batch.seal_of(self._key, seal, task)))
        return batch.EnqueueAt(number, owner.uid, around, seal, sealed)

    def facts(self, request: int, told: batch.JobFactsAt) -> Message:
        """The master's answer about a job, for who asked."""
        task = batch.task_decoder.decode(told.task) if told.task else None
        return batch.JobFacts(request, told.row, told.why, task, told.runs)

    # -- launches ----------------------------------------------------------------------------

    def launch(self, launch: batch.Launch) -> list[DaemonEffect]:
        """The master has nodes for a batch job of this home."""
        npid = launch.npid
        if self._home.has(npid) or self._has(npid):
            raise FrameError(f"the master launches job {npid} twice")
        if sorted(proc.vnn for proc in launch.procs) != list(range(launch.degree)):
            raise FrameError(f"the master launches job {npid} with other processes")
        self._told[npid] = None
        if len(self._told) > TOLD:
            del self._told[next(iter(self._told))]
        try:
            ticket = self._opened(launch)
        except (BadTicket, msgspec.MsgspecError) as error:
            return [ToMaster(batch.NotLaunched(npid, clip(str(error)), final=True))]
        key = owner_key(ticket.owner)
        if key in self._servers:
            return [self._offer(self._servers[key], ticket)]
        waiting = self._waiting.setdefault(key, [])
        waiting.append(ticket)
        return [StartBatchServer(ticket.owner)] if len(waiting) == 1 else []

    def _opened(self, launch: batch.Launch) -> Ticket:
        """Open a launch; BadTicket."""
        seal = batch.seal_of(self._key, launch.surroundings)
        good = seal == launch.surroundings_seal
        if not good or batch.seal_of(self._key, seal, launch.task) != launch.task_seal:
            raise BadTicket(f"{self._node} did not queue it (its key may be another one now)")
        around = batch.surroundings_decoder.decode(launch.surroundings)
        task = batch.task_decoder.decode(launch.task)
        if self._uid not in (ROOT, around.owner.uid):
            raise BadTicket(f"{self._node} serves uid {self._uid} only")
        env = {**around.spec.env, b"GLUNIX_BATCH_NPID": b"%d" % launch.entry}
        if launch.is_array:
            env[b"GLUNIX_ARRAY_NPID"] = b"%d" % launch.entry
            env[b"GLUNIX_ARRAY_INDEX"] = b"%d" % launch.index
        spec = msgspec.structs.replace(
            around.spec,
            argv=task.argv,
            env=env,
            home_host=around.spec.home_host or self._host,
            tty=None,
        )
        return Ticket(launch, around.owner, spec, task)

    def _has(self, npid: int) -> bool:
        return npid in self._offered or any(t.launch.npid == npid for t in self._all_waiting())

    def _all_waiting(self) -> list[Ticket]:
        return [ticket for waiting in self._waiting.values() for ticket in waiting]

    def _offer(self, link: int, ticket: Ticket) -> DaemonEffect:
        """Have the server open the files of a job."""
        launch = ticket.launch
        by_node: dict[str, list[int]] = {}
        for proc in launch.procs:
            by_node.setdefault(proc.node, []).append(proc.vnn)
        numbers = self._home.take_streams(link, len(by_node))
        streams = [
            client.StreamOf(number, node, vnns)
            for number, (node, vnns) in zip(numbers, by_node.items(), strict=True)
        ]
        self._offered[launch.npid] = _Offer(link, ticket, streams)
        placed = batch.BatchPlaced(
            launch.npid,
            launch.entry,
            launch.is_array,
            launch.index,
            launch.degree,
            streams,
            ticket.spec,
            ticket.task,
            launch.name,
        )
        return ToClient(link, placed)

    # -- servers -----------------------------------------------------------------------------

    def is_server(self, link: int) -> bool:
        """Whether this client is a batch server."""
        return link in self._servers.values()

    def server_up(self, link: int, owner: Owner) -> list[DaemonEffect]:
        """A batch server is there, as a client that the shell has announced by `client_up`."""
        key = owner_key(owner)
        self._servers[key] = link
        return [self._offer(link, ticket) for ticket in self._waiting.pop(key, [])]

    def server_failed(self, owner: Owner, reason: str) -> list[DaemonEffect]:
        """There can be no batch server for this owner."""
        return _not_launched(self._waiting.pop(owner_key(owner), []), reason)

    def server_down(self, link: int, reason: str) -> list[DaemonEffect]:
        """A client is gone: what was offered to it and not begun goes back into the queue."""
        for key in [key for key, one in self._servers.items() if one == link]:
            del self._servers[key]
        lost = [npid for npid, offer in self._offered.items() if offer.link == link]
        return _not_launched([self._offered.pop(npid).ticket for npid in lost], reason)

    def ready(self, link: int, ready: batch.BatchReady) -> list[DaemonEffect]:
        """The files of a job are open: dial its nodes."""
        offer = self._offered.get(ready.npid)
        if offer is None or offer.link != link:
            return []  # it was given up meanwhile, or is not its
        del self._offered[ready.npid]
        ticket, launch = offer.ticket, offer.ticket.launch
        streams = {StreamId(of.stream): of for of in offer.streams}
        self._home.begin(launch.npid, link, ticket.owner, ticket.spec, streams, launch.addresses)
        return [
            Dial(launch.npid, link, number, of.node, launch.addresses.get(of.node, ""))
            for number, of in streams.items()
        ]

    def cannot(self, link: int, cannot: batch.BatchCannot) -> list[DaemonEffect]:
        """The output of a job has no place: it does not begin, or ends."""
        offer = self._offered.get(cannot.npid)
        if offer is not None and offer.link == link:
            del self._offered[cannot.npid]
            return [ToMaster(batch.NotLaunched(cannot.npid, cannot.reason, final=True))]
        return self._home.abandon(cannot.npid, link, cannot.reason)

    def told(self) -> list[int]:
        """As glunix.msg.master.NodeHello.launched."""
        return list(self._told)

    def on_the_way(self) -> list[HomeJob]:
        """Launches that have not begun, for a (re)connecting master."""
        tickets = [offer.ticket for offer in self._offered.values()] + self._all_waiting()
        return [
            HomeJob(t.launch.npid, t.owner.uid, "", t.launch.degree, t.spec.transparent)
            for t in tickets
        ]


def _not_launched(tickets: list[Ticket], reason: str) -> list[DaemonEffect]:
    return [ToMaster(batch.NotLaunched(t.launch.npid, clip(reason))) for t in tickets]

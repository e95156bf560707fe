"""The master process: the pure Master on one side, links, clock and journal on the other.

Owns the order of effects: the journal is committed before anything is sent that a crash must not
forget. One master per cluster; daemons dial it.
"""

import dataclasses
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from glunix import config
from glunix.comm.link import Link
from glunix.comm.logline import Sparse, say
from glunix.comm.loop import Loop
from glunix.comm.sockets import listening_socket, peer_owner
from glunix.errors import FrameError, GlunixError
from glunix.ids import CONTROL, Npid, StreamId, Why
from glunix.master.journal import Journal
from glunix.msg import master as messages
from glunix.msg.base import Body, Message
from glunix.msg.batch import Launch
from glunix.msg.job import PlacedProc
from glunix.settings import DEFAULT_BATCH, DEFAULT_LIMITS, BatchSection, LimitsSection
from glunix.state import events
from glunix.state.core import BatchRules
from glunix.state.events import LinkId
from glunix.state.master import Master
from glunix.trust.peer import Peer


class Door(Protocol):
    """How certified daemons come in (glunix.master.admission)."""

    def open(self, server: "Server") -> None:
        """Listen."""

    def vetted(self, peer: Peer, link: Link, message: Message) -> Message | None:
        """The message as the Master may hear it; None: it was answered already."""

    def answered(self, peer: Peer, message: Message) -> Message:
        """An answer as the asker may see it."""

    def news(self) -> list[Message]:
        """What every node that was welcomed must know."""

    def refused(self, peer: Peer, text: str) -> None:
        """The Master refused somebody what is not his: it is to be in the log."""

    def gone(self, peer: Peer) -> None:
        """A link of this member ended."""


LINKS_EACH = 4
"""Links that one node may have: one, and those that TCP has not given up yet."""


@dataclasses.dataclass(frozen=True)
class MasterConfig:
    """What a master is started with; `folder` is the state folder."""

    folder: Path
    cluster: str
    heartbeat: float = config.HEARTBEAT
    lost_after: float = config.LOST_AFTER
    limits: LimitsSection = DEFAULT_LIMITS
    batch: BatchSection = DEFAULT_BATCH


class Server:
    """Carries out the Master's effects.

    `door` is how certified daemons come in; without one, daemons are processes of our own user.
    """

    def __init__(
        self, loop: Loop, conf: MasterConfig, ready: Callable[[], None], door: Door | None = None
    ) -> None:
        self._loop = loop
        self._folder = conf.folder
        self._ready = ready
        self._door = door
        self._master = Master(
            conf.cluster,
            conf.heartbeat,
            conf.lost_after,
            epoch=time.time() - loop.now(),
            processes_each=conf.limits.processes,
            rules=BatchRules(
                conf.batch.half_life,
                conf.batch.queued,
                conf.batch.running,
                conf.batch.spare,
                conf.batch.patience,
            ),
        )
        self._journal = Journal(config.private(conf.folder) / "journal.sqlite")
        self._links: dict[LinkId, Link] = {}
        self._numbers: dict[Link, LinkId] = {}
        self._peers: dict[LinkId, Peer] = {}
        self._next = 1
        self._wake: float | None = None
        self._todo: list[events.Effect] = []
        self._told = Sparse(self.log)

    def start(self) -> None:
        """Take over what the journal knows, then listen."""
        rows, queued, used = self._journal.load(), self._journal.queue(), self._journal.usage()
        self._do(self._master.restore(rows, self._loop.now(), queued, used))
        if self._door is not None:
            self._door.open(self)
        else:
            sock = listening_socket(config.master_socket(self._folder), 0o600)
            self._loop.listen(sock, self._accepted)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, self._stop)
        self._arm()
        self._ready()

    def _stop(self) -> None:
        self._carry_out()
        self._journal.close()
        self._loop.stop()

    def log(self, text: str) -> None:
        """One entry in the master's log."""
        say(text)

    def _log_sparsely(self, text: str) -> None:
        """One that members can bring about as often as they like: by its words without numbers."""
        self._told(re.sub(r"[0-9]+", "#", text)[:80], text)

    def _accepted(self, connection: socket.socket) -> Link | None:
        _, owner = peer_owner(connection)
        if owner.uid not in (0, os.geteuid()):
            self.log(f"refused a daemon of uid {owner.uid}")
            return None
        return self.new_link(None)

    def new_link(self, peer: Peer | None) -> Link:
        """The link of a daemon that may come in; GlunixError when it has too many."""
        nodes = [other.node for other in self._peers.values()]
        if peer is not None and nodes.count(peer.node) >= LINKS_EACH:
            raise GlunixError(f"{peer.node} has {LINKS_EACH} links already")
        # A member that does not read our answers is not heard, and then silent.
        link = Link(self._frame, self._closed, "a daemon", answers=peer is not None)
        number = LinkId(self._next)
        self._next += 1
        self._links[number] = link
        self._numbers[link] = number
        if peer is not None:
            self._peers[number] = peer
            link.serial = peer.serial
        self._handle(events.PeerUp(number))
        return link

    def connected(self) -> list[Peer]:
        """Members with a link that have said hello."""
        ndb = self._master.core.ndb
        return [peer for number, peer in self._peers.items() if number in ndb.by_link]

    def processes(self) -> int:
        """Processes in the table of jobs, about."""
        return self._master.core.pdb.processes_by_uid.total()

    def home_of(self, npid: int) -> str:
        """The node where the startup of a job is; empty when there is no such job."""
        job = self._master.core.pdb.jobs.get(Npid(npid))
        return "" if job is None else job.home

    def broadcast(self, message: Message) -> None:
        """To every node that is up."""
        for number in self._master.core.ndb.by_link:
            self._links[number].send(CONTROL, message)

    def cut(self, node: str, reason: str, but: Link | None = None) -> None:
        """End all links of a node that is no member any more, but one that says goodbye."""
        for number, peer in list(self._peers.items()):
            if peer.node == node and self._links[number] is not but:
                self._links[number].abort(reason)

    def _frame(self, link: Link, stream: StreamId, body: Body) -> None:
        if stream != CONTROL:
            raise FrameError("daemons open no streams to the master")
        message = messages.daemon_to_master.decode(body)
        number = self._numbers[link]
        peer = self._peers.get(number)
        if peer is not None and self._door is not None:
            vetted = self._door.vetted(peer, link, message)
            if vetted is None:
                return
            message = vetted
        elif isinstance(message, messages.Renew | messages.Leave):
            raise FrameError("there are no certificates in an embedded cluster")
        self._handle(events.Received(number, message))

    def _closed(self, link: Link, reason: str) -> None:
        number = self._numbers.pop(link)
        del self._links[number]
        peer = self._peers.pop(number, None)
        if peer is not None and self._door is not None:
            self._door.gone(peer)
        if link.reason:
            self._log_sparsely(f"closed link {number}: {reason}")
        self._handle(events.PeerDown(number, reason))

    def _handle(self, event: events.Event) -> None:
        self._do(self._master.handle(event, self._loop.now()))
        self._arm()

    def _do(self, todo: list[events.Effect]) -> None:
        if todo and not self._todo:
            self._loop.call_soon(self._carry_out)
        self._todo += todo

    def _carry_out(self) -> None:
        """Once a turn: a commit costs as much as five events, and all that wait can share one."""
        todo, self._todo = self._todo, []
        for effect in todo:
            if isinstance(effect, events.JournalEffect):
                self._journal.take(effect)
        try:
            self._journal.commit()
        except GlunixError as error:  # a full disk: serve on, a restart would forget
            self.log(str(error))
        for effect in todo:
            self._tell(effect)

    def _tell(self, effect: events.Effect) -> None:
        if isinstance(effect, events.Send):
            link = self._links.get(effect.link)
            if link is not None:
                self._send(effect.link, link, effect.message)
        elif isinstance(effect, events.SendFromQueue):
            link = self._links.get(effect.link)
            if link is not None:
                self._send(effect.link, link, self._filled(effect))
        elif isinstance(effect, events.Close):
            link = self._links.get(effect.link)
            if link is not None:
                link.close(effect.reason)
        elif isinstance(effect, events.Log):
            self._log_sparsely(f"{effect.level}: {effect.text}")

    def _filled(self, effect: events.SendFromQueue) -> Message:
        """A message with the blobs that only the journal has."""
        task, seal = self._journal.task(effect.npid)
        if not isinstance(effect.message, Launch):
            return msgspec.structs.replace(effect.message, task=task)
        around, around_seal = self._journal.surroundings(effect.surroundings)
        return msgspec.structs.replace(
            effect.message,
            surroundings=around,
            surroundings_seal=around_seal,
            task=task,
            task_seal=seal,
        )

    def _send(self, number: LinkId, link: Link, message: Message) -> None:
        peer = self._peers.get(number)
        if peer is None or self._door is None:
            link.send(CONTROL, message)
            return
        if isinstance(message, messages.RequestRefused) and message.why == Why.NOT_YOURS:
            self._door.refused(peer, message.text)
        if isinstance(message, messages.PlacedJob | Launch):
            self._announce(peer, message)
        if isinstance(message, messages.MayMove):
            there = PlacedProc(message.vnn, message.node)
            self._announce(peer, messages.PlacedJob(0, message.npid, [there], {}))
        link.send(CONTROL, self._door.answered(peer, message))
        if isinstance(message, messages.Welcome):
            for more in self._door.news():
                link.send(CONTROL, more)

    def _announce(self, home: Peer, placed: messages.PlacedJob | Launch) -> None:
        """Nodes hear from us what this home may start there, and as whom."""
        job = self._master.core.pdb.jobs.get(Npid(placed.npid))
        if job is None:
            return  # its home is gone again
        vnns: dict[str, list[int]] = {}
        for proc in placed.procs:
            vnns.setdefault(proc.node, []).append(proc.vnn)
        for number, node in self._master.core.ndb.by_link.items():
            if node.name in vnns:
                what = messages.Expect(placed.npid, home.node, vnns[node.name], job.uid)
                self._links[number].send(CONTROL, what)

    def _arm(self) -> None:
        """Wake at the master's next deadline, if it is earlier than what we wait for."""
        due = self._master.next_deadline()
        if due is None or (self._wake is not None and self._wake <= due):
            return
        self._wake = due
        self._loop.call_later(max(0.0, due - self._loop.now()), self._tick, due)

    def _tick(self, due: float) -> None:
        if self._wake == due:
            self._wake = None
        self._handle(events.Tick())


def run_master(folder: Path, cluster: str, ready: Callable[[], None]) -> int:
    """Serve an embedded cluster until told to stop. Returns the exit status."""
    loop = Loop()
    server = Server(loop, MasterConfig(folder, cluster), ready)
    return loop.run(server.start)

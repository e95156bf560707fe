"""The library's side of a daemon: which job a process is of, and its barriers (paper 4.4, Table 2).

A process connects to its own node's daemon and says nothing of itself. The kernel says which job
and VNN it is: its uid (SO_PEERCRED) is the job's, and it comes from a process that this daemon
started.
Barriers are glunix.state.barrier's; this carries out what it decides. A daemon is believed in what
concerns a job only if that job has processes on its node, by the word of the job's home.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from glunix.comm.loop import Loop
from glunix.daemon.mpi import MpiRanks
from glunix.daemon.peers import PeerLink, Peers
from glunix.ids import CONTROL, Why
from glunix.msg import client, parallel
from glunix.msg.base import Message
from glunix.node.processes.ancestry import descends_from
from glunix.state.barrier import Barrier, Effect, Release

if TYPE_CHECKING:
    from glunix.daemon.node_stream import NodeStream

EARLY_WITHIN = 15.0
"""Seconds for which what another node says of a job waits until the job is here, too."""

EARLY_MAX = 4096
"""Messages that wait so."""

KINDS: tuple[parallel.Kind, ...] = ("library", "pmi")

OVER_MAX = 4096
"""Jobs that are over of which is remembered that they were here."""


class Parallel:
    """Serves glunix.msg.parallel for one daemon. `answer` sends to a client, by its number."""

    def __init__(
        self,
        loop: Loop,
        node: str,
        peers: Peers,
        streams: Callable[[], Sequence["NodeStream"]],
        answer: Callable[[int, Message], None],
    ) -> None:
        self._loop = loop
        self._node = node
        self._peers = peers
        self._streams = streams
        self._answer = answer
        self._barriers: dict[tuple[int, parallel.Kind], Barrier] = {}
        self._mates: dict[tuple[int, str], PeerLink] = {}
        """(NPID, node) -> the link on which we speak of the job to that node's daemon."""
        self._hears: dict[tuple[int, str], PeerLink] = {}
        """The same, on which it speaks to us."""
        self._waiting: dict[tuple[int, int], tuple[int, int]] = {}
        """(client, request) -> (NPID, VNN) at a barrier."""
        self._dialling: dict[tuple[int, str], list[parallel.BarrierMessage]] = {}
        """What is to be said on a link that is being made. Each side says all of a job on one
        link, so that it comes in order; the two may use two."""
        self._early: list[tuple[PeerLink, parallel.BarrierMessage]] = []
        self._over: OrderedDict[int, str] = OrderedDict()
        """NPID -> why there are no barriers of it here any more."""
        self.mpi = MpiRanks(loop, self)

    # -- processes ---------------------------------------------------------------------------

    def asked(self, link: int, pid: int, uid: int, ask: parallel.ProcessToDaemon) -> None:
        """A client, which is `pid` of `uid` by the kernel's word."""
        found = self._of_process(pid, uid)
        if found is None:
            text = "this process is of no job on this node"
            self._answer(link, client.Refused(ask.request, Why.NO_JOB, text))
            return
        stream, vnn = found
        if isinstance(ask, parallel.WhoAmI):
            self._answer(link, self._member(stream, vnn, ask.request))
            return
        barrier = self.barrier_of(stream, "library")
        if isinstance(barrier, str):
            self._answer(link, client.Refused(ask.request, Why.BAD_REQUEST, barrier))
            return
        waiter = (link, ask.request)
        self._waiting[waiter] = (barrier.npid, vnn)
        self.do(barrier, barrier.enter(vnn, waiter))

    def _of_process(self, pid: int, uid: int) -> tuple["NodeStream", int] | None:
        roots: dict[int, tuple[NodeStream, int]] = {}
        for stream in self._streams():
            if stream.start.owner.uid == uid:
                roots.update({root: (stream, vnn) for root, vnn in stream.roots().items()})
        root = descends_from(pid, roots)
        return None if root is None else roots[root]

    def _member(self, stream: "NodeStream", vnn: int, request: int) -> parallel.Member:
        start = stream.start
        nodes = self.nodes_of(stream)
        return parallel.Member(request, start.npid, vnn, start.degree, start.home, nodes)

    def nodes_of(self, stream: "NodeStream") -> list[str]:
        """The node of each VNN of a job; empty where that is not known."""
        start = stream.start
        nodes = [""] * start.degree
        for place in start.places or [parallel.Place(self._node, "", start.vnns)]:
            for one in place.vnns:
                if one < len(nodes):
                    nodes[one] = place.node
        return nodes

    def barrier_of(self, stream: "NodeStream", kind: parallel.Kind) -> Barrier | str:
        """A barrier of this job; a text: it has none, and why."""
        start = stream.start
        if (start.npid, kind) in self._barriers:
            return self._barriers[start.npid, kind]
        places = start.places
        if not places and len(start.vnns) == start.degree:
            places = [parallel.Place(self._node, "", start.vnns)]
        elif not places:
            return f"the daemon of {start.home} is of a version without barriers"
        if self._node not in [place.node for place in places]:
            return f"{start.home} says that job {start.npid} is not on {self._node}"
        barrier = Barrier(start.npid, places, self._node, kind)
        self._barriers[start.npid, kind] = barrier
        for vnn in sorted(stream.ended):
            self.do(barrier, barrier.ended(vnn, "has ended"))  # other nodes may wait
        return barrier

    def client_down(self, link: int) -> None:
        """A client is gone: where it waited it cannot be released any more."""
        for waiter in [waiter for waiter in self._waiting if waiter[0] == link]:
            npid, vnn = self._waiting.pop(waiter)
            barrier = self._barriers.get((npid, "library"))
            if barrier is not None:
                self.do(barrier, barrier.ended(vnn, "has left the barrier"))

    # -- jobs of this node -------------------------------------------------------------------

    def began(self, stream: "NodeStream") -> None:
        """A job has come here: what was said of it before is heard now."""
        npid = stream.start.npid
        early = [one for one in self._early if one[1].npid == npid]
        self._early = [one for one in self._early if one[1].npid != npid]
        for mate, message in early:
            self.heard(mate, message)

    def ended(self, stream: "NodeStream", vnn: int) -> None:
        """A process of a job has ended here."""
        for kind in KINDS:
            found = self._barriers.get((stream.start.npid, kind))
            if found is not None:  # else nobody waits anywhere: see BarrierAsk
                self.do(found, found.ended(vnn, "has ended"))

    def forget(self, stream: "NodeStream") -> None:
        """A job is over here."""
        npid = stream.start.npid
        why = f"job {npid} is over on {self._node}"
        self.mpi.forget(stream)
        for kind in KINDS:
            barrier = self._barriers.get((npid, kind))
            if barrier is not None:
                self.do(barrier, barrier.break_up(why))
                why = barrier.broken
                self._barriers.pop((npid, kind), None)
        for known in (self._mates, self._hears):
            for key in [key for key in known if key[0] == npid]:
                del known[key]
        if stream.start.places:
            self._over[npid] = why
            while len(self._over) > OVER_MAX:
                self._over.popitem(last=False)

    # -- other daemons -----------------------------------------------------------------------

    def heard(self, mate: PeerLink, message: parallel.BarrierMessage) -> None:
        """The daemon at the other end of a link says."""
        npid = message.npid
        stream = next((s for s in self._streams() if s.start.npid == npid), None)
        if stream is None and npid in self._over:
            if isinstance(message, parallel.BarrierUp | parallel.BarrierAsk):
                text = self._over[npid]
                mate.link.send(CONTROL, parallel.BarrierBroken(npid, text, message.kind))
            return
        if stream is None:
            self._wait_for_job(mate, message)
            return
        places = [place.node for place in stream.start.places]
        barrier = self.barrier_of(stream, message.kind)
        if isinstance(barrier, str) or mate.node not in places:
            return
        self._hears[npid, mate.node] = mate
        if (npid, mate.node) not in self._dialling:
            self._mates.setdefault((npid, mate.node), mate)
        self.do(barrier, barrier.hear(mate.node, message))

    def _wait_for_job(self, mate: PeerLink, message: parallel.BarrierMessage) -> None:
        if len(self._early) >= EARLY_MAX or isinstance(message, parallel.BarrierBroken):
            return
        self._early.append((mate, message))
        self._loop.call_later(EARLY_WITHIN, self._too_early, mate, message)

    def _too_early(self, mate: PeerLink, message: parallel.BarrierMessage) -> None:
        for at, one in enumerate(self._early):
            if one[0] is mate and one[1] is message:
                del self._early[at]
                if mate.link.is_open:
                    text = f"job {message.npid} is not on {self._node}"
                    broken = parallel.BarrierBroken(message.npid, text, message.kind)
                    mate.link.send(CONTROL, broken)
                return

    def link_lost(self, mate: PeerLink) -> None:
        """A link between daemons is gone."""
        both = [*self._mates.items(), *self._hears.items()]
        for key in {key for key, one in both if one is mate}:
            self._mates.pop(key, None)
            self._hears.pop(key, None)
            for kind in KINDS:
                barrier = self._barriers.get((key[0], kind))
                if barrier is not None:
                    self.do(barrier, barrier.lost(key[1]))

    # -- effects -----------------------------------------------------------------------------

    def do(self, barrier: Barrier, effects: Sequence[Effect]) -> None:
        """Carry out what a barrier decided."""
        for effect in effects:
            if not isinstance(effect, Release):
                self._say(barrier, effect.node, effect.message)
            elif barrier.kind == "pmi":
                self.mpi.release(barrier.npid, effect)
            else:
                self._release(effect)
        if barrier.status:
            stream = next((s for s in self._streams() if s.start.npid == barrier.npid), None)
            if stream is not None:
                stream.abort(barrier.status)

    def _release(self, effect: Release) -> None:
        waiter = effect.waiter
        assert isinstance(waiter, tuple)
        link, request = waiter
        self._waiting.pop((link, request), None)
        answer: Message = parallel.Passed(request)
        if effect.why:
            answer = client.Refused(request, Why.BAD_REQUEST, effect.why)
        self._answer(link, answer)

    def _say(self, barrier: Barrier, node: str, message: parallel.BarrierMessage) -> None:
        key = barrier.npid, node
        mate = self._mates.get(key)
        if mate is not None:
            if mate.link.is_open:
                mate.link.send(CONTROL, message)
            return  # what follows from a link that is lost: `link_lost`
        if key in self._dialling:
            self._dialling[key].append(message)
            return
        stream = next((s for s in self._streams() if s.start.npid == barrier.npid), None)
        places = stream.start.places if stream is not None else []
        address = next((place.address for place in places if place.node == node), "")
        self._dialling[key] = [message]

        def dialled(mate: PeerLink | None, reason: str) -> None:
            waiting = self._dialling.pop(key)
            if mate is None:
                for kind in KINDS:
                    found = self._barriers.get((key[0], kind))
                    if found is not None:
                        why = f"cannot reach {node}: {reason}"
                        self.do(found, found.break_up(why, heard_from=node))
                return
            self._mates[key] = mate
            for one in waiting:
                mate.link.send(CONTROL, one)

        self._peers.dial(node, address, dialled)

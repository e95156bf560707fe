"""Links between daemons: one per pair, made on first use and kept, many streams on it.

Owns the peer links, the stream numbers and who serves each stream. The dialling daemon opens
streams; a new stream's first frame is a Start. Frames after it go to the stream's Route undecoded.
"""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from glunix.comm.link import Link
from glunix.comm.logline import Sparse
from glunix.comm.network import Network
from glunix.comm.rate_limit import RateLimit
from glunix.errors import FrameError, GlunixError
from glunix.ids import CONTROL, StreamId
from glunix.msg import parallel, peer
from glunix.msg.base import MAJOR, MINOR, Body, Message
from glunix.msg.stream import Restore, Start, opening
from glunix.trust.peer import Peer
from glunix.trust.revocation import Revocations

FRAME = 0.05
"""Starts of a job that any other frame of it counts as (see RateLimit)."""

LINKS_EACH = 8
"""Links that one member may have made to us: one, and those that TCP has not given up yet."""


class Route(Protocol):
    """Who serves one stream on this side."""

    def opened(self) -> None:
        """The other side opened the stream; its frames come after this."""

    def frame(self, body: Body) -> None:
        """A frame of the stream arrived."""

    def moving(self, message: peer.Moving) -> None:
        """The other side's daemon speaks of a move of this stream's job."""

    def closed(self, text: str, lost: bool) -> None:
        """The stream is over: the other side closed it, or (`lost`) its link broke."""


class PeerLink:
    """One link to another daemon and its streams."""

    def __init__(self, link: Link, peer: Peer | None = None, dialled: str = "") -> None:
        self.link = link
        self.peer = peer
        """Who it is by its certificate; None on Unix sockets, and where we dialled."""
        self.dialled = bool(dialled)
        """We dialled it, and it opens no streams: who answers there is asked, and does not ask."""
        self.node = dialled if peer is None else str(peer.node)
        self.greeted = False
        self.routes: dict[StreamId, Route] = {}
        self.last_opened = 0
        """Highest stream number the other side opened: lower unknown ones are over."""
        self._next = 1

    def open(self, route: Route, start: Start | Restore) -> StreamId:
        """Open a stream with its first frame."""
        number = StreamId(self._next)
        self._next += 1
        self.routes[number] = route
        self.link.send(number, start)
        return number

    def say(self, message: peer.Moving) -> None:
        """Of a move of the job of a stream that is still open."""
        if message.stream in self.routes:
            self.link.send(CONTROL, message)

    def send_on(self, stream: StreamId, message: Message) -> None:
        """Send on a stream that is still open; else the message has nobody to go to."""
        if stream in self.routes:
            self.link.send(stream, message)

    def relay_on(self, stream: StreamId, *parts: Body) -> None:
        """Pass an encoded body, in one or more parts, on a stream that is still open."""
        if stream in self.routes:
            self.link.relay(stream, *parts)

    def close_stream(self, stream: StreamId, text: str) -> None:
        """End a stream from this side; harmless when it is over already."""
        if self.routes.pop(stream, None) is not None:
            self.link.send(CONTROL, peer.CloseStream(stream, text))


class Peers:
    """All peer links of one daemon. `started` makes the Route of a stream that a peer opened."""

    def __init__(
        self,
        network: Network,
        rate_limit: RateLimit,
        node: str,
        boot: str,
        started: Callable[[PeerLink, StreamId, Start, int], Route],
        log: Callable[[str], None],
        barrier: Callable[[PeerLink, parallel.BarrierMessage], None],
        lost_link: Callable[[PeerLink], None],
    ) -> None:
        """`barrier` hears what other daemons say of barriers, `lost_link` which links are gone."""
        self._network = network
        self._rate_limit = rate_limit
        self._hello = peer.PeerHello(MAJOR, MINOR, node, boot)
        self._started = started
        self._log = Sparse(log)
        self._barrier = barrier
        self._lost_link = lost_link
        self._by_link: dict[Link, PeerLink] = {}
        self._dialled: dict[str, PeerLink] = {}
        self._waiting: dict[str, list[Callable[[PeerLink | None, str], None]]] = {}

    def listen(self) -> None:
        """Accept other daemons."""
        self._network.listen(self._accepted)

    def _accepted(self, who: Peer | None) -> Link:
        if who is None:
            return self._new_link("a peer").link
        self._rate_limit.connects(who)
        links = Counter(mate.peer.node for mate in self._by_link.values() if mate.peer)
        if links[who.node] >= LINKS_EACH:
            raise GlunixError(f"{who.node} has {LINKS_EACH} links to us already")
        return self._new_link(str(who.node), who).link

    def _new_link(self, name: str, who: Peer | None = None, dialled: str = "") -> PeerLink:
        link = Link(self._frame, self._closed, name)
        mate = PeerLink(link, who, dialled)
        self._by_link[link] = mate
        return mate

    def dial(self, node: str, address: str, done: Callable[[PeerLink | None, str], None]) -> None:
        """Have a link to `node`: now if there is one, else `done` hears when (or why not)."""
        mate = self._dialled.get(node)
        if mate is not None and mate.link.is_open:
            done(mate, "")
            return
        waiting = self._waiting.setdefault(node, [])
        waiting.append(done)
        if len(waiting) > 1:
            return
        mate = self._new_link(node, dialled=node)

        def dialled(reason: str) -> None:
            if not reason and not mate.link.is_open:
                reason = "it closed the link at once"
            if not reason:
                mate.link.send(CONTROL, self._hello)
                self._dialled[node] = mate
            else:
                self._by_link.pop(mate.link, None)  # it never was, so it will not close
            for call in self._waiting.pop(node):
                call(None if reason else mate, reason)

        self._network.dial(node, address, mate.link, dialled)

    def lost(self, node: str, text: str) -> None:
        """The master says the node is lost: our link to it, if any, ends now."""
        mate = self._dialled.get(node)
        if mate is not None:
            mate.link.abort(text)

    def revoked(self, revoked: Revocations) -> None:
        """Links to whoever is no member any more end now."""
        for mate in list(self._by_link.values()):
            if mate.link.serial and revoked.covers(mate.node, mate.link.serial):
                mate.link.abort(f"the certificate of {mate.node} is revoked")

    def _frame(self, link: Link, stream: StreamId, body: Body) -> None:
        mate = self._by_link[link]
        if stream == CONTROL:
            self._control(mate, body)
            return
        if not mate.greeted and not mate.dialled:
            raise FrameError("a stream before hello")
        route = mate.routes.get(stream)
        self._rate_limit.in_time(mate.peer, link, 1.0 if route is None else FRAME)
        if route is not None:
            route.frame(body)
        elif not mate.dialled and stream > mate.last_opened:
            mate.last_opened = stream
            first = opening.decode(body)
            start, epoch = (first.start, first.epoch) if isinstance(first, Restore) else (first, 0)
            if start.home != mate.node:
                raise FrameError(f"a job of {start.home} from {mate.node}")
            route = self._started(mate, stream, start, epoch)
            mate.routes[stream] = route
            route.opened()
        # else: the stream ended while this frame was under way

    def _control(self, mate: PeerLink, body: Body) -> None:
        message = peer.peer_to_peer.decode(body)
        if isinstance(message, peer.PeerHello):
            if message.major != MAJOR:
                raise FrameError(f"speaks protocol {message.major}, we speak {MAJOR}")
            if mate.node and message.node != mate.node:
                raise FrameError(f"{mate.node} says that it is {message.node!r}")
            mate.node = message.node
            mate.greeted = True
            return
        if isinstance(message, parallel.BarrierMessage):
            if not mate.greeted and not mate.dialled:
                raise FrameError("a barrier before hello")
            self._barrier(mate, message)
            return
        if not isinstance(message, peer.CloseStream):
            moved = mate.routes.get(StreamId(message.stream))
            if moved is not None:
                moved.moving(message)
            return
        route = mate.routes.pop(StreamId(message.stream), None)
        if route is not None:
            route.closed(message.text, lost=False)

    def _closed(self, link: Link, reason: str) -> None:
        mate = self._by_link.pop(link, None)
        if mate is None:
            return  # closed before whoever dialled heard that it was up, and told then
        if self._dialled.get(mate.node) is mate:
            del self._dialled[mate.node]
        if mate.routes or link.reason:  # a reason of its own: we closed it
            self._log(mate.node, f"lost the link to {mate.node or 'a peer'}: {reason}")
        routes, mate.routes = mate.routes, {}
        for route in routes.values():
            route.closed(reason, lost=True)
        self._lost_link(mate)

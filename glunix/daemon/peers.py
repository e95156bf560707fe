"""Links between daemons: one per pair, made on first use and kept, many streams on it.

Owns the peer links, the stream numbers and who serves each stream. The dialling daemon opens
streams; a new stream's first frame is a Start. Frames after it go to the stream's Route undecoded.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from glunix import config
from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.comm.sockets import listening_socket, peer_owner
from glunix.errors import FrameError
from glunix.ids import CONTROL, StreamId
from glunix.msg import peer
from glunix.msg.base import MAJOR, MINOR, Body, Message
from glunix.msg.stream import Start, opening


class Route(Protocol):
    """Who serves one stream on this side."""

    def opened(self) -> None:
        """The other side opened the stream; its frames come after this."""

    def frame(self, body: Body) -> None:
        """A frame of the stream arrived."""

    def closed(self, text: str, lost: bool) -> None:
        """The stream is over: the other side closed it, or (`lost`) its link broke."""


class PeerLink:
    """One link to another daemon and its streams."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.node = ""
        self.routes: dict[StreamId, Route] = {}
        self.last_opened = 0
        """Highest stream number the other side opened: lower unknown ones are over."""
        self._next = 1

    def open(self, route: Route, start: Start) -> StreamId:
        """Open a stream with its first frame."""
        number = StreamId(self._next)
        self._next += 1
        self.routes[number] = route
        self.link.send(number, start)
        return number

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
        loop: Loop,
        folder: Path,
        node: str,
        boot: str,
        started: Callable[[PeerLink, StreamId, Start], Route],
        log: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._hello = peer.PeerHello(MAJOR, MINOR, node, boot)
        self._started = started
        self._log = log
        self._by_link: dict[Link, PeerLink] = {}
        self._dialled: dict[str, PeerLink] = {}
        self._waiting: dict[str, list[Callable[[PeerLink | None, str], None]]] = {}

    def listen(self, uid: int) -> None:
        """Accept peers: only processes of the cluster's own user (or root)."""
        path = config.peer_socket(self._folder, self._hello.node)
        sock = listening_socket(path, 0o600)

        def accepted(connection: socket.socket, fds: list[int]) -> Link | None:
            _, owner = peer_owner(connection)
            if owner.uid not in (0, uid) or fds:
                self._log(f"refused a peer of uid {owner.uid}")
                return None
            return self._new_link("a peer").link

        self._loop.listen(sock, accepted)

    def _new_link(self, name: str) -> PeerLink:
        link = Link(self._frame, self._closed, name)
        mate = PeerLink(link)
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
        kind, _, name = address.partition(":")
        mate = self._new_link(node)
        mate.node = node

        def dialled(reason: str) -> None:
            if not reason and not mate.link.is_open:
                reason = "it closed the link at once"
            if not reason:
                mate.link.send(CONTROL, self._hello)
                self._dialled[node] = mate
            for call in self._waiting.pop(node):
                call(None if reason else mate, reason)

        if kind != "unix":
            dialled(f"cannot dial {address}")
            return
        self._loop.dial(config.peer_socket(self._folder, name), mate.link, dialled)

    def lost(self, node: str, text: str) -> None:
        """The master says the node is lost: our link to it, if any, ends now."""
        mate = self._dialled.get(node)
        if mate is not None:
            mate.link.abort(text)

    def _frame(self, link: Link, stream: StreamId, body: Body) -> None:
        mate = self._by_link[link]
        if stream == CONTROL:
            self._control(mate, body)
            return
        if not mate.node:
            raise FrameError("a stream before hello")
        route = mate.routes.get(stream)
        if route is not None:
            route.frame(body)
        elif mate not in self._dialled.values() and stream > mate.last_opened:
            mate.last_opened = stream
            route = self._started(mate, stream, opening.decode(body))
            mate.routes[stream] = route
            route.opened()
        # else: the stream ended while this frame was under way

    def _control(self, mate: PeerLink, body: Body) -> None:
        message = peer.peer_to_peer.decode(body)
        if isinstance(message, peer.PeerHello):
            if message.major != MAJOR:
                raise FrameError(f"speaks protocol {message.major}, we speak {MAJOR}")
            mate.node = message.node
            return
        route = mate.routes.pop(StreamId(message.stream), None)
        if route is not None:
            route.closed(message.text, lost=False)

    def _closed(self, link: Link, reason: str) -> None:
        mate = self._by_link.pop(link)
        if self._dialled.get(mate.node) is mate:
            del self._dialled[mate.node]
        if mate.routes or link.reason:  # a reason of its own: we closed it
            self._log(f"lost the link to {mate.node or 'a peer'}: {reason}")
        routes, mate.routes = mate.routes, {}
        for route in routes.values():
            route.closed(reason, lost=True)

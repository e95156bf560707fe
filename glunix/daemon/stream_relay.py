"""One client stream and its peer stream: frames pass both ways, undecoded.

Owns what waits for the node: the link to it is everybody's, so whoever sends faster than the node
takes is stopped here, and what he sent before he was stopped counts against his share.
"""

from collections import deque
from collections.abc import Callable

from glunix.comm.link import Link
from glunix.daemon.client_limits import Share
from glunix.daemon.handover import Handover
from glunix.daemon.peers import PeerLink
from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg import peer
from glunix.msg.base import Body
from glunix.msg.frame import BODY_MAX
from glunix.msg.stream import INPUT_WINDOW, Start


class StreamRelay:
    """See above (a peers.Route)."""

    def __init__(
        self, link: Link, stream: StreamId, share: Share, ended: Callable[[StreamId, str], None]
    ) -> None:
        self._link = link
        self._stream = stream
        self._share = share
        self._ended = ended
        self._mate: PeerLink | None = None
        self._peer_stream = StreamId(0)
        self._late: deque[bytes] = deque()
        """Frames of the startup that the node cannot take yet."""
        self._late_size = 0
        self._held = False
        self._still = False
        """The job is on its way to another node: nothing is sent to it."""
        self.move: Handover | None = None

    def open(self, mate: PeerLink, start: Start) -> None:
        """The node can be reached: start there, then send what came meanwhile."""
        self._mate = mate
        self._peer_stream = mate.open(self, start)
        self._send_late()

    def from_client(self, body: Body) -> None:
        """A frame of the startup for the node."""
        mate = self._mate
        if mate is not None and not self._still and not self._late and not mate.link.full:
            mate.link.relay(self._peer_stream, body)
            return
        self._share.budget.take(len(body))
        self._late.append(bytes(body))
        self._late_size += len(body)
        if self._late_size > INPUT_WINDOW + BODY_MAX:
            raise FrameError("sends without credit")
        self._wait()

    def _wait(self) -> None:
        if self._still:
            return
        if self._mate is not None and self._late and not self._held:
            self._held = True
            self._link.hold()
            self._mate.link.when_drained(self._drained)

    def _drained(self) -> None:
        self._held = False
        self._link.go_on()
        self._send_late()

    def _send_late(self) -> None:
        mate = self._mate
        assert mate is not None
        while self._late and not self._still and mate.link.is_open and not mate.link.full:
            body = self._late.popleft()
            self._forget(len(body))
            mate.link.relay(self._peer_stream, body)
        if mate.link.is_open:
            self._wait()

    # -- a move ------------------------------------------------------------------------------

    @property
    def end(self) -> tuple[PeerLink, StreamId] | None:
        """The node's end: its link and the stream's number there."""
        return None if self._mate is None else (self._mate, self._peer_stream)

    def be_still(self) -> bool:
        """Keep what the startup sends; False: some has not gone yet, so that cannot be."""
        if self._late:
            return False
        self._still = True
        return True

    def go_on(self, end: tuple[PeerLink, StreamId] | None = None) -> None:
        """Send what was kept: to the same node, or (`end`) to the one where the job is now."""
        if end is not None:
            self._mate, self._peer_stream = end
        self._still = False
        self._send_late()

    def lost(self, why: str) -> None:
        """The node is lost, and the job with it."""
        self._ended(self._stream, why)

    def moving(self, message: peer.Moving) -> None:
        """See peers.Route."""
        if self.move is not None:
            self.move.source_says(message)

    def _forget(self, size: int) -> None:
        self._late_size -= size
        self._share.budget.give(size)

    def drop(self) -> None:
        """Nothing of it waits any more."""
        self._forget(self._late_size)
        self._late.clear()

    def opened(self) -> None:
        """Never: nodes open no streams to a home."""

    def frame(self, body: Body) -> None:
        """A frame of the node for the startup."""
        self._link.relay(self._stream, body)
        try:
            self._share.note_unread(self._link)
        except FrameError as error:
            self._link.abort(str(error))

    def closed(self, text: str, lost: bool) -> None:
        """The node closed the stream, or the link to it broke."""
        why = (text or "link closed") if lost else ""
        if self.move is not None and self.move.source_lost(why):
            return  # it has left already, and lives
        self._ended(self._stream, why)

    def close(self, text: str) -> None:
        """End it from home: the node kills what still runs."""
        if self._mate is not None:
            self._mate.close_stream(self._peer_stream, text)

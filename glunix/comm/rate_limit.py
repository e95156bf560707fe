"""What the daemons of ordinary users may ask of us: connections and frames, each at its rate.

A daemon of root is believed to bound its users itself. One of an ordinary user may have been
rewritten by him: it is slowed down here, and nobody else is.
"""

from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.errors import GlunixError
from glunix.rate import Bucket
from glunix.trust.peer import Peer

BURST = 4.0
"""Seconds' worth of frames that may come at once."""

CONNECTS = (2.0, 32.0)
"""Connections: so many a second, so many at once."""

PAUSE_MOST = 1.0
"""Seconds for which a link is not read: its daemon must not pass for silent."""


class RateLimit:
    """Counts by node; `rate` is in requests a second. A peer that speaks for all users is free."""

    def __init__(self, loop: Loop, rate: float) -> None:
        self._loop = loop
        self._rate = rate
        self._connects: dict[str, Bucket] = {}
        self._frames: dict[str, Bucket] = {}

    def connects(self, peer: Peer) -> None:
        """Count a connection; GlunixError when there were too many lately."""
        if peer.uid is None:
            return
        now = self._loop.now()
        bucket = self._connects.setdefault(peer.node, Bucket(*CONNECTS, now))
        if not bucket.take(now):
            raise GlunixError(f"{peer.node} connects too often")

    def in_time(self, peer: Peer | None, link: Link, cost: float) -> bool:
        """Count a frame as so many requests; False: too many, and the link is held for a while."""
        if peer is None or peer.uid is None:
            return True
        now = self._loop.now()
        bucket = self._frames.get(peer.node)
        if bucket is None:
            bucket = self._frames[peer.node] = Bucket(self._rate, self._rate * BURST, now)
        wait = bucket.owe(now, cost)
        if wait:
            link.hold()
            self._loop.call_later(min(wait, PAUSE_MOST), link.go_on)
        return not wait

"""The supervisor's way home: through the daemon beside it, or by a line of the job's own.

The line (glunix.home.direct) is there when home is this machine. Frames of the job's stream take
it; reports go to the daemon, which tells home, and wait until nothing that was sent before them
still waits: home takes what is on the line before it listens to a daemon.
"""

import socket
import struct
from collections.abc import Callable

from glunix.ids import StreamId
from glunix.msg.base import Body, Message
from glunix.node.bridge import RELAY, REPORT, Bridge
from glunix.node.reactor import Reactor

_UCRED = struct.Struct("3i")
"""pid, uid, gid (unix(7), SO_PEERCRED)."""


def connect(name: bytes, uid: int) -> socket.socket | None:
    """A connection to the startup that listens by this name; None when there is none to be had.

    The name is a client's word, so the listener must be a process of the job's owner `uid`: the
    kernel says whose it is. On another machine, or in another network namespace, nobody listens.
    """
    if not name:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # a full queue of connections is no reason to wait
        sock.connect(name)
        cred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        sock.close()
        return None
    if _UCRED.unpack(cred)[1] != uid:
        sock.close()
        return None
    return sock


class WayHome:
    """Made before anything is sent: the startup knows by the first word which way there is."""

    def __init__(
        self,
        reactor: Reactor,
        daemon: socket.socket,
        line: socket.socket | None,
        frame: Callable[[StreamId, Body], None],
        gone: Callable[[], None],
    ) -> None:
        self._bridge = Bridge(reactor, daemon, frame, gone)
        # A startup that is gone is the daemon's to tell: it knows what is to become of the job.
        self._line = None if line is None else Bridge(reactor, line, frame, lambda: None)
        self._way = self._line or self._bridge
        self._late: list[Message] = []

    def send(self, message: Message) -> None:
        """A message of the job's stream."""
        self._way.send(RELAY, message)

    def relay(self, head: bytes, data: Body) -> None:
        """An encoded message of the job's stream, in two parts."""
        self._way.relay(RELAY, head, data)

    def report(self, message: Message) -> None:
        """What the daemon must know, too, after all that was sent before."""
        self._late.append(message)
        self.turned()

    def turned(self) -> None:
        """After a turn of the loop: reports that had to wait may go."""
        while self._late and not (self._line is not None and self._line.pending):
            self._bridge.send(REPORT, self._late.pop(0))

    def hear(self) -> None:
        """Take what has come already."""
        self._way.hear()

    @property
    def pending(self) -> bool:
        """Whether something still waits to be sent."""
        return bool(self._late) or self._bridge.pending or self._way.pending

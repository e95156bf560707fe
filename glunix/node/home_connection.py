"""The supervisor's way home: through the daemon beside it, or by a line of the job's own.

The line (glunix.home.direct) is there when home is this machine. Frames of the job's stream take
it; reports go to the daemon, which tells home, and wait until nothing that was sent before them
still waits: home takes what is on the line before it listens to a daemon.

Both ends know a secret of this one job (JobSpec.own_line). We say its first half before
anything else, and take nothing before home's half has said the second. A line on which nobody does
within ANSWER seconds, or that ends while the job goes on, ends the job: nothing waits for ever for
frames that went to a stranger.
"""

import socket
import struct
from collections.abc import Callable
from hmac import compare_digest

from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg.base import Body, Message, encode
from glunix.msg.frame import encode_frame
from glunix.msg.job import LINE_SECRET
from glunix.msg.stream import Exited, Failed, LineAnswer, LineHello, LineOver
from glunix.node.bridge import MOVE, RELAY, REPORT, Bridge, complain
from glunix.node.reactor import Reactor

_UCRED = struct.Struct("3i")
"""pid, uid, gid (unix(7), SO_PEERCRED)."""

ANSWER = 10.0
"""Seconds: home's half answers at once, unless somebody has stopped it."""

LOST = 0.6
"""Seconds: a daemon that knows that home's half has ended says so in much less."""


def connect(own_line: bytes, uid: int) -> socket.socket | None:
    """A connection to the startup of this JobSpec.own_line, which has been told who we are; None
    when there is none to be had.

    The name is a client's word, so the listener must be a process of the job's owner `uid`: the
    kernel says whose it is. On another machine, or in another network namespace, nobody listens.
    """
    secret, name = own_line[:LINE_SECRET], own_line[LINE_SECRET:]
    if not name:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # a full queue of connections is no reason to wait
        sock.connect(name)
        cred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        if _UCRED.unpack(cred)[1] == uid:
            hello = encode_frame(RELAY, encode(LineHello(secret[: LINE_SECRET // 2])))
            if sock.send(hello) == len(hello):
                return sock
    except OSError:
        pass
    sock.close()
    return None


class WayHome:
    """Made before anything is sent: the startup knows by the first word which way there is."""

    def __init__(
        self,
        reactor: Reactor,
        daemon: socket.socket,
        line: socket.socket | None,
        own_line: bytes,
        frame: Callable[[StreamId, Body], None],
        gone: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._frame = frame
        self._gone = gone
        secret = own_line[LINE_SECRET // 2 : LINE_SECRET]
        self._answer = encode(LineAnswer(secret)) if line is not None else b""
        """What has to come first on the line; empty once it has come."""
        self._is_over = False
        self._bridge = Bridge(reactor, daemon, frame, gone)
        self._line: Bridge | None = None
        if line is not None:
            self._line = Bridge(reactor, line, self._from_line, self._line_ended)
            reactor.call_later(ANSWER, self._answered)
        self._way = self._line or self._bridge
        self._late: list[Message] = []
        self._left: Callable[[], None] | None = None
        """To be called when the line has ended as we wanted it to."""

    # -- the line ----------------------------------------------------------------------------

    def _from_line(self, stream: StreamId, body: Body) -> None:
        if stream != RELAY:
            raise FrameError("no such stream on a job's line")
        if not self._answer:
            self._frame(stream, body)
        elif compare_digest(bytes(body), self._answer):
            self._answer = b""
        else:
            raise FrameError("a stranger answered on the job's line")

    def _answered(self) -> None:
        if self._answer:
            self._end("nobody answered on the job's line")

    def _line_ended(self) -> None:
        """A startup that is gone is the daemon's to tell: it knows what is to become of the job."""
        left, self._left = self._left, None
        if left is not None:
            self._line = None
            left()
            return
        self._reactor.call_later(LOST, self._end, "lost the line to the job's startup")

    def _end(self, why: str) -> None:
        if not self._is_over:
            self._is_over = True
            complain(why)
            self._gone()

    def leave_line(self, done: Callable[[], None]) -> None:
        """All frames go through the daemons from now on, and come through them; `done`: nothing
        more is on the line. The startup closes it when it finds our end of it."""
        if self._line is None:
            done()
        elif self._answer or self._line.pending:
            self._reactor.call_later(0.002, self.leave_line, done)
        else:
            self._is_over = True
            self._line.send(RELAY, LineOver())
            self._left = done
            self._cut()

    def _cut(self) -> None:
        if self._line is not None and self._line.pending:
            self._reactor.call_later(0.002, self._cut)
        elif self._line is not None:
            self._line.end_writing()
            self._way = self._bridge

    # -- what is sent ------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """A message of the job's stream."""
        self._way.send(RELAY, message)

    def say(self, message: Message) -> None:
        """Of a move, to the daemon, after all that was sent before."""
        self._bridge.send(MOVE, message)

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
            message = self._late.pop(0)
            if isinstance(message, Exited | Failed) and self._line is not None:
                self._is_over = True  # who hears of it may close the line
                self._line.send(RELAY, LineOver())
            self._bridge.send(REPORT, message)

    def hear(self) -> None:
        """Take what has come already."""
        self._way.hear()

    @property
    def pending(self) -> bool:
        """Whether something still waits to be sent."""
        return bool(self._late) or self._bridge.pending or self._way.pending

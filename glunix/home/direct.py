"""A line of the job's own between startup and supervisor, where one machine is home and node.

Owns the socket that the supervisor may connect to (glunix.node.home_connection). Every frame of the
job's stream then takes this way instead of the one through two daemons, each of which would have to
be woken for each frame. What daemons must hear (that the program runs, has stopped, has ended)
still comes from them. On another machine there is no such socket, and frames take the long way.

At the other end may be the supervisor of this one job, and nobody else. Its first frame has a
secret of this job, which went to it in the Submit; we answer with the secret's other half. A
connection that does not begin so is closed, and we go on listening; one that says nothing holds up
nobody. The name of the socket is no secret (/proc/net/unix).

Order is kept: nothing is sent before it is known which way frames go, and what is on the line is
taken before anything that a daemon says, because the supervisor wrote it before.

A line that ends without a word of its end (LineOver) was lost: unless a daemon says within LOST
seconds how the job has ended, that is its end.
"""

from __future__ import annotations

import _socket
import os
import time
from _operator import _compare_digest

from glunix.errors import NotRunning
from glunix.home import wire
from glunix.home.link import HomeLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select

SECRET = 32
"""Bytes: the first half is said by the supervisor, the second by us."""

LOST = 0.6
"""Seconds: a daemon that knows how the job ended says so in much less."""

_STREAM = 1
"""As glunix.node.bridge.RELAY."""
_REPORT = 15.0
"""Seconds more for the daemon's word when the supervisor has said that it will end."""

_WAITING_MAX = 64
"""Connections that have said nothing yet; then the oldest goes."""
_QUEUE = 16


class Line:
    """`relay` is the link to the daemon, which takes the frames when there is no line."""

    def __init__(self, relay: HomeLink) -> None:
        self.name = b"\0glunix-" + os.urandom(16).hex().encode()
        secret = os.urandom(SECRET)
        self.spec = secret + self.name
        """As glunix.msg.job.JobSpec.own_line."""
        self._hello = wire.frame(_STREAM, ["line", secret[: SECRET // 2]])
        self._answer = secret[SECRET // 2 :]
        self._relay = relay
        self._direct: HomeLink | None = None
        self._deferred: list[tuple[int, list[object]]] = []
        self._come: list[_socket.socket] = []
        """Connections that have not said who they are."""
        self._news: select.epoll | None = None
        self._lost_at: float | None = None
        self._is_over = self._is_left = False
        """The supervisor has said that it will end."""
        self._listener: _socket.socket | None = None
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        sock.bind(self.name)
        sock.listen(_QUEUE)
        sock.setblocking(False)
        self._listener = sock

    def fileno(self) -> int:
        """For poll: somebody has come, or has said something; -1 when it will not."""
        if self._listener is None:
            return -1 if self._direct is None else self._direct.fileno()
        if self._news is None:
            import select  # not before the job is submitted

            try:
                self._news = select.epoll()
            except OSError:  # no descriptors left
                # The supervisor may have come already, and would take the end of its line for ours:
                # the door stays open. One that has come and not yet spoken is heard in `settle`.
                return self._listener.fileno()
            self._news.register(self._listener, select.EPOLLIN)
            for sock in self._come:
                self._news.register(sock, select.EPOLLIN | select.EPOLLET)
        return self._news.fileno()

    @property
    def pending(self) -> int:
        """Bytes that wait for the socket to take them, on whichever way they go."""
        return self._relay.pending + (0 if self._direct is None else self._direct.pending)

    @property
    def blocked(self) -> bool:
        """Whether the line itself has no room."""
        return self._direct is not None and self._direct.pending > 0

    @property
    def dry(self) -> bool:
        """Whether the last `receive` took all that there was."""
        return self._direct is None or self._direct.dry

    def flush(self) -> None:
        """Send what the line takes now."""
        if self._direct is not None:
            self._direct.flush()

    def send(self, stream: int, message: list[object]) -> None:
        """Send a message of the job's stream, once it is known which way."""
        if self._listener is not None:
            own = [bytes(field) if isinstance(field, memoryview) else field for field in message]
            self._deferred.append((stream, own))
        elif self._direct is not None:
            self._direct.send(stream, message)
        elif self._lost_at is None:
            self._relay.send(stream, message)

    # -- who comes ---------------------------------------------------------------------------

    def _look(self) -> None:
        """Take who has come, and hear who has spoken; the supervisor is the line from then on."""
        while self._listener is not None:
            try:
                fd, _ = self._listener._accept()  # type: ignore[attr-defined]
            except OSError:
                break  # nobody (EAGAIN), or one that is gone again
            sock = _socket.socket(fileno=fd)
            sock.setblocking(False)
            self._come.append(sock)
            if self._news is not None:
                self._news.register(sock, 1 | 1 << 31)  # EPOLLIN | EPOLLET
            self._hear_all()
            if self._listener is not None and len(self._come) > _WAITING_MAX:
                self._come.pop(0).close()
        self._hear_all()

    def _hear_all(self) -> None:
        for sock in list(self._come):
            if self._direct is not None:
                return
            known = self._knows(sock)
            if known is None:
                continue
            self._come.remove(sock)
            if known:
                self._begin(sock)
            else:
                sock.close()

    def _knows(self, sock: _socket.socket) -> bool | None:
        """Whether it said the secret; None: it has not said enough yet. A wrong beginning is not
        sent away at once: that would tell a stranger the secret byte by byte."""
        try:
            said = sock.recv(len(self._hello), _socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return False
        if _compare_digest(said, self._hello):
            sock.recv(len(self._hello))
            return True
        return None if said and len(said) < len(self._hello) else False

    def _begin(self, sock: _socket.socket) -> None:
        self._direct = HomeLink.over(sock)
        self._direct.shapes = self._relay.shapes
        self._close_door()
        self._direct.send(_STREAM, ["lined", self._answer])
        self._send_deferred()

    def _close_door(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._news is not None:
            self._news.close()
            self._news = None
        while self._come:
            self._come.pop().close()

    def _send_deferred(self) -> None:
        held, self._deferred = self._deferred, []
        for stream, message in held:
            self.send(stream, message)

    def settle(self) -> None:
        """Something came from the node: the supervisor connects and says who it is before its
        first word to a daemon, so it is on the line now or never will be."""
        self._look()
        if self._listener is not None:
            self._close_door()
            self._send_deferred()

    # -- what it says ------------------------------------------------------------------------

    def receive(self, settles: bool = True) -> list[list[wire.Value]]:
        """Messages of the supervisor, valid until the next call; empty when there are no more.
        `settles`: it is known to have spoken elsewhere."""
        if self._listener is not None:
            if settles:
                self.settle()
            else:
                self._look()
        if self._direct is None:
            return []
        self._direct.flush()
        try:
            while True:
                come = self._direct.receive()
                found = [message for _, message in come if not self._ends(message)]
                if found or self._direct.dry:
                    return found
        except NotRunning:
            if self._is_left:  # it reads to the end: the job is on its way to another node
                self._direct.send_rest()
            self._direct.close()
            self._direct = None
            if not self._is_left:
                self._lost_at = time.monotonic() + (_REPORT if self._is_over else 0)
            return []

    def _ends(self, message: list[wire.Value]) -> bool:
        if message[0] == "lineleft":
            self._is_left = True
            return True
        if message[0] != "lineover":
            return False
        self._is_over = True
        return True

    def patience(self) -> list[float]:
        """Seconds until `check` has something to say, if it will."""
        return [] if self._lost_at is None else [max(0.0, self._lost_at + LOST - time.monotonic())]

    def check(self, is_over: bool) -> None:
        """NotRunning when the line was lost and no daemon has said why; `is_over`: one has."""
        if self._lost_at is not None and not is_over and not any(self.patience()):
            self._lost_at = None
            raise NotRunning("lost the line to the job's supervisor: the job is ended")

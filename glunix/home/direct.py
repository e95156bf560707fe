"""A line of the job's own between startup and supervisor, where one machine is home and node.

Owns the socket that the supervisor may connect to (glunix.node.direct). Every frame of the job's
stream then takes this way instead of the one through two daemons, each of which would have to be
woken for each frame. What daemons must hear (that the program runs, has stopped, has ended) still
comes from them. On another machine there is no such socket, and frames take the long way.

Order is kept: nothing is sent before it is known which way frames go, and what is on the line is
taken before anything that a daemon says, because the supervisor wrote it before.
"""

from __future__ import annotations

import _socket
import os
import posix

from glunix.errors import NotRunning
from glunix.home.link import HomeLink
from glunix.home.wire import Value

_UCRED = 12
"""Size of struct ucred: pid, uid, gid, four bytes each (unix(7), SO_PEERCRED)."""


class Line:
    """`relay` is the link to the daemon, which takes the frames when there is no line."""

    def __init__(self, relay: HomeLink) -> None:
        # It cannot be guessed, but is no secret (/proc/net/unix): both sides look who the other is.
        self.name = b"\0glunix-" + os.urandom(16).hex().encode()
        self._relay = relay
        self._direct: HomeLink | None = None
        self._held: list[tuple[int, list[object]]] = []
        self._listener: _socket.socket | None = None
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        sock.bind(self.name)
        sock.listen(4)
        sock.setblocking(False)
        self._listener = sock

    def fileno(self) -> int:
        """For poll: the supervisor has come, or has sent something; -1 when it will not."""
        if self._listener is not None:
            return self._listener.fileno()
        return -1 if self._direct is None else self._direct.fileno()

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
            self._held.append((stream, own))
        elif self._direct is not None:
            self._direct.send(stream, message)
        else:
            self._relay.send(stream, message)

    def settle(self) -> None:
        """Something came from the node, or the supervisor has come: it connects before its first
        word, so it is on the line now or never will be."""
        while self._listener is not None and self._direct is None:
            try:
                fd, _ = self._listener._accept()  # type: ignore[attr-defined]
            except OSError:
                break  # nobody (EAGAIN), or one that is gone again
            sock = _socket.socket(fileno=fd)
            cred = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED)
            if int.from_bytes(cred[4:8], "little") in (0, posix.geteuid()):
                self._direct = HomeLink.over(sock)
            else:
                sock.close()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        held, self._held = self._held, []
        for stream, message in held:
            self.send(stream, message)

    def receive(self) -> list[list[Value]]:
        """Messages of the supervisor, valid until the next call; empty when there are no more."""
        if self._listener is not None:
            self.settle()
        if self._direct is None:
            return []
        self._direct.flush()
        try:
            while True:
                found = [message for _, message in self._direct.receive()]
                if found or self._direct.dry:
                    return found
        except NotRunning:  # the supervisor has ended: the daemon will say how
            self._direct.close()
            self._direct = None
            return []

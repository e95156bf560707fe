"""Whether the home terminal takes output: it may be stopped (tcflow(3), or ^S with IXON).

Owns what the node was told of it. The job's writes wait on the node as long as those of other
processes wait here, whoever stopped the terminal and whoever starts it. The kernel tells who asks
(poll(2)), but nobody that it was stopped: we ask after each tcflow of the job, and when output has
not moved for STILL seconds. Then a slow reader of the terminal is the same to all who write.
"""

from __future__ import annotations

import posix
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.terminal.tty import HomeTerminal

TCXONC = 0x540A
"""ioctl_tty(2): tcflow(3)."""

STILL = 0.05


class FlowWatch:
    """`send` sends a message to the node; `epoll` wakes us for `fileno`."""

    def __init__(
        self, terminal: HomeTerminal, send: Callable[[list[object]], None], epoll: select.epoll
    ) -> None:
        self._terminal = terminal
        self._send = send
        self._epoll = epoll
        self._own = -1
        """A duplicate, to be told of room under a number of its own."""
        self._stopped = False
        self._written = -1
        self._since = 0.0

    def fileno(self) -> int:
        """As epoll names us, while the terminal is stopped; else -1."""
        return self._own if self._stopped else -1

    def look(self) -> None:
        """It may have been stopped, or go on."""
        poll = select.poll()
        poll.register(self._terminal.fd, select.POLLOUT)
        stopped = not poll.poll(0)
        if stopped != self._stopped:
            self._stopped = stopped
            self._send(["flow", stopped])
            if stopped:
                if self._own < 0:
                    self._own = posix.dup(self._terminal.fd)
                self._epoll.register(self._own, select.EPOLLOUT)
            else:
                self._epoll.unregister(self._own)

    def turn(self, waiting: bool, written: int) -> list[float]:
        """Seconds until the next time, if any. waiting: there is output for it; written: bytes that
        it has taken."""
        if self._stopped or not waiting:
            self._written = -1
            return []
        now = time.monotonic()
        if written != self._written:
            self._written, self._since = written, now
        elif now - self._since >= STILL:
            self.look()
            self._written = -1
        return [] if self._stopped else [STILL]

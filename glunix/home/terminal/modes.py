"""Watches the home terminal's modes and size for a job that asks for them again and again.

Owns what the node was told of them. A compiler asks whether its errors go to a terminal, a dozen
times a second: its answer is on the node already, because here they are looked at before anything
is sent to the job, and every LOOK seconds, as long as the node asked within WATCH.
"""

from __future__ import annotations

import time
from fcntl import ioctl

from glunix.home.terminal.tty import HomeTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOOK = 0.02
"""Seconds between two looks: the kernel tells nobody of a change."""

WATCH = 2.0
"""Seconds; longer than the node believes it (glunix.node.terminal.modes_cache.GOOD_FOR)."""

_TCGETS2, _TIOCGWINSZ = 0x802C542A, 0x5413
_TERMIOS2, _WINSIZE = bytes(44), bytes(8)


class ModeWatch:
    """`send` sends a message to the node."""

    def __init__(
        self, number: int, terminal: HomeTerminal, send: Callable[[list[object]], None]
    ) -> None:
        """`number` is what the node calls it."""
        self._number = number
        self._fd = terminal.fd
        self._send = send
        self._until = 0.0
        self._told: bytes | None = None
        """None: nobody watches."""

    def begin(self) -> None:
        """The node has asked: it is told now, and of every change."""
        self._tell(self._seen())

    def look(self) -> None:
        """Before anything is sent to the node."""
        if self._told is not None and (seen := self._seen()) != self._told:
            self._tell(seen)

    def _tell(self, seen: bytes) -> None:
        self._until = time.monotonic() + WATCH
        self._told = seen  # before it is sent, which looks again
        self._send(["modes", self._number, seen])

    def turn(self) -> list[float]:
        """Look; seconds until the next time, nothing when nobody watches."""
        if self._told is None:
            return []
        if time.monotonic() > self._until:
            self._told = None
            return []
        self.look()
        return [LOOK]

    def _seen(self) -> bytes:
        try:
            return ioctl(self._fd, _TCGETS2, _TERMIOS2) + ioctl(self._fd, _TIOCGWINSZ, _WINSIZE)
        except OSError:
            return b""  # it was hung up: a query at home says what that means

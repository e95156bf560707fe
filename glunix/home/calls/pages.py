"""Calls of a transparent job that few programs make; loaded when the first comes.

Owns the bare processes (glunix.home.calls.isolated) that make ioctls no table knows. They run
beside the startup: one that blocks holds up nothing, and ends when its caller is interrupted. Files
that the job opens here are glunix.home.calls.files'.
"""

from __future__ import annotations

import errno

from glunix.home.calls.files import HomeFiles
from glunix.home.calls.isolated import IOCTL, BareCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable

    from glunix.home.level import Handlers
    from glunix.home.wire import Bytes

    Send = Callable[[list[object]], None]


class RareCalls:
    """`epoll` tells the startup of what ended; `home_fd` (the node's number, command) gives our
    descriptor; OSError: the job may not make this ioctl there."""

    def __init__(
        self,
        send: Send,
        epoll: select.epoll,
        home_fd: Callable[[int, int], int],
        files: HomeFiles,
    ) -> None:
        self.files = files
        self._send = send
        self._epoll = epoll
        self._home_fd = home_fd
        self._running: dict[int, tuple[int, BareCall]] = {}
        """fileno -> (ask, the process)."""

    def handlers(self) -> Handlers:
        """Who does what the node asks for."""
        return {
            "homecall": self.files.call,
            "homeclose": self.files.close,
            "ioctlpages": self._ioctl,
            "unwant": self._unwant,
        }

    def _ioctl(
        self, ask: int, fd: int, command: int, argument: int, pages: list[tuple[int, Bytes]]
    ) -> None:
        given = [(address, bytes(data)) for address, data, *_ in pages]
        try:
            made = BareCall(IOCTL, self._home_fd(fd, command), command, argument, given)
        except OSError as error:
            self._send(["pagesdone", ask, -(error.errno or errno.EIO), []])
            return
        self._running[made.fileno()] = (ask, made)
        self._epoll.register(made.fileno(), 1)  # EPOLLIN

    def ended(self, own: int) -> bool:
        """Whether this descriptor of the epoll was ours: then its call is answered."""
        if own not in self._running:
            return self.files.ready(own)
        ask, made = self._running.pop(own)
        value, changed = made.result()
        made.close()
        self._send(["pagesdone", ask, value, [[at, data] for at, data in changed]])
        return True

    def _unwant(self, ask: int) -> None:
        self._end(ask)
        self.files.unwant(ask)

    def _end(self, ask: int) -> None:
        for own, (asked, made) in list(self._running.items()):
            if asked == ask:
                del self._running[own]
                made.kill()
                made.close()

    def end(self) -> None:
        """The job is over."""
        for ask, _ in list(self._running.values()):
            self._end(ask)
        self.files.end()

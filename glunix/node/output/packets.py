"""Output of a pseudo-terminal whose line discipline is the node's, with news of its flushes.

In packet mode (ioctl_tty(2), TIOCPKT) the kernel says when a key (`^C`, `^\\`, `^Z`) or tcflush(3)
has emptied the terminal's queue. Home then throws away what it has not shown yet, which on a slow
terminal may be a minute's output.
"""

import fcntl
import os
import select
import struct
import termios
from collections.abc import Callable

from glunix.msg.base import Body
from glunix.node.output.channel import Output
from glunix.node.reactor import Reactor

_FLUSHED = 2
"""TIOCPKT_FLUSHWRITE."""


class PacketOutput(Output):
    """`flushed` is called between what was written before and after."""

    def __init__(
        self,
        reactor: Reactor,
        fd: int,
        window: int,
        send: Callable[[Body], None],
        flushed: Callable[[], None],
    ) -> None:
        self._flushed = flushed
        self._status = bytearray(1)
        fcntl.ioctl(fd, termios.TIOCPKT, struct.pack("i", 1))
        # News are heard also while there is no credit for what was written.
        self._news = select.epoll()
        self._news.register(fd, select.EPOLLPRI | select.EPOLLET)
        super().__init__(reactor, fd, window, send)
        reactor.add_reader(self._news.fileno(), self._look)

    def _look(self) -> None:
        self._news.poll(0)
        if self._closed:
            return
        try:
            self._fill(memoryview(bytearray()))  # of one byte it takes no output
        except OSError:
            pass  # nothing, or the end, which its reader sees

    def _fill(self, room: memoryview) -> int:
        count = os.readv(self._fd, (self._status, room)) - 1
        if self._status[0] & _FLUSHED:
            self._flushed()
        if count <= 0 and room:
            raise BlockingIOError
        return count

    def close(self) -> None:
        """See Output."""
        if not self._closed:
            self._reactor.remove_reader(self._news.fileno())
            self._news.close()
        super().close()

"""Home's standard input on its way to the job (paper 4.3): replicated to every node of the job.

Owns fd 0 for reading. User-level: reads ahead as far as the slowest node has credit; that is the
published limit (type-ahead that the program never asked for is lost to the shell).
"""

from __future__ import annotations

import posix
import stat

from glunix.home.jobview import JobView
from glunix.home.options import Options
from glunix.home.sinks import PIPE_USUAL, reopened, widen
from glunix.msg.frame import CHUNK, bulk_buffer

TYPE_CHECKING = False  # importing typing or collections.abc costs 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.terminal.tty import HomeTerminal

    Send = Callable[[int, bytes | memoryview], None]

INPUT_WINDOW = 1024 * 1024
SOCKET_FULL = 2 * 1024 * 1024
"""Unsent bytes at which reading pauses."""


class Input:
    """Reads fd 0 (or -i FILE) and sends it to all streams that still want it."""

    def __init__(
        self, options: Options, terminal: HomeTerminal | None, streams: list[int], send: Send
    ) -> None:
        self._send = send
        self._buffer: memoryview | None = None
        self._fd = options.fds[0]
        self._credit = dict.fromkeys(streams, INPUT_WINDOW)
        self._is_tty = terminal is not None and 0 in terminal.fds
        self._terminal = terminal
        self._open = True
        self._may_widen = False
        try:
            mode = posix.fstat(self._fd).st_mode
        except OSError:
            self._end()  # closed by the user: the job sees end of input
            return
        if stat.S_ISFIFO(mode) or self._is_tty:
            self._may_widen = not self._is_tty
            mine = reopened(self._fd, posix.O_RDONLY)
            self._fd = self._fd if mine < 0 else mine

    def fileno(self) -> int:
        """For poll, while `wants`."""
        return self._fd

    def in_background(self) -> bool:
        """Whether input waits for us to come to the foreground."""
        return (
            self._open
            and self._is_tty
            and self._terminal is not None
            and not self._terminal.in_foreground()
        )

    def wants(self, unsent: int) -> bool:
        """Whether the next read could be passed on."""
        return (
            self._open
            and bool(self._credit)
            and min(self._credit.values()) > 0
            and unsent < SOCKET_FULL
            and not self.in_background()
        )

    def read(self) -> None:
        """Read once and send it on; the end of input is sent once."""
        size = min(CHUNK, *self._credit.values())
        if self._buffer is None:  # made once: fresh memory costs a page fault every 4 KiB
            self._buffer = bulk_buffer(CHUNK)
        try:
            count = posix.readv(self._fd, (self._buffer[:size],))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._end()
            return
        if count == PIPE_USUAL and self._may_widen:
            self._may_widen = False
            widen(self._fd)
        data = self._buffer[:count]
        for stream in self._credit:
            self._credit[stream] -= len(data)
            self._send(stream, data)

    def _end(self) -> None:
        self._open = False
        for stream in self._credit:
            self._send(stream, b"")

    def credit(self, stream: int, count: int) -> None:
        """The node's processes have taken `count` bytes."""
        if stream in self._credit:
            self._credit[stream] += count

    def closed(self, stream: int) -> None:
        """Nobody on that node reads any more."""
        self._credit.pop(stream, None)

    def maybe_over(self, job: JobView) -> None:
        """A process ended: a node without live processes wants no input."""
        live = {p.stream for p in job.live()}
        for stream in list(self._credit):
            if stream not in live:
                del self._credit[stream]

"""Home descriptors that a transparent job reads: what a read finds, and when one would find it.

Owns the rules of read(2) that need no waiting: nothing is read that was not asked for, and nothing
blocks the startup. The home kernel applies its own rules, because it is asked in the user's
session: SIGTTIN for a background process, EIO for an orphaned one, file offsets.
"""

from __future__ import annotations

import _signal
import errno
import os
import posix
import select
import stat
import termios
from fcntl import ioctl

from glunix.home.signals import STOPPED, BeingStopped, as_background
from glunix.home.sinks import reopened
from glunix.home.terminal.tty import HomeTerminal
from glunix.home.wire import BULK
from glunix.msg.frame import CHUNK, bulk_buffer

_TERMIOS = bytes(36)
_LFLAG, _CC = 12, 17
"""Where the low byte of c_lflag, which has ICANON, and the control characters are."""


_TTY_HOLDS = 4096
"""A terminal holds no more (N_TTY_BUF_SIZE), and long buffers cost page faults."""


class _HungUp(Exception):
    """The terminal is gone."""


_room: memoryview | None = None
"""Where long reads of files go: fresh memory costs a page fault every 4 KiB."""


def _read_at(fd: int, count: int, offset: int) -> bytes | memoryview:
    global _room
    if count < BULK or count > CHUNK:
        return posix.pread(fd, count, offset)
    if _room is None:
        _room = bulk_buffer(CHUNK)
    return _room[: posix.preadv(fd, [_room[:count]], offset)]


class Source:
    """One home descriptor. `told`: the node believes that a read would find something."""

    def __init__(self, fd: int, terminal: HomeTerminal | None) -> None:
        self.fd = fd
        self.terminal = terminal
        self.told = False
        self.wants_edge = False
        """Input is there, but fewer bytes than a waiting read needs (VMIN): more is news."""
        self._given = 0
        """Bytes that the node was given and has not given back."""
        self._last = b""
        """The last of them, of a terminal."""
        self._own = fd
        self._never_blocks = False
        mode = posix.fstat(fd).st_mode
        if stat.S_ISFIFO(mode) or terminal is not None:
            mine = reopened(fd, os.O_RDONLY)
            self._own, self._never_blocks = (fd, False) if mine < 0 else (mine, True)
        self._poll = select.poll()
        self._poll.register(self._own, select.POLLIN)

    def fileno(self) -> int:
        """For epoll."""
        return self._own

    def close(self) -> None:
        """What was opened for it; `fd` is its owner's."""
        if self._own != self.fd:
            posix.close(self._own)

    def gave(self, data: bytes | memoryview) -> None:
        """A read at the descriptor's own offset was answered with these."""
        self._given += len(data)
        if self.terminal is not None and data:
            self._last = (self._last + bytes(data))[-_TTY_HOLDS:]

    def takes(self, data: bytes) -> bool:
        """Whether these are the last bytes that the node was given: then they can come back, once.

        So a node can have typed only what the user typed, and what it might as well not have read.
        """
        if len(data) > self._given or (self.terminal is not None and not self._typed(data)):
            return False
        self._given -= len(data)
        return True

    def _typed(self, data: bytes) -> bool:
        if not data or not self._last.endswith(data):
            return False
        self._last = self._last[: -len(data)]
        return True

    def is_ready(self) -> bool:
        """What poll(2) says."""
        return bool(self._poll.poll(0))

    def available(self) -> int:
        """Bytes that can be read now (FIONREAD)."""
        return int.from_bytes(ioctl(self._own, termios.FIONREAD, bytes(4)), "little")

    def read(self, count: int, nonblock: bool, offset: int) -> tuple[int, bytes | memoryview, int]:
        """One read: (errno, bytes, tenths of a second after which a waiting read gives up: VTIME).

        A view is valid until the next read of any source.

        EAGAIN for one that would wait; STOPPED when we are being stopped for it.
        """
        self.wants_edge = False
        try:
            if offset >= 0:
                return 0, _read_at(self.fd, count, offset), 0
            if self.terminal is not None:
                return self._read_terminal(self.terminal, count, nonblock)
            if not self._never_blocks and not self.is_ready():
                return errno.EAGAIN, b"", 0
            return 0, posix.read(self._own, count), 0
        except BeingStopped:
            return STOPPED, b"", 0
        except _HungUp:
            return 0, b"", 0  # that is the end of it
        except OSError as error:
            return error.errno or errno.EIO, b"", 0

    def _modes(self) -> bytes:
        """struct termios (ioctl_tty(2)); termios.tcgetattr takes it apart, which takes longer."""
        try:
            return ioctl(self._own, termios.TCGETS, _TERMIOS)
        except OSError:
            raise _HungUp from None

    def _read_terminal(
        self, terminal: HomeTerminal, count: int, nonblock: bool
    ) -> tuple[int, bytes, int]:
        if not terminal.in_foreground():
            return 0, as_background(_signal.SIGTTIN, lambda: posix.read(self._own, count)), 0
        if not nonblock:
            mode = self._modes()
            if not mode[_LFLAG] & termios.ICANON:
                least, tenths = mode[_CC + termios.VMIN], mode[_CC + termios.VTIME]
                if least or tenths:
                    there = self.available()
                    if there < max(1, min(least, count)):
                        # VTIME runs from the start of a read without VMIN, else between bytes.
                        self.wants_edge = there > 0
                        return errno.EAGAIN, b"", tenths if there or not least else 0
            elif not self.is_ready():
                return errno.EAGAIN, b"", 0
        if not self._never_blocks and not self.is_ready():
            return errno.EAGAIN, b"", 0
        return 0, posix.read(self._own, min(count, _TTY_HOLDS)), 0

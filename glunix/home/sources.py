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
from glunix.home.terminal import HomeTerminal


class Source:
    """One home descriptor. `told`: the node believes that a read would find something."""

    def __init__(self, fd: int, terminal: HomeTerminal | None) -> None:
        self.fd = fd
        self.terminal = terminal
        self.told = False
        self.wants_edge = False
        """Input is there, but fewer bytes than a waiting read needs (VMIN): more is news."""
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

    def is_ready(self) -> bool:
        """What poll(2) says."""
        return bool(self._poll.poll(0))

    def available(self) -> int:
        """Bytes that can be read now (FIONREAD)."""
        return int.from_bytes(ioctl(self._own, termios.FIONREAD, bytes(4)), "little")

    def read(self, count: int, nonblock: bool, offset: int) -> tuple[int, bytes, int]:
        """One read: (errno, bytes, tenths of a second after which a waiting read gives up: VTIME).

        EAGAIN for one that would wait; STOPPED when we are being stopped for it.
        """
        self.wants_edge = False
        try:
            if offset >= 0:
                return 0, posix.pread(self.fd, count, offset), 0
            if self.terminal is not None:
                return self._read_terminal(self.terminal, count, nonblock)
            if not self._never_blocks and not self.is_ready():
                return errno.EAGAIN, b"", 0
            return 0, posix.read(self._own, count), 0
        except BeingStopped:
            return STOPPED, b"", 0
        except termios.error:
            return 0, b"", 0  # it was hung up: that is the end of it
        except OSError as error:
            return error.errno or errno.EIO, b"", 0

    def _read_terminal(
        self, terminal: HomeTerminal, count: int, nonblock: bool
    ) -> tuple[int, bytes, int]:
        if not terminal.in_foreground():
            return 0, as_background(_signal.SIGTTIN, lambda: posix.read(self._own, count)), 0
        if not nonblock:
            mode = termios.tcgetattr(self._own)
            if not mode[3] & termios.ICANON:
                least, tenths = int(mode[6][termios.VMIN]), int(mode[6][termios.VTIME])
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
        return 0, posix.read(self._own, count), 0

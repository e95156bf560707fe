"""Home's half of interposed calls: reads, seeks and ioctls that a transparent job asks for.

Owns home's standard input for such a job. Nothing is read that was not asked for: each `want` is
one read(2) of exactly that count, without blocking; when there is nothing the node is told by
`ready` once there is. Performed by the startup itself, in the user's session, so that the home
kernel applies its own rules (SIGTTIN, SIGTTOU, file offsets).
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

from glunix.home.jobview import JobView
from glunix.home.sinks import reopened
from glunix.home.surroundings import is_open
from glunix.home.terminal import HomeTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Send = Callable[[int, list[object]], None]

_MODE_CHANGES = (0x5402, 0x5403, 0x5404, 0x5406, 0x5407, 0x5408, 0x402C542B, 0x402C542C, 0x402C542D)
"""TCSETS and its relatives: a background process that tries is stopped (termios(3), SIGTTOU)."""

_EOF = b""


def stdin_kind(fd: int, is_tty: bool) -> tuple[str, int]:
    """(kind, size) of home's fd 0, as glunix.msg.job.JobSpec.stdin has it."""
    if not is_open(fd):
        return "closed", 0
    found = posix.fstat(fd)
    if is_tty:
        return "tty", 0
    if stat.S_ISREG(found.st_mode):
        return "file", found.st_size
    if stat.S_ISSOCK(found.st_mode):
        return "socket", 0
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3):
        return "null", 0
    return "pipe", 0


def same_output() -> bool:
    """Whether fds 1 and 2 lead to the same place, so that their order is to be kept."""
    try:
        one, two = posix.fstat(1), posix.fstat(2)
    except OSError:
        return False
    return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)


class HomeCalls:
    """Answers the one node stream of a transparent job."""

    def __init__(self, fd: int, terminal: HomeTerminal | None, stream: int, send: Send) -> None:
        self._terminal = terminal
        self._stream = stream
        self._send_on = send
        self._fd = fd
        self._own = fd
        self._told_ready = False
        self._watching = True
        self._over = False
        try:
            mode = posix.fstat(fd).st_mode
        except OSError:
            self._over = True
            return
        self._is_socket = stat.S_ISSOCK(mode)
        self._is_tty = terminal is not None and fd in terminal.fds
        if stat.S_ISFIFO(mode) or self._is_tty:
            mine = reopened(fd, os.O_RDONLY)
            self._own = fd if mine < 0 else mine

    def _send(self, message: list[object]) -> None:
        self._send_on(self._stream, message)

    # -- the shape of glunix.home.inputs.Input ------------------------------------------------

    def wants(self, unsent: int) -> bool:
        """Whether the node waits to hear that there is something to read."""
        return self._watching and not self._over

    def read(self) -> None:
        """Poll says that a read would find something."""
        self._watching = False
        self._tell(True)

    def in_background(self) -> bool:
        """A transparent job needs no look-out: its reads are made when it makes them."""
        return False

    def maybe_over(self, job: JobView) -> None:
        """A process ended: with the last one nothing more is asked."""
        if not job.live():
            self._over = True

    # -- readiness ---------------------------------------------------------------------------

    def fileno(self) -> int:
        """For poll, while `watching`."""
        return self._own

    def _tell(self, ready: bool) -> None:
        self._told_ready = ready
        self._send(["ready", self._fd, ready])

    def _is_ready(self) -> bool:
        poll = select.poll()
        poll.register(self._own, select.POLLIN)
        return bool(poll.poll(0))

    def look_again(self) -> None:
        """We went on after a stop: let the node ask again."""
        self._watching = True
        if not self._over:
            self._tell(self._is_ready())

    # -- calls -------------------------------------------------------------------------------

    def want(self, ask: int, fd: int, count: int, offset: int) -> None:
        """One read of home's `fd`. EAGAIN tells the node to wait for `ready`."""
        error, data = self._read(fd, count, offset)
        self._send(["got", ask, error, data])
        if offset >= 0:
            return
        if error == errno.EAGAIN or not self._is_ready():
            if self._told_ready:
                self._tell(False)
            self._watching = True

    def _read(self, fd: int, count: int, offset: int) -> tuple[int, bytes]:
        if self._is_tty and self._in_background(_signal.SIGTTIN):
            return errno.EAGAIN, b""
        if offset < 0 and not self._is_ready():
            return errno.EAGAIN, b""
        try:
            if offset >= 0:
                return 0, posix.pread(fd, count, offset)
            return 0, posix.read(self._own, count)
        except BlockingIOError:
            return errno.EAGAIN, b""
        except OSError as error:
            return error.errno or errno.EIO, b""

    def _in_background(self, number: int) -> bool:
        """Do as the kernel does to a background process; True when it would stop us."""
        terminal = self._terminal
        if terminal is None or terminal.in_foreground():
            return False
        if _signal.getsignal(number) == _signal.SIG_IGN:
            return False
        posix.killpg(posix.getpgrp(), number)
        return True

    def seek(self, ask: int, fd: int, offset: int, whence: int) -> None:
        """lseek(2) on the user's own open file: its offset is shared with the user's shell."""
        try:
            self._send(["ioctled", ask, posix.lseek(fd, offset, whence), 0, b""])
        except OSError as error:
            self._send(["ioctled", ask, 0, error.errno or errno.EIO, b""])

    def ioctl(self, ask: int, fd: int, command: int, argument: int, data: bytes) -> None:
        """A terminal ioctl, as if the program made it here."""
        if command in _MODE_CHANGES and self._in_background(_signal.SIGTTOU):
            # The node's program is being stopped with us; the restarted call asks anew.
            self._send(["ioctled", ask, 0, errno.EINTR, b""])
            return
        try:
            if data:
                buffer = bytearray(data)
                value = ioctl(fd, command, buffer, True)
                self._send(["ioctled", ask, value, 0, bytes(buffer)])
            else:
                self._send(["ioctled", ask, ioctl(fd, command, argument), 0, b""])
        except OSError as error:
            self._send(["ioctled", ask, 0, error.errno or errno.EIO, b""])
        if command in _MODE_CHANGES:
            self._send_on(0, ["tty", True])
            self._watching = True  # other modes make other input readable

    def give_back(self, fd: int, data: bytes) -> None:
        """Bytes the job fetched and never took: to the terminal's input, or a file's offset."""
        try:
            if self._is_tty:
                for byte in data:
                    ioctl(fd, termios.TIOCSTI, bytes((byte,)))
            else:
                posix.lseek(fd, -len(data), os.SEEK_CUR)
        except OSError:
            pass  # a pipe takes nothing back; the kernel may refuse TIOCSTI

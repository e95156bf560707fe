"""Where job output goes at home: fds 1 and 2 (or files), without ever blocking the startup.

Owns the bytes between the stream and the descriptor. Credit is returned as bytes are really
written, so that a stopped reader stops the writer on the node.
"""

from __future__ import annotations

import _signal
import _socket
import errno
import posix
import stat

from glunix.home.signals import BeingStopped, as_background

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIPE_SIZE = 256 * 1024
PIPE_USUAL = 64 * 1024
"""Bytes that a pipe holds if nobody changed it (pipe(7))."""

_PIPE_BUF = 4096
_TTY_WRITE = 2048
"""Bytes that a write(2) to a terminal takes before it looks at signals (tty_io.c): so do we."""
_LINE_MAX = 64 * 1024


def reopened(fd: int, flags: int) -> int:
    """A non-blocking descriptor of the same pipe or terminal that shares no flags with `fd`.

    O_NONBLOCK on `fd` itself would change it for the user's shell, which shares the open file.
    Returns -1 where the kernel or the permissions do not allow it.
    """
    try:
        return posix.open(
            f"/proc/self/fd/{fd}", flags | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOCTTY
        )
    except OSError:
        return -1


def to_nowhere(*fds: int) -> None:
    """Let go of what these lead to, but keep their numbers from being used again."""
    nothing = posix.open("/", posix.O_PATH | posix.O_CLOEXEC)
    for fd in fds:
        try:
            posix.dup2(nothing, fd, inheritable=False)
        except OSError:
            posix.close(fd)  # above the limit of descriptors: nobody gets this number again
    posix.close(nothing)


def widen(fd: int) -> None:
    """Make a pipe that proved to be busy hold more: a quarter of the wake-ups of 64 KiB."""
    import fcntl  # only busy pipes pay for it

    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        pass  # no pipe, or over the user's limit (pipe(7)): only slower


job_groups: set[int] = set()
"""Process groups of a transparent job whose shadows are in them, once it has made any."""


def in_foreground(tty_fd: int) -> bool:
    """Whether we may use this terminal as we like (tty_ioctl(4)).

    Home's half reads for all groups of its job, so it is in whichever has the terminal.
    """
    try:
        group = posix.tcgetpgrp(tty_fd)
    except OSError:
        return True  # not our controlling terminal: nobody stops us
    if group in job_groups and group != posix.getpgrp():
        try:
            posix.setpgid(0, group)
        except OSError:
            pass  # nobody is in it
    return group == posix.getpgrp()


class Sink:
    """One output descriptor. Items are (bytes, tag, credit); a written item's credit is due."""

    def __init__(self, fd: int) -> None:
        self._fd = self.home_fd = fd
        self._queue: list[tuple[memoryview, object, int]] = []
        self._kind = "direct"
        self._is_wide = False
        self.is_tty = False
        self.look: Callable[[], object] = lambda: None
        """Called before each write to a terminal: it may `drop` what waits."""
        self.is_open = True
        self.written = 0
        """Bytes that the descriptor has taken."""
        self.keeps_on = False
        """An error of a file is kept in `error`, and what comes after it is written again."""
        self.error = 0
        self.blocked_by_tostop = False
        """The terminal does not take our output: we are in the background (stty tostop)."""
        try:
            mode = posix.fstat(fd).st_mode
        except OSError:
            self.is_open = False  # the user closed it: writes fail as they would at home
            return
        if stat.S_ISSOCK(mode):
            self._kind = "socket"
            self._sock = _socket.socket(fileno=posix.dup(fd))
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            self.is_tty = posix.isatty(fd)
            mine = reopened(fd, posix.O_WRONLY)
            self._kind = "poll" if mine < 0 else "nonblock"
            self._fd = fd if mine < 0 else mine

    def fileno(self) -> int:
        """For poll, while `waiting`."""
        return self._fd

    @property
    def waiting(self) -> bool:
        """Whether there are bytes that the descriptor has not taken."""
        return bool(self._queue)

    @property
    def queued(self) -> int:
        """Bytes that wait."""
        return sum(len(data) for data, _, _ in self._queue)

    def drop(self) -> list[tuple[object, int]]:
        """Forget what waits; the credits that are due for it."""
        queue, self._queue = self._queue, []
        self.written += sum(len(data) for data, _, _ in queue)
        return [(tag, credit) for _, tag, credit in queue]

    def flush(self) -> None:
        """Empty the terminal's own queue (tcflush(3)), if it is ours to use."""
        import termios

        try:
            if in_foreground(self._fd):
                termios.tcflush(self._fd, termios.TCOFLUSH)
        except termios.error:
            pass  # hung up

    def close(self) -> None:
        """Let go of the descriptor: a reader at home must not wait for us."""
        self.is_open = False
        if self._kind == "socket":
            self._sock.close()
        elif self._fd != self.home_fd:
            posix.close(self._fd)
        to_nowhere(self.home_fd)

    def put(self, data: bytes | memoryview, tag: object, credit: int) -> None:
        """Add bytes; call `write` to get them out, then `own` if they will be overwritten."""
        self._queue.append((memoryview(data), tag, credit))

    def own(self) -> None:
        """Copy what is left of the last `put`."""
        if self._queue:
            data, tag, credit = self._queue[-1]
            self._queue[-1] = (memoryview(bytes(data)), tag, credit)

    def write(self, ready: bool) -> list[tuple[object, int]]:
        """Write what goes; returns the credits that are due. BrokenPipeError ends the sink.

        `ready`: poll has just said that the descriptor takes bytes.
        """
        due: list[tuple[object, int]] = []
        while self._queue:
            if self.is_tty:
                self.look()
                if not self._queue:
                    break
            data, tag, credit = self._queue[0]
            try:
                count = self._write_some(data, ready)
            except BlockingIOError:
                if self._kind == "nonblock" and not self._is_wide:
                    self._is_wide = True
                    widen(self._fd)
                break
            except BeingStopped:
                self.blocked_by_tostop = True
                break
            except OSError as error:
                if self.keeps_on and self._kind == "direct" and not gone(error):
                    self.error = error.errno or errno.EIO
                    del self._queue[0]
                    due.append((tag, credit))
                    continue
                self.is_open = False
                self._queue.clear()
                raise
            if count < 0:
                break
            self.written += count
            if count < len(data):
                self._queue[0] = (data[count:], tag, credit)
                if self._kind == "poll":
                    break
                continue
            del self._queue[0]
            due.append((tag, credit))
            if self._kind == "poll":
                break
        return due

    def _write_some(self, data: memoryview, ready: bool) -> int:
        if self._kind == "socket":
            return self._sock.send(data, _socket.MSG_DONTWAIT)
        if self.is_tty and not in_foreground(self._fd):
            piece = data[:_PIPE_BUF]
            return as_background(_signal.SIGTTOU, lambda: posix.write(self._fd, piece))
        if self._kind == "poll":  # poll promises room for PIPE_BUF bytes, not more (pipe(7))
            return posix.write(self._fd, data[:_PIPE_BUF]) if ready else -1
        return posix.write(self._fd, data[:_TTY_WRITE] if self.is_tty else data)


class Labeller:
    """Puts a label before each line of one channel; keeps an unfinished line for its rest."""

    def __init__(self, label: bytes) -> None:
        self._label = label
        self._line = b""

    def feed(self, data: bytes | memoryview) -> bytes:
        """Returns whole labelled lines; with empty `data` the unfinished rest, if any."""
        if not data:
            rest, self._line = self._line, b""
            return self._label + rest + b"\n" if rest else b""
        whole, newline, rest = (self._line + data).rpartition(b"\n")
        if not newline and len(rest) < _LINE_MAX:
            self._line = rest
            return b""
        if not newline:
            whole, rest = rest, b""
        self._line = rest
        return b"".join(self._label + line + b"\n" for line in whole.split(b"\n"))


def gone(error: OSError) -> bool:
    """Whether this error of a write means that nobody reads (write(2))."""
    return error.errno in (errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.EBADF)

"""Commands at a terminal of their own, as a user has them: run to the end, or typed at.

Owns the pseudo-terminal. Its slave is the controlling terminal of what runs there and its
descriptors 0-2; the master is read here, so that nothing waits for a reader.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from .harness import BenchError
from .proc import exited

ROWS, COLUMNS = 24, 80
QUIET = 0.2
"""Seconds without output after which a screen counts as painted."""
PAUSE = 0.03
"""Seconds between two keys: a fast typist's."""


class OnPty:
    """A running command; a context manager that ends it. BenchError: it did not do as it should."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.said = b""
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            try:
                os.execve(argv[0], list(argv), {**env, "TERM": "xterm"})
            finally:
                os._exit(127)
        size = struct.pack("4H", ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        self._pidfd = os.pidfd_open(self._pid)
        self._status: int | None = None

    def __enter__(self) -> OnPty:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up, as closing a terminal's window does; then SIGKILL."""
        os.close(self._master)
        if self._status is None and not exited(self._pidfd, 5.0):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._reap()
        os.close(self._pidfd)

    def _reap(self) -> int:
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status

    def _read(self, seconds: float) -> bytes:
        """What comes within that time; nothing when it has ended or is silent."""
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return b""
        try:
            return os.read(self._master, 65536)
        except OSError:  # EIO: no process has the terminal any more
            return b""

    def wait_for(self, mark: bytes, deadline: float = 20.0) -> None:
        """Until `mark` is in what it has said since the last `key`."""
        end = time.perf_counter() + deadline
        while mark not in self.said:
            data = self._read(end - time.perf_counter())
            if not data:
                raise BenchError(f"no {mark!r}; it said {self.said[-200:]!r}")
            self.said += data

    def settle(self) -> None:
        """Until it has been silent for a moment."""
        while data := self._read(QUIET):
            self.said += data

    def key(self, key: bytes, shown: bytes) -> float:
        """After a typist's pause press a key; seconds until `shown` comes."""
        end = time.perf_counter() + PAUSE
        while (left := end - time.perf_counter()) > 0:
            self._read(left)
        self.said = b""
        begin = time.perf_counter()
        os.write(self._master, key)
        self.wait_for(shown)
        return time.perf_counter() - begin

    def finish(self, deadline: float = 120.0) -> None:
        """Read to the end. BenchError: late, or a status other than 0."""
        end = time.perf_counter() + deadline
        while not exited(self._pidfd, 0):
            left = end - time.perf_counter()
            if left <= 0:
                raise BenchError(f"no end within {deadline:g} s; it said {self.said[-200:]!r}")
            if select.select([self._master, self._pidfd], [], [], left)[0] != [self._pidfd]:
                self.said = (self.said + self._read(0))[-4096:]
        if status := self._reap():
            raise BenchError(f"ended with {status}; it said {self.said[-200:]!r}")


def timed_on_pty(argv: Sequence[str], env: Mapping[str, str]) -> float:
    """Wall seconds of a command at a terminal, from its start to its end."""
    begin = time.perf_counter()
    with OnPty(argv, env) as running:
        running.finish()
        return time.perf_counter() - begin

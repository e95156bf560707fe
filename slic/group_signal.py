"""Tells whether a signal was sent to the supervisor alone or to its whole process group.

The kernel says who sent a signal, not to whom. So a small process in the same group, the witness,
keeps every signal pending: what it has got too was sent to the group. It reads no memory and holds
no descriptor of the supervisor's but its two pipes, and ends with them.
"""

import os
import signal
from collections.abc import Iterable

from slic.kernel.libc import PR_SET_PDEATHSIG, prctl


class Witness:
    """Forks the witness at once: make it before there is a thread or a descriptor to inherit."""

    def __init__(self, signals: Iterable[int]) -> None:
        """`signals` must be blocked; the witness keeps them pending."""
        self._signals = frozenset(signals)
        asked, self._ask = os.pipe()
        self._told, telling = os.pipe()
        self._group = os.getpgrp()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._watch(asked, telling)
            finally:
                os._exit(0)
        os.close(asked)
        os.close(telling)

    def _watch(self, asked: int, telling: int) -> None:
        """In the witness: answer, for every signal asked about, whether it is pending here."""
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        low, high = sorted((asked, telling))
        os.closerange(0, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
        while question := os.read(asked, 1):
            pending = signal.sigtimedwait({question[0]}, 0)
            os.write(telling, b"\1" if pending else b"\0")

    def saw(self, number: int) -> bool:
        """Was this signal, which the supervisor has just taken, sent to the witness too?"""
        if number not in self._signals:
            return False
        try:
            # kill(2) walks the group under the lock that setpgid must write: after this call,
            # which changes nothing, the walk that reached us has reached the witness.
            os.setpgid(self.pid, self._group)
            os.write(self._ask, bytes([number]))
            return os.read(self._told, 1) == b"\1"
        except (ProcessLookupError, PermissionError, BrokenPipeError):
            return False  # somebody killed the witness: pass signals on rather than lose them

    def close(self) -> None:
        os.close(self._ask)
        os.close(self._told)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # killed by somebody, and taken by a ptrace session's wait loop

"""While a transparent job is launched nothing of it stays stopped.

The helpers of a launch are the job owner's processes, so the owner can stop one (SIGSTOP), by a
mistake or on purpose: `kill -STOP -1`. All that is launched would wait for it, and those who wait
here block. A timer interrupts them (setitimer(2)) and has go on what is stopped. A child that has
executed a program is let be: its stops are its own affair, as is a stop of the supervisor.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from glunix.node.processes.tree import descendants
from slic.kernel.pidfd import stat_fields

_EVERY = 0.1
_STATE, _START_STACK = 0, 25
"""Of the fields after the name in /proc/PID/stat (proc(5)): an exec changes the latter."""


@contextlib.contextmanager
def kept_going() -> Iterator[None]:
    """A block in which stopped children go on, and theirs. In the main thread."""
    before = signal.signal(signal.SIGALRM, _look)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, _EVERY, _EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGALRM, before)


def _look(number: int, frame: FrameType | None) -> None:
    own = stat_fields(os.getpid())[_START_STACK]
    for pid in descendants():
        with contextlib.suppress(OSError):
            if stat_fields(pid)[_STATE] == b"T":
                _continue(pid, own)


def _continue(pid: int, own: bytes) -> None:
    """Unless it has executed something. Held by a pidfd: another process may get its number."""
    fd = os.pidfd_open(pid)
    try:
        if stat_fields(pid)[_START_STACK] == own:
            signal.pidfd_send_signal(fd, signal.SIGCONT)
    finally:
        os.close(fd)

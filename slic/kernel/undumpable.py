"""A look into a task of ours that made itself undumpable (prctl(2), PR_SET_DUMPABLE; proc(5)).

The kernel then shows its descriptors and memory to CAP_SYS_PTRACE only. A supervisor that has it
permitted raises it for one look, in this thread; the caller has checked, and checks again, that the
task is the one it serves. Memory is found by an open file, not by a number that may be another
task's a moment later.

Limit: what is written goes through pages that the task itself may only read (proc_pid_mem(5)).
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slic.kernel import capabilities as caps


def can_look() -> bool:
    """Whether there is a right to raise."""
    have = caps.get()
    return bool(have.permitted & ~have.effective & caps.CAP_SYS_PTRACE)


@contextmanager
def looking() -> Iterator[None]:
    """A block in which this thread may look."""
    have = caps.get()
    caps.set(have._replace(effective=have.effective | caps.CAP_SYS_PTRACE))
    try:
        yield
    finally:
        caps.set(have)


def read(tid: int, address: int, size: int, check: Callable[[], None]) -> bytes:
    """As slic.kernel.memory.read; `check` raises when the task is not the one that is meant."""
    with _memory(tid, os.O_RDONLY, check) as fd:
        try:
            return os.pread(fd, size, address)
        except OverflowError:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None


def write(tid: int, address: int, data: bytes, check: Callable[[], None]) -> int:
    """As slic.kernel.memory.write."""
    with _memory(tid, os.O_WRONLY, check) as fd:
        try:
            return os.pwrite(fd, data, address)
        except OverflowError:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None


@contextmanager
def _memory(tid: int, flags: int, check: Callable[[], None]) -> Iterator[int]:
    with looking():
        try:
            fd = os.open(f"/proc/{tid}/mem", flags | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ProcessLookupError(errno.ESRCH, f"no task {tid}") from None
    try:
        check()  # it was the one when we opened it
        yield fd
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
    finally:
        os.close(fd)

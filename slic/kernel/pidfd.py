"""Process descriptors: getting another process's descriptors, and finding a task's process."""

import errno
import os
from pathlib import Path

from slic.kernel.libc import SYS_PIDFD_GETFD, syscall

PIDFD_THREAD = os.O_EXCL  # kernel 6.9: a pidfd of a thread that does not lead its group


def getfd(pidfd: int, fd: int) -> int:
    """A duplicate, close-on-exec, of descriptor `fd` of the process (pidfd_getfd(2))."""
    return syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)


def open_task(tid: int) -> int:
    """A pidfd of a thread where the kernel can, else of its process. OSError ESRCH if gone."""
    try:
        return os.pidfd_open(tid, PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.pidfd_open(process_of(tid))


def status_fields(tid: int) -> dict[str, str]:
    """/proc/TID/status as a mapping; OSError ESRCH if the task is gone."""
    try:
        text = Path(f"/proc/{tid}/status").read_text(errors="surrogateescape")
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, f"no task {tid}") from None
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def process_of(tid: int) -> int:
    """The thread group a task belongs to; OSError ESRCH if it is gone."""
    return int(status_fields(tid)["Tgid"])

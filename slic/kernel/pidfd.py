"""Process descriptors: getting another process's descriptors, and finding a task's process."""

import errno
import os
import re

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


def stat_fields(tid: int) -> list[bytes]:
    """The fields of /proc/TID/stat behind the name (proc(5)): its state, its parent, ...; OSError
    ESRCH if it is gone.
    """
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, f"no task {tid}") from None


def terminal_of(tid: int) -> tuple[int, int]:
    """Major and minor number of its controlling terminal, 0 and 0 without; OSError ESRCH."""
    number = int(stat_fields(tid)[4]) & 0xFFFFFFFF
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00


_WANTED = re.compile(
    r"^(CapPrm|Gid|Groups|NSpgid|NSpid|NSsid|NStgid|Seccomp_filters|SigBlk|SigCgt|SigIgn|Tgid|TracerPid|Uid|Umask):\t(.*)$",
    re.MULTILINE,
)


def status_fields(tid: int) -> dict[str, str]:
    """The `_WANTED` lines of /proc/TID/status (proc_pid_status(5)); OSError ESRCH if it is gone.

    Every open for a caller comes here, so it is read and taken apart by hand.
    """
    try:
        fd = os.open(f"/proc/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, f"no task {tid}") from None
    try:
        text = os.read(fd, 8192)
        while more := os.read(fd, 8192):  # a task can be in thousands of groups
            text += more
    finally:
        os.close(fd)
    return dict(_WANTED.findall(text.decode(errors="surrogateescape")))


def process_of(tid: int) -> int:
    """The thread group a task belongs to; OSError ESRCH if it is gone."""
    return int(status_fields(tid)["Tgid"])

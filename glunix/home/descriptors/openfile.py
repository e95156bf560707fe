"""Open file descriptions of home (open(2)): which descriptors share one, and what it has room for.

Two descriptors of one file are either one open file (dup(2), fork(2)), with one offset and one set
of flags, or two. And a file takes only so much: up to the limit of size (getrlimit(2)), as long as
its file system has room. A job that could come near to that has its writes looked at beforehand.
"""

from __future__ import annotations

import os
import posix
import stat
from fcntl import F_GETFL, fcntl

PLENTY = 1 << 30
"""Bytes of room that need no looking at."""

F_SETSIG, F_GETSIG = 10, 11
"""fcntl(2)."""

RLIMIT_FSIZE = 1


def same_open(one: int, other: int) -> bool:
    """Whether two descriptors are one open file.

    kcmp(2) says so, but Python cannot ask it: so a property of the open file is changed for a
    moment, the signal that would tell of readiness, and looked at through the other. No file ever
    sends it. Somebody else may do the same at the same moment, so once is not enough.
    """
    before = fcntl(one, F_GETSIG)
    try:
        for turn in range(3):
            number = 34 + (posix.getpid() + 7 * turn) % 30
            fcntl(one, F_SETSIG, number)
            if fcntl(other, F_GETSIG) == number:
                return True
        return False
    finally:
        fcntl(one, F_SETSIG, before)


def is_same_file(one: int, other: int) -> bool:
    """Whether both lead to the same file, pipe, terminal, ..."""
    first, second = posix.fstat(one), posix.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def room(fd: int, limit: int) -> int:
    """Bytes that a file surely takes at its offset; `limit` is its size at most, -1 for none."""
    space = posix.fstatvfs(fd)
    free = space.f_bavail * space.f_frsize // 4 if space.f_blocks else 0
    return min(free, max(0, limit - position(fd))) if limit >= 0 else free


def position(fd: int) -> int:
    """Where the next write of a file goes."""
    if fcntl(fd, F_GETFL) & os.O_APPEND:
        return posix.fstat(fd).st_size
    return posix.lseek(fd, 0, os.SEEK_CUR)


def must_care(fds: list[int]) -> bool:
    """Whether writes to these need looking at: there is little room for them, or two of them lead
    to one file and are not one open file, so that the order of their writes matters."""
    import resource

    files = [fd for fd in fds if stat.S_ISREG(posix.fstat(fd).st_mode)]
    if not files:
        return False
    limit = resource.getrlimit(RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY or any(room(fd, -1) < PLENTY for fd in files):
        return True
    return any(
        is_same_file(one, other) and not same_open(one, other)
        for at, one in enumerate(files)
        for other in files[at + 1 :]
    )

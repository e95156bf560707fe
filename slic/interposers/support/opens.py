"""The open family seen as one call: what interposers that answer opens share.

Pure reading of arguments; never opens anything.
"""

import errno
import os
import struct
from typing import NamedTuple

from slic.interposer import Call
from slic.tracee import AT_FDCWD, Tracee

OPENS = ("open", "openat", "openat2", "creat")
_OPEN_HOW = struct.Struct("=QQQ")  # flags, mode, resolve (openat2(2))
PAGE = 4096


class Opening(NamedTuple):
    """What an open asks for, whichever call was used. `name` as the program wrote it."""

    dirfd: int
    name: bytes
    flags: int
    mode: int
    resolve: int

    @property
    def cloexec(self) -> bool:
        return bool(self.flags & os.O_CLOEXEC)

    @property
    def writes(self) -> bool:
        """Could the open itself, or the descriptor, change the file?"""
        if self.flags & os.O_PATH:
            return False
        changing = os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
        return self.flags & os.O_ACCMODE != os.O_RDONLY or bool(self.flags & changing)


def opening(tracee: Tracee, call: Call) -> Opening:
    """Read the arguments of one of OPENS, each once: what comes back cannot change any more.

    BadAddress; OSError EINVAL or E2BIG where openat2 itself answers so.
    """
    given = call.named()
    if call.name == "openat2":
        return _with_how(tracee, given)
    name = tracee.cstring(given["pathname"] if call.name == "creat" else given["filename"])
    if call.name == "creat":
        return Opening(
            AT_FDCWD, name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, given["mode"] & 0o7777, 0
        )
    return _classic(given.get("dirfd", AT_FDCWD), name, given["flags"], given["mode"])


def _with_how(tracee: Tracee, given: dict[str, int]) -> Opening:
    """openat2: the kernel looks at the size first, then at the structure, at the name last."""
    how, size = given["how"], given["usize"]
    if size < _OPEN_HOW.size:
        raise OSError(errno.EINVAL, "open_how is too short")
    if size > PAGE:
        raise OSError(errno.E2BIG, "open_how is too long")
    raw = tracee.read(how, size)
    if any(raw[_OPEN_HOW.size :]):
        raise OSError(errno.E2BIG, "open_how says something unknown")
    flags, mode, resolve = _OPEN_HOW.unpack_from(raw)
    if flags >> 31:
        raise OSError(errno.EINVAL, "open_how.flags")
    return Opening(given["dirfd"], tracee.cstring(given["filename"]), flags, mode, resolve)


# What open and openat accept; they ignore the rest (fcntl.h), openat2 refuses it.
_KNOWN = (
    os.O_ACCMODE
    | os.O_CREAT
    | os.O_EXCL
    | os.O_NOCTTY
    | os.O_TRUNC
    | os.O_APPEND
    | os.O_NONBLOCK
    | os.O_SYNC
    | os.O_ASYNC
    | os.O_DIRECT
    | os.O_LARGEFILE
    | 0o100000  # O_LARGEFILE as the kernel numbers it; glibc says 0
    | os.O_DIRECTORY
    | os.O_NOFOLLOW
    | os.O_NOATIME
    | os.O_CLOEXEC
    | os.O_PATH
    | os.O_TMPFILE
)
_WITH_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _classic(dirfd: int, name: bytes, flags: int, mode: int) -> Opening:
    """open(2) forgives what openat2 (which the supervisor uses) would refuse with EINVAL."""
    flags &= _WITH_PATH if flags & os.O_PATH else _KNOWN
    creating = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
    return Opening(dirfd, name, flags, mode & 0o7777 if creating else 0, 0)

"""Names that may not lead elsewhere: openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS."""

import errno
import os
import struct

from slic.kernel.libc import SYS_OPENAT2, syscall

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
_HOW = struct.Struct("=QQQ")


def open_beneath(directory: int, name: bytes, flags: int, mode: int = 0) -> int:
    """Open `name` below the directory, by way of no link of any kind. A close-on-exec descriptor;
    OSError ELOOP for a link, EXDEV for a name that leads out."""
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    how = _HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    return syscall(SYS_OPENAT2, directory, name, how, len(how))


def make_directories(directory: int, name: bytes, mode: int) -> None:
    """Have all directories of `name` below the directory; those that are there stay as they are.

    OSError as mkdirat(2) and `open_beneath`; EINVAL for a name with `..` in it.
    """
    at = os.dup(directory)
    try:
        for part in name.split(b"/"):
            if part in (b"", b"."):
                continue
            if part == b"..":
                raise OSError(errno.EINVAL, "a name that goes up")
            try:
                os.mkdir(part, mode, dir_fd=at)
            except FileExistsError:
                pass
            below = open_beneath(at, part, os.O_PATH | os.O_DIRECTORY)
            os.close(at)
            at = below
    finally:
        os.close(at)

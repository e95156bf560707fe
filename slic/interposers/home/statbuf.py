"""struct stat, statx and statfs of files at home, as the kernel lays them out (x86-64).

Sources: stat(2), statx(2), statfs(2), asm/stat.h, linux/stat.h. Pure.
"""

import errno
import os
import struct
from collections.abc import Callable, Sequence
from functools import wraps

FIELDS = (
    "dev", "ino", "nlink", "mode", "uid", "gid", "rdev", "size", "blksize", "blocks",
    "atime", "mtime", "ctime",
)  # fmt: skip
"""What home tells of a file, in this order; times in nanoseconds since the epoch."""

NANO = 10**9
STATX_BASIC_STATS = 0x7FF
_STAT = struct.Struct("=3Q4IQ3q6q3q")
_STATX = struct.Struct("=IIQIIIHHQQQQ" + 4 * "qIi" + "4I")
_STATX_SIZE = 256
STATFS_FIELDS = 12
_STATFS = struct.Struct("=2q5Q2i7q")


Encode = Callable[[Sequence[int]], bytes]


def _or_error(encode: Encode) -> Encode:
    """Numbers that no kernel gives, or too few of them, are EIO: home may not be honest."""

    @wraps(encode)
    def checked(numbers: Sequence[int]) -> bytes:
        try:
            return encode(numbers)
        except (struct.error, ValueError, OverflowError):
            raise OSError(errno.EIO, "numbers that no file has") from None

    return checked


@_or_error
def encode_stat(numbers: Sequence[int]) -> bytes:
    """struct stat (144 bytes) of FIELDS."""
    dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, *times = numbers
    parts = [part for when in times for part in divmod(when, NANO)]
    kind = (dev, ino, nlink, mode, uid, gid, 0, rdev, size, blksize, blocks)
    return _STAT.pack(*kind, *parts, 0, 0, 0)


@_or_error
def encode_statx(numbers: Sequence[int]) -> bytes:
    """struct statx (256 bytes) of FIELDS: the basic ones; the mask says that no other is known."""
    dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, atime, mtime, ctime = numbers
    times = [part for when in (atime, 0, ctime, mtime) for part in (when // NANO, when % NANO, 0)]
    places = (os.major(rdev), os.minor(rdev), os.major(dev), os.minor(dev))
    head = (STATX_BASIC_STATS, blksize, 0, nlink, uid, gid, mode, 0, ino, size, blocks, 0)
    return _STATX.pack(*head, *times, *places).ljust(_STATX_SIZE, b"\0")


@_or_error
def encode_statfs(numbers: Sequence[int]) -> bytes:
    """struct statfs (120 bytes) of its members in their order (statfs(2)), f_spare left out."""
    if len(numbers) != STATFS_FIELDS:
        raise ValueError("not a struct statfs")
    return _STATFS.pack(*numbers, 0, 0, 0, 0)

"""struct stat and struct statx of x86-64, from what os.stat tells (stat(2), statx(2)).

Pure. The time of birth is left out: os.stat does not tell it, and statx may say so in its mask.
"""

import os
import struct

_STAT = struct.Struct("=QQQIIIIQqqqqqqqqq24x")
_STATX = struct.Struct("=IIQIIIHHQQQQ qIi qIi qIi qIi IIII QII96x".replace(" ", ""))
STATX_BASIC = 0x7FF
NANO = 10**9


def pack_stat(status: os.stat_result, size: int) -> bytes:
    """struct stat (144 bytes) with another size."""
    return _STAT.pack(
        status.st_dev,
        status.st_ino,
        status.st_nlink,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        0,
        status.st_rdev,
        size,
        status.st_blksize,
        status.st_blocks,
        *divmod(status.st_atime_ns, NANO),
        *divmod(status.st_mtime_ns, NANO),
        *divmod(status.st_ctime_ns, NANO),
    )


def pack_statx(status: os.stat_result, size: int) -> bytes:
    """struct statx (256 bytes) with another size, the basic fields filled in."""
    return _STATX.pack(
        STATX_BASIC,
        status.st_blksize,
        0,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        status.st_mode,
        0,
        status.st_ino,
        size,
        status.st_blocks,
        0,
        *divmod(status.st_atime_ns, NANO),
        0,
        0,
        0,
        0,
        *divmod(status.st_ctime_ns, NANO),
        0,
        *divmod(status.st_mtime_ns, NANO),
        0,
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
        os.major(status.st_dev),
        os.minor(status.st_dev),
        0,
        0,
        0,
    )

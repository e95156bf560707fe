"""userfaultfd(2), as far as it tells what was written: asynchronous write-protection (kernel 6.7).

Bindings only; OSError on failure. `UFFDIO_API` with WP_ASYNC fails with EINVAL where it is missing.
"""

import fcntl
import os
import struct

from slic.kernel.libc import syscall

SYS_USERFAULTFD = 323
_API, _REGISTER = 0xC018AA3F, 0xC020AA00
_VERSION = 0xAA
_WP_HUGETLBFS_SHMEM, _WP_UNPOPULATED, _WP_ASYNC = 1 << 12, 1 << 13, 1 << 15
_MODE_WP = 2


def begin(fd: int) -> None:
    """Agree that writes are noted and go on by themselves."""
    features = _WP_ASYNC | _WP_UNPOPULATED | _WP_HUGETLBFS_SHMEM
    fcntl.ioctl(fd, _API, bytearray(struct.pack("=QQQ", _VERSION, features, 0)))


def register(fd: int, start: int, end: int) -> None:
    """Note what is written there; EINVAL: not a kind of memory it works for."""
    fcntl.ioctl(fd, _REGISTER, bytearray(struct.pack("=QQQQ", start, end - start, _MODE_WP, 0)))


def works() -> bool:
    """Does this kernel have all of it, for a caller with our rights?"""
    try:
        fd = syscall(SYS_USERFAULTFD, os.O_CLOEXEC)
    except OSError:
        return False
    try:
        begin(fd)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True

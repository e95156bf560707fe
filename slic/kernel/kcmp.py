"""kcmp(2): do two tasks share a kernel object? Bindings only; OSError on failure."""

import struct

from slic.kernel.libc import syscall

FILE, VM, FILES, FS, SIGHAND, IO, SYSVSEM, EPOLL_TFD = range(8)
_SYS_KCMP = 312


def same(pid: int, other: int, kind: int, one: int = 0, two: int = 0) -> bool:
    """Is it the same object? `one` and `two` are descriptors where `kind` is FILE."""
    return syscall(_SYS_KCMP, pid, other, kind, one, two) == 0


def same_in_epoll(pid: int, fd: int, epoll_pid: int, epoll: int, target: int, nth: int) -> bool:
    """Is `fd` of `pid` what was put into an epoll under the number `target` (its `nth` time)?"""
    slot = struct.pack("=III", epoll, target, nth)
    return syscall(_SYS_KCMP, pid, epoll_pid, EPOLL_TFD, fd, slot) == 0

"""libc through ctypes: system calls Python does not offer. OSError on every failure."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
_syscall = LIBC.syscall
_syscall.restype = ctypes.c_long

SYS_PTRACE = 101
SYS_SETGROUPS = 116
SYS_SETFSUID = 122
SYS_SETFSGID = 123
SYS_TGKILL = 234
SYS_SETNS = 308
SYS_WAITID = 247
SYS_SECCOMP = 317
SYS_OPENAT2 = 437
SYS_PIDFD_GETFD = 438

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def syscall(number: int, *args: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """syscall(2) with ints and buffers; the result, or OSError."""
    plain = [ctypes.c_ulong(a & (1 << 64) - 1) if isinstance(a, int) else a for a in args]
    result: int = _syscall(ctypes.c_long(number), *plain)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument."""
    if LIBC.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def connect(fd: int, address: bytes) -> None:
    """connect(2) with a raw sockaddr."""
    if LIBC.connect(fd, address, len(address)) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def getsockopt(fd: int, level: int, option: int, room: int) -> bytes:
    """getsockopt(2) with as much room as wanted; Python's own gives 1024 bytes at most."""
    buffer = ctypes.create_string_buffer(room)
    size = ctypes.c_uint32(room)
    if LIBC.getsockopt(fd, level, option, buffer, ctypes.byref(size)) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw[: size.value]

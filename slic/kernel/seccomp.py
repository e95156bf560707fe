"""Seccomp: filters, the listener's ioctls, their structures (seccomp(2), seccomp_unotify(2)).

Only bindings: programs are compiled in `slic.engines.filter`, decisions made in the engine.
"""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

from slic.kernel.libc import PR_SET_NO_NEW_PRIVS, SYS_SECCOMP, prctl, syscall

AUDIT_ARCH_X86_64 = 0xC000003E

SET_MODE_FILTER = 1
GET_ACTION_AVAIL = 2
FLAG_NEW_LISTENER = 1 << 3

RET_ALLOW = 0x7FFF0000
RET_ERRNO = 0x00050000
RET_TRACE = 0x7FF00000
RET_USER_NOTIF = 0x7FC00000

# struct seccomp_data
OFFSET_NR = 0
OFFSET_ARCH = 4
OFFSET_ARGS = 16

# struct seccomp_notif: id, pid, (flags), then struct seccomp_data: nr, (arch, ip), args[6]
NOTIF = struct.Struct("=QI4xi12x6Q")
# struct seccomp_notif_resp: id, val, error, flags
RESPONSE = struct.Struct("=QqiI")
# struct seccomp_notif_addfd: id, flags, srcfd, newfd, newfd_flags
ADDFD = struct.Struct("=QIIII")

IOCTL_RECV = 0xC0502100
IOCTL_SEND = 0xC0182101
IOCTL_ID_VALID = 0x40082102
IOCTL_ADDFD = 0x40182103
IOCTL_SET_FLAGS = 0x40082104

RESPONSE_CONTINUE = 1
ADDFD_SETFD = 1
ADDFD_SEND = 2
SYNC_WAKE_UP = 1

LISTENER_LINK = "anon_inode:seccomp notify"


class Instruction(NamedTuple):
    """One BPF instruction (struct sock_filter)."""

    code: int
    jt: int
    jf: int
    k: int


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def assemble(program: Iterable[Instruction]) -> bytes:
    """struct sock_filter[]."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def install(program: bytes, flags: int) -> int:
    """Put a filter on this thread; the result of seccomp(2): a listener, or 0.

    EACCES without CAP_SYS_ADMIN and no_new_privs, EBUSY if there is a listener already.
    """
    header = _Program(len(program) // 8, program)
    address = ctypes.addressof(header)
    return syscall(SYS_SECCOMP, SET_MODE_FILTER, flags, address)


def install_privileged(program: bytes, flags: int) -> int:
    """`install` without no_new_privs when the caller may, so that setuid programs keep working;
    otherwise with it."""
    try:
        return install(program, flags)
    except PermissionError:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    return install(program, flags)


def action_available(action: int) -> bool:
    """Does this kernel know the filter action?"""
    try:
        syscall(SYS_SECCOMP, GET_ACTION_AVAIL, 0, struct.pack("=I", action))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return False
        raise
    return True


def _ioctl(listener: int, request: int, argument: int | bytes | bytearray) -> int:
    """ioctl(2), once more when a signal for this thread interrupts it: Python does not."""
    while True:
        try:
            # `fcntl.ioctl` answers plain bytes with bytes, a bytearray or a number with the result.
            result = fcntl.ioctl(listener, request, argument)
            return result if isinstance(result, int) else 0
        except InterruptedError:
            continue


def set_sync_wake_up(listener: int, wanted: bool) -> bool:
    """Whether wake-ups are on the same core (kernel 6.6); False if the kernel does not know it."""
    try:
        _ioctl(listener, IOCTL_SET_FLAGS, SYNC_WAKE_UP if wanted else 0)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            return False
        raise
    return True


def id_valid(listener: int, cookie: int) -> bool:
    """Is the notification still waiting?"""
    try:
        _ioctl(listener, IOCTL_ID_VALID, struct.pack("=Q", cookie))
    except FileNotFoundError:
        return False
    return True


def add_fd(listener: int, cookie: int, flags: int, fd: int, at: int, cloexec: bool) -> int:
    """Install a copy of `fd` in the caller; its number there. ENOENT if the call is gone."""
    request = ADDFD.pack(cookie, flags, fd, at, os.O_CLOEXEC if cloexec else 0)
    # With plain bytes Python answers the buffer, and the number would be lost.
    return _ioctl(listener, IOCTL_ADDFD, bytearray(request))


def send(listener: int, response: bytes) -> None:
    """Answer with a packed RESPONSE; FileNotFoundError if the call is gone."""
    _ioctl(listener, IOCTL_SEND, response)

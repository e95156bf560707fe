"""Capabilities, securebits, no_new_privs, dumpable, keyrings: what a process inherits of rights.

Bindings only (capabilities(7), prctl(2), keyctl(2)); each raises OSError with the call's errno.
Everything here belongs to the *calling thread*, as in the kernel, but `set_dumpable`, which belongs
to the whole process (its memory). A process with threads sets itself up before it starts them.
Sets of capabilities are integers with bit N for capability N.
"""

import contextlib
import functools
import struct
from collections.abc import Iterator
from ctypes import create_string_buffer
from pathlib import Path
from typing import NamedTuple

from slic.kernel.libc import syscall

_SYS_CAPGET = 125
_SYS_CAPSET = 126
_SYS_PRCTL = 157
_SYS_KEYCTL = 250

CAP_CHOWN = 1 << 0
CAP_DAC_OVERRIDE = 1 << 1
CAP_DAC_READ_SEARCH = 1 << 2
CAP_FOWNER = 1 << 3
CAP_FSETID = 1 << 4
CAP_KILL = 1 << 5
CAP_SETGID = 1 << 6
CAP_SETUID = 1 << 7
CAP_SETPCAP = 1 << 8
CAP_LINUX_IMMUTABLE = 1 << 9
CAP_NET_BIND_SERVICE = 1 << 10
CAP_NET_BROADCAST = 1 << 11
CAP_NET_ADMIN = 1 << 12
CAP_NET_RAW = 1 << 13
CAP_IPC_LOCK = 1 << 14
CAP_IPC_OWNER = 1 << 15
CAP_SYS_MODULE = 1 << 16
CAP_SYS_RAWIO = 1 << 17
CAP_SYS_CHROOT = 1 << 18
CAP_SYS_PTRACE = 1 << 19
CAP_SYS_PACCT = 1 << 20
CAP_SYS_ADMIN = 1 << 21
CAP_SYS_BOOT = 1 << 22
CAP_SYS_NICE = 1 << 23
CAP_SYS_RESOURCE = 1 << 24
CAP_SYS_TIME = 1 << 25
CAP_SYS_TTY_CONFIG = 1 << 26
CAP_MKNOD = 1 << 27
CAP_LEASE = 1 << 28
CAP_AUDIT_WRITE = 1 << 29
CAP_AUDIT_CONTROL = 1 << 30
CAP_SETFCAP = 1 << 31
CAP_MAC_OVERRIDE = 1 << 32
CAP_MAC_ADMIN = 1 << 33
CAP_SYSLOG = 1 << 34
CAP_WAKE_ALARM = 1 << 35
CAP_BLOCK_SUSPEND = 1 << 36
CAP_AUDIT_READ = 1 << 37
CAP_PERFMON = 1 << 38
CAP_BPF = 1 << 39
CAP_CHECKPOINT_RESTORE = 1 << 40

ALL = (1 << 63) - 1
"""Every capability there is or will be; what this kernel does not know is left out of each call."""

SECUREBITS_DEFAULT = 0

DUMPABLE = 1
NOT_DUMPABLE = 0
"""set_dumpable: /proc/PID belongs to root, nobody without CAP_SYS_PTRACE may trace or read it."""

_VERSION_3 = 0x20080522
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_GET_SECUREBITS = 27
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_EACH = struct.Struct("=IIIIII")


class Caps(NamedTuple):
    """The three sets of a thread, as bit masks."""

    effective: int
    permitted: int
    inheritable: int


@functools.cache
def last() -> int:
    """The number of the highest capability that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_bytes())


def known() -> int:
    """The mask of all capabilities that this kernel knows."""
    return (1 << last() + 1) - 1


def get() -> Caps:
    """The calling thread's sets."""
    data = create_string_buffer(_EACH.size)
    syscall(_SYS_CAPGET, struct.pack("=Ii", _VERSION_3, 0), data)
    low_e, low_p, low_i, high_e, high_p, high_i = _EACH.unpack(data.raw)
    return Caps(high_e << 32 | low_e, high_p << 32 | low_p, high_i << 32 | low_i)


def set(caps: Caps) -> None:  # the kernel's name: capabilities.set(...)
    """Replace the calling thread's sets; what is not permitted now cannot come back."""
    caps = Caps(*(mask & known() for mask in caps))
    low = (mask & 0xFFFFFFFF for mask in caps)
    high = (mask >> 32 for mask in caps)
    syscall(_SYS_CAPSET, struct.pack("=Ii", _VERSION_3, 0), _EACH.pack(*low, *high))


@contextlib.contextmanager
def raised(mask: int) -> Iterator[None]:
    """A block in which those of `mask` that the calling thread is permitted are in effect, too."""
    have = get()
    set(have._replace(effective=have.effective | have.permitted & mask))
    try:
        yield
    finally:
        set(have)


def bounding() -> int:
    """The bounding set: what an exec can give at most."""
    return sum(1 << n for n in range(last() + 1) if _prctl(_PR_CAPBSET_READ, n))


def drop_bounding(mask: int) -> None:
    """Take capabilities out of the bounding set for good (CAP_SETPCAP, else EPERM).

    What is not in it needs no right and costs nothing.
    """
    for number in range(last() + 1):
        if mask >> number & 1 and _prctl(_PR_CAPBSET_READ, number):
            _prctl(_PR_CAPBSET_DROP, number)


def clear_ambient() -> None:
    """Empty the ambient set: an exec keeps nothing that its file does not give."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def raise_ambient(mask: int) -> None:
    """Add to the ambient set what is both permitted and inheritable (else EPERM)."""
    for number in range(last() + 1):
        if mask >> number & 1:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)


def set_keep_caps(on: bool) -> None:
    """Whether the permitted set stays when the thread's uids all leave 0; an exec resets it."""
    _prctl(_PR_SET_KEEPCAPS, int(on))


def securebits() -> int:
    """The thread's securebits (capabilities(7))."""
    return _prctl(_PR_GET_SECUREBITS)


def set_securebits(bits: int) -> None:
    """Replace them (CAP_SETPCAP, else EPERM)."""
    _prctl(_PR_SET_SECUREBITS, bits)


def set_no_new_privs() -> None:
    """No exec of this thread or its children gives rights any more; it cannot be taken back."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def no_new_privs() -> bool:
    """Whether that is set."""
    return _prctl(_PR_GET_NO_NEW_PRIVS) == 1


def set_dumpable(value: int) -> None:
    """DUMPABLE or NOT_DUMPABLE. A change of ids resets it to fs.suid_dumpable, an exec to 1."""
    _prctl(_PR_SET_DUMPABLE, value)


def dumpable() -> int:
    """1 as after a plain exec, 0 when nobody may look, 2 when cores are for root only."""
    return _prctl(_PR_GET_DUMPABLE)


def join_new_session_keyring() -> int:
    """Leave the inherited session keyring for a new anonymous one; its serial number.

    ENOSYS where the kernel (or a container's filter) has no keyrings, EDQUOT over the user's quota.
    """
    return syscall(_SYS_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None)


def _prctl(what: int, first: int = 0, second: int = 0) -> int:
    return syscall(_SYS_PRCTL, what, first, second, 0, 0)

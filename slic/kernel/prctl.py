"""prctl(2), unshare(2) and mount(2): what a daemon or supervisor needs around a process.

Bindings only. Each raises OSError with the call's errno. Python 3.12 has os.unshare; we serve 3.11.
"""

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
_libc.mount.argtypes = [
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def set_parent_death_signal(signal: int) -> None:
    """Have the kernel send `signal` to this process when its parent thread ends (0: none)."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "PR_SET_PDEATHSIG")


def set_child_subreaper(on: bool) -> None:
    """Adopt orphaned descendants of this process, as pid 1 would."""
    _checked(_libc.prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def unshare(flags: int) -> None:
    """Leave the shared namespaces named by CLONE_NEW* flags."""
    _checked(_libc.unshare(flags), "unshare")


def set_domain_name(name: str) -> None:
    """setdomainname(2): the NIS domain of this UTS namespace."""
    word = name.encode()
    _checked(_libc.setdomainname(word, len(word)), "setdomainname")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount; an empty `kind` with MS_PRIVATE changes propagation only."""
    words = source.encode(), os.fsencode(target), kind.encode() or None
    _checked(_libc.mount(*words, flags, data.encode() or None), f"mount {target}")


def umount(target: str, flags: int) -> None:
    """umount2(2)."""
    _checked(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


_TIMES = {1024: 1024, 2048: 2048, 4096: MS_RELATIME}
"""How statvfs(3) tells of access times -> how mount(2) does."""


def mount_proc(like: int) -> None:
    """Mount a /proc of this PID namespace, as another is that has these flags (statvfs(3), f_flag;
    -1: not known). Never read-only."""
    usual = MS_NOSUID | MS_NODEV | MS_NOEXEC
    if like < 0:
        mount("proc", "/proc", "proc", usual)
        return
    times = sum(bit for told, bit in _TIMES.items() if like & told)
    try:
        mount("proc", "/proc", "proc", like & usual | (times or MS_STRICTATIME))
    except PermissionError:  # in a user namespace none that is looser (mount_namespaces(7))
        mount("proc", "/proc", "proc", usual)

"""Numbers by the names of the C headers, for policies written by people.

What Python's own modules know is taken from them; the rest is a table (uapi headers of Linux).
"""

import errno
import fcntl
import mmap
import os
import signal
import stat

TABLE = {
    "AF_ALG": 38,
    "AF_BLUETOOTH": 31,
    "AF_INET": 2,
    "AF_INET6": 10,
    "AF_NETLINK": 16,
    "AF_PACKET": 17,
    "AF_UNIX": 1,
    "AF_VSOCK": 40,
    "AT_EMPTY_PATH": 0x1000,
    "AT_FDCWD": -100,
    "AT_REMOVEDIR": 0x200,
    "AT_SYMLINK_FOLLOW": 0x400,
    "AT_SYMLINK_NOFOLLOW": 0x100,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWNET": 0x40000000,
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWUTS": 0x04000000,
    "KEYCTL_JOIN_SESSION_KEYRING": 1,
    "MSG_OOB": 1,
    "PR_SET_DUMPABLE": 4,
    "PR_SET_MM": 35,
    "PTRACE_ATTACH": 16,
    "PTRACE_POKEDATA": 5,
    "PTRACE_POKETEXT": 4,
    "PTRACE_SEIZE": 0x4206,
    "PTRACE_TRACEME": 0,
    "SOCK_DGRAM": 2,
    "SOCK_RAW": 3,
    "SOCK_STREAM": 1,
    "SOL_SOCKET": 1,
    "TIOCLINUX": 0x541C,
    "TIOCSTI": 0x5412,
}

_PREFIXES = {
    errno: ("E",),
    fcntl: ("F_", "LOCK_"),
    mmap: ("MAP_", "PROT_"),
    os: ("O_", "RTLD_", "GRND_", "MFD_"),
    signal: ("SIG",),
    stat: ("S_I",),
}


def _known() -> dict[str, int]:
    found = {}
    for module, prefixes in _PREFIXES.items():
        for name, value in vars(module).items():
            if name.startswith(prefixes) and isinstance(value, int):
                found[name] = int(value)
    return found


SYMBOLS: dict[str, int] = {**_known(), **TABLE}

"""Every call of the table that takes a path, and what `restrict` does with it.

A table and the reading of its arguments; a test checks that no call with a path is missing.
Sources: the man pages of the calls, path_resolution(7).
"""

from enum import Enum

from slic.interposer import Call
from slic.tracee import AT_FDCWD, Tracee


class Fate(Enum):
    """What becomes of a call under `restrict`."""

    CONFINED = "the supervisor performs it in a place it has pinned, or hands the file in"
    CHECKED = "checked, then run by the kernel: the one race, see the docstring of restrict"
    REFUSED = "refused: it could change what paths mean, or get around them"
    HARMLESS = "left to the kernel: it tells or changes nothing of a file's content"


_CONFINED, _CHECKED, _REFUSED, _HARMLESS = Fate

# The arguments that are paths: (the descriptor they are relative to or "", the path itself).
Paths = tuple[tuple[str, str], ...]
_FILENAME: Paths = (("", "filename"),)
_PATHNAME: Paths = (("", "pathname"),)
_PATH: Paths = (("", "path"),)
_NAME: Paths = (("", "name"),)
_DFD_FILENAME: Paths = (("dfd", "filename"),)
_DFD_PATHNAME: Paths = (("dfd", "pathname"),)

PATH_CALLS: dict[str, tuple[Fate, Paths]] = {
    "access": (_HARMLESS, _FILENAME),
    "acct": (_REFUSED, _NAME),
    "chdir": (_HARMLESS, _FILENAME),
    "chmod": (_CONFINED, _FILENAME),
    "chown": (_CONFINED, _FILENAME),
    "chroot": (_REFUSED, _FILENAME),
    "creat": (_CONFINED, _PATHNAME),
    "execve": (_CHECKED, _FILENAME),
    "execveat": (_CHECKED, _DFD_FILENAME),
    "faccessat": (_HARMLESS, _DFD_FILENAME),
    "faccessat2": (_HARMLESS, _DFD_FILENAME),
    "fanotify_mark": (_REFUSED, (("fd", "pathname"),)),
    "fchmodat": (_CONFINED, _DFD_FILENAME),
    "fchmodat2": (_CONFINED, _DFD_FILENAME),
    "fchownat": (_CONFINED, _DFD_FILENAME),
    "file_getattr": (_HARMLESS, _DFD_FILENAME),
    "file_setattr": (_REFUSED, _DFD_FILENAME),
    "fspick": (_REFUSED, (("dfd", "path"),)),
    "futimesat": (_CONFINED, _DFD_FILENAME),
    "getxattr": (_HARMLESS, _PATH),
    "getxattrat": (_HARMLESS, _DFD_PATHNAME),
    "inotify_add_watch": (_HARMLESS, _PATH),
    "lchown": (_CONFINED, _FILENAME),
    "lgetxattr": (_HARMLESS, _PATH),
    "link": (_CONFINED, (("", "oldname"), ("", "newname"))),
    "linkat": (_CONFINED, (("olddfd", "oldname"), ("newdfd", "newname"))),
    "listxattr": (_HARMLESS, _PATH),
    "listxattrat": (_HARMLESS, _DFD_PATHNAME),
    "llistxattr": (_HARMLESS, _PATH),
    "lremovexattr": (_CONFINED, _PATH),
    "lsetxattr": (_CONFINED, _PATH),
    "lstat": (_HARMLESS, _FILENAME),
    "mkdir": (_CONFINED, _PATHNAME),
    "mkdirat": (_CONFINED, _DFD_PATHNAME),
    "mknod": (_CONFINED, _FILENAME),
    "mknodat": (_CONFINED, _DFD_FILENAME),
    "mount": (_REFUSED, (("", "dev_name"), ("", "dir_name"))),
    "mount_setattr": (_REFUSED, (("dfd", "path"),)),
    "move_mount": (_REFUSED, (("from_dfd", "from_pathname"), ("to_dfd", "to_pathname"))),
    "name_to_handle_at": (_HARMLESS, (("dirfd", "name"),)),
    "newfstatat": (_HARMLESS, _DFD_FILENAME),
    "open": (_CONFINED, _FILENAME),
    "open_tree": (_REFUSED, _DFD_FILENAME),
    "open_tree_attr": (_REFUSED, _DFD_FILENAME),
    "openat": (_CONFINED, (("dirfd", "filename"),)),
    "openat2": (_CONFINED, (("dirfd", "filename"),)),
    "pivot_root": (_REFUSED, (("", "new_root"), ("", "put_old"))),
    "quotactl": (_REFUSED, (("", "special"),)),
    "readlink": (_HARMLESS, _PATH),
    "readlinkat": (_HARMLESS, (("dfd", "path"),)),
    "removexattr": (_CONFINED, _PATH),
    "removexattrat": (_CONFINED, _DFD_PATHNAME),
    "rename": (_CONFINED, (("", "oldname"), ("", "newname"))),
    "renameat": (_CONFINED, (("olddfd", "oldname"), ("newdfd", "newname"))),
    "renameat2": (_CONFINED, (("olddfd", "oldname"), ("newdfd", "newname"))),
    "rmdir": (_CONFINED, _PATHNAME),
    "setxattr": (_CONFINED, _PATH),
    "setxattrat": (_CONFINED, _DFD_PATHNAME),
    "stat": (_HARMLESS, _FILENAME),
    "statfs": (_HARMLESS, _PATH),
    "statx": (_HARMLESS, (("dirfd", "pathname"),)),
    "swapoff": (_REFUSED, (("", "specialfile"),)),
    "swapon": (_REFUSED, (("", "specialfile"),)),
    "symlink": (_CONFINED, (("", "new"),)),
    "symlinkat": (_CONFINED, (("newdfd", "newname"),)),
    "truncate": (_CONFINED, _PATH),
    "umount2": (_REFUSED, _NAME),
    "unlink": (_CONFINED, _PATHNAME),
    "unlinkat": (_CONFINED, _DFD_PATHNAME),
    "uselib": (_REFUSED, (("", "library"),)),
    "utime": (_CONFINED, _FILENAME),
    "utimensat": (_CONFINED, _DFD_FILENAME),
    "utimes": (_CONFINED, _FILENAME),
}

# Refused besides those: ways around a path, or into another process.
AROUND = (
    "bpf",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsmount",
    "fsopen",
    "init_module",
    "kexec_file_load",
    "kexec_load",
    "open_by_handle_at",
    "perf_event_open",
    "pidfd_getfd",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl_fd",
    "setns",
)
# The same among ioctls: typing into a terminal (the user's shell would execute it), and the flags
# of a file, which a descriptor for reading is enough to change (linux/fs.h, fsverity.h, fscrypt.h).
AROUND_IOCTLS = {
    "FS_IOC32_SETFLAGS": 0x40046602,
    "FS_IOC32_SETVERSION": 0x40047602,
    "FS_IOC_ENABLE_VERITY": 0x40806685,
    "FS_IOC_FSSETXATTR": 0x401C5820,
    "FS_IOC_SETFLAGS": 0x40086602,
    "FS_IOC_SETVERSION": 0x40087602,
    "FS_IOC_SET_ENCRYPTION_POLICY": 0x800C6613,
    "TIOCLINUX": 0x541C,
    "TIOCSTI": 0x5412,
}

# Arguments of type char * that are text but no path (or an answer buffer named like one).
NOT_A_PATH = {
    "add_key",  # names of keys
    "delete_module",  # refused by restrict all the same, as are these three:
    "finit_module",
    "init_module",
    "kexec_file_load",
    "fsconfig",  # speaks to a descriptor of fsopen, which is refused
    "fsopen",
    "fgetxattr",  # names of attributes
    "flistxattr",
    "fremovexattr",
    "fsetxattr",
    "getcwd",
    "memfd_create",
    "mq_open",  # names of queues, a name space of their own
    "mq_unlink",
    "request_key",
    "seccomp",
    "setdomainname",
    "sethostname",
}


def calls_with(fate: Fate) -> tuple[str, ...]:
    """The names of the calls with this fate."""
    return tuple(name for name, (own, _) in PATH_CALLS.items() if own is fate)


def spoken(tracee: Tracee, call: Call) -> list[tuple[int, bytes | None]]:
    """The (dirfd, path) pairs of a call of PATH_CALLS, each read once; None for a null pointer.

    The second name of symlink is no path but a text: only the place of the link is given.
    """
    given = call.named()
    return [
        (
            given[base] if base else AT_FDCWD,
            tracee.cstring(given[name]) if given[name] else None,
        )
        for base, name in PATH_CALLS[call.name][1]
    ]


def table() -> str:
    """The fate of every call with a path, as the table of docs/interposers.md."""
    rows = ["| fate under `restrict` | calls |", "|---|---|"]
    for fate in Fate:
        rows.append(f"| {fate.name.lower()}: {fate.value} | {', '.join(calls_with(fate))} |")
    return "\n".join(rows) + "\n"

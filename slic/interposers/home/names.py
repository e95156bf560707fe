"""Calls on names at home: how each call's arguments become a question, and the answer its result.

One function a call, of the caller, its arguments by name, and the paths, which are home's. A table
and the reading of memory; `HomePaths` decides which paths are home's. Man page 2 of each call.
"""

import errno
import struct
from collections.abc import Callable

from slic.interposers.home.descriptors import Asking
from slic.interposers.home.files import owner, times
from slic.interposers.home.questions import CallHome
from slic.interposers.home.statbuf import NANO, encode_stat, encode_statfs, encode_statx
from slic.interposers.support.callers import signed
from slic.tracee import Tracee
from slic.verdict import Fail, Return

AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW = 0x100, 0x200, 0x400
_REGULAR, _FIFO, _KIND = 0o100000, 0o010000, 0o170000

Given = dict[str, int]
Paths = tuple[bytes, ...]
Ask = Callable[[Tracee, Given, Paths], Asking]


# -- one call each: (caller, arguments by name, paths at home) -> verdict ------------------------
def _plain(call: str, *names: str) -> Ask:
    """A call whose arguments are signed numbers, and whose answer is one."""

    def ask(tracee: Tracee, given: Given, paths: Paths) -> Asking:
        numbers = tuple(signed(given[name]) for name in names)
        value, _, _ = yield CallHome(call, paths=paths, numbers=numbers)
        return Return(value)

    return ask


def _mode(call: str, flags: str = "", follow: bool = True) -> Ask:
    """chmod and mkdir: (mode, whether a link is followed)."""

    def ask(tracee: Tracee, given: Given, paths: Paths) -> Asking:
        follows = follow and not given.get(flags, 0) & AT_SYMLINK_NOFOLLOW
        numbers = (given["mode"] & 0o7777, int(follows))
        value, _, _ = yield CallHome(call, paths=paths, numbers=numbers)
        return Return(value)

    return ask


def _owner(follow: bool) -> Ask:
    def ask(tracee: Tracee, given: Given, paths: Paths) -> Asking:
        follows = follow and not given.get("flag", 0) & AT_SYMLINK_NOFOLLOW
        numbers = (*owner(given["user"], given["group"]), int(follows))
        value, _, _ = yield CallHome("chown", paths=paths, numbers=numbers)
        return Return(value)

    return ask


def _access(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    follows = not given.get("flags", 0) & AT_SYMLINK_NOFOLLOW
    if given["mode"] & ~7:
        return Fail(errno.EINVAL)
    yield CallHome("access", paths=paths, numbers=(given["mode"], int(follows)))
    return Return(0)


def _stat(follow: bool) -> Ask:
    def ask(tracee: Tracee, given: Given, paths: Paths) -> Asking:
        follows = follow and not given.get("flag", 0) & AT_SYMLINK_NOFOLLOW
        _, numbers, _ = yield CallHome("stat", paths=paths, numbers=(int(follows),))
        tracee.write(given["statbuf"], encode_stat(numbers))
        return Return(0)

    return ask


def _statx(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    follows = not given["flags"] & AT_SYMLINK_NOFOLLOW
    _, numbers, _ = yield CallHome("stat", paths=paths, numbers=(int(follows),))
    tracee.write(given["statxbuf"], encode_statx(numbers))
    return Return(0)


def _statfs(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    _, numbers, _ = yield CallHome("statfs", paths=paths)
    tracee.write(given["buf"], encode_statfs(numbers))
    return Return(0)


def _readlink(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    if given["bufsiz"] <= 0:
        return Fail(errno.EINVAL)
    _, _, target = yield CallHome("readlink", paths=paths)
    tracee.write(given["buf"], target[: given["bufsiz"]])
    return Return(min(len(target), given["bufsiz"]))


def _unlinkat(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    call = "rmdir" if given["flag"] & AT_REMOVEDIR else "unlink"
    value, _, _ = yield CallHome(call, paths=paths)
    return Return(value)


def _rename(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    if given.get("flags", 0):
        return Fail(errno.EINVAL)
    value, _, _ = yield CallHome("rename", paths=paths)
    return Return(value)


def _link(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    follows = given.get("flags", 0) & AT_SYMLINK_FOLLOW
    value, _, _ = yield CallHome("link", paths=paths, numbers=(int(bool(follows)),))
    return Return(value)


def _symlink(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    text = tracee.cstring(given["oldname"] if "oldname" in given else given["old"])
    value, _, _ = yield CallHome("symlink", paths=paths, data=text)
    return Return(value)


def _mknod(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    if given["mode"] & _KIND not in (0, _REGULAR, _FIFO):
        return Fail(errno.EPERM)
    value, _, _ = yield CallHome("mknod", paths=paths, numbers=(given["mode"],))
    return Return(value)


def _utimensat(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    follows = not given["flags"] & AT_SYMLINK_NOFOLLOW
    moments = times(tracee, given["utimes"])
    value, _, _ = yield CallHome("utime", paths=paths, numbers=(*moments, int(follows)))
    return Return(value)


def _utimes(scale: int, size: int) -> Ask:
    """utime(2) gives seconds, utimes(2) and futimesat(2) also microseconds."""

    def ask(tracee: Tracee, given: Given, paths: Paths) -> Asking:
        address = given["times"] if "times" in given else given["utimes"]
        moments = times(tracee, 0)
        if address:
            words = struct.unpack(f"={size // 8}q", tracee.read(address, size))
            step = len(words) // 2
            pairs = (words[:step], words[step:])
            moments = (_nano(*pairs[0], scale=scale), _nano(*pairs[1], scale=scale))
        value, _, _ = yield CallHome("utime", paths=paths, numbers=(*moments, 1))
        return Return(value)

    return ask


def _nano(seconds: int, fraction: int = 0, *, scale: int) -> int:
    return seconds * NANO + fraction * scale


def _unsupported(tracee: Tracee, given: Given, paths: Paths) -> Asking:
    yield from ()
    return Fail(errno.EOPNOTSUPP)


_ATTRIBUTES = (
    "file_getattr", "file_setattr", "getxattr", "getxattrat", "lgetxattr", "listxattr",
    "listxattrat", "llistxattr", "lremovexattr", "lsetxattr", "removexattr", "removexattrat",
    "setxattr", "setxattrat",
)  # fmt: skip

CALLS: dict[str, Ask] = {
    "access": _access,
    "chmod": _mode("chmod"),
    "chown": _owner(follow=True),
    "faccessat": _access,
    "faccessat2": _access,
    "fchmodat": _mode("chmod"),
    "fchmodat2": _mode("chmod", "flags"),
    "fchownat": _owner(follow=True),
    "futimesat": _utimes(1000, 32),
    "lchown": _owner(follow=False),
    "link": _link,
    "linkat": _link,
    "lstat": _stat(follow=False),
    "mkdir": _mode("mkdir"),
    "mkdirat": _mode("mkdir"),
    "mknod": _mknod,
    "mknodat": _mknod,
    "newfstatat": _stat(follow=True),
    "readlink": _readlink,
    "readlinkat": _readlink,
    "rename": _rename,
    "renameat": _rename,
    "renameat2": _rename,
    "rmdir": _plain("rmdir"),
    "stat": _stat(follow=True),
    "statfs": _statfs,
    "statx": _statx,
    "symlink": _symlink,
    "symlinkat": _symlink,
    "truncate": _plain("truncate", "length"),
    "unlink": _plain("unlink"),
    "unlinkat": _unlinkat,
    "utime": _utimes(0, 16),
    "utimensat": _utimensat,
    "utimes": _utimes(1000, 32),
    **dict.fromkeys(_ATTRIBUTES, _unsupported),
}

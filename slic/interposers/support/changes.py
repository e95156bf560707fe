"""Calls that make, change, move or remove a name or an object, performed in pinned places.

`planned` reads a call's arguments once, pins what it speaks of, checks that it may be written and
gives back what does it. Used by `restrict`; the errors are the kernel's own (man 2 of each call).
"""

import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import Any

from slic.interposer import Call
from slic.interposers.support.confined import AT_EMPTY_PATH, Confined, Pin, Use
from slic.interposers.support.opens import PAGE
from slic.interposers.support.pathcalls import spoken
from slic.tracee import AT_FDCWD

Perform = Callable[[], Any]
Given = dict[str, int]
Names = list[tuple[int, bytes]]
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
NANO = 10**9
XATTR_SIZE_MAX = 65536
XATTR_NAME_MAX = 255
_XATTR_ARGS = struct.Struct("=QII")  # value, size, flags


def planned(confined: Confined, call: Call) -> Perform:
    """What performs the call (run it with the caller's credentials), all checks done.

    OSError as the kernel would answer, or Refused.
    """
    given = call.named()
    return CHANGES[call.name](confined, call, given)


def _names(confined: Confined, call: Call) -> Names:
    """The paths, a null pointer being the kernel's EFAULT (or "" where it may be empty)."""
    pairs = []
    for dirfd, name in spoken(confined, call):
        if name is None and not call.named().get("at_flags", 0) & AT_EMPTY_PATH:
            raise OSError(errno.EFAULT, call.name)
        pairs.append((dirfd, name or b""))
    return pairs


def _flags(given: Given, allowed: int) -> int:
    flags = given.get("flags", given.get("flag", given.get("at_flags", 0)))
    if flags & ~allowed:
        raise OSError(errno.EINVAL, "flags")
    return flags


# -- names -------------------------------------------------------------------------------------
def _mkdir(confined: Confined, call: Call, given: Given) -> Perform:
    place = confined.place(*_names(confined, call)[0])
    return lambda: os.mkdir(place.last, given["mode"] & 0o7777, dir_fd=place.directory)


def _mknod(confined: Confined, call: Call, given: Given) -> Perform:
    place = confined.place(*_names(confined, call)[0])
    mode = given["mode"]
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK):
        raise OSError(errno.EPERM, "a device")  # it would open what no path of the policy names
    return lambda: os.mknod(place.last, mode, dir_fd=place.directory)


def _unlink(confined: Confined, call: Call, given: Given) -> Perform:
    place = confined.place(*_names(confined, call)[0])
    if call.name == "rmdir" or _flags(given, AT_REMOVEDIR):
        return lambda: os.rmdir(place.last, dir_fd=place.directory)
    return lambda: os.unlink(place.last, dir_fd=place.directory)


def _symlink(confined: Confined, call: Call, given: Given) -> Perform:
    target = confined.cstring(given["old" if call.name == "symlink" else "oldname"])
    place = confined.place(*_names(confined, call)[0])
    return lambda: os.symlink(target, place.last, dir_fd=place.directory)


def _rename(confined: Confined, call: Call, given: Given) -> Perform:
    _flags(given, 0)
    old, new = (confined.place(*name) for name in _names(confined, call))
    return lambda: os.rename(old.last, new.last, src_dir_fd=old.directory, dst_dir_fd=new.directory)


def _link(confined: Confined, call: Call, given: Given) -> Perform:
    flags = _flags(given, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)
    (dirfd, name), new = _names(confined, call)
    follow, empty = bool(flags & AT_SYMLINK_FOLLOW), bool(flags & AT_EMPTY_PATH)
    pin = confined.object(dirfd, name, follow, empty)
    confined.require(pin.path, Use.WRITE)  # through its new name it could be written
    place = confined.place(*new)
    return lambda: os.link(pin.link, place.last, dst_dir_fd=place.directory, follow_symlinks=True)


# -- objects -----------------------------------------------------------------------------------
def _object(confined: Confined, call: Call, given: Given) -> Pin:
    """The object a call changes, by name or by descriptor, allowed to be written."""
    if "fd" in given:
        pin = confined.descriptor(given["fd"])
    else:
        flags = _flags(given, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) if call.name in _FLAGGED else 0
        follow = not flags & AT_SYMLINK_NOFOLLOW and call.name not in _NOT_FOLLOWING
        dirfd, name = _names(confined, call)[0]
        pin = confined.object(dirfd, name, follow, bool(flags & AT_EMPTY_PATH))
    if pin.named or "fd" not in given:
        confined.require(pin.path, Use.WRITE)
    return pin


_FLAGGED = {"fchmodat2", "fchownat", "removexattrat", "setxattrat", "utimensat"}
_NOT_FOLLOWING = {"lchown", "lremovexattr", "lsetxattr"}


def _chmod(confined: Confined, call: Call, given: Given) -> Perform:
    pin = _object(confined, call, given)
    return lambda: os.chmod(pin.link, given["mode"] & 0o7777)


def _chown(confined: Confined, call: Call, given: Given) -> Perform:
    pin = _object(confined, call, given)
    user, group = (-1 if given[n] == 0xFFFFFFFF else given[n] for n in ("user", "group"))
    return lambda: os.chown(pin.link, user, group)


def _truncate(confined: Confined, call: Call, given: Given) -> Perform:
    pin = _object(confined, call, given)
    return lambda: os.truncate(pin.link, given["length"])


def _setxattr(confined: Confined, call: Call, given: Given) -> Perform:
    if given["size"] > XATTR_SIZE_MAX:
        raise OSError(errno.E2BIG, "value")
    name = confined.cstring(given["name"], XATTR_NAME_MAX)
    value = confined.read(given["value"], given["size"]) if given["size"] else b""
    place = {k: v for k, v in given.items() if k != "flags"}  # these are not of the path
    pin = _object(confined, call, place)
    return lambda: os.setxattr(pin.link, name, value, given["flags"])


def _setxattrat(confined: Confined, call: Call, given: Given) -> Perform:
    """The value is told in a struct xattr_args, which may grow (linux/xattr.h)."""
    size = given["usize"]
    if size < _XATTR_ARGS.size:
        raise OSError(errno.EINVAL, "xattr_args is too short")
    if size > PAGE:
        raise OSError(errno.E2BIG, "xattr_args is too long")
    raw = confined.read(given["uargs"], size)
    if any(raw[_XATTR_ARGS.size :]):
        raise OSError(errno.E2BIG, "xattr_args says something unknown")
    address, length, flags = _XATTR_ARGS.unpack_from(raw)
    return _setxattr(confined, call, {**given, "value": address, "size": length, "flags": flags})


def _removexattr(confined: Confined, call: Call, given: Given) -> Perform:
    name = confined.cstring(given["name"], XATTR_NAME_MAX)
    pin = _object(confined, call, given)
    return lambda: os.removexattr(pin.link, name)


def _utime(confined: Confined, call: Call, given: Given) -> Perform:
    address = given["times" if call.name == "utime" else "utimes"]
    times = _times(call.name, confined.read(address, _TIMES[call.name])) if address else None
    if "dfd" in given and not given["filename"]:  # futimens: the descriptor itself
        if given["dfd"] == AT_FDCWD:
            raise OSError(errno.EFAULT, call.name)
        pin = _object(confined, call, {"fd": given["dfd"]})
    else:
        pin = _object(confined, call, given)
    return lambda: _set_times(pin.link, times)


_TIMES = {"utime": 16, "utimes": 32, "futimesat": 32, "utimensat": 32}
Moment = tuple[int, int]  # seconds, nanoseconds (or UTIME_NOW, UTIME_OMIT)


def _times(name: str, raw: bytes) -> tuple[Moment, Moment]:
    words = struct.unpack(f"={len(raw) // 8}q", raw)
    if name == "utime":
        return (words[0], 0), (words[1], 0)
    scale = 1 if name == "utimensat" else 1000
    for part in words[1::2]:
        if not 0 <= part * scale < NANO and not (scale == 1 and part in (UTIME_NOW, UTIME_OMIT)):
            raise OSError(errno.EINVAL, "nanoseconds")
    return (words[0], words[1] * scale), (words[2], words[3] * scale)


def _set_times(link: str, times: tuple[Moment, Moment] | None) -> None:
    if times is None or all(part == UTIME_NOW for _, part in times):
        os.utime(link)
        return
    if all(part == UTIME_OMIT for _, part in times):
        return
    before = os.stat(link)
    if any(part == UTIME_NOW for _, part in times):
        os.utime(link)  # the kernel's own now, then the rest
    now = os.stat(link)
    set_to = []
    for (seconds, part), old, new in zip(
        times,
        (before.st_atime_ns, before.st_mtime_ns),
        (now.st_atime_ns, now.st_mtime_ns),
        strict=True,
    ):
        exact = seconds * NANO + part
        set_to.append({UTIME_OMIT: old, UTIME_NOW: new}.get(part, exact))
    os.utime(link, ns=(set_to[0], set_to[1]))


Plan = Callable[[Confined, Call, Given], Perform]
CHANGES: dict[str, Plan] = {
    "chmod": _chmod,
    "chown": _chown,
    "fchmod": _chmod,
    "fchmodat": _chmod,
    "fchmodat2": _chmod,
    "fchown": _chown,
    "fchownat": _chown,
    "fremovexattr": _removexattr,
    "fsetxattr": _setxattr,
    "futimesat": _utime,
    "lchown": _chown,
    "link": _link,
    "linkat": _link,
    "lremovexattr": _removexattr,
    "lsetxattr": _setxattr,
    "mkdir": _mkdir,
    "mkdirat": _mkdir,
    "mknod": _mknod,
    "mknodat": _mknod,
    "removexattr": _removexattr,
    "removexattrat": _removexattr,
    "rename": _rename,
    "renameat": _rename,
    "renameat2": _rename,
    "rmdir": _unlink,
    "setxattr": _setxattr,
    "setxattrat": _setxattrat,
    "symlink": _symlink,
    "symlinkat": _symlink,
    "truncate": _truncate,
    "unlink": _unlink,
    "unlinkat": _unlink,
    "utime": _utime,
    "utimensat": _utime,
    "utimes": _utime,
}

"""The calls that a transparent job may make on files of home: one entry each, by name.

Which paths may be spoken of is `glunix.home.calls.pinned`'s to say: no call here is made on a name
that is looked up once more.
"""

from __future__ import annotations

import errno
import os
import posix
import stat
import time
from fcntl import F_GETFL, F_SETFL, fcntl

from glunix.home.calls.pinned import Pins, failed, through

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Answer = tuple[int, list[int], bytes]

_NOW, _OMIT = -(1 << 62), -(1 << 62) - 1
"""See slic.interposers.home.files."""

_SETTABLE = os.O_APPEND | os.O_NOATIME
_OF_A_FILE = _SETTABLE | os.O_NONBLOCK | os.O_ASYNC
"""What else means nothing to a file, and is shown."""
_TYPES = {
    stat.S_IFDIR: 4, stat.S_IFREG: 8, stat.S_IFLNK: 10, stat.S_IFCHR: 2, stat.S_IFBLK: 6,
    stat.S_IFIFO: 1, stat.S_IFSOCK: 12,
}  # fmt: skip


class OpenFile:
    """A descriptor; `entries` of a directory once it was read from, `at` how far."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.entries: list[tuple[int, int, bytes]] | None = None
        self.at = 0


def _numbers(found: os.stat_result) -> list[int]:
    """As slic.interposers.home.statbuf.FIELDS."""
    return [
        found.st_dev, found.st_ino, found.st_nlink, found.st_mode, found.st_uid, found.st_gid,
        found.st_rdev, found.st_size, found.st_blksize, found.st_blocks, found.st_atime_ns,
        found.st_mtime_ns, found.st_ctime_ns,
    ]  # fmt: skip


def _space(fd: int) -> list[int]:
    """struct statfs (statfs(2)) without its spare members; Python's statvfs hides the type."""
    from glunix.home.libcall import fstatfs

    words = fstatfs(fd)
    identity = words[7] & 0xFFFFFFFF, words[7] >> 32 & 0xFFFFFFFF
    signed = [part - (1 << 32) if part >> 31 else part for part in identity]
    return [*words[:7], *signed, *words[8:11]]


# -- calls on descriptors ------------------------------------------------------------------------
def _set_flags(opened: OpenFile, numbers: list[int]) -> Answer:
    now, is_file = fcntl(opened.fd, F_GETFL), stat.S_ISREG(posix.fstat(opened.fd).st_mode)
    changed = _OF_A_FILE if is_file else _SETTABLE
    fcntl(opened.fd, F_SETFL, now & ~changed | numbers[0] & changed)
    return 0, [], b""


def _did(call: Callable[..., None], *args: object, **more: object) -> Answer:
    """Make a call that answers nothing but that it was made."""
    call(*args, **more)
    return 0, [], b""


def _getdents(opened: OpenFile, numbers: list[int]) -> Answer:
    """struct linux_dirent64 (getdents(2)), as many as there is room for."""
    if opened.entries is None:
        opened.entries = _entries(opened.fd)
    data = b""
    while opened.at < len(opened.entries):
        inode, kind, name = opened.entries[opened.at]
        size = (19 + len(name) + 1 + 7) & ~7
        if len(data) + size > numbers[0]:
            if not data:
                raise failed(errno.EINVAL)
            break
        opened.at += 1
        head = inode.to_bytes(8, "little") + opened.at.to_bytes(8, "little")
        head += size.to_bytes(2, "little") + bytes((kind,))
        data += (head + name).ljust(size, b"\0")
    return len(data), [], data


def _entries(fd: int) -> list[tuple[int, int, bytes]]:
    if not stat.S_ISDIR(posix.fstat(fd).st_mode):
        raise failed(errno.ENOTDIR)
    found = [(posix.fstat(fd).st_ino, 4, b"."), (posix.stat(b"..", dir_fd=fd).st_ino, 4, b"..")]
    with posix.scandir(fd) as entries:
        for entry in entries:
            kind = _TYPES.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), 0)
            found.append((entry.inode(), kind, os.fsencode(entry.name)))
    return found


def rewind(opened: OpenFile, offset: int, whence: int) -> int:
    """lseek on a directory: to what a d_off said (telldir(3))."""
    if whence == os.SEEK_CUR and offset == 0:
        return opened.at
    if whence != os.SEEK_SET or offset < 0:
        raise failed(errno.EINVAL)
    if offset == 0:
        opened.entries = None
    opened.at = offset
    return offset


def _set_times(place: bytes | int, numbers: list[int], **how: Any) -> Answer:
    """`how` names an entry of a directory, as os.utime takes it."""
    if numbers[0] == numbers[1] == _NOW:  # allowed to who may only write it
        return _did(posix.utime, place, **how)
    now = time.time_ns()
    found = posix.stat(place, **how)
    kept = (found.st_atime_ns, found.st_mtime_ns)
    moments = tuple(
        {_NOW: now, _OMIT: old}.get(wanted, wanted)
        for wanted, old in zip(numbers[:2], kept, strict=True)
    )
    return _did(posix.utime, place, ns=moments, **how)


F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38


def struct_flock(numbers: list[int]) -> bytes:
    """struct flock (fcntl(2)) of type, whence, start and length."""
    kind, whence, start, length = numbers
    head = (kind & 0xFFFF).to_bytes(2, "little") + (whence & 0xFFFF).to_bytes(2, "little")
    head = head.ljust(8, b"\0")
    sizes = b"".join(number.to_bytes(8, "little", signed=True) for number in (start, length))
    return (head + sizes).ljust(32, b"\0")


def _get_lock(opened: OpenFile, numbers: list[int]) -> Answer:
    raw = fcntl(opened.fd, F_OFD_GETLK, struct_flock(numbers))
    places = ((0, 2), (2, 4), (8, 16), (16, 24), (24, 28))
    found = [int.from_bytes(raw[a:b], "little", signed=True) for a, b in places]
    return 0, found, b""


def _within(fd: int, end: int, limits: list[int]) -> None:
    """EFBIG when a file would become larger than the program may make one (getrlimit(2))."""
    if limits and 0 <= limits[0] < end and end > posix.fstat(fd).st_size:
        raise failed(errno.EFBIG)


def _ftruncate(opened: OpenFile, numbers: list[int]) -> Answer:
    _within(opened.fd, numbers[0], numbers[1:])
    return _did(posix.ftruncate, opened.fd, numbers[0])


def _fallocate(opened: OpenFile, numbers: list[int]) -> Answer:
    _within(opened.fd, numbers[0] + numbers[1], numbers[2:])
    return _did(posix.posix_fallocate, opened.fd, numbers[0], numbers[1])


ON_DESCRIPTOR: dict[str, Callable[[OpenFile, list[int]], Answer]] = {
    "fallocate": _fallocate,
    "fchmod": lambda o, n: _did(posix.fchmod, o.fd, n[0]),
    "fchown": lambda o, n: _did(posix.fchown, o.fd, n[0], n[1]),
    "fstat": lambda o, n: (0, _numbers(posix.fstat(o.fd)), b""),
    "fstatfs": lambda o, n: (0, _space(o.fd), b""),
    "fsync": lambda o, n: _did(posix.fsync, o.fd),
    "ftruncate": _ftruncate,
    "futimens": lambda o, n: _set_times(o.fd, n),
    "getdents": _getdents,
    "getfl": lambda o, n: (fcntl(o.fd, F_GETFL), [], b""),
    "getlk": _get_lock,
    "setfl": _set_flags,
}


# -- calls on names ------------------------------------------------------------------------------
def _access(at: Pins, path: bytes, mode: int, follow: bool) -> Answer:
    if follow:
        may = posix.access(through(at.pin(path)), mode)
    else:
        folder, name = at.entry(path)
        posix.stat(name, dir_fd=folder, follow_symlinks=False)
        may = posix.access(name, mode, dir_fd=folder, follow_symlinks=False)
    if not may:
        raise failed(errno.EACCES)
    return 0, [], b""


def _chmod(at: Pins, path: bytes, mode: int, follow: bool) -> Answer:
    pin = at.pin(path, follow)
    if stat.S_ISLNK(posix.fstat(pin).st_mode):
        raise failed(errno.EOPNOTSUPP)
    return _did(posix.chmod, through(pin), mode)


def _chown(at: Pins, path: bytes, user: int, group: int, follow: bool) -> Answer:
    if follow:
        return _did(posix.chown, through(at.pin(path)), user, group)
    folder, name = at.entry(path)
    return _did(posix.chown, name, user, group, dir_fd=folder, follow_symlinks=False)


def _link(at: Pins, path: bytes, new: bytes, follow: bool) -> Answer:
    folder, name = at.entry(new)
    if follow:
        old = through(at.pin(path))
        return _did(posix.link, old, name, dst_dir_fd=folder, follow_symlinks=True)
    source, old = at.entry(path)
    return _did(posix.link, old, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)


def _mknod(at: Pins, path: bytes, mode: int) -> Answer:
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFIFO):
        raise failed(errno.EPERM)
    folder, name = at.entry(path)
    return _did(posix.mknod, name, mode, dir_fd=folder)


def _rename(at: Pins, path: bytes, new: bytes) -> Answer:
    source, old = at.entry(path)
    folder, name = at.entry(new)
    return _did(posix.rename, old, name, src_dir_fd=source, dst_dir_fd=folder)


def _in_folder(call: Callable[..., None], at: Pins, path: bytes, *args: object) -> Answer:
    folder, name = at.entry(path)
    return _did(call, name, *args, dir_fd=folder)


def _readlink(at: Pins, path: bytes) -> Answer:
    folder, name = at.entry(path)
    return 0, [], os.fsencode(posix.readlink(name, dir_fd=folder))


def _symlink(at: Pins, target: bytes, path: bytes) -> Answer:
    folder, name = at.entry(path)
    return _did(posix.symlink, target, name, dir_fd=folder)


def _utime(at: Pins, path: bytes, numbers: list[int]) -> Answer:
    if numbers[2]:
        return _set_times(through(at.pin(path)), numbers)
    folder, name = at.entry(path)
    return _set_times(name, numbers, dir_fd=folder, follow_symlinks=False)


ON_NAME: dict[str, Callable[[Pins, list[bytes], list[int], bytes], Answer]] = {
    "access": lambda at, p, n, d: _access(at, p[0], n[0], bool(n[1])),
    "chmod": lambda at, p, n, d: _chmod(at, p[0], n[0], bool(n[1])),
    "chown": lambda at, p, n, d: _chown(at, p[0], n[0], n[1], bool(n[2])),
    "link": lambda at, p, n, d: _link(at, p[0], p[1], bool(n[0])),
    "mkdir": lambda at, p, n, d: _in_folder(posix.mkdir, at, p[0], n[0]),
    "mknod": lambda at, p, n, d: _mknod(at, p[0], n[0]),
    "readlink": lambda at, p, n, d: _readlink(at, p[0]),
    "rename": lambda at, p, n, d: _rename(at, p[0], p[1]),
    "rmdir": lambda at, p, n, d: _in_folder(posix.rmdir, at, p[0]),
    "stat": lambda at, p, n, d: (0, _numbers(posix.fstat(at.pin(p[0], bool(n[0])))), b""),
    "statfs": lambda at, p, n, d: (0, _space(at.pin(p[0])), b""),
    "symlink": lambda at, p, n, d: _symlink(at, d, p[0]),
    "truncate": lambda at, p, n, d: _did(posix.truncate, through(at.pin(p[0])), n[0]),
    "unlink": lambda at, p, n, d: _in_folder(posix.unlink, at, p[0]),
    "utime": lambda at, p, n, d: _utime(at, p[0], n),
}
"""`Pins` says which paths may be spoken of; every call is made through what it has pinned."""

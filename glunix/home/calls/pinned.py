"""Paths of home that a job names: found once, checked, and used only by the descriptor found.

Owns the descriptors (O_PATH, open(2)) of one call. The kernel resolves a name once, and what it
found is *pinned*: where that is (proc(5), /proc/self/fd) decides whether the job may have it, and
the call is made through the pin. So a file that is exchanged for a link between the check and the
call changes nothing: there is no second look at the name, in this process or another.

An entry of a directory (one that is made, removed, renamed) is named by its pinned directory and
one component, which no call here follows.
"""

from __future__ import annotations

import errno
import os
import posix
import stat

_LINKS_MAX = 40
"""As the kernel follows at most (path_resolution(7))."""


def failed(number: int) -> OSError:
    """The exception for an errno."""
    return OSError(number, os.strerror(number))


def place_of(fd: int) -> bytes:
    """Where the kernel says that a descriptor leads, whatever name led there."""
    return posix.readlink(b"/proc/self/fd/%d" % fd)


def through(fd: int) -> bytes:
    """A name of the object itself, for calls that take none but names."""
    return b"/proc/self/fd/%d" % fd


class Pins:
    """What one call has pinned; `with` lets go of it. `listed`: paths that may be spoken of, each
    with all below it, as the user gave them and as they really are."""

    def __init__(self, listed: list[bytes]) -> None:
        self._listed = listed
        self._held: list[int] = []

    def __enter__(self) -> Pins:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._held:
            posix.close(fd)
        self._held.clear()

    def _check(self, place: bytes) -> None:
        if not any(place == own or place.startswith(own + b"/") for own in self._listed):
            raise failed(errno.EACCES)

    def _hold(self, path: bytes, flags: int) -> int:
        self._check(os.path.normpath(path))
        fd = posix.open(path, os.O_PATH | os.O_CLOEXEC | flags)
        self._held.append(fd)
        return fd

    def pin(self, path: bytes, follow: bool = True) -> int:
        """The object of this name; a last link itself unless `follow`. EACCES: not listed."""
        fd = self._hold(path, 0 if follow else os.O_NOFOLLOW)
        self._check(place_of(fd))
        return fd

    def entry(self, path: bytes) -> tuple[int, bytes]:
        """(directory, name in it) of what this name stands for, which need not be there. A slash
        at the end stays: it asks for a directory. EACCES: not listed."""
        bare = path.rstrip(b"/")
        folder, name = os.path.split(bare)
        self._check(os.path.normpath(path))
        fd = posix.open(folder or b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._held.append(fd)
        self._check(place_of(fd).rstrip(b"/") + b"/" + name)
        return fd, name + path[len(bare) :]

    def for_open(self, path: bytes, flags: int, mode: int) -> tuple[int, int]:
        """(pin, -1) of what there is, or (-1, descriptor) of a file that open(2) has made."""
        follow = not flags & os.O_NOFOLLOW
        makes = bool(flags & os.O_CREAT) and not flags & os.O_PATH
        for _ in range(_LINKS_MAX):
            if not (makes and flags & os.O_EXCL):
                try:
                    return self._there(path, flags, follow, makes), -1
                except FileNotFoundError:
                    if not makes:
                        raise
            folder, name = self.entry(path)
            how = flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                return -1, posix.open(name, how, mode, dir_fd=folder)
            except FileExistsError:
                if flags & os.O_EXCL:
                    raise
            path = self._leads_to(path, folder, name)
        raise failed(errno.ELOOP)

    def _there(self, path: bytes, flags: int, follow: bool, makes: bool) -> int:
        found = self.pin(path, follow)
        kind = posix.fstat(found).st_mode
        if stat.S_ISLNK(kind) and not flags & os.O_PATH:
            raise failed(errno.ELOOP)
        if makes and stat.S_ISDIR(kind):
            raise failed(errno.EISDIR)
        if flags & os.O_DIRECTORY and not stat.S_ISDIR(kind):
            raise failed(errno.ENOTDIR)
        return found

    def _leads_to(self, path: bytes, folder: int, name: bytes) -> bytes:
        """What a link that leads to nothing stands for; the same name when it is there by now."""
        try:
            return os.path.join(place_of(folder), posix.readlink(name, dir_fd=folder))
        except OSError:
            return path


def open_pinned(pin: int, flags: int, mode: int = 0) -> int:
    """open(2) of what is pinned, which is there and is no link; `mode` is for O_TMPFILE."""
    if flags & os.O_PATH:
        return os.dup(pin)
    return posix.open(through(pin), opening(flags) | os.O_CLOEXEC, mode)


def opening(flags: int) -> int:
    """The flags with which a pin is opened: it is there, and /proc/self/fd is of links."""
    if flags & os.O_CREAT:
        flags &= ~os.O_EXCL
    return flags & ~(os.O_CREAT | os.O_NOFOLLOW) | os.O_NOCTTY

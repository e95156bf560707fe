"""A caller whose opens are confined: the part of `restrict` that faces the file system.

Nothing here is "checked, then done by name again". An object is pinned first (an O_PATH
descriptor: no side effects, it cannot be exchanged), then asked where it really is, then opened
or changed through the pin. A name to be made or removed is looked at in its directory, which is
pinned. What the program does meanwhile to links, directories or its memory changes nothing.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from typing import Any, NamedTuple

from slic.interposers.support.opens import Opening
from slic.interposers.support.ownnames import MAX_LINKS, Caller, led
from slic.tracee import AT_FDCWD, Tracee

AT_EMPTY_PATH = 0x1000
RESOLVE_NO_MAGICLINKS = 0x02
_CREATING = os.O_CREAT | os.O_EXCL
_PROCESS = re.compile(r"/proc/(\d+)(/task/\d+)?(/.*)?$")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class Use(Enum):
    """What a program may be allowed to do with a path."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"


class Pin(NamedTuple):
    """An object held by a descriptor of the supervisor.

    `path` is where it is, as the kernel told for the descriptor; `granted` is the access mode of
    the caller's own descriptor if the path named one (/dev/fd/3), else None.
    """

    fd: int
    path: str
    granted: int | None = None

    @property
    def link(self) -> str:
        """A name for exactly this object, for the supervisor's own calls."""
        return f"/proc/self/fd/{self.fd}"

    @property
    def named(self) -> bool:
        """Is it in the file system, and no pipe, socket or memory file?"""
        return self.path.startswith("/") and not self.path.startswith("/memfd:")


class Place(NamedTuple):
    """A name in a pinned directory; `path` is both together, without `.` and `..`."""

    directory: int
    last: bytes
    path: str


class Refused(OSError):
    """The policy does not allow it: EACCES."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EACCES, path)


def wanted(flags: int) -> set[Use]:
    """What an open of an existing object with these flags must be allowed."""
    if flags & os.O_PATH:
        return {Use.READ}
    mode = flags & os.O_ACCMODE
    writes = mode != os.O_RDONLY or flags & (os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY))
    return ({Use.WRITE} if writes else set()) | (set() if mode == os.O_WRONLY else {Use.READ})


class Confined:
    """The caller's `Tracee`, its `open` confined. Everything else is the caller's own.

    A context manager: pins live until it is left.
    """

    def __init__(self, tracee: Tracee, may: Callable[[str, Use], bool]) -> None:
        self._tracee = tracee
        self._may = may
        self._pins = ExitStack()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracee, name)

    def __enter__(self) -> "Confined":
        return self

    def __exit__(self, *_: object) -> None:
        self._pins.close()

    def keep(self, fd: int) -> int:
        self._pins.callback(os.close, fd)
        return fd

    def require(self, path: str, *uses: Use) -> None:
        if all(self._may(path, use) for use in uses):
            return
        own = self._caller().names(path)[1:] if path.startswith("/proc/") else []
        if not all(any(self._may(name, use) for name in own) for use in uses):
            raise Refused(path)

    def _caller(self) -> Caller:
        return Caller.of(self._tracee.pid, self._tracee.tid)

    # -- getting hold of things --------------------------------------------------------------
    def pin(self, dirfd: int, name: bytes, flags: int = 0, resolve: int = 0) -> Pin:
        """The object a name leads to, unchecked. Of `flags` only O_DIRECTORY and O_NOFOLLOW."""
        own = self._own_descriptor(dirfd, name)
        if own is not None and not flags & os.O_NOFOLLOW and not resolve:
            return self._own(own)
        pin = self._pinned(dirfd, name, flags, resolve)
        if pin.granted is not None:
            return pin
        if (meant := self._about_us(pin.path)) is not None:
            # A link through /proc/self led to the supervisor; the caller means itself.
            pin = self._pinned(AT_FDCWD, os.fsencode(meant), flags, resolve)
        if self._about_us(pin.path) is not None or not pin.named:
            raise Refused(pin.path)
        return pin

    def object(self, dirfd: int, name: bytes, follow: bool = True, empty: bool = False) -> Pin:
        """Like `pin`; with `empty` an empty name means the descriptor itself (AT_EMPTY_PATH)."""
        if empty and not name and dirfd != AT_FDCWD:
            return self.descriptor(dirfd)
        return self.pin(dirfd, name, 0 if follow else os.O_NOFOLLOW)

    def descriptor(self, fd: int) -> Pin:
        """The object of a descriptor the caller has."""
        own = self.keep(self._tracee.fd_dup(fd))
        return Pin(own, os.readlink(f"/proc/self/fd/{own}"))

    def place(self, dirfd: int, name: bytes, resolve: int = 0) -> Place:
        """The directory a name is in, and the name in it; allowed to be written, or Refused."""
        bare = name.rstrip(b"/")
        above, slash, last = bare.rpartition(b"/")
        if not name:
            raise OSError(errno.ENOENT, "empty path")
        above = above or (b"/" if slash or not bare else b".")
        directory = self.pin(dirfd, above, os.O_DIRECTORY, resolve)
        path = os.path.normpath(os.path.join(directory.path, os.fsdecode(last)))
        self.require(path, Use.WRITE)
        return Place(directory.fd, (last or b".") + name[len(bare) :], path)

    def _own(self, number: int) -> Pin:
        """The object of a descriptor of the caller, with the access that it has."""
        fd = self.keep(self._tracee.fd_dup(number))
        granted = fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_PATH)
        return Pin(fd, os.readlink(f"/proc/self/fd/{fd}"), granted)

    def _pinned(self, dirfd: int, name: bytes, flags: int, resolve: int) -> Pin:
        flags = os.O_PATH | flags & (os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fd = self._tracee.open(dirfd, name, flags, 0, resolve | RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            if error.errno != errno.ELOOP or resolve & RESOLVE_NO_MAGICLINKS:
                raise
            # Perhaps a magic link, which would lead the supervisor to what is its own.
            base = "" if name.startswith(b"/") else self._tracee.path(dirfd, b"")
            path = f"{base}/{os.fsdecode(name)}"
            meant = led(path, self._caller(), not flags & os.O_NOFOLLOW)
            if not resolve and (own := self._caller().descriptor(meant)) is not None:
                return self._own(own)
            name = os.fsencode(meant) if not resolve else name
            fd = self._tracee.open(dirfd, name, flags, 0, resolve)
        self.keep(fd)
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path == "/dev/tty":  # opened by the supervisor it would be the supervisor's terminal
            return self._pinned(AT_FDCWD, b"/dev/tty", flags, resolve)
        return Pin(fd, "/dev/tty" if name == b"/dev/tty" else path)

    def _own_descriptor(self, dirfd: int, name: bytes) -> int | None:
        """The number, if the name is one for a descriptor of the caller (/proc/self/fd/3)."""
        if b"fd/" not in name and not name.isdigit() and not name.startswith(b"/dev/std"):
            return None
        path = self._tracee.path(dirfd, name)
        if path in _STANDARD:
            return _STANDARD[path]
        me = rf"self|thread-self|{self._tracee.pid}|{self._tracee.tid}"
        found = re.fullmatch(rf"(?:/proc/(?:{me})(?:/task/\d+)?|/dev)/fd/(\d+)", path)
        return int(found[1]) if found else None

    def _about_us(self, path: str) -> str | None:
        """If a path is in the supervisor's own part of /proc: the same place of the caller."""
        found = _PROCESS.match(path)
        if found is None or not os.path.exists(f"/proc/self/task/{found[1]}"):
            return None
        thread = f"/task/{self._tracee.tid}" if found[2] else ""
        return f"/proc/{self._tracee.pid}{thread}{found[3] or ''}"

    # -- opening -----------------------------------------------------------------------------
    def found(self, asked: Opening) -> Pin | Place:
        """What an open is about, allowed: an object, or the place where it will be created."""
        flags = asked.flags
        if flags & os.O_CREAT and flags & os.O_EXCL:
            flags |= os.O_NOFOLLOW
        try:
            pin = self.pin(asked.dirfd, asked.name, flags, asked.resolve)
        except FileNotFoundError:
            if not flags & os.O_CREAT or flags & os.O_PATH:
                raise
            return self._creation(asked)
        if pin.granted is None or not _covers(pin.granted, flags):
            self.require(pin.path, *wanted(flags))
        return pin

    def _creation(self, asked: Opening) -> Place:
        """Where a missing file comes to be: dangling links are followed, as the kernel does."""
        dirfd, name = asked.dirfd, asked.name
        for _ in range(MAX_LINKS):
            if name.endswith(b"/"):
                raise OSError(errno.EISDIR, "a file is to be created")
            place = self.place(dirfd, name, asked.resolve)
            try:
                target = os.readlink(place.last, dir_fd=place.directory)
            except OSError:
                return place
            if asked.flags & os.O_EXCL or asked.flags & os.O_NOFOLLOW or asked.resolve:
                return place
            base = os.fsencode(os.readlink(f"/proc/self/fd/{place.directory}"))
            dirfd, name = AT_FDCWD, os.path.join(base, target)
        raise OSError(errno.ELOOP, "links")

    def opened(self, asked: Opening, found: Pin | Place) -> int:
        """Open what was found, as the caller; a supervisor's descriptor. A FIFO may block."""
        flags = asked.flags | os.O_CLOEXEC | (0 if asked.flags & os.O_PATH else os.O_NOCTTY)
        if isinstance(found, Place):
            with self._tracee.acting(creating=True):
                flags |= os.O_NOFOLLOW
                return os.open(found.last, flags, asked.mode, dir_fd=found.directory)
        mode = os.fstat(found.fd).st_mode
        if flags & os.O_PATH:
            return os.dup(found.fd)
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise OSError(errno.EEXIST, found.path)
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, found.path)
        if stat.S_ISDIR(mode) and flags & os.O_CREAT and not flags & os.O_DIRECTORY:
            raise OSError(errno.EISDIR, found.path)
        temporary = flags & os.O_TMPFILE == os.O_TMPFILE
        with self._tracee.acting(creating=temporary):
            return os.open(found.link, flags & ~(_CREATING | os.O_NOFOLLOW), asked.mode)

    def opening_thread(self, asked: Opening, found: Pin | Place) -> Callable[[], int]:
        """Work for `Blocking` that opens as `opened` does, through a pin of its own."""
        assert isinstance(found, Pin)
        own = found._replace(fd=os.dup(found.fd))

        def work() -> int:
            try:
                return self.opened(asked, own)
            finally:
                os.close(own.fd)

        return work

    def open(self, dirfd: int, name: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
        """`Tracee.open` for the layers below: only what the policy allows."""
        asked = Opening(dirfd, name, flags, mode, resolve)
        return self.opened(asked, self.found(asked))


def is_fifo(found: Pin | Place) -> bool:
    """Would opening it wait for the other end?"""
    return isinstance(found, Pin) and stat.S_ISFIFO(os.fstat(found.fd).st_mode)


def _covers(granted: int, flags: int) -> bool:
    """Does the access of a descriptor the caller has include what it asks for now?"""
    if granted & os.O_PATH or (flags & os.O_TRUNC and granted == os.O_RDONLY):
        return False
    return granted == os.O_RDWR or flags & os.O_ACCMODE == granted

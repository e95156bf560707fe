"""`HomePaths`: opens, and other calls on names, of listed paths happen at home.

A name is compared as it is written (made absolute, `.` and `..` taken out) with the listed paths:
each is meant with all below it. Home follows its own links, and refuses (EACCES) what they lead to
outside the list. Descriptors that come from here are `HomeFds`' and `HomeFiles`'.

Limits: a link on the node that leads to a listed path is followed on the node; programs of home
cannot be executed; chdir goes to what exists on the
node as well, or can be made there for the job; a second name on the other side is EXDEV,
renameat2's flags EINVAL, openat2's resolve flags ENOSYS, device nodes EPERM, extended attributes
EOPNOTSUPP; O_PATH opens plainly.
"""

import errno
import os
import re
import stat
from collections.abc import Iterable

from slic.interposer import Call, Interposer, on
from slic.interposers.home.descriptors import Asking, HomeFds, StandIn
from slic.interposers.home.files import times
from slic.interposers.home.names import CALLS
from slic.interposers.home.questions import CallHome, HavePlace, Opened
from slic.interposers.home.statbuf import FIELDS, encode_stat, encode_statx
from slic.interposers.support.opens import OPENS, Opening, opening
from slic.interposers.support.pathcalls import spoken
from slic.tracee import AT_FDCWD, Tracee
from slic.verdict import PASS, Capability, Fail, Return, ReturnFd, Verdict

AT_EMPTY_PATH = 0x1000
_ON_A_DESCRIPTOR = ("newfstatat", "statx", "utimensat")
"""Calls that speak of a descriptor when the name is empty (or missing)."""
_OWN_FD = re.compile(rb"/proc/(?:self|thread-self)/fd/(\d+)|/dev/fd/(\d+)")


class HomePaths(Interposer):
    """`paths` are absolute and normal; `native` are names among them that stay this node's."""

    confines = False

    def __init__(self, fds: HomeFds, paths: Iterable[bytes], native: Iterable[bytes] = ()) -> None:
        self._fds = fds
        self._paths = tuple(paths)
        self._below = tuple(path.rstrip(b"/") + b"/" for path in self._paths)
        self._native = frozenset(native)

    def _at_home(self, tracee: Tracee, dirfd: int, name: bytes) -> bytes | None:
        """Home's path of a name; None when it is this node's."""
        if not name:
            return None
        base, is_homes = (b"", False) if name.startswith(b"/") else self._base(tracee, dirfd)
        whole = base + b"/" + name if base else name
        path = b"/" + os.path.normpath(whole).lstrip(b"/")  # POSIX lets two slashes stand
        listed = path in self._paths or path.startswith(self._below)
        if is_homes:  # a directory that was inherited is not listed by name
            listed |= path == base or path.startswith(base.rstrip(b"/") + b"/")
        if path in self._native or not listed:
            return None
        return path + b"/" if name.endswith((b"/", b"/.")) and path not in self._paths else path

    def _base(self, tracee: Tracee, dirfd: int) -> tuple[bytes, bool]:
        """What a name is relative to, and whether that is a directory of home's."""
        if dirfd != AT_FDCWD:
            stand_in = self._fds.find(tracee, dirfd)
            if stand_in is not None and stand_in.path:
                return stand_in.path, True
        try:
            path = tracee.path(dirfd, b"")
        except OSError:
            return b"/", False  # a bad descriptor: the kernel says so
        homes = self._fds.named(path)
        return homes or os.fsencode(path), bool(homes)

    @on("getcwd")
    def getcwd(self, tracee: Tracee, pathname: int, size: int) -> Verdict:
        path = self._fds.named(tracee.cwd())
        if not path:
            return PASS
        if len(path) >= size:
            return Fail(errno.ERANGE)
        tracee.write(pathname, path + b"\0")
        return Return(len(path) + 1)

    # -- opens -------------------------------------------------------------------------------

    @on(*OPENS, needs=Capability.RETURN | Capability.ADD_FD)
    def opened(self, tracee: Tracee, call: Call) -> Verdict | Asking:
        try:
            asked = opening(tracee, call)
        except OSError:
            return PASS  # an openat2 that the kernel refuses
        path = self._at_home(tracee, asked.dirfd, asked.name)
        if path is None:
            return PASS
        if asked.resolve:
            return Fail(errno.ENOSYS)
        return self._open(asked, path)

    def _open(self, asked: Opening, path: bytes) -> Asking:
        flags = asked.flags & ~(os.O_CLOEXEC | os.O_NOCTTY)
        opened: Opened = yield CallHome("open", -1, (path,), (flags, asked.mode))
        self._fds.add(opened.stand_in)
        return ReturnFd(opened.fd, cloexec=asked.cloexec)

    # -- names -------------------------------------------------------------------------------

    @on(*CALLS)
    def named(self, tracee: Tracee, call: Call) -> Verdict | Asking:
        pairs = spoken(tracee, call)
        if call.name in _ON_A_DESCRIPTOR and not pairs[0][1]:
            return self._on_descriptor(tracee, call, *pairs[0])
        if call.name in ("readlink", "readlinkat") and (path := self._behind(tracee, pairs[0][1])):
            return self._read_own_link(tracee, call, path)
        paths = [self._at_home(tracee, dirfd, name) for dirfd, name in pairs if name is not None]
        if all(path is None for path in paths):
            return PASS
        known = tuple(path for path in paths if path is not None)
        if len(known) < len(pairs):
            return Fail(errno.EXDEV)
        return CALLS[call.name](tracee, call.named(), known)

    def _behind(self, tracee: Tracee, name: bytes | None) -> bytes:
        """Home's name of a descriptor that is spoken of as /proc/self/fd/N (ttyname(3))."""
        match = _OWN_FD.fullmatch(name) if name else None
        if match is None:
            return b""
        stand_in = self._fds.find(tracee, int(match[1] or match[2]))
        return stand_in.path if stand_in is not None else b""

    def _read_own_link(self, tracee: Tracee, call: Call, path: bytes) -> Verdict:
        given = call.named()
        if given["bufsiz"] <= 0:
            return Fail(errno.EINVAL)
        tracee.write(given["buf"], path[: given["bufsiz"]])
        return Return(min(len(path), given["bufsiz"]))

    # -- being somewhere -----------------------------------------------------------------------

    @on("chdir")
    def chdir(self, tracee: Tracee, filename: int) -> Verdict | Asking:
        path = self._at_home(tracee, AT_FDCWD, tracee.cstring(filename))
        return PASS if path is None else self._chdir(path)

    def _chdir(self, path: bytes) -> Asking:
        _, facts, _ = yield CallHome("stat", -1, (path,), (1,))
        if not stat.S_ISDIR(facts[FIELDS.index("mode")]):
            return Fail(errno.ENOTDIR)
        yield CallHome("access", -1, (path,), (os.X_OK, 1))
        yield HavePlace(path)
        return PASS  # to the place of that name on the node

    # -- calls on a descriptor with an empty name ----------------------------------------------

    def _on_descriptor(
        self, tracee: Tracee, call: Call, dirfd: int, name: bytes | None
    ) -> Verdict | Asking:
        given = call.named()
        empty = name is None if call.name == "utimensat" else self._says_empty(given)
        stand_in = self._fds.find(tracee, dirfd) if empty and dirfd >= 0 else None
        if stand_in is None or not stand_in.path:
            return PASS
        return self._of_descriptor(tracee, given, stand_in)

    @staticmethod
    def _says_empty(given: dict[str, int]) -> bool:
        return bool((given["flag"] if "flag" in given else given["flags"]) & AT_EMPTY_PATH)

    def _of_descriptor(self, tracee: Tracee, given: dict[str, int], stand_in: StandIn) -> Asking:
        if "utimes" in given:
            moments = (*times(tracee, given["utimes"]), 1)
            value, _, _ = yield CallHome("futimens", stand_in.fd, (), moments)
            return Return(value)
        _, numbers, _ = yield CallHome("fstat", stand_in.fd)
        if "statxbuf" in given:
            tracee.write(given["statxbuf"], encode_statx(numbers))
        else:
            tracee.write(given["statbuf"], encode_stat(numbers))
        return Return(0)

"""Names that mean something else to every process: /proc/self, /dev/fd, /dev/stdin, /etc/mtab.

The supervisor that resolves such a name for a program would find its own; here the links of a
path are followed one by one, as path_resolution(7) tells, but for the caller. Pure but for reading
links.
"""

import errno
import os
import re
from collections.abc import Callable
from typing import NamedTuple

MAX_LINKS = 40  # what the kernel follows in one path
SELF, THREAD = "/proc/self", "/proc/thread-self"
# What a magic link of /proc leads to is no path that could be followed by name (proc(5)).
_MAGIC = re.compile(r"/proc/(?:\d+|self|thread-self)(?:/task/\d+)?/(?:fd/(\d+)|cwd|exe|root)$")


class Caller(NamedTuple):
    """Whose names they are: what /proc/self and /proc/thread-self mean."""

    process: str = SELF
    thread: str = THREAD

    @classmethod
    def of(cls, pid: int, tid: int) -> "Caller":
        return cls(f"/proc/{pid}", f"/proc/{pid}/task/{tid}")

    def names(self, path: str) -> list[str]:
        """A real path, and what else it is called if it is the caller's own part of /proc."""
        found = [path]
        for own, name in ((self.process, SELF), (self.thread, THREAD)):
            if path == own or path.startswith(own + "/"):
                found.append(name + path[len(own) :])
        return found

    def descriptor(self, path: str) -> int | None:
        """The number, if a path that was led here is one of the caller's descriptors."""
        magic = _MAGIC.match(path)
        mine = path.startswith((self.process + "/", self.thread + "/"))
        return int(magic[1]) if magic and magic[1] and mine else None


def leads_away(path: str) -> bool:
    """Is it a magic link to another place than /proc (or below one)?"""
    return re.match(r"/proc/(self|thread-self)(/task/\d+)?/(cwd|exe|root)(/|$)", path) is not None


def led(
    path: str,
    caller: Caller,
    follow: bool = True,
    link_of: Callable[[str], str] = os.readlink,
) -> str:
    """Where an absolute path leads the caller. A magic link at its end stays; without `follow` so
    does any link there. What is missing stays as it is written. OSError ELOOP.
    """
    left, done, links = path.split("/")[::-1], "", 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{part}"
        if (target := _target(here, caller, link_of)) is None or (not any(left) and not follow):
            done = here
            continue
        if _MAGIC.match(here) and not any(left):
            return here
        if (links := links + 1) > MAX_LINKS:
            raise OSError(errno.ELOOP, path)
        if target.startswith("/"):
            done = ""
        left += target.split("/")[::-1]
    return done or "/"


def _target(path: str, caller: Caller, link_of: Callable[[str], str]) -> str | None:
    if path in (SELF, THREAD):
        meant = caller.process if path == SELF else caller.thread
        return None if meant == path else meant
    if path.startswith((SELF + "/", THREAD + "/")) and caller.process == SELF:
        return None  # of a policy: whose it will be is not known yet
    try:
        return link_of(path)
    except OSError:
        return None

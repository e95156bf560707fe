"""A job as it is found: its processes, their descriptors, and who else has what they have.

Reads /proc and duplicates descriptors (pidfd_getfd); changes nothing. Used running (probe) and
frozen (dump), where it is true.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from functools import cached_property

from migration.engine import Reason
from migration.native import proc
from migration.native.surroundings import PLAIN, Surroundings
from slic.kernel import kcmp, pidfd

STDIO = ("stdin", "stdout", "stderr")


@dataclass(frozen=True, eq=False)
class Seen:
    """One descriptor of one process: what /proc says, and its open file through `dup`."""

    pid: int
    fd: int
    link: str
    info: proc.FdInfo
    stat: os.stat_result

    def dup(self) -> int:
        """The same open file, ours to close."""
        handle = os.pidfd_open(self.pid)
        try:
            return pidfd.getfd(handle, self.fd)
        finally:
            os.close(handle)

    @property
    def access(self) -> int:
        return self.info.flags & os.O_ACCMODE

    def is_anonymous(self, kind: str) -> bool:
        """Is it an anonymous inode of that kind: `[eventfd]`, `inotify`?"""
        return self.link == f"anon_inode:{kind}"

    def reason(self, why: str, passing: bool = False) -> Reason:
        return Reason(self.pid, f"fd {self.fd} ({self.link})", why, passing)


@dataclass(eq=False)
class OpenFile:
    """An open file description and every descriptor of the job that has it."""

    holders: list[Seen]

    @property
    def first(self) -> Seen:
        return self.holders[0]


@dataclass(eq=False)
class Survey:
    """The job's processes by the mover's numbers, parents first; zombies apart."""

    root: int
    stdio: bool = False
    """Are the root's descriptors 0 to 2, if they lead outside, given anew when it is restored?"""
    around: Surroundings = PLAIN
    pids: list[int] = field(default_factory=list)
    zombies: list[int] = field(default_factory=list)
    files: list[OpenFile] = field(default_factory=list)
    number_of: dict[tuple[int, int], int] = field(default_factory=dict)
    """(pid, fd): its place in `files`."""

    @classmethod
    def of(cls, root: int, stdio: bool = False, around: Surroundings = PLAIN) -> Survey:
        """Look at everything. ProcessLookupError if the root is gone."""
        survey = cls(root, stdio, around)
        for pid in proc.family(root):
            try:
                state = proc.stat(pid)[3]
            except ProcessLookupError:
                continue
            (survey.zombies if state in "ZX" else survey.pids).append(pid)
        for pid in survey.pids:
            survey._look_at_descriptors(pid)
        return survey

    def _look_at_descriptors(self, pid: int) -> None:
        try:
            descriptors = proc.descriptors(pid)
        except ProcessLookupError:
            return
        for fd in descriptors:
            try:
                seen = Seen(
                    *(pid, fd, proc.link(pid, f"fd/{fd}"), proc.fdinfo(pid, fd)),
                    os.stat(f"/proc/{pid}/fd/{fd}"),
                )
            except (ProcessLookupError, FileNotFoundError):
                continue  # closed while we looked: it runs
            self._sort_in(seen)

    def _sort_in(self, seen: Seen) -> None:
        for place in self._by_inode.setdefault((seen.stat.st_dev, seen.stat.st_ino), []):
            other = self.files[place].first
            if seen.link == other.link and same_file(seen, other):
                self.files[place].holders.append(seen)
                self.number_of[seen.pid, seen.fd] = place
                return
        self._by_inode[seen.stat.st_dev, seen.stat.st_ino].append(len(self.files))
        self.number_of[seen.pid, seen.fd] = len(self.files)
        self.files.append(OpenFile([seen]))

    @cached_property
    def _by_inode(self) -> dict[tuple[int, int], list[int]]:
        return {}

    def path(self, seen: Seen) -> str:
        """The name by which the mover finds what the process has: its mounts may be others."""
        return self.around.seen_by(seen.pid, seen.link)

    def with_inode(self, seen: Seen) -> list[Seen]:
        """One descriptor of every open file of the job with the same inode."""
        places = self._by_inode.get((seen.stat.st_dev, seen.stat.st_ino), [])
        return [self.files[place].first for place in places]

    def at(self, pid: int, fd: int) -> Seen | None:
        place = self.number_of.get((pid, fd))
        if place is None:
            return None
        return next(s for s in self.files[place].holders if (s.pid, s.fd) == (pid, fd))

    @cached_property
    def elsewhere(self) -> dict[str, list[int]]:
        """Pipes and sockets of all other processes, `pipe:[4711]`: who has them."""
        found: dict[str, list[int]] = {}
        own = {*self.pids, os.getpid()}
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in own:
                continue
            try:
                with os.scandir(f"/proc/{name}/fd") as entries:
                    links = [os.readlink(entry.path) for entry in entries]
            except OSError:
                continue
            for one in set(links):
                if one.startswith(("pipe:", "socket:")):
                    found.setdefault(one, []).append(int(name))
        return found

    def outside(self, seen: Seen) -> str:
        """`also open in process N`, if a process outside the job has the same pipe or socket."""
        others = self.elsewhere.get(seen.link)
        return f"also open in process {others[0]}, outside the job" if others else ""

    def standard(self, seen: Seen) -> str:
        """`stdin`, `stdout`, `stderr` for an open file that is one of the root's, else nothing."""
        if not self.stdio:
            return ""
        place = self.number_of[seen.pid, seen.fd]
        for fd, name in enumerate(STDIO):
            if self.number_of.get((self.root, fd)) == place:
                return name
        return ""


def same_file(one: Seen, other: Seen) -> bool:
    """Is it the same open file description?"""
    if (one.pid, one.fd) == (other.pid, other.fd):
        return True
    try:
        return kcmp.same(one.pid, other.pid, kcmp.FILE, one.fd, other.fd)
    except ProcessLookupError:
        return False


def is_kind(seen: Seen, mode: int) -> bool:
    """Is the file of that type (stat.S_IFREG and its like)?"""
    return stat.S_IFMT(seen.stat.st_mode) == mode

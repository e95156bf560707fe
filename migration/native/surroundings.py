"""What a job has around it that is made anew where it is restored, and so is no reason to stay.

A job of a cluster has a terminal that stands in for the user's, a filter by which its supervisor
hears of calls, namespaces with other names and mounts. Whoever restores it makes the same around
it (`migration.native.site`); a job without a cluster has none of them (`PLAIN`).
"""

from __future__ import annotations

from dataclasses import dataclass

CONTROLLING = 5 << 8
"""/dev/tty: the controlling terminal (tty(4)), as a device number."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Given to a survey, and asked by what would refuse."""

    terminal: int = 0
    """Device number of the terminal that stands in for the user's; 0: none."""
    filters: int = 0
    """Seccomp filters that every process has from its birth."""
    namespaces: frozenset[str] = frozenset()
    """Kinds of namespaces (`uts`) that may be others than the mover's."""
    mounts: frozenset[str] = frozenset({"/proc"})
    """Where something else may be mounted than the mover sees."""
    stand_ins: frozenset[tuple[int, int]] = frozenset()
    """(device, inode) of pipes whose other end is the supervisor's."""

    def seen_by(self, pid: int, path: str) -> str:
        """A name of what that process finds under this path (proc(5), /proc/PID/root)."""
        for mount in self.mounts:
            if self.namespaces and path.startswith(mount + "/"):
                return f"/proc/{pid}/root{path}"
        return path

    def is_terminal(self, device: int) -> bool:
        """Is it the stand-in, by its own name or as the controlling terminal?"""
        return self.terminal != 0 and device in (self.terminal, CONTROLLING)


PLAIN = Surroundings()

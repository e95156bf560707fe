"""What /proc says of a process, taken apart (proc(5)). Reads only; asks nothing of the process.

ProcessLookupError when it is gone. Texts are decoded as file names are (surrogateescape).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SPECIAL = ("[vvar]", "[vvar_vclock]", "[vdso]")
VSYSCALL = "[vsyscall]"
DELETED = " (deleted)"


def text(pid: int, name: str) -> str:
    """One file of /proc/PID."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(errno.ESRCH, f"no process {pid}") from None


def fields(lines: str) -> dict[str, str]:
    """`Name:<blanks>value` lines; of a repeated name the last one."""
    pairs = (line.split(":", 1) for line in lines.splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status by name."""
    return fields(text(pid, "status"))


def own_number(value: str) -> int:
    """The number in the innermost namespace of an NSpid, NSpgid or NSsid line."""
    return int(value.split()[-1])


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat; `stat(pid)[n]` is field n of proc(5), the name is left out."""
    rest = text(pid, "stat").rpartition(")")[2].split()
    return ["", str(pid), "", *rest]


def threads(pid: int) -> list[int]:
    """Thread ids, the leader's first."""
    try:
        found = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(errno.ESRCH, f"no process {pid}") from None
    return sorted(found, key=lambda tid: (tid != pid, tid))


def children(pid: int) -> list[int]:
    """Children of all its threads, zombies too, in the order of their ids."""
    found: set[int] = set()
    for tid in threads(pid):
        try:
            found.update(int(word) for word in text(pid, f"task/{tid}/children").split())
        except ProcessLookupError:
            continue  # the thread has ended
    return sorted(found)


def family(root: int) -> list[int]:
    """The process and all its descendants, parents first."""
    found = [root]
    for pid in found:
        try:
            found += children(pid)
        except ProcessLookupError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Map:
    """A line of /proc/PID/smaps: addresses, protection (`rwx`), sharing, what is mapped, flags."""

    start: int
    end: int
    protection: int
    shared: bool
    offset: int
    device: tuple[int, int]
    inode: int
    name: str
    flags: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def deleted(self) -> bool:
        return self.name.endswith(DELETED)

    @property
    def path(self) -> str:
        return self.name.removesuffix(DELETED)

    def __str__(self) -> str:
        return f"{self.start:x}-{self.end:x}"


def parse_maps(lines: Iterable[str]) -> list[Map]:
    """smaps (or maps, then without flags) as a list; the vsyscall page is left out."""
    found: list[Map] = []
    for line in lines:
        head = line.split(None, 5)
        if not head or head[0].endswith(":"):
            if head and head[0] == "VmFlags:" and found:
                found[-1] = _with_flags(found[-1], line)
            continue
        start, end = (int(word, 16) for word in head[0].split("-"))
        major, minor = (int(word, 16) for word in head[3].split(":"))
        name = head[5].rstrip("\n") if len(head) > 5 else ""
        rights = sum(bit for bit, letter in ((1, "r"), (2, "w"), (4, "x")) if letter in head[1])
        shared = head[1][3] == "s"
        found.append(
            Map(
                *(start, end, rights, shared, int(head[2], 16)),
                *((major, minor), int(head[4]), name.replace("\\012", "\n")),
            )
        )
    return [one for one in found if one.name != VSYSCALL]


def _with_flags(one: Map, line: str) -> Map:
    flags = frozenset(line.split()[1:])
    return Map(
        *(one.start, one.end, one.protection, one.shared, one.offset),
        *(one.device, one.inode, one.name, flags),
    )


def maps(pid: int) -> list[Map]:
    """With flags: reads smaps, which walks the page tables."""
    return parse_maps(text(pid, "smaps").splitlines())


def maps_without_flags(pid: int) -> list[Map]:
    """Quicker: the page tables are not walked."""
    return parse_maps(text(pid, "maps").splitlines())


def descriptors(pid: int) -> list[int]:
    """The numbers of its open descriptors."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(errno.ESRCH, f"no process {pid}") from None


def link(pid: int, name: str) -> str:
    """Where a link of /proc/PID leads: `fd/3`, `cwd`, `exe`, `ns/pid`."""
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(errno.ESRCH, f"nothing at /proc/{pid}/{name}") from None


@dataclass(frozen=True, slots=True)
class FdInfo:
    """/proc/PID/fdinfo/FD: position, flags (O_CLOEXEC is the descriptor's), and the other lines."""

    position: int
    flags: int
    cloexec: bool
    lines: tuple[str, ...]

    def values(self, name: str) -> list[str]:
        """What follows `name:` in each line that begins so."""
        start = name + ":"
        return [line[len(start) :].strip() for line in self.lines if line.startswith(start)]


def fdinfo(pid: int, fd: int) -> FdInfo:
    """One descriptor."""
    lines = text(pid, f"fdinfo/{fd}").splitlines()
    known = fields("\n".join(lines[:3]))
    flags = int(known["flags"], 8)
    return FdInfo(
        position=int(known["pos"]),
        flags=flags & ~os.O_CLOEXEC,
        cloexec=bool(flags & os.O_CLOEXEC),
        lines=tuple(lines),
    )


@dataclass(frozen=True, slots=True)
class PosixTimer:
    """An entry of /proc/PID/timers; `tid` is a number of the reader's namespace, 0 for none."""

    id: int
    signal: int
    value: int
    notify: str
    tid: int
    clock: int


def parse_timers(lines: Iterable[str]) -> list[PosixTimer]:
    """/proc/PID/timers taken apart."""
    found: list[PosixTimer] = []
    now: dict[str, str] = {}
    for line in lines:
        name, value = line.split(": ", 1)
        now[name] = value.strip()
        if name == "ClockID":  # the last line of each
            number, pointer = now["signal"].split("/")
            notify, who = now["notify"].split("/")
            kind, task = who.split(".")
            thread = int(task) if kind == "tid" else 0
            found.append(
                PosixTimer(
                    *(int(now["ID"]), int(number), int(pointer, 16)),
                    *(notify, thread, int(value)),
                )
            )
            now = {}
    return found


def timers(pid: int) -> list[PosixTimer]:
    """The POSIX timers of a process."""
    return parse_timers(text(pid, "timers").splitlines())

"""Which of some processes a process comes from, by the kernel's word (proc(5)).

Nothing that a process can write is read: neither its environment nor its command line.
"""

from collections.abc import Collection

DEPTH = 1024
"""Ancestors that are looked at: more are nobody's."""


def stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat after the name: state, parent, group, session, ...

    OSError when there is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read(4096).rpartition(b")")[2].split()


def descends_from(pid: int, roots: Collection[int]) -> int | None:
    """The one of `roots` that `pid` is, or comes from by parents; else the one whose session it is
    in: a process whose parent has ended is still there. None: it comes from none of them."""
    session = 0
    at = pid
    for _ in range(DEPTH):
        if at in roots:
            return at
        try:
            fields = stat_fields(at)
        except (OSError, IndexError):
            break
        session = session or int(fields[3])
        at = int(fields[1])
        if at <= 1:
            break
    return session if session in roots else None

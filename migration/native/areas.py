"""Mappings of a process: which can move, and how each is written down (mmap(2), proc_pid_smaps(5)).

A mapping is anonymous, or of a file with a name (`Backing`), or of a nameless one (`Memory`), or
one that the kernel makes (vDSO and its data).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from migration.engine import Reason
from migration.native import proc
from migration.native.files.regular import same_by_name
from migration.native.model import Area, Backing
from migration.native.proc import Map

MADVISE = {
    "sr": 2,  # MADV_SEQUENTIAL
    "rr": 1,  # MADV_RANDOM
    "dc": 10,  # MADV_DONTFORK
    "wf": 18,  # MADV_WIPEONFORK
    "dd": 16,  # MADV_DONTDUMP
    "hg": 14,  # MADV_HUGEPAGE
    "nh": 15,  # MADV_NOHUGEPAGE
    "mg": 12,  # MADV_MERGEABLE
}
GROWS_DOWN, NO_RESERVE, LOCKED, SEALED = "gd", "nr", "lo", "sl"
KEPT = frozenset((*MADVISE, GROWS_DOWN, NO_RESERVE, LOCKED, SEALED))
_STAYS = {
    "dp": "memory the kernel may drop (MAP_DROPPABLE)",
    "ht": "memory of huge pages (hugetlbfs)",
    "io": "memory of a device",
    "pf": "memory of a device",
    "ss": "a shadow stack",
    "ui": "memory with a userfaultfd",
    "um": "memory with a userfaultfd",
    "uw": "memory with a userfaultfd",
}
_NAMED_ANONYMOUS = ("[heap]", "[stack]", "[anon:", "[anon_shmem:")


def is_special(one: Map) -> bool:
    """Is it the vDSO or its data?"""
    return one.name in proc.SPECIAL


def is_anonymous(one: Map) -> bool:
    """Is it private memory without a file?"""
    return one.inode == 0 and not one.shared and not is_special(one)


def has_own_pages(one: Map) -> bool:
    """Can it have pages that are nobody else's: is it private?"""
    return not one.shared and not is_special(one)


def is_nameless(pid: int, one: Map) -> bool:
    """Is the mapped file one without a name: memory, or deleted?"""
    return bool(one.inode) and one.deleted and identity(pid, one).st_nlink == 0


def identity(pid: int, one: Map) -> os.stat_result:
    """The mapped file itself, whatever its name leads to now."""
    return os.stat(f"/proc/{pid}/map_files/{one}")


def refuse(pid: int, one: Map, armed: bool) -> Iterator[Reason]:
    """Every reason of a mapping to stay. `armed`: the userfaultfd in it is ours."""
    if is_special(one):
        return
    where = f"{one} ({one.name or 'anonymous'})"
    for flag, why in _STAYS.items():
        if flag in one.flags and not (flag == "uw" and armed):
            yield Reason(pid, where, why)
            return
    if one.name.startswith("[") and not one.name.startswith(_NAMED_ANONYMOUS):
        yield Reason(pid, where, "a mapping of the kernel's own")
    elif one.name.startswith("/SYSV"):
        yield Reason(pid, where, "System V shared memory")
    elif one.name.startswith("/[aio]"):
        yield Reason(pid, where, "asynchronous input and output (io_setup)")
    elif one.name.startswith("/secretmem"):
        yield Reason(pid, where, "secret memory (memfd_secret)")
    elif one.inode:
        yield from _refuse_file(pid, one, where)


def _refuse_file(pid: int, one: Map, where: str) -> Iterator[Reason]:
    try:
        found = identity(pid, one)
    except FileNotFoundError:
        return  # unmapped while we looked: it runs
    if not stat.S_ISREG(found.st_mode):
        if (os.major(found.st_rdev), os.minor(found.st_rdev)) != (1, 5):
            yield Reason(pid, where, "a mapped device")
    elif not is_nameless(pid, one) and (why := same_by_name(one.name, found)):
        yield Reason(pid, where, why)


def dump(
    pid: int,
    one: Map,
    backing: Callable[[Backing], int],
    memory: Callable[[int, Map], int],
) -> Area:
    """Written down; `backing` and `memory` give places in the image's lists."""
    file, nameless = -1, -1
    if one.inode and not is_special(one):
        found = identity(pid, one)
        if not stat.S_ISREG(found.st_mode):
            pass  # private /dev/zero is anonymous memory
        elif is_nameless(pid, one):
            nameless = memory(pid, one)
        else:
            file = backing(backing_of(one.name, found, one.shared and "mw" in one.flags))
    return Area(
        start=one.start,
        end=one.end,
        protection=one.protection,
        shared=one.shared,
        offset=one.offset if file >= 0 or nameless >= 0 else 0,
        file=file,
        memory=nameless,
        special=one.name if is_special(one) else "",
        flags=sorted(one.flags & KEPT) if not is_special(one) else [],
    )


def backing_of(path: str, found: os.stat_result, writable: bool) -> Backing:
    """A mapped file as an image has it."""
    return Backing(
        path=os.fsencode(path), size=found.st_size, mtime=found.st_mtime_ns, writable=writable
    )

"""What a running process writes: by write-protection (userfaultfd, WP_ASYNC, with PAGEMAP_SCAN), by
soft-dirty bits where the kernel has only those, or not at all (then everything counts as written).
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from enum import Enum
from types import TracebackType
from typing import Self

from migration.native import areas, pages, proc, taskstate, trace
from migration.native import inject as injection
from migration.native.held import Held, release, stop_process
from migration.native.proc import Map
from migration.native.ranges import Range, joined
from slic.kernel import pagemap, pidfd, userfault

_CLOSE = 3
_PIECE = 32 << 20
"""Scanned at once: the process waits for its page tables meanwhile."""
REGISTERED = "uw"


class Way(Enum):
    """How writes are noticed."""

    WRITE_PROTECT = "write-protect"
    SOFT_DIRTY = "soft-dirty"
    NONE = "none"


def best_way() -> Way:
    """What this kernel has, tried."""
    if pagemap.scans() and userfault.works():
        return Way.WRITE_PROTECT
    return Way.SOFT_DIRTY if _soft_dirty_works() else Way.NONE


def _soft_dirty_works() -> bool:
    """A page that is written has its bit after the bits were cleared."""
    with mmap.mmap(-1, mmap.PAGESIZE) as memory:
        memory[0] = 1
        own = os.getpid()
        try:
            pagemap.clear_soft_dirty(own)
        except OSError:
            return False
        fd = pagemap.open_pagemap(own)
        try:
            clean = {a for m in proc.maps_without_flags(own) for a in _soft(fd, m)}
            memory[0] = 2
            dirty = {a for m in proc.maps_without_flags(own) for a in _soft(fd, m)}
        finally:
            os.close(fd)
    return bool(dirty - clean)


def _soft(fd: int, one: Map) -> list[Range]:
    if areas.is_special(one):
        return []
    return pagemap.soft_dirty_pages(fd, one.start, one.end)


class Tracker:
    """One process's. Made while it runs; it is stopped for a moment to begin."""

    def __init__(self, pid: int, way: Way) -> None:
        self.pid = pid
        self.way = way
        self._stack = contextlib.ExitStack()
        self._pagemap = pagemap.open_pagemap(pid)
        self._stack.callback(os.close, self._pagemap)
        self._knowledge = pages.Knowledge()
        try:
            if way is Way.WRITE_PROTECT:
                self._register()
            elif way is Way.SOFT_DIRTY:
                pagemap.clear_soft_dirty(pid)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is noticed any more."""
        self._stack.close()

    def _register(self) -> None:
        fd = _userfaultfd_of(self.pid)
        self._stack.callback(os.close, fd)
        userfault.begin(fd)
        for one in proc.maps_without_flags(self.pid):
            if areas.has_own_pages(one):
                # What it does not work for, or is gone by now, lacks the flag and is sent whole.
                with contextlib.suppress(OSError):
                    userfault.register(fd, one.start, one.end)

    def written(self, one: Map, begin_anew: bool) -> list[Range]:
        """What was written in a private mapping since the last time it was begun anew.

        `one` has flags: whether writes to it are noticed is the kernel's to say, not ours.
        """
        if self.way is Way.WRITE_PROTECT and REGISTERED in one.flags:
            return self._scan(one, pagemap.PROTECT if begin_anew else 0)
        if self.way is Way.SOFT_DIRTY:
            return pagemap.soft_dirty_pages(self._pagemap, one.start, one.end)
        return [(one.start, one.end)]

    def _scan(self, one: Map, flags: int) -> list[Range]:
        found: list[Range] = []
        flags |= pagemap.CHECK_ASYNC
        at = one.start
        while at < one.end:
            end = min(at + _PIECE, one.end)
            found += pagemap.scan(self._pagemap, at, end, pagemap.WRITTEN, flags=flags)
            at = end
        return joined(found)

    def to_carry(self, one: Map) -> list[Range]:
        """What of a mapping is in no file now."""
        return pages.to_carry(self._pagemap, one, self._knowledge)

    @contextlib.contextmanager
    def between_rounds(self) -> Iterator[None]:
        """A block in which `written` is asked. Soft-dirty bits cannot be read and cleared at once:
        for them the process stands still meanwhile, and they are cleared at the end."""
        if self.way is not Way.SOFT_DIRTY:
            yield
            return
        held: dict[int, Held] = {}
        try:
            stop_process(self.pid, held)
            yield
            pagemap.clear_soft_dirty(self.pid)
        finally:
            for one in held.values():
                release(one)


def _userfaultfd_of(pid: int) -> int:
    """A userfaultfd of another process's memory, made by it, taken from it."""
    held: dict[int, Held] = {}
    try:
        stop_process(pid, held)
        held[pid].tasks[0].block()
        at = taskstate.syscall_instruction(pid, proc.maps_without_flags(pid))
        theirs = injection.call(pid, at, userfault.SYS_USERFAULTFD, os.O_CLOEXEC)
        try:
            handle = os.pidfd_open(pid)
            try:
                return pidfd.getfd(handle, theirs)
            finally:
                os.close(handle)
        finally:
            injection.call(pid, at, _CLOSE, theirs)
    finally:
        for one in held.values():
            trace.put_back(one.tasks[0])
            release(one)

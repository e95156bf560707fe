"""Which memory of a process must be carried, and the bytes of it, to a file and back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from migration.native import areas
from migration.native.model import PAGE, Run
from migration.native.proc import Map
from slic.kernel import memory, pagemap

PIECE = 1 << 20
_ZEROES = bytes(PIECE)
READABLE = 1


class Knowledge:
    """What this kernel can say of pages, asked once."""

    def __init__(self) -> None:
        self.scans = pagemap.scans()
        self.guards = self.scans and self._knows_guards()

    @staticmethod
    def _knows_guards() -> bool:
        fd = pagemap.open_pagemap(os.getpid())
        try:
            pagemap.scan(fd, PAGE, 2 * PAGE, pagemap.GUARD)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            raise
        finally:
            os.close(fd)
        return True


def to_carry(fd: int, one: Map, knowledge: Knowledge) -> list[pagemap.Range]:
    """Ranges of a private mapping whose bytes are in no file. `fd`: pagemap of its process."""
    if not areas.has_own_pages(one):
        return []
    if knowledge.guards:
        without = pagemap.FILE | pagemap.PFNZERO | pagemap.GUARD
        either = pagemap.PRESENT | pagemap.SWAPPED
        return pagemap.scan(fd, one.start, one.end, 0, without, either)
    return pagemap.own_pages(fd, one.start, one.end, knowledge.scans)


def guards(fd: int, maps: Iterable[Map], knowledge: Knowledge) -> list[pagemap.Range]:
    """Guard pages (MADV_GUARD_INSTALL)."""
    if not knowledge.guards:
        return []
    return [
        found
        for one in maps
        if areas.has_own_pages(one)
        for found in pagemap.scan(fd, one.start, one.end, pagemap.GUARD)
    ]


class PageFile:
    """The file that pages are appended to."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = 0

    def append(self, data: bytes) -> int:
        """Where the bytes are."""
        at = self.size
        while data:
            data = data[os.write(self._fd, data) :]
        self.size = os.lseek(self._fd, 0, os.SEEK_CUR)
        return at

    def keep(self, start: int, pieces: Iterable[bytes]) -> list[Run]:
        """Append what begins at address `start`; pieces of nothing but zeroes are left out."""
        runs: list[Run] = []
        for piece in pieces:
            if piece != _ZEROES[: len(piece)]:
                at = self.append(piece)
                last = runs[-1] if runs else None
                if last and last.end == start and last.at + last.end - last.start == at:
                    runs[-1] = Run(last.start, start + len(piece), last.at)
                else:
                    runs.append(Run(start, start + len(piece), at))
            start += len(piece)
        return runs


def read(pid: int, start: int, end: int, protection: int) -> Iterator[bytes]:
    """The bytes of a range in pieces, also where the process itself may not read."""
    source = -1 if protection & READABLE else os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        while start < end:
            size = min(PIECE, end - start)
            if source >= 0:
                piece = os.pread(source, size, start)
            else:
                piece = memory.read(pid, start, size)
            if not piece:
                raise OSError(errno.EFAULT, f"process {pid}: nothing to read at {start:x}")
            yield piece
            start += len(piece)
    finally:
        if source >= 0:
            os.close(source)


def file_pieces(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of a file's data; holes are passed over."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
            end = min(os.lseek(fd, at, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            raise
        while at < end:
            piece = os.pread(fd, min(PIECE, end - at), at)
            if not piece:
                return
            yield at, piece
            at += len(piece)


def fill(pid: int, runs: Iterable[Run], source: int) -> None:
    """Write an image's pages into a process."""
    for run in runs:
        at, where = run.at, run.start
        while where < run.end:
            data = os.pread(source, min(PIECE, run.end - where), at)
            if not data:
                raise OSError(errno.EIO, "the file of pages is too short")
            done = memory.write(pid, where, data)
            if done == 0:
                raise OSError(errno.EFAULT, f"nothing to write to at {where:x}")
            where += done
            at += done

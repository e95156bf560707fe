"""Which pages of another process matter: PAGEMAP_SCAN (kernel 6.7), else /proc/PID/pagemap.

Admin-guide/mm/pagemap. Ranges are pairs of addresses. Bindings and no decisions, but for the
choice between both ways, which give the same ranges except that only PAGEMAP_SCAN knows the page
of zeroes and what was written since.
"""

import array
import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator

WPALLOWED, WRITTEN, FILE, PRESENT, SWAPPED, PFNZERO, HUGE, SOFT_DIRTY, GUARD = (
    1 << bit for bit in range(9)
)
PROTECT, CHECK_ASYNC = 1, 2
_PAGEMAP_SCAN = 0xC0606610
_ARGUMENT = struct.Struct("=12Q")
_REGION = struct.Struct("=3Q")
_REGIONS = 4096
_SOFT_DIRTY_BIT, _FILE_BIT, _SWAPPED_BIT, _PRESENT_BIT = 1 << 55, 1 << 61, 1 << 62, 1 << 63
_CLEAR_SOFT_DIRTY = b"4"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_regions = ctypes.create_string_buffer(_REGION.size * _REGIONS)

Range = tuple[int, int]


def open_pagemap(pid: int) -> int:
    """A descriptor of /proc/PID/pagemap."""
    return os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)


def scan(
    fd: int, start: int, end: int, wanted: int, without: int = 0, either: int = 0, flags: int = 0
) -> list[Range]:
    """Ranges whose pages have all of `wanted`, none of `without`, one of `either` (if not 0).

    `flags`: PROTECT write-protects what is found again (userfaultfd, WP_ASYNC); CHECK_ASYNC fails
    with EPERM where that is not armed. OSError ENOTTY: this kernel has no PAGEMAP_SCAN.
    """
    found: list[Range] = []
    at = start
    while at < end:
        words = (
            *(96, flags, at, end, 0, ctypes.addressof(_regions), _REGIONS, 0),
            *(without, wanted | without, either, wanted | without | either),
        )
        argument = bytearray(_ARGUMENT.pack(*words))
        count = fcntl.ioctl(fd, _PAGEMAP_SCAN, argument)
        (at,) = struct.unpack_from("=Q", argument, 32)
        for index in range(count):
            first, last, _ = _REGION.unpack_from(_regions, index * _REGION.size)
            if found and found[-1][1] == first:
                found[-1] = (found[-1][0], last)
            else:
                found.append((first, last))
    return found


def scans() -> bool:
    """Does this kernel have PAGEMAP_SCAN?"""
    fd = open_pagemap(os.getpid())
    try:
        scan(fd, _PAGE, 2 * _PAGE, PRESENT)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def own_pages(fd: int, start: int, end: int, by_scan: bool) -> list[Range]:
    """Of a private mapping: neither the file's nor the page of zeroes (if that is known)."""
    if by_scan:
        return scan(fd, start, end, 0, FILE | PFNZERO, PRESENT | SWAPPED)
    return list(_entries(fd, start, end, _PRESENT_BIT | _SWAPPED_BIT, _FILE_BIT))


def present_pages(fd: int, start: int, end: int, by_scan: bool) -> list[Range]:
    """What is there at all."""
    if by_scan:
        return scan(fd, start, end, 0, PFNZERO, PRESENT | SWAPPED)
    return list(_entries(fd, start, end, _PRESENT_BIT | _SWAPPED_BIT, 0))


def soft_dirty_pages(fd: int, start: int, end: int) -> list[Range]:
    """Written since `clear_soft_dirty`, and not the file's."""
    return list(_entries(fd, start, end, _SOFT_DIRTY_BIT, _FILE_BIT))


def clear_soft_dirty(pid: int) -> None:
    """Begin anew to note what is written; OSError or no effect where the kernel lacks it."""
    fd = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, _CLEAR_SOFT_DIRTY)
    finally:
        os.close(fd)


def _entries(fd: int, start: int, end: int, one_of: int, none_of: int) -> Iterator[Range]:
    """By the table of 8 bytes a page, read in pieces."""
    begun = 0
    at = start
    while at < end:
        size = min(end - at, _PAGE << 15)
        table = array.array("Q", os.pread(fd, size // _PAGE * 8, at // _PAGE * 8))
        if not table:
            break
        for entry in table:
            if entry & one_of and not entry & none_of:
                begun = begun or at
            elif begun:
                yield begun, at
                begun = 0
            at += _PAGE
    if begun:
        yield begun, at

"""inotify(7): watches by path."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from migration.engine import Reason
from migration.native.files.kind import Dumping, Making, Plain, closing
from migration.native.model import Count, Path, Record
from migration.native.survey import Seen, Survey
from slic.kernel import specialfds

_UNSETTABLE = 0x0000E000  # IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED: the kernel's own


class Watch(Record, frozen=True):
    """A watch's number, what it wants to know, and the path."""

    number: Annotated[int, Meta(ge=1, le=1 << 20)]
    mask: Count
    path: Path


class Watches(Record, tag="inotify", frozen=True):
    """Sorted by number."""

    watches: Annotated[list[Watch], Meta(max_length=1 << 16)]


class InotifyFile(Plain):
    """Kept: watches with their numbers. Stays: events not read, what has no path any more."""

    record = Watches

    def is_one(self, seen: Seen) -> bool:
        return seen.is_anonymous("inotify")

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        with closing(seen.dup()) as fd:
            (unread,) = struct.unpack("=i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
        if unread:
            yield seen.reason("events that were not read yet", passing=True)
        for line in seen.info.lines:
            if line.startswith("inotify ") and _path(line) is None:
                yield seen.reason(f"a watch whose file is not found again ({line.split()[1]})")

    def dump(self, seen: Seen, dumping: Dumping) -> Watches:
        found = []
        for line in seen.info.lines:
            if not line.startswith("inotify "):
                continue
            words = dict(word.split(":", 1) for word in line.split()[1:])
            path = _path(line)
            assert path is not None, "refused before"
            mask = int(words["mask"], 16) & ~_UNSETTABLE
            found.append(Watch(number=int(words["wd"], 16), mask=mask, path=os.fsencode(path)))
        return Watches(watches=sorted(found, key=lambda watch: watch.number))

    def make(self, record: Watches, making: Making, flags: int, position: int) -> int:
        fd = specialfds.inotify()
        for watch in record.watches:
            with making.as_owner():
                number = specialfds.inotify_add(fd, watch.path, watch.mask)
                # Numbers only go up: others are taken and given back until it is its turn.
                while number < watch.number:
                    specialfds.inotify_remove(fd, number)
                    number = specialfds.inotify_add(fd, watch.path, watch.mask)
            if number != watch.number:
                os.close(fd)
                raise OSError(17, f"watch {watch.number} is number {number} now")
        _swallow(fd)
        return fd


def _swallow(fd: int) -> None:
    """IN_IGNORED of the watches that were given back."""
    os.set_blocking(fd, False)
    try:
        while os.read(fd, 1 << 16):
            pass
    except BlockingIOError:
        pass


def _path(line: str) -> str | None:
    """The path of a line of fdinfo, by its file handle."""
    words = dict(word.split(":", 1) for word in line.split()[1:])
    device = int(words["sdev"], 16)
    handle = bytes.fromhex(words["f_handle"])
    return specialfds.path_of_handle(
        (device >> 20, device & 0xFFFFF), int(words["fhandle-type"], 16), handle
    )

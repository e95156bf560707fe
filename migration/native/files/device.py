"""Devices that are the same on every machine: null, zero, full, random, urandom."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from migration.engine import Reason
from migration.native.files.kind import Dumping, Making, Plain
from migration.native.model import Path, Record
from migration.native.survey import Seen, Survey, is_kind

_SAME_EVERYWHERE = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}


class Device(Record, tag="device", frozen=True):
    """By path; that it is the same device is checked."""

    path: Path
    major: int
    minor: int


class DeviceFile(Plain):
    """Kept: the path. Stays: every other device."""

    record = Device

    def is_one(self, seen: Seen) -> bool:
        return is_kind(seen, stat.S_IFCHR) or is_kind(seen, stat.S_IFBLK)

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        number = os.major(seen.stat.st_rdev), os.minor(seen.stat.st_rdev)
        if number not in _SAME_EVERYWHERE or not is_kind(seen, stat.S_IFCHR):
            yield seen.reason("a device of this machine")

    def dump(self, seen: Seen, dumping: Dumping) -> Device:
        number = seen.stat.st_rdev
        return Device(path=os.fsencode(seen.link), major=os.major(number), minor=os.minor(number))

    def make(self, record: Device, making: Making, flags: int, position: int) -> int:
        with making.as_owner():
            fd = os.open(record.path, flags & (os.O_ACCMODE | os.O_APPEND) | os.O_NOCTTY)
        found = os.fstat(fd)
        number = os.major(found.st_rdev), os.minor(found.st_rdev)
        if number != (record.major, record.minor) or number not in _SAME_EVERYWHERE:
            os.close(fd)
            raise FileNotFoundError(2, "it is another device now", os.fsdecode(record.path))
        return fd

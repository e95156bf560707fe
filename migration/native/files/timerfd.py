"""timerfd_create(2): a clock, a setting, and expirations not read yet."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from migration.engine import Reason
from migration.native.files.kind import Dumping, Making
from migration.native.inject import Batch
from migration.native.model import Count, Record, Word
from migration.native.survey import Seen, Survey
from slic.kernel import specialfds

_SET_TICKS = 0x40085400
_CLOCKS = {0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 7: "CLOCK_BOOTTIME"}
_PAIR = re.compile(r"\((\d+), (\d+)\)")
Nanoseconds = Annotated[int, Meta(ge=0, le=999_999_999)]


class TimerFile(Record, tag="timerfd", frozen=True):
    """`value` is what is left, relative; `ticks` are expirations to be read."""

    clock: Annotated[int, Meta(ge=0, le=16)]
    ticks: Word
    interval: tuple[Count, Nanoseconds]
    value: tuple[Count, Nanoseconds]


class TimerFd:
    """Kept: what is left, the interval, the ticks."""

    record = TimerFile

    def is_one(self, seen: Seen) -> bool:
        return seen.is_anonymous("[timerfd]")

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        clock = int(seen.info.values("clockid")[0])
        if clock not in _CLOCKS:
            yield seen.reason(f"a timer that wakes the machine (clock {clock})")
        if int(seen.info.values("settime flags")[0], 8) & 2:
            yield seen.reason("a timer that is cancelled when the clock is set")

    def dump(self, seen: Seen, dumping: Dumping) -> TimerFile:
        return TimerFile(
            clock=int(seen.info.values("clockid")[0]),
            ticks=int(seen.info.values("ticks")[0]),
            interval=_pair(seen.info.values("it_interval")[0]),
            value=_pair(seen.info.values("it_value")[0]),
        )

    def make(self, record: TimerFile, making: Making, flags: int, position: int) -> int:
        fd = specialfds.timerfd_create(record.clock)
        if any((*record.value, *record.interval)):
            value = record.value
            if record.interval and not any(value):
                value = (0, 1)  # it has just expired: a setting of nothing would disarm it
            specialfds.timerfd_settime(fd, (*record.interval, *value))
        if record.ticks:
            fcntl.ioctl(fd, _SET_TICKS, record.ticks.to_bytes(8, "little"))
        return fd

    def finish(self, record: TimerFile, batch: Batch, fd: int, pid: int) -> None:
        return


def _pair(text: str) -> tuple[int, int]:
    found = _PAIR.search(text)
    if found is None:
        raise ValueError(f"not a time: {text!r}")
    return int(found[1]), int(found[2])

"""eventfd(2): a counter."""

from __future__ import annotations

import os
from typing import Annotated

from msgspec import Meta

from migration.native.files.kind import Dumping, Making, Plain
from migration.native.model import Record, Word
from migration.native.survey import Seen


class Event(Record, tag="eventfd", frozen=True):
    """Its count, and whether a read takes one (EFD_SEMAPHORE)."""

    count: Word
    semaphore: Annotated[int, Meta(ge=0, le=1)]


class EventFd(Plain):
    """Kept: count and flag."""

    record = Event

    def is_one(self, seen: Seen) -> bool:
        return seen.is_anonymous("[eventfd]")

    def dump(self, seen: Seen, dumping: Dumping) -> Event:
        semaphore = seen.info.values("eventfd-semaphore")
        return Event(
            count=int(seen.info.values("eventfd-count")[0], 16),
            semaphore=int(semaphore[0]) if semaphore else 0,
        )

    def make(self, record: Event, making: Making, flags: int, position: int) -> int:
        fd = os.eventfd(0, os.EFD_SEMAPHORE if record.semaphore else 0)
        if record.count:
            os.eventfd_write(fd, record.count)
        return fd

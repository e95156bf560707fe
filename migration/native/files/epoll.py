"""epoll(7): what is waited for. Its targets are descriptors, so a process of the job fills it."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from migration.engine import Reason
from migration.native import proc
from migration.native.files.kind import Dumping, Making
from migration.native.inject import Batch
from migration.native.model import Count, Fd, Number, Record, Word
from migration.native.survey import Seen, Survey
from slic.kernel import kcmp

_SYS_EPOLL_CTL = 233
_ADD = 1
_SETTABLE = 0xF000_FFFF


class Target(Record, array_like=True, frozen=True):
    """What epoll_ctl(2) was given, and which descriptor `pid` now has it under."""

    fd: Fd
    events: Count
    data: Word


class Epoll(Record, tag="epoll", frozen=True):
    """Targets as descriptors of process `pid`."""

    pid: Number
    targets: Annotated[list[Target], Meta(max_length=1 << 20)]


class EpollFile:
    """Kept: targets. Stays: a target that is no descriptor of any process that has the epoll."""

    record = Epoll

    def is_one(self, seen: Seen) -> bool:
        return seen.is_anonymous("[eventpoll]")

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        lines = seen.info.values("tfd")
        if lines and _owner(seen, survey) is None:
            yield seen.reason("waits for a file that is no descriptor of the job under its number")

    def dump(self, seen: Seen, dumping: Dumping) -> Epoll:
        owner = _owner(seen, dumping.survey) or seen
        targets = [Target(fd, events & _SETTABLE, data) for fd, events, data in _targets(seen)]
        return Epoll(pid=dumping.own_number(owner.pid), targets=targets)

    def make(self, record: Epoll, making: Making, flags: int, position: int) -> int:
        made = select.epoll()
        try:
            return os.dup(made.fileno())
        finally:
            made.close()

    def finish(self, record: Epoll, batch: Batch, fd: int, pid: int) -> None:
        if pid != record.pid:
            return
        for target in record.targets:
            event = batch.bytes_at(struct.pack("=IQ", target.events, target.data))
            batch.add(f"epoll_ctl of {target.fd}", _SYS_EPOLL_CTL, fd, _ADD, target.fd, event)


def _targets(seen: Seen) -> list[tuple[int, int, int]]:
    """(number, events, data) of each line `tfd: 5 events: 19 data: 7 ...`."""
    found = []
    for line in proc.fdinfo(seen.pid, seen.fd).values("tfd"):
        words = line.replace("events:", " ").replace("data:", " ").split()
        found.append((int(words[0]), int(words[1], 16), int(words[2], 16)))
    return found


def _owner(seen: Seen, survey: Survey) -> Seen | None:
    """A holder of the epoll in whose table every target is found under its number."""
    place = survey.number_of[seen.pid, seen.fd]
    for holder in survey.files[place].holders:
        if all(_is_there(holder, fd) for fd, _, _ in _targets(holder)):
            return holder
    return None


def _is_there(holder: Seen, target: int) -> bool:
    try:
        return kcmp.same_in_epoll(holder.pid, target, holder.pid, holder.fd, target, 0)
    except OSError:
        return False

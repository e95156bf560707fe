"""perf_event_open(2) as a source of births: who forked and executed below a process.

The kernel writes a record for every fork, thread and exec of a task and what descends from it, into
a ring for each processor. Nobody is held for it, so nothing of it can be seen in the job. Bindings
only. Limits: a task that executes a program with other rights than its opener's (setuid) leaves the
watch, and so does what it forks; the kernel may refuse (perf_event_paranoid, containers).
"""

import ctypes
import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from slic.kernel.libc import syscall

SYS_PERF_EVENT_OPEN = 298
PROCESSORS_MAX = 64
"""Above, a fork would pay more for its events (one for each processor) than for a caught call."""

PAGES = 4
"""Of a ring; a power of two. 300 births wait in it; what finds no room is counted (`lost`)."""

_ATTR = struct.Struct("=IIQQQQQIIQ")
_SOFTWARE, _DUMMY = 1, 9
_DISABLED, _INHERIT, _NO_KERNEL, _NO_HV = 1, 1 << 1, 1 << 5, 1 << 6
_COMM, _TASK, _WATERMARK = 1 << 9, 1 << 13, 1 << 14
_CLOEXEC = 8
_SET_OUTPUT = 0x2405
_HEAD, _TAIL = 1024, 1032
_HEADER = struct.Struct("=IHH")
_LOST, _COMM_RECORD, _FORK = 2, 3, 7
_BY_EXEC = 1 << 13


class Begun(NamedTuple):
    """A thread that has begun or executed a program; pids are those of who opened the events."""

    process: int
    thread: int
    is_new: bool
    """Forked; else it has executed."""


class ForkEvents:
    """Rings of this process's, there before anything is watched, so that a refusal comes early."""

    def __init__(self) -> None:
        """OSError: the kernel does not let us, or the machine has too many processors."""
        processors = _online()
        if len(processors) > PROCESSORS_MAX:
            raise OSError(errno.E2BIG, f"more than {PROCESSORS_MAX} processors")
        self._rings: list[_Ring] = []
        self._events: list[int] = []
        self.lost = False
        """Records found no room since this was cleared."""
        try:
            for processor in processors:
                self._rings.append(_Ring(processor))
            self.watch(os.getpid(), _DISABLED)  # whether that would be refused
            os.close(self._events.pop())
        except BaseException:
            self.close()
            raise

    def watch(self, pid: int, flags: int = 0) -> None:
        """Tell of what this process and its descendants begin from now on. OSError."""
        for ring in self._rings:
            event = _open(pid, ring.processor, _INHERIT | _COMM | _TASK | flags)
            self._events.append(event)
            fcntl.ioctl(event, _SET_OUTPUT, ring.fd)
            if flags:
                return  # one will do to know

    def filenos(self) -> list[int]:
        """Readable when there is something to `read`."""
        return [ring.fd for ring in self._rings]

    def read(self) -> list[Begun]:
        """What has begun since the last time; in order for each processor."""
        return [one for ring in self._rings if ring.has_more() for one in self._begun(ring)]

    def _begun(self, ring: "_Ring") -> Iterator[Begun]:
        for kind, misc, body in ring.records():
            if kind == _FORK:
                process, _, thread = struct.unpack_from("=III", body)
                yield Begun(process, thread, True)
            elif kind == _COMM_RECORD and misc & _BY_EXEC:
                process, thread = struct.unpack_from("=II", body)
                yield Begun(process, thread, False)
            elif kind == _LOST:
                self.lost = True

    def close(self) -> None:
        """Watch nobody."""
        for event in self._events:
            os.close(event)
        for ring in self._rings:
            ring.close()
        self._events, self._rings = [], []


class _Ring:
    """Of one processor: an event that never fires holds it, others write into it."""

    def __init__(self, processor: int) -> None:
        self.processor = processor
        self._map: mmap.mmap | None = None
        self.fd = _open(os.getpid(), processor, _DISABLED | _WATERMARK, watermark=1)
        try:
            self._map = mmap.mmap(self.fd, (1 + PAGES) * mmap.PAGESIZE)
        except OSError:
            os.close(self.fd)
            raise
        # Whole words: the kernel must never see half of a position.
        self._head = ctypes.c_uint64.from_buffer(self._map, _HEAD)
        self._tail = ctypes.c_uint64.from_buffer(self._map, _TAIL)
        self._at = 0

    def has_more(self) -> bool:
        return self._head.value != self._at

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, misc, body) of each record."""
        head = self._head.value
        data = self._data(head - self._at)
        self._at = self._tail.value = head
        at = 0
        while at + _HEADER.size <= len(data):
            kind, misc, size = _HEADER.unpack_from(data, at)
            yield kind, misc, data[at + _HEADER.size : at + size]
            at += max(size, _HEADER.size)

    def _data(self, count: int) -> bytes:
        assert self._map is not None
        size = PAGES * mmap.PAGESIZE
        start = self._at % size
        first = self._map[mmap.PAGESIZE + start : mmap.PAGESIZE + min(start + count, size)]
        return first + self._map[mmap.PAGESIZE : mmap.PAGESIZE + count - len(first)]

    def close(self) -> None:
        if self._map is not None:
            del self._head, self._tail
            self._map.close()
        os.close(self.fd)


def _open(pid: int, processor: int, flags: int, watermark: int = 0) -> int:
    flags |= _NO_KERNEL | _NO_HV
    attr = _ATTR.pack(_SOFTWARE, _ATTR.size, _DUMMY, 0, 0, 0, flags, watermark, 0, 0)
    return syscall(SYS_PERF_EVENT_OPEN, attr, pid, processor, -1, _CLOEXEC)


def _online() -> list[int]:
    """Numbers of the processors that are on (cputopology.rst)."""
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        parts = [part.partition("-") for part in file.read().strip().split(",")]
    return [n for low, _, high in parts for n in range(int(low), int(high or low) + 1)]

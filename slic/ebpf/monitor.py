"""The typed interface of the BPF programs: watches of PID namespaces and process trees.

One monitor serves any number of watches, so a daemon loads the programs once for all of its jobs.
Every event comes once, and those of one process in their order. What the kernel could not deliver
is counted (`losses`), and `sweep` then tells what was missed of lives; counters lose nothing.

A watch takes what is there as it is, without stopping it: all that is in a PID namespace, or a
process with its threads and descendants. What is born of a watched task, or in a watched namespace,
is watched. A task belongs to one watch: to that of its innermost watched namespace, if there is
one, else to its tree's.
"""

import errno
import os
import select
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from slic.ebpf import layout, loader
from slic.ebpf.events import Event, Executed, Exited, Forked, Signalled, decoded
from slic.ebpf.layout import CALLS, NONE, Want
from slic.ebpf.ring import Ring
from slic.kernel import libbpf

RING = 1 << 22
SLOTS = 64
EVERY_CALL = bytes([3]) * CALLS


class Losses(NamedTuple):
    """Since the beginning, on all CPUs: `retried` events got through on a later try, `lost` ones
    did not, `unmarked` tasks were born without their watch's mark; `skipped` times the kernel did
    not run a program, because it was running on that CPU already."""

    retried: int
    lost: int
    unmarked: int
    skipped: int


class Count(NamedTuple):
    """Of one call: how often, how often in vain, nanoseconds from beginning to end."""

    calls: int
    errors: int
    time: int


class Alive(NamedTuple):
    """A task of a watch."""

    tid: int
    pid: int
    parent: int


class Texts(NamedTuple):
    """Which arguments of a call lead to text: strings, a buffer with the index of its size, and a
    buffer that the call fills with as many bytes as it returns."""

    strings: tuple[int, ...] = ()
    buffer: int = NONE
    size: int = NONE
    filled: int = NONE


class Watch:
    """One namespace's or tree's part in a monitor; `tasks` are those known to be alive.

    Made by `Monitor.watch_namespace` and `Monitor.watch_tree`, given back by `Monitor.release`.
    """

    def __init__(self, slot: int, key: int, want: Want, space: int) -> None:
        self.slot = slot
        self.key = key
        self.want = want
        self.space = space
        """The inode number of the namespace, 0 for a tree."""
        self.tasks: dict[int, int] = {}
        """Thread: its process. Kept for watches with LIVES, as `Monitor.read` gives events."""
        self._found: set[int] = set()
        """Tasks that were found by looking: the event of their birth may still come."""

    def found(self, tasks: Mapping[int, int]) -> None:
        """Take over tasks that are alive though no event has told them."""
        self.tasks.update(tasks)
        self._found.update(tasks)

    def follow(self, event: Event) -> bool:
        """Keep `tasks`; False for what is known already."""
        if isinstance(event, Forked):
            if event.tid in self._found:
                self._found.discard(event.tid)
                return False
            self.tasks[event.tid] = event.pid
        elif isinstance(event, Exited):
            self._found.discard(event.tid)
            return self.tasks.pop(event.tid, None) is not None
        elif isinstance(event, Executed):
            self.tasks.pop(event.old_tid, None)
            self.tasks[event.tid] = event.pid
        return True


class Monitor:
    """Programs in the kernel and their watches. Close it, or end: nothing stays loaded."""

    def __init__(self, want: Want, slots: int = SLOTS, ring: int = RING) -> None:
        """Loads what watches of this kind need. OSError with the kernel's words."""
        self.want = want
        self._loaded = loader.Loaded(loader.wanted_by(want), slots, ring)
        try:
            self._ring = Ring(self._loaded.map("ring"), ring)
            self._cpus = libbpf.possible_cpus()
            self._free = list(range(slots))
            self._watches: dict[int, Watch] = {}
            self._next = 1
            self._adopt(0, 0, 0)
            self._level = self._walk()[0][1]
        except BaseException:
            self._loaded.close()
            raise

    # -- watches -----------------------------------------------------------------------------
    def watch_namespace(self, inode: int, want: Want, calls: bytes = EVERY_CALL) -> Watch:
        """Watch the PID namespace with this inode number (stat of /proc/PID/ns/pid).

        `calls`: a byte a call number; bit 0 is set where it is to be told, bit 1 where its result
        is. OSError ENOSPC: as many watches as there are slots.
        """
        watch = self._new(want, calls, inode)
        libbpf.update(self._loaded.map("spaces"), _u32(inode), _u32(watch.slot))
        self._take(watch, 0)
        return watch

    def watch_tree(
        self, pid: int, want: Want, calls: bytes = EVERY_CALL, launching: bool = False
    ) -> Watch:
        """Watch a process, its threads and its descendants. `launching`: it has yet to execute its
        program, and what it calls before that is nobody's business.

        OSError ESRCH if there is no such process.
        """
        watch = self._new(want, calls, 0)
        self._take(watch, pid, launching)
        if pid not in watch.tasks.values():
            self.release(watch)
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return watch

    def _take(self, watch: Watch, pid: int, launching: bool = False) -> None:
        """Mark what is there. A task that is born meanwhile may escape one walk, never all."""
        self._mark_all(watch, pid, launching)
        watch.found({alive.tid: alive.pid for alive in self.alive(watch)})

    def _mark_all(self, watch: Watch, pid: int, launching: bool = False) -> None:
        self._adopt(watch.slot, watch.key, pid, launching)
        try:
            while any(fresh for key, *_, fresh, _ in self._walk() if key == watch.key):
                pass
        finally:
            self._adopt(0, 0, 0)

    def release(self, watch: Watch) -> None:
        """End a watch. Its tasks go on; what they do concerns nobody any more."""
        if self._watches.pop(watch.key, None) is None:
            return
        if watch.space:
            libbpf.delete(self._loaded.map("spaces"), _u32(watch.space))
        self._put_job(watch.slot, 0, Want(0), bytes(CALLS))
        self._clear_counts(watch.slot)
        self._free.append(watch.slot)

    def _new(self, want: Want, calls: bytes, space: int) -> Watch:
        if want & ~self.want:
            raise ValueError(f"the monitor was made for {self.want!r}, not for {want!r}")
        if not self._free:
            raise OSError(errno.ENOSPC, "no more watches")
        watch = Watch(self._free.pop(0), self._next, want, space)
        self._next += 1
        self._watches[watch.key] = watch
        self._put_job(watch.slot, watch.key, want, calls)
        return watch

    def _put_job(self, slot: int, key: int, want: Want, calls: bytes) -> None:
        job = layout.JOB.pack(key, want, self._level, calls)
        libbpf.update(self._loaded.map("jobs"), _u32(slot), job)

    def describe_calls(self, texts: Mapping[int, Texts]) -> None:
        """Say which calls (by number) have arguments that lead to text, to be told with them."""
        shapes = self._loaded.map("shapes")
        for number, of in texts.items():
            bits = sum(1 << index for index in of.strings)
            shape = layout.SHAPE.pack(bits, of.buffer, of.size, of.filled)
            libbpf.update(shapes, _u32(number), shape)

    # -- events ------------------------------------------------------------------------------
    def fileno(self) -> int:
        """Readable while there are events."""
        return self._ring.fd

    def wait(self, seconds: float) -> bool:
        """Sleep until there are events, so long at most; whether there are."""
        poll = select.poll()
        poll.register(self._ring.fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def read(self, most: int = 1 << 20) -> Iterator[Event]:
        """What has happened since, in order; never blocks."""
        for record in self._ring.records(most):
            event = decoded(record)
            if isinstance(event, Signalled):
                if event.to in self._watches or event.by in self._watches:
                    yield event
                continue
            watch = self._watches.get(event.key)
            if watch is None:
                continue
            if isinstance(event, Exited) and event.untold and event.tid not in watch.tasks:
                born = _born(event.key, event.tid, event.pid, 0)
                watch.follow(born)
                yield born
            if watch.follow(event):
                yield event

    def losses(self) -> Losses:
        """What became of events that found no room."""
        data = libbpf.find(self._loaded.map("troubles"), _u32(0), self._cpus * layout.TROUBLE.size)
        columns = zip(*layout.TROUBLE.iter_unpack(data), strict=True)
        again, lost, unmarked = (sum(column) for column in columns)
        skipped = sum(self._loaded.object.skipped(name) for name in self._loaded.names)
        return Losses(again, lost, unmarked, skipped)

    # -- looking instead of listening ----------------------------------------------------------
    def alive(self, watch: Watch) -> list[Alive]:
        """The watch's tasks as the kernel has them now, zombies left out."""
        rows = self._walk()
        return [
            Alive(tid, pid, parent)
            for key, tid, pid, parent, _, over in rows
            if key == watch.key and not over
        ]

    def sweep(self, watch: Watch) -> list[Event]:
        """What was lost: forks and exits of the watch that no event has told, marked `swept`.

        Tasks that were born unmarked are found by their parents. Read all events before it.
        """
        self._mark_all(watch, 0)
        now = {alive.tid: alive for alive in self.alive(watch)}
        ended: list[Event] = [
            Exited(watch.key, 0, tid, pid, 0, False, swept=True)
            for tid, pid in watch.tasks.items()
            if tid not in now
        ]
        born = [alive for alive in now.values() if alive.tid not in watch.tasks]
        for event in ended:
            watch.follow(event)
        watch.found({alive.tid: alive.pid for alive in born})
        return ended + [_born(watch.key, a.tid, a.pid, a.parent) for a in born]

    def _adopt(self, slot: int, key: int, pid: int, launching: bool = False) -> None:
        packed = layout.ADOPTION.pack(slot, key, pid, launching)
        libbpf.update(self._loaded.map("adopt"), _u32(0), packed)

    def _walk(self) -> list[tuple[int, ...]]:
        """(key, tid, pid, parent, fresh, over) of every marked task, the reader's row first."""
        return list(layout.WALKED.iter_unpack(libbpf.iterate(self._loaded.links["walk"])))

    # -- counters ----------------------------------------------------------------------------
    def counts(self, watch: Watch) -> dict[int, Count]:
        """By number, the calls that the watch's tasks have begun; time and errors of those that
        have ended."""
        return dict(self._counts(watch.slot))

    def _counts(self, slot: int) -> Iterable[tuple[int, Count]]:
        fd = self._loaded.map("counts")
        for number in range(CALLS):
            data = libbpf.find(fd, _u32(slot * CALLS + number), self._cpus * layout.COUNT.size)
            columns = zip(*layout.COUNT.iter_unpack(data), strict=True)
            count = Count(*(sum(column) for column in columns))
            if count.calls:
                yield number, count

    def _clear_counts(self, slot: int) -> None:
        if "on_enter" in self._loaded.names:
            nothing = bytes(self._cpus * layout.COUNT.size)
            for number in range(CALLS):
                libbpf.update(self._loaded.map("counts"), _u32(slot * CALLS + number), nothing)

    # -- ending ------------------------------------------------------------------------------
    def close(self) -> None:
        """Unload everything."""
        self._ring.close()
        self._loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _born(key: int, tid: int, pid: int, parent: int) -> Forked:
    return Forked(key, 0, tid, pid, 0, 0, parent, 0, (), swept=True)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")

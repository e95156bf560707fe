"""Seats: the processors and the memory of each node that a batch job may have now. Pure.

A processor is idle when nobody who is not a batch job wants it: a node's load, less what its batch
jobs contribute to it, is the others', and interactive jobs come first. A load average remembers
jobs for a minute after their end, so that the batch jobs' contribution is kept by the same formula
(the kernel's exponential average, proc_loadavg(5)) and subtracted.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from glunix.ids import NodeName
from glunix.msg.batch import Need

MINUTE = 60.0
"""Time constant of the first load average, seconds."""

NOISE = 0.5
"""Runnable processes that do not count as a busy processor."""


@dataclass(slots=True)
class _Seat:
    name: NodeName
    turn: int
    cpus: int = 0
    memory: int = 0
    memory_free: int = 0
    load: float = 0.0
    is_average: bool = True
    """Whether `load` is an average of a minute, not the number of the moment."""
    is_open: bool = False
    foreign: int = 0
    """Other jobs' processes that were placed since the last report."""
    batch: int = 0
    """Processors of batch jobs."""
    claimed: int = 0
    """Bytes that batch jobs asked for."""
    share: float = 0.0
    """What batch jobs contribute to a load average."""
    at: float = 0.0
    free: int = 0

    def settle(self, now: float) -> None:
        passed = max(0.0, now - self.at)
        if self.is_average:
            self.share += (self.batch - self.share) * (1 - math.exp(-passed / MINUTE))
        else:
            self.share = self.batch
        self.at = now

    def others(self) -> float:
        """Processors that those who are not batch jobs want."""
        return max(0.0, self.load - self.share) + self.foreign

    def count(self) -> int:
        if not self.is_open:
            return 0
        busy = math.ceil(self.others() - NOISE)
        return max(0, self.cpus - busy - self.batch)

    def room(self, need: Need) -> int:
        """Processes of `need` that fit now."""
        fits = self.free // need.cpus
        if need.memory and fits:
            left = min(self.memory - self.claimed, self.memory_free)
            fits = min(fits, max(0, left) // need.memory)
        return fits

    def room_when_idle(self, need: Need) -> int:
        fits = self.cpus // need.cpus if self.is_open else 0
        if need.memory and fits:
            fits = min(fits, self.memory // need.memory)
        return fits


class Seats:
    """All nodes by how many processors are idle. `now` is the master's clock."""

    def __init__(self) -> None:
        self._seats: dict[NodeName, _Seat] = {}
        self._by_free: dict[int, dict[NodeName, None]] = {}
        self._turn = 0
        self.idle = 0
        """Idle processors of all nodes."""

    def node_up(
        self, name: NodeName, cpus: int, memory: int, is_open: bool, is_average: bool, now: float
    ) -> None:
        """A node said hello. Its memory counts as free until it reports."""
        seat = self._seat(name)
        seat.cpus, seat.memory, seat.memory_free = cpus, memory, memory
        seat.is_open, seat.is_average = is_open, is_average
        seat.load, seat.foreign = 0.0, 0
        self._refresh(seat, now)

    def node_gone(self, name: NodeName, now: float) -> None:
        """A node is lost; what its jobs have is given back as they end."""
        seat = self._seats.get(name)
        if seat is not None:
            seat.is_open = False
            self._refresh(seat, now)

    def report(self, name: NodeName, load: float, memory_free: int, now: float) -> None:
        """A node told its load."""
        seat = self._seat(name)
        seat.load, seat.memory_free, seat.foreign = load, memory_free, 0
        self._refresh(seat, now)

    def placed(self, names: Iterable[NodeName], now: float) -> None:
        """A process of another job was placed on each of these."""
        for name in names:
            seat = self._seat(name)
            seat.foreign += 1
            self._refresh(seat, now)

    def take(self, name: NodeName, need: Need, now: float) -> None:
        """A process of a batch job gets its seat."""
        self._change(name, need, 1, now)

    def give(self, name: NodeName, need: Need, now: float) -> None:
        """It leaves."""
        self._change(name, need, -1, now)

    def choose(self, need: Need, kept: Collection[NodeName] = ()) -> list[NodeName] | None:
        """The node of each process, the idlest first; None when there is no room for all.

        Nodes in `kept` are somebody else's.
        """
        rooms: list[tuple[NodeName, int]] = []
        total = 0
        for seat in self._candidates(need):
            if seat.name in kept:
                continue
            room = seat.room(need)
            if room:
                rooms.append((seat.name, room))
                total += room
            if len(rooms) == need.degree:
                break
        if total < need.degree:
            return None
        chosen: list[NodeName] = []
        full = 0
        while len(chosen) < need.degree:  # round after round, as Rexec places
            full += 1
            for name, room in rooms:
                if room >= full and len(chosen) < need.degree:
                    chosen.append(name)
        return chosen

    def could(self, need: Need) -> list[NodeName]:
        """Nodes on which `need` has room when they are idle: enough for all, or all there are."""
        found, total = [], 0
        for seat in self._candidates(need, is_idle=True):
            room = seat.room_when_idle(need)
            if room:
                found.append(seat.name)
                total += room
            if total >= need.degree and len(found) >= need.degree:
                break
        return found

    def ever(self, need: Need) -> str:
        """Why no state of the nodes that are there would do; empty when one would."""
        rooms = [(seat, seat.room_when_idle(need)) for seat in self._candidates(need, is_idle=True)]
        if sum(room for _, room in rooms) >= need.degree:
            return ""
        open_seats = [seat for seat, _ in rooms if seat.is_open]
        among = " of those asked for" if need.nodes or need.exclude else ""
        if not open_seats:
            return f"no node{among} is up and takes jobs"
        if all(seat.cpus < need.cpus for seat in open_seats):
            return f"no node{among} has {need.cpus} processors"
        if need.memory and all(seat.memory < need.memory for seat in open_seats):
            return f"no node{among} has {need.memory} bytes of memory"
        return f"the nodes{among} have too few processors for {need.degree} processes"

    def overload(self, name: NodeName, spare: float) -> float:
        """Processors that are wanted on a node over those it has and `spare`; 0 when none are."""
        seat = self._seats.get(name)
        if seat is None or not seat.is_open:
            return 0.0
        return max(0.0, seat.others() + seat.batch - seat.cpus - spare)

    def _candidates(self, need: Need, is_idle: bool = False) -> Iterable[_Seat]:
        """Seats that may serve, the idlest first (or in any order when all are to be idle)."""
        never = frozenset(need.exclude)
        if need.nodes:
            named = [self._seats[NodeName(n)] for n in need.nodes if n in self._seats]
            yield from sorted(
                (seat for seat in named if seat.name not in never), key=lambda s: (-s.free, s.turn)
            )
            return
        if is_idle:
            yield from (seat for seat in self._seats.values() if seat.name not in never)
            return
        for free in sorted(self._by_free, reverse=True):
            if free < need.cpus:
                return
            for name in list(self._by_free[free]):
                if name not in never:
                    yield self._seats[name]

    def _seat(self, name: NodeName) -> _Seat:
        seat = self._seats.get(name)
        if seat is None:
            self._turn += 1
            seat = self._seats[name] = _Seat(name, self._turn)
        return seat

    def _change(self, name: NodeName, need: Need, by: int, now: float) -> None:
        seat = self._seat(name)
        seat.settle(now)
        seat.batch += by * need.cpus
        seat.claimed += by * need.memory
        if seat.batch < 0 or seat.claimed < 0:
            raise ValueError(f"{name} gives back a seat that nobody took")
        self._refresh(seat, now)

    def _refresh(self, seat: _Seat, now: float) -> None:
        seat.settle(now)
        free = seat.count()
        if free == seat.free:
            return
        self.idle += free - seat.free
        if seat.free:
            same = self._by_free[seat.free]
            del same[seat.name]
            if not same:
                del self._by_free[seat.free]
        if free:
            self._by_free.setdefault(free, {})[seat.name] = None
        seat.free = free

"""The queue of batch jobs as data: its entries, what they wait for, whose turn it is. Pure.

Owns which entry may start next; knows no node (Seats does) and starts nothing (Batch does). An
array is one entry however many elements it has. Within a user entries are ordered by submission;
those with equal needs share a heap, because when one of them finds no room none of them does.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from glunix.ids import NodeName, Npid
from glunix.msg.batch import Array, Need, QueueRow, Run, Terms


@dataclass(slots=True)
class Entry:
    """One queued job, or one array. Times are seconds since the epoch."""

    npid: Npid
    uid: int
    home: NodeName
    terms: Terms
    surroundings: int
    submitted: float
    order: int
    next: int
    again: list[int] = field(default_factory=list)
    runs: dict[Npid, Run] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    after: set[Npid] = field(default_factory=set)
    """Those of `terms.after` that are not over."""
    held: bool = False
    has_run: bool = False
    """Whether its own NPID was that of a run."""
    worst: int = 0
    signal: int = 0
    is_cancelled: bool = False
    is_queued: bool = False
    """Whether it is in its user's line."""
    is_parked: bool = False
    """Whether its home is away."""

    @property
    def need(self) -> Need:
        """What one run must find."""
        return self.terms.need

    @property
    def last(self) -> int:
        """The last index that it has."""
        array = self.terms.array
        return 0 if array is None else array.first + (len(array) - 1) * array.step

    def pending(self) -> int:
        """Runs that have not been started."""
        step = self.terms.array.step if self.terms.array else 1
        fresh = (self.last - self.next) // step + 1 if self.next <= self.last else 0
        return fresh + len(self.again)

    def is_over(self) -> bool:
        """Whether nothing of it runs or waits."""
        return not self.runs and not self.pending()

    def blocked(self) -> str:
        """What keeps it from starting, apart from nodes and other users; empty when nothing."""
        if self.held:
            return "it is held (glubatch --release)"
        if self.after:
            some = ", ".join(str(npid) for npid in sorted(self.after)[:8])
            more = "..." if len(self.after) > 8 else ""
            return f"it starts after {some}{more}"
        array: Array | None = self.terms.array
        if array is not None and array.at_once and len(self.runs) >= array.at_once:
            return f"{array.at_once} of the array run at a time"
        return ""

    def may_start(self) -> bool:
        """Whether it has a run that only waits for nodes and its turn."""
        if self.is_parked or self.is_cancelled or not self.pending():
            return False
        return not self.blocked()

    def size(self) -> int:
        """Runs that it has in all."""
        return len(self.terms.array) if self.terms.array else 1

    def take_index(self) -> int:
        """The index of the next run; 0 when it is no array."""
        if self.again:
            return heapq.heappop(self.again)
        index = self.next
        self.next += self.terms.array.step if self.terms.array else 1
        return index

    def put_back(self, index: int) -> None:
        """This index is to run (again)."""
        heapq.heappush(self.again, index)

    def cancel(self) -> None:
        """Nothing more of it starts."""
        self.is_cancelled = True
        self.again.clear()
        self.next = self.last + 1

    def row(self) -> QueueRow:
        """As the journal keeps it."""
        return QueueRow(
            npid=self.npid,
            uid=self.uid,
            home=self.home,
            terms=self.terms,
            surroundings=self.surroundings,
            submitted=self.submitted,
            order=self.order,
            next=self.next,
            again=list(self.again),
            runs=list(self.runs.values()),
            tries=dict(self.tries),
            worst=self.worst,
            signal=self.signal,
            held=self.held,
            has_run=self.has_run,
        )


def entry_of(row: QueueRow) -> Entry:
    """An entry as the journal has it; ValueError when the row contradicts itself."""
    array = row.terms.array
    first = array.first if array else 0
    if row.next < first or len({run.npid for run in row.runs}) < len(row.runs):
        raise ValueError("the row contradicts itself")
    entry = Entry(
        npid=Npid(row.npid),
        uid=row.uid,
        home=NodeName(row.home),
        terms=row.terms,
        surroundings=row.surroundings,
        submitted=row.submitted,
        order=row.order,
        next=row.next,
        again=sorted(row.again),
        runs={Npid(run.npid): run for run in row.runs},
        tries=dict(row.tries),
        held=row.held,
        has_run=row.has_run,
        worst=row.worst,
        signal=row.signal,
    )
    if entry.is_over():
        raise ValueError("nothing of it is left")
    return entry


class _Line:
    """One user's entries that may start: a heap for each kind of need, and a heap of their firsts.

    What may not start any more is found out, and taken out, when it comes up.
    """

    def __init__(self, entries: dict[Npid, Entry]) -> None:
        self._entries = entries
        self._kinds: dict[Need, list[tuple[int, Npid]]] = {}
        self._first: dict[Need, tuple[int, Npid]] = {}
        self._shown: dict[tuple[int, Npid], Need] = {}
        self._tops: list[tuple[int, Npid]] = []
        self._aside: list[tuple[int, Npid]] = []

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def __contains__(self, entry: Entry) -> bool:
        return (entry.order, entry.npid) in self._kinds.get(entry.need, ())

    def put(self, entry: Entry) -> None:
        """An entry that may start, and is not in here."""
        entry.is_queued = True
        key = (entry.order, entry.npid)
        heap = self._kinds.setdefault(entry.need, [])
        heapq.heappush(heap, key)
        if heap[0] == key:
            self._show(entry.need, key)

    def first(self) -> Entry | None:
        """The entry whose turn it is, except what was set aside."""
        while self._tops:
            key = self._tops[0]
            entry = self._entries.get(key[1])
            if entry is not None and entry.order == key[0] and entry.may_start():
                return entry
            heapq.heappop(self._tops)
            self._next(key)
        return None

    def set_aside(self) -> None:
        """The first entry, and all of its kind of need, is not to come up until `end`."""
        self._aside.append(heapq.heappop(self._tops))

    def end(self) -> None:
        """A round is over: what was set aside comes up again."""
        for key in self._aside:
            heapq.heappush(self._tops, key)
        self._aside.clear()

    def _next(self, key: tuple[int, Npid]) -> None:
        """`key` came up and may not start: show who is behind it."""
        need = self._shown.pop(key, None)
        if need is None or self._first.get(need) != key:
            return  # another one of its kind has come up since
        heap = self._kinds[need]
        while heap:
            behind = self._entries.get(heap[0][1])
            if behind is not None and behind.order == heap[0][0]:
                if behind.may_start():
                    self._show(need, heap[0])
                    return
                behind.is_queued = False
            heapq.heappop(heap)
        del self._kinds[need], self._first[need]

    def _show(self, need: Need, key: tuple[int, Npid]) -> None:
        self._first[need] = key
        self._shown[key] = need
        heapq.heappush(self._tops, key)


class Queue:
    """All entries, in the order of their submission."""

    def __init__(self) -> None:
        self.entries: dict[Npid, Entry] = {}
        self.runs: dict[Npid, Entry] = {}
        """NPID of a run -> its entry."""
        self.asked: Counter[int] = Counter()
        """uid -> runs that his entries have in all, also those that are over."""
        self._parked: dict[NodeName, list[Entry]] = {}
        self.running: Counter[int] = Counter()
        """uid -> runs of his entries that were started; perhaps with zeros."""
        self.lines: dict[int, _Line] = {}
        """uid -> his entries that may start; empty ones are taken out by `end_round`."""
        self._dependents: dict[Npid, list[Npid]] = {}
        self._needs: dict[Need, Need] = {}
        self._order = 0

    def next_order(self) -> int:
        """The number of the next submission."""
        self._order += 1
        return self._order

    def shared(self, terms: Terms) -> Terms:
        """The same terms with a `need` that equal ones share."""
        need = self._needs.setdefault(terms.need, terms.need)
        return terms if need is terms.need else msgspec.structs.replace(terms, need=need)

    def add(self, entry: Entry, is_live: Iterable[Npid]) -> None:
        """A new entry, or one of the journal; `is_live` are those of `terms.after` still open."""
        self.entries[entry.npid] = entry
        self._order = max(self._order, entry.order)
        self.asked[entry.uid] += entry.size()
        for npid in entry.runs:
            self.runs[npid] = entry
            self.running[entry.uid] += 1
        self.wait_for(entry, is_live)

    def wait_for(self, entry: Entry, is_live: Iterable[Npid]) -> None:
        """It may not start before these are over."""
        entry.after = set(is_live)
        for npid in entry.after:
            self._dependents.setdefault(npid, []).append(entry.npid)
        self.offer(entry)

    def offer(self, entry: Entry) -> None:
        """Put it where its turn comes, if it may start."""
        if entry.is_queued or not entry.may_start():
            return
        if entry.uid not in self.lines:
            self.lines[entry.uid] = _Line(self.entries)
        self.lines[entry.uid].put(entry)

    def park(self, entry: Entry) -> None:
        """Its home is away: it is out of the line until `home_up`."""
        entry.is_parked = True
        self._parked.setdefault(entry.home, []).append(entry)

    def home_up(self, name: NodeName) -> None:
        """A home is there (again)."""
        for entry in self._parked.pop(name, ()):
            entry.is_parked = False
            if self.entries.get(entry.npid) is entry:
                self.offer(entry)

    def end_round(self) -> None:
        """What was set aside comes up again."""
        for uid, line in list(self.lines.items()):
            line.end()
            if not line:
                del self.lines[uid]

    def begin(self, entry: Entry, npid: Npid, run: Run) -> None:
        """A run of it was given nodes."""
        entry.runs[npid] = run
        self.runs[npid] = entry
        self.running[entry.uid] += 1

    def end(self, npid: Npid) -> tuple[Entry, Run]:
        """A run is over."""
        entry = self.runs.pop(npid)
        self.running[entry.uid] -= 1
        return entry, entry.runs.pop(npid)

    def remove(self, entry: Entry) -> None:
        """An entry is over."""
        del self.entries[entry.npid]
        self.asked[entry.uid] -= entry.size()
        if not self.entries:
            self._needs.clear()

    def over(self, npid: Npid) -> None:
        """A job, of the queue or not, is over: what waited for it does so no more."""
        for dependent in self._dependents.pop(npid, ()):
            entry = self.entries.get(dependent)
            if entry is not None:
                entry.after.discard(npid)
                self.offer(entry)

    def place(self, entry: Entry) -> int:
        """How many entries that have something to start were submitted before it, and 1."""
        before = 1
        for other in self.entries.values():
            if other is entry:
                break
            before += bool(other.pending())
        return before

    def check(self) -> None:
        """AssertionError unless the indexes agree."""
        asked: Counter[int] = Counter()
        running: Counter[int] = Counter()
        for npid, entry in self.entries.items():
            assert entry.npid == npid and not entry.is_over(), entry
            assert all(self.runs[run] is entry for run in entry.runs)
            running[entry.uid] += len(entry.runs)
            asked[entry.uid] += entry.size()
            if entry.may_start():
                assert entry.is_queued and entry in self.lines[entry.uid], entry
            assert all(npid in self._dependents[other] for other in entry.after)
        assert +asked == +self.asked, (asked, self.asked)
        assert +running == +self.running, (running, self.running)
        assert sum(len(entry.runs) for entry in self.entries.values()) == len(self.runs)

"""Runs guests each way and says what differs from native: the cells of the published matrix.

Never prints. A cell's differences are judged against differences.py, the same list as the tests'.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from glunix.compare.differences import Known, known
from glunix.compare.guest import Guest
from glunix.compare.latency import SUBJECT, Latency, measure
from glunix.compare.launch import Outcome, Wrap
from glunix.compare.runner import DEADLINE, Late, compare, oracle, problems, run, unmet
from glunix.compare.ways import REGISTRY, Reach, Subject

HANGING = 4.0
"""Seconds for what is known not to end."""


class Verdict(enum.Enum):
    """What became of a guest one way."""

    SAME = "same"
    DIFFERS = "differs"
    CANNOT = "cannot"


@dataclass(frozen=True)
class Cell:
    """One guest one way. line: its first difference from native, or why it cannot be run.

    listed: what differences.py says of it. tries: 2 when a difference that nobody listed made us
    run both again; `line` is then that difference, also when the second pair was the same.
    """

    guest: str
    way: str
    verdict: Verdict
    line: str = ""
    listed: Known | None = None
    tries: int = 1

    @property
    def unexpected(self) -> bool:
        """A difference that nobody listed."""
        return self.verdict is Verdict.DIFFERS and self.listed is None

    @property
    def outdated(self) -> bool:
        """Listed as a difference that is always seen, and not seen."""
        return self.verdict is Verdict.SAME and self.listed is not None and self.listed.always


@dataclass(frozen=True)
class Matrix:
    """What was compared: rows are guests, columns are ways; `latencies` by way, native's too."""

    guests: tuple[Guest, ...]
    ways: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    latencies: dict[str, Latency]

    @property
    def unexpected(self) -> list[Cell]:
        """The cells that make a comparison fail."""
        return [cell for cell in self.cells.values() if cell.unexpected]

    def count(self, way: str, verdict: Verdict) -> int:
        """How many guests of a way have this verdict."""
        found = (self.cells[guest.name, way] for guest in self.guests)
        return sum(cell.verdict is verdict for cell in found)


def one(guest: Guest, way: str, reach: Callable[[], Reach]) -> Cell:
    """Run one guest one way and compare it with native (which is run once a process)."""
    listed = known(way, guest.name)
    reason = REGISTRY[way].missing() or unmet(guest)
    if reason:
        return Cell(guest.name, way, Verdict.CANNOT, reason, listed)
    expected = _native(guest, oracle)
    if isinstance(expected, str):
        return Cell(guest.name, way, Verdict.CANNOT, f"natively: {expected}", listed)
    wrap = REGISTRY[way].make(Subject.of(guest), reach)
    hangs = listed is not None and listed.hangs
    deadline = HANGING if hangs else DEADLINE * REGISTRY[way].patience
    line = _difference(guest, wrap, expected, deadline)
    verdict, tries = (Verdict.DIFFERS if line else Verdict.SAME), 1
    if line and listed is None:
        tries, expected = 2, _native(guest, run)
        if isinstance(expected, str) or not _difference(guest, wrap, expected, deadline):
            verdict = Verdict.SAME
    return Cell(guest.name, way, verdict, line, listed, tries)


def _difference(guest: Guest, wrap: Wrap, expected: Outcome, deadline: float) -> str:
    """The first line in which a run differs, or nothing."""
    try:
        got = run(guest, wrap, deadline=deadline)
    except Late as late:
        return str(late).partition("\n")[0]
    found = compare(expected, got)
    said = (line for line in found if not line.startswith("status"))  # a status tells little
    return next(said, next(iter(found), ""))


def _native(guest: Guest, make: Callable[[Guest], Outcome]) -> Outcome | str:
    """What native Linux makes of it, or how it fails even there."""
    try:
        outcome = make(guest)
    except Late as late:
        return str(late).partition("\n")[0]
    return next(iter(problems(guest, outcome)), outcome)


def compared(
    guests: Sequence[Guest],
    ways: Sequence[str],
    reach: Callable[[], Reach],
    workers: int,
    done: Callable[[int, int, str], None],
) -> Matrix:
    """Run everything, `workers` at a time; `done(number, of, what)` after each.

    Latencies are measured first, alone on the machine.
    """
    latencies = {}
    tasks = len(ways) + 1 + len(guests) * len(ways)
    count = 0

    def tell(what: str) -> None:
        nonlocal count
        count += 1
        done(count, tasks, what)

    for way in ("native", *ways):
        latencies[way] = _latency(way, reach)
        tell(f"latencies, {REGISTRY[way].title}")
    cells = {}
    for cell in _run_all(guests, ways, reach, workers):
        cells[cell.guest, cell.way] = cell
        tell(f"{cell.guest}, {REGISTRY[cell.way].title}")
    return Matrix(tuple(guests), tuple(ways), cells, latencies)


def _latency(way: str, reach: Callable[[], Reach]) -> Latency:
    reason = REGISTRY[way].missing()
    return Latency({}, reason) if reason else measure(REGISTRY[way].make(SUBJECT, reach))


def _run_all(
    guests: Sequence[Guest], ways: Sequence[str], reach: Callable[[], Reach], workers: int
) -> Iterator[Cell]:
    """A guest at a time to each worker, all ways of it in turn: native is run before the others."""

    def row(guest: Guest) -> list[Cell]:
        return [one(guest, way, reach) for way in ways]

    with ThreadPoolExecutor(workers) as pool:
        try:
            for cells in pool.map(row, guests):
                yield from cells
        finally:
            pool.shutdown(cancel_futures=True)

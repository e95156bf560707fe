"""Memory of a running job copied in rounds into the file of pages, so that a freeze finds little
left to copy. The rule when to stop is pure (`enough`).

Every page is copied at least once; of what is written meanwhile the last copy counts, and only if
the page is still there when the job is frozen.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from migration import image
from migration.native import areas, pages, proc
from migration.native.dirty import Tracker, Way, best_way
from migration.native.model import Run
from migration.native.proc import Map
from migration.native.ranges import (
    Range,
    covered,
    difference,
    intersection,
    overlaid,
    restricted,
    size,
)

MOST_ROUNDS = 8
AIM = 0.020
"""Seconds that copying the rest may take when the job is frozen."""
SHRINKS = 0.8


@dataclass(frozen=True, slots=True)
class Round:
    """What a round copied, and how long it took."""

    copied: int  # bytes
    seconds: float

    @property
    def rate(self) -> float:
        return self.copied / self.seconds if self.seconds > 0 else float("inf")


def enough(rounds: list[Round]) -> bool:
    """Would another round not pay? The last one's bytes tell what a freeze would find written."""
    if not rounds:
        return False
    if len(rounds) >= MOST_ROUNDS:
        return True
    last = rounds[-1]
    best = max(one.rate for one in rounds)
    if last.copied <= AIM * best:
        return True
    return len(rounds) > 1 and last.copied > SHRINKS * rounds[-2].copied


class Precopy:
    """The rounds over all processes of a job. Those born later are copied when it is frozen."""

    def __init__(self, root: int, folder: str, way: Way | None = None) -> None:
        self.way = way or best_way()
        self._fd = image.create(folder, image.PAGES)
        self.page_file = pages.PageFile(self._fd)
        self.rounds: list[Round] = []
        self._trackers: dict[int, Tracker] = {}
        self._kept: dict[int, list[Run]] = {}
        try:
            for pid in proc.family(root) if self.way is not Way.NONE else []:
                try:
                    if proc.stat(pid)[3] not in "ZX":
                        self._trackers[pid] = Tracker(pid, self.way)
                except ProcessLookupError:
                    continue
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is noticed any more; what was copied stays in the file."""
        for tracker in self._trackers.values():
            tracker.close()
        self._trackers = {}
        os.close(self._fd)

    @property
    def armed(self) -> bool:
        """Are there userfaultfds of ours in the job?"""
        return self.way is Way.WRITE_PROTECT and bool(self._trackers)

    def run(self) -> list[Round]:
        """Rounds until another one would not pay."""
        while self._trackers and not enough(self.rounds):
            self.round()
        return self.rounds

    def round(self) -> None:
        """Copy what was written since the last; the first copies everything."""
        begun, before = time.monotonic(), self.page_file.size
        for pid, tracker in list(self._trackers.items()):
            try:
                self._round_of(pid, tracker)
            except (ProcessLookupError, FileNotFoundError):
                continue  # it has ended
        copied = self.page_file.size - before
        self.rounds.append(Round(copied, time.monotonic() - begun))

    def _round_of(self, pid: int, tracker: Tracker) -> None:
        first = pid not in self._kept
        maps = [one for one in proc.maps(pid) if areas.has_own_pages(one)]
        wanted: list[tuple[Map, list[Range]]] = []
        with tracker.between_rounds():
            for one in maps:
                written = tracker.written(one, begin_anew=True)
                carry = tracker.to_carry(one)
                wanted.append((one, carry if first else intersection(carry, written)))
        new: list[Run] = []
        for one, ranges in wanted:
            for start, end in ranges:
                new += self._copy(pid, start, end, one.protection)
        self._kept[pid] = overlaid(self._kept.get(pid, []), new)

    def _copy(self, pid: int, start: int, end: int, protection: int) -> list[Run]:
        """What is unmapped meanwhile is not there when it is frozen, either."""
        runs: list[Run] = []
        try:
            for piece in pages.read(pid, start, end, protection):
                # Zeroes are kept: an older copy of the page must not be taken for it.
                runs.append(Run(start, start + len(piece), self.page_file.append(piece)))
                start += len(piece)
        except OSError:
            pass
        return runs

    def split(self, pid: int, one: Map, carry: list[Range]) -> tuple[list[Run], list[Range]]:
        """Of what a frozen mapping has: what was copied and is still so, and what is to be read."""
        tracker = self._trackers.get(pid)
        if tracker is None or not carry:
            return [], carry
        unchanged = difference(carry, tracker.written(one, begin_anew=False))
        kept = restricted(self._kept.get(pid, []), unchanged)
        return kept, difference(carry, covered(kept))

    def left(self) -> int:
        """Bytes that a freeze now would still have to copy."""
        return sum(
            size(intersection(tracker.to_carry(one), tracker.written(one, begin_anew=False)))
            for pid, tracker in self._trackers.items()
            for one in proc.maps(pid)
            if areas.has_own_pages(one)
        )

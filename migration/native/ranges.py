"""Sets of addresses as sorted lists of ranges, and pages kept of them (`Run`). Pure.

Ranges are half-open, do not overlap and are in order; so are the runs of a list.
"""

from __future__ import annotations

from collections.abc import Iterable

from migration.native.model import Run

Range = tuple[int, int]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Sorted, with neighbours and overlaps joined."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif start < end:
            found.append((start, end))
    return found


def intersection(one: list[Range], other: list[Range]) -> list[Range]:
    """What is in both."""
    found: list[Range] = []
    i = j = 0
    while i < len(one) and j < len(other):
        start, end = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if start < end:
            found.append((start, end))
        if one[i][1] <= other[j][1]:
            i += 1
        else:
            j += 1
    return found


def difference(one: list[Range], other: list[Range]) -> list[Range]:
    """What is in `one` only."""
    found: list[Range] = []
    j = 0
    for start, end in one:
        while j < len(other) and other[j][1] <= start:
            j += 1
        at, k = start, j
        while k < len(other) and other[k][0] < end:
            if other[k][0] > at:
                found.append((at, other[k][0]))
            at = max(at, other[k][1])
            k += 1
        if at < end:
            found.append((at, end))
    return found


def covered(runs: list[Run]) -> list[Range]:
    """The addresses of runs."""
    return [(run.start, run.end) for run in runs]


def restricted(runs: list[Run], to: list[Range]) -> list[Run]:
    """The parts of the runs that lie in `to`."""
    found: list[Run] = []
    j = 0
    for run in runs:
        while j < len(to) and to[j][1] <= run.start:
            j += 1
        k = j
        while k < len(to) and to[k][0] < run.end:
            start, end = max(run.start, to[k][0]), min(run.end, to[k][1])
            found.append(Run(start, end, run.at + start - run.start))
            k += 1
    return found


def overlaid(old: list[Run], new: list[Run]) -> list[Run]:
    """The new runs, and of the old ones what the new do not cover."""
    kept = restricted(old, difference(covered(old), joined(covered(new))))
    return sorted([*kept, *new], key=lambda run: run.start)


def size(ranges: Iterable[Range]) -> int:
    """Bytes."""
    return sum(end - start for start, end in ranges)

"""migration.native.ranges against sets of numbers and a dictionary of pages."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from migration.native.model import Run
from migration.native.ranges import (
    Range,
    covered,
    difference,
    intersection,
    joined,
    overlaid,
    restricted,
    size,
)

NUMBERS = st.frozensets(st.integers(0, 40))


def ranges(numbers: frozenset[int]) -> list[Range]:
    return joined((n, n + 1) for n in numbers)


def numbers(found: list[Range]) -> set[int]:
    return {n for start, end in found for n in range(start, end)}


def in_order(found: list[Range]) -> bool:
    return all(a[1] <= b[0] for a, b in pairwise(found))


@given(NUMBERS, NUMBERS)
def test_sets(one: frozenset[int], other: frozenset[int]) -> None:
    a, b = ranges(one), ranges(other)
    assert numbers(a) == one and size(a) == len(one)
    assert numbers(intersection(a, b)) == one & other
    assert numbers(difference(a, b)) == one - other
    assert in_order(intersection(a, b)) and in_order(difference(a, b))


@given(st.lists(NUMBERS, max_size=5), NUMBERS)
def test_the_newest_copy_of_a_page_is_the_one_that_is_kept(
    rounds: list[frozenset[int]], kept: frozenset[int]
) -> None:
    at = 0
    latest: list[Run] = []
    model: dict[int, int] = {}
    for one in rounds:
        new = []
        for start, end in ranges(one):
            new.append(Run(start, end, at))
            model.update({n: at + n - start for n in range(start, end)})
            at += end - start
        latest = overlaid(latest, new)
        assert in_order(covered(latest))
    assert {n: run.at + n - run.start for run in latest for n in range(run.start, run.end)} == model
    few = restricted(latest, ranges(kept))
    found = {n: run.at + n - run.start for run in few for n in range(run.start, run.end)}
    assert found == {n: where for n, where in model.items() if n in kept}

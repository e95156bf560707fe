"""Every guest under every registered way to run programs gives what it gives natively."""

from __future__ import annotations

import pytest
from realprograms.programs import PROGRAMS

from glunix.compare.differences import DIFFERENCES, Known, known
from glunix.compare.guest import Guest
from glunix.compare.runner import DEADLINE, Late, compare, discover, oracle, run, unmet, variants
from glunix.compare.ways import REGISTRY, Subject

from . import systems, wraps
from .judge import judge

HANGING = 4.0  # seconds for what is known not to end
NAMES = {guest.name for guest in variants(discover())}


@pytest.mark.parametrize("way", wraps.chosen())
def test_way_can_be_had(way: str) -> None:
    reason = REGISTRY[way].missing()
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("guest", variants(discover()), ids=lambda guest: guest.name)
@pytest.mark.parametrize("way", wraps.present())
def test_same_as_native(way: str, guest: Guest) -> None:
    lacking = unmet(guest)
    if lacking:
        pytest.skip(lacking)
    wrap = systems.wrap(way, Subject.of(guest))
    expected = oracle(guest)
    listed = known(way, guest.name)
    hangs = listed is not None and listed.hangs
    try:
        got = run(guest, wrap, deadline=HANGING if hangs else DEADLINE * REGISTRY[way].patience)
    except Late as late:
        differences = [str(late)]
    else:
        differences = compare(expected, got)
    judge(way, guest.name, differences)


def test_listed_differences_are_of_known_ways_and_subjects() -> None:
    for way, table in DIFFERENCES.items():
        assert way in REGISTRY
        assert set(table) <= NAMES | {program.name for program in PROGRAMS}


def test_judge_tells_unknown_and_outdated_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIFFERENCES, "glurun", {"listed": Known("why")})
    judge("glurun", "other", [])
    judge("glurun", "listed", ["line 1"])
    with pytest.raises(AssertionError):
        judge("glurun", "other", ["line 1"])
    with pytest.raises(AssertionError, match="no longer differs"):
        judge("glurun", "listed", [])

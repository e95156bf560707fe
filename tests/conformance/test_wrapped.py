"""Every guest under every registered way to run programs gives what it gives natively."""

from __future__ import annotations

import pytest
from realprograms.programs import PROGRAMS

from . import wraps
from .differences import DIFFERENCES, Known, judge, known
from .guest import Guest
from .runner import DEADLINE, Late, compare, discover, oracle, run, unmet, variants

HANGING = 4.0  # seconds for what is known not to end
NAMES = {guest.name for guest in variants(discover())}


@pytest.mark.parametrize("way", wraps.chosen())
def test_way_can_be_had(way: str) -> None:
    reason = wraps.REGISTRY[way].missing()
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("guest", variants(discover()), ids=lambda guest: guest.name)
@pytest.mark.parametrize("way", wraps.present())
def test_same_as_native(way: str, guest: Guest) -> None:
    entry = wraps.REGISTRY[way]
    lacking = unmet(guest)
    if lacking:
        pytest.skip(lacking)
    wrap = entry.make(wraps.Subject.of(guest))
    if isinstance(wrap, wraps.Unavailable):
        pytest.skip(wrap.reason)
    expected = oracle(guest)
    listed = known(way, guest.name)
    hangs = listed is not None and listed.hangs
    try:
        got = run(guest, wrap, deadline=HANGING if hangs else DEADLINE * entry.patience)
    except Late as late:
        differences = [str(late)]
    else:
        differences = compare(expected, got)
    judge(way, guest.name, differences)


def test_listed_differences_are_of_known_ways_and_subjects() -> None:
    for way, table in DIFFERENCES.items():
        assert way in wraps.REGISTRY
        assert set(table) <= NAMES | {program.name for program in PROGRAMS}


def test_judge_tells_unknown_and_outdated_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIFFERENCES, "glurun", {"listed": Known("why")})
    judge("glurun", "other", [])
    judge("glurun", "listed", ["line 1"])
    with pytest.raises(AssertionError):
        judge("glurun", "other", ["line 1"])
    with pytest.raises(AssertionError, match="no longer differs"):
        judge("glurun", "listed", [])

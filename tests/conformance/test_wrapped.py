"""Every guest under every registered way to run programs gives what it gives natively."""

from __future__ import annotations

from functools import cache

import pytest

from . import wraps
from .guest import Guest
from .runner import DEADLINE, Outcome, compare, discover, run, unmet, variants


@cache
def oracle(guest: Guest) -> Outcome:
    return run(guest)


@pytest.mark.parametrize("guest", variants(discover()), ids=lambda guest: guest.name)
@pytest.mark.parametrize("way", wraps.OTHERS)
def test_same_as_native(way: str, guest: Guest) -> None:
    entry = wraps.REGISTRY[way]
    lacking = unmet(guest)
    if lacking:
        pytest.skip(lacking)
    wrap = entry.make(wraps.Subject.of(guest))
    if isinstance(wrap, wraps.Unavailable):
        pytest.skip(wrap.reason)
    expected = oracle(guest)
    got = run(guest, wrap, deadline=DEADLINE * entry.patience)
    differences = compare(expected, got)
    if guest.name in entry.differs:
        assert differences, f"no longer differs: {entry.differs[guest.name]}"
    else:
        assert not differences

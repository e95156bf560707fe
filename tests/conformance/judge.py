"""What a test makes of a difference: glunix.compare.differences is the list."""

from __future__ import annotations

import pytest

from glunix.compare.differences import Kind, known


def judge(way: str, subject: str, differences: list[str]) -> None:
    """Fails on an unknown difference and on a known one that is gone; OPEN ones are xfails."""
    expected = known(way, subject)
    if expected is None:
        assert not differences, "\n".join(differences)
    elif not differences:
        assert not expected.always, f"no longer differs, take it off the list: {expected.why}"
    elif expected.kind is Kind.OPEN:
        pytest.xfail(f"{expected.why} ({differences[0][:200]})")

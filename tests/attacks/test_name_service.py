"""A name service that does not answer stops no node."""

from __future__ import annotations

import os
import time

import pytest

from glunix.daemon import accounts
from glunix.errors import Refused
from glunix.msg.job import Owner


def test_a_name_service_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to ask waits a moment, the others do not; a late answer serves who comes then."""
    known = accounts.Accounts()

    def slow(uid: int) -> Owner | None:
        time.sleep(1.5)
        return Owner(uid, 7, [8]) if uid == 20041 else None

    monkeypatch.setattr(accounts, "look_up", slow)
    began = time.monotonic()
    for uid in (20041, 20041, 20041, 20042):
        with pytest.raises(Refused, match="name service does not answer"):
            known.owner(uid)
    assert time.monotonic() - began < 1.0
    time.sleep(2.0)  # the name service's own time
    assert known.owner(20041) == Owner(20041, 7, [8])
    assert known.owner(20042) is None
    for _ in range(2):
        os.wait()


def test_it_is_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    known = accounts.Accounts()
    first = known.owner(0)
    assert first is not None and (first.uid, first.gid) == (0, 0)
    monkeypatch.setattr(accounts, "look_up", None)
    assert known.owner(0) == first
    os.wait()

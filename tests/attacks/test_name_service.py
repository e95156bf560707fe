"""A name service that does not answer stops no node."""

from __future__ import annotations

import os
import time

import pytest

from glunix.daemon import accounts
from glunix.daemon.accounts import Account
from glunix.errors import Refused

ALICE = Account(20041, 7, [7, 8], False, {})
NOBODY = Account(20042, -1, [], False, {})


def test_a_name_service_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to ask waits a moment, the others do not; a late answer serves who comes then."""
    known = accounts.Accounts()

    def slow(uid: int, names: tuple[str, ...]) -> Account:
        time.sleep(1.5)
        return ALICE if uid == 20041 else NOBODY

    monkeypatch.setattr(accounts, "look_up", slow)
    began = time.monotonic()
    for uid in (20041, 20041, 20041, 20042):
        with pytest.raises(Refused, match="name service does not answer"):
            known.account(uid)
    assert time.monotonic() - began < 1.0
    time.sleep(2.0)  # the name service's own time
    assert known.account(20041) == ALICE
    assert known.account(20042) == NOBODY
    for _ in range(2):
        os.wait()


def test_it_is_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    known = accounts.Accounts()
    first = known.account(0)
    assert (first.uid, first.primary) == (0, 0)
    monkeypatch.setattr(accounts, "look_up", None)
    assert known.account(0) == first
    os.wait()

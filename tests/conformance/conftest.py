"""Ends the cluster that the glurun ways share."""

from __future__ import annotations

import pytest

from . import systems


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    systems.close()

"""The lab of network-namespace nodes: what a test breaks of it, it mends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .lab import Lab, missing, running_lab


@pytest.fixture(scope="package")
def can_lab() -> None:
    """Skips, and says why, where no lab can be."""
    if why := missing():
        pytest.skip(f"no namespace lab: {why}")


@pytest.fixture(scope="package")
def shared_lab(can_lab: None) -> Iterator[Lab]:
    """Home and three nodes, up."""
    with running_lab(3) as lab:
        yield lab

"""Fixtures: every engine, a folder of compiled guests, and a check that nothing leaks."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from guests import build

from slic.engine import ANSWERING, Engine, engines

ALL = {name: engines()[name] for name in ANSWERING}  # ebpf answers nothing: its own tests


@pytest.fixture(params=list(ALL))
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen = ALL[request.param]
    if why := chosen.unavailable():
        pytest.skip(f"engine {chosen.name}: {why}")
    return chosen


@pytest.fixture(scope="session")
def guest_folder() -> Iterator[Path]:
    """Not under pytest's own folder, which no other user may enter: some guests change theirs."""
    with tempfile.TemporaryDirectory(prefix="slic-guests-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def guest(guest_folder: Path) -> Callable[..., str]:
    return lambda name, source, *flags: build(guest_folder, name, source, *flags)


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    before, others = set(os.listdir("/proc/self/fd")), _children()
    yield
    assert set(os.listdir("/proc/self/fd")) == before
    assert _children() <= others  # every child has been waited for


def _children() -> set[str]:
    """Children of this process, zombies too: a fixture of other tests may have some."""
    tasks = Path("/proc/self/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}

"""Fixtures: every engine, a folder of compiled guests, and a check that nothing leaks."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ebpf_helpers import ALL as EVERYTHING
from guests import build

from slic.ebpf.monitor import Monitor
from slic.engine import Engine
from slic.registry import ANSWERING, engines

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


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    """BPF programs in the kernel; for tests marked `needs_bpf`."""
    with Monitor(EVERYTHING, slots=8, ring=1 << 24) as found:
        yield found


STORM = r"""
int main(int c, char **v) {
  int n = atoi(v[1]), width = atoi(v[2]), live = 0;
  for (int i = 0; i < n; i++) {
    pid_t p = fork();
    if (p == 0) _exit(i & 127);
    if (p < 0) return 1;
    if (++live >= width) { wait(0); live--; } }
  while (live-- > 0) wait(0);
  return 0; }
"""


@pytest.fixture
def storm(guest: Callable[..., str]) -> str:
    """`storm FORKS WIDTH`: forks so often, so many at a time."""
    return guest("storm", STORM)


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

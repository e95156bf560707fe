"""What a transparent job's end leaves at home: no shadow for init or a subreaper to wait for."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from e2e.cluster import Cluster, until

ORPHANS = Path(__file__).parent / "guests" / "orphans.py"
LIVES = "sleep 2 & echo up; exec sleep 100"
FORKS = "n=0; while [ $n -lt 60 ]; do /bin/true; n=$((n+1)); done; kill -9 $$"


@pytest.mark.parametrize(
    ("how", "script", "most"),
    [("half", LIVES, 1), ("startup", LIVES, 1), ("nothing", FORKS, 0)],
)
def test_shadows_are_waited_for(shared: Cluster, how: str, script: str, most: int) -> None:
    """One, home's half or what watched the shadows, may be left; never shadows, which are 32 and
    more: each would be a dead process that pid 1 has to reap."""
    line = [sys.executable, "-IS", str(ORPHANS), how, str(shared.bin / "glurun"), "-T"]
    for _ in range(2):
        seen = shared.run(*line, "sh", "-c", script, timeout=40)
        status, adopted, _ = seen.text.split(" ", 2)
        assert status == "9" and int(adopted) <= most, seen


def test_job_is_over_when_its_startup_is(shared: Cluster) -> None:
    """It was "ending" for 18 s: nobody told the master that the supervisor had ended it."""
    line = [sys.executable, "-IS", str(ORPHANS), "half", str(shared.bin / "glurun"), "-T"]
    name = f"sleep {time.time():.3f}"
    began = time.monotonic()
    seen = shared.run(*line, "sh", "-c", f"{name} & echo up; wait", timeout=40)
    assert seen.text.startswith("9 "), seen

    def rows() -> list[str]:
        return [row for row in shared.run("glups", "-a").text.split("\n") if name in row]

    assert rows()
    until(lambda: " killed (" in rows()[0], "the end of the job", 6)
    assert time.monotonic() - began < 12

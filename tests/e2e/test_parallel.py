"""The library in real processes: who a process is, and barriers over several daemons."""

from __future__ import annotations

import json
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from .cluster import ROOT, Cluster, everybodys_python

_SAYS = """
import json, os
from glunix.api import Process
with Process() as own:
    os.write(1, json.dumps([own.place.npid, own.place.vnn, own.place.degree, list(own.place.nodes)]).encode() + b"\\n")
"""

_BARRIERS = """
import os, sys, time
from glunix.api import Process
folder, rounds = sys.argv[1], int(sys.argv[2])
with Process() as own:
    for turn in range(rounds):
        open(f"{folder}/{turn}.{own.place.vnn}", "w").close()
        own.barrier(60)
        there = [name for name in os.listdir(folder) if name.startswith(f"{turn}.")]
        assert len(there) == own.place.degree, (turn, there)
os.write(1, b"passed %d\\n" % rounds)
"""


@pytest.fixture(scope="module")
def python() -> str:
    return everybodys_python() or sys.executable


_LIBRARY = f"PYTHONPATH={ROOT}:{sysconfig.get_path('purelib')}"


def ran(cluster: Cluster, degree: int, *words: str, timeout: float = 60) -> list[str]:
    command = ["glurun", "-n", str(degree), "env", _LIBRARY, *words]
    result = cluster.run(*command, timeout=timeout)
    assert result.status == 0, result
    return result.text.splitlines()


def test_a_process_is_who_its_daemon_says_whatever_its_environment(
    shared: Cluster, python: str
) -> None:
    lie = ["GLUNIX_NPID=1", "GLUNIX_VNN=0", "GLUNIX_DEGREE=9"]
    lines = ran(shared, 3, *lie, python, "-c", _SAYS)
    found = sorted(json.loads(line) for line in lines)
    assert [row[1] for row in found] == [0, 1, 2]
    assert len({row[0] for row in found}) == 1
    assert found[0][0] != 1
    assert all(row[2] == 3 and len(row[3]) == 3 for row in found)


@pytest.mark.parametrize("degree", [1, 2, 7])
def test_nobody_passes_a_barrier_before_all_have_come(
    shared: Cluster, python: str, tmp_path: Path, degree: int
) -> None:
    tmp_path.chmod(0o777)
    words = [python, "-c", _BARRIERS, str(tmp_path), "20"]
    assert ran(shared, degree, *words) == ["passed 20"] * degree


def test_a_process_that_ends_releases_the_others(shared: Cluster, python: str) -> None:
    script = """
import os, sys, time
from glunix.api import Process
own = Process()
if own.place.vnn == own.place.degree - 1:
    time.sleep(0.3)
    sys.exit(0)
try:
    own.barrier(30)
except Exception as error:
    os.write(1, f"{error}\\n".encode())
"""
    begun = time.monotonic()
    lines = ran(shared, 4, python, "-c", script)
    assert len(lines) == 3
    assert all(line.endswith(".3 has ended") for line in lines), lines
    assert time.monotonic() - begun < 20


def test_outside_of_a_job_there_is_nothing_to_wait_for(shared: Cluster, python: str) -> None:
    result = shared.run("env", _LIBRARY, "GLUNIX_NPID=1", python, "-c", _SAYS)
    assert result.status != 0
    assert "this process is of no job on this node" in result.complaint

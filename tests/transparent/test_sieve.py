"""A job's supervisor waits in C where that could be compiled (slic.kernel.sieve)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from e2e.cluster import Cluster, read_line

from .test_killed import pids_of, supervisor_of


def test_the_supervisor_has_it(shared: Cluster) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc: calls that concern nobody are let through in Python")
    words = "echo up; read x; exit 3; : sieved"
    with shared.start("glurun", "-T", "sh", "-c", words, stdin=subprocess.PIPE) as process:
        assert read_line(process) == "up"
        inside = [pid for pid in pids_of(words) if pid != process.pid]
        maps = {Path(f"/proc/{supervisor_of(shared, pid)}/maps").read_text() for pid in inside}
        assert len(maps) == 1 and "/sieve-" in maps.pop()
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
        assert process.wait(20) == 3

"""One shell line, run at home and under -T: native Linux is the oracle.

In a line, `$G` stands before each command that is to run on a node: nothing natively, `glurun -T`
under test.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from pathlib import Path

from e2e.cluster import TESTED_USER, Cluster, Result, everybodys_python, users_own

NATIVE, TRANSPARENT = "", "glurun -T"

PYTHON = sys.executable if os.geteuid() == TESTED_USER else everybodys_python() or ""
"""Not what a version manager puts on PATH: its shim takes 60 ms a start."""


class Both:
    """Runs lines in fresh folders and compares what they did."""

    def __init__(self, cluster: Cluster, place: Path) -> None:
        self.cluster = cluster
        self._place = place
        self._count = itertools.count(1)

    def run(self, line: str, level: str, timeout: float = 20.0) -> Result:
        """One level."""
        folder = self._place / str(next(self._count))  # lines may run side by side
        folder.mkdir()
        users_own(folder)
        env = {"G": level, "PYTHON": PYTHON, "PYTHONDONTWRITEBYTECODE": "1"}
        return self.cluster.shell(line, cwd=folder, env=env, timeout=timeout)

    def same(self, line: str, timeout: float = 20.0) -> Result:
        """Assert equal output, errors and status; returns the native result."""
        native = self.run(line, NATIVE, timeout)
        ours = self.run(line, TRANSPARENT, timeout)
        assert _plain(ours) == _plain(native), f"{line}\n  -T: {ours}\n  native: {native}"
        return native


def _plain(result: Result) -> tuple[int, bytes, bytes]:
    """Bash names a job that a signal ended by its pid and its words: both differ by nature."""
    err = re.sub(rb"(line \d+): +\d+ ", rb"\1: PID ", result.err)
    err = re.sub(rb" {2,}(\$G )?.*", b"", err)
    return result.status, result.out, err

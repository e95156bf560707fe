"""One shell line, run at home and under -T: native Linux is the oracle.

In a line, `$G` stands before each command that is to run on a node: nothing natively, `glurun -T`
under test.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import (
    TESTED_USER,
    Cluster,
    Result,
    as_tested_user,
    everybodys_python,
    users_own,
)

NATIVE, TRANSPARENT = "", "glurun -T"

PYTHON = sys.executable if os.geteuid() == TESTED_USER else everybodys_python() or ""
"""Not what a version manager puts on PATH: its shim takes 60 ms a start."""


@dataclass(frozen=True)
class Mounted:
    """A file system that only home has: the tested user's, in memory, on this folder."""

    name: str
    size: str = "64m"

    def words(self, *argv: str) -> list[str]:
        """The command, run by the tested user where that is mounted. Only root can."""
        options = f"size={self.size},uid={TESTED_USER},gid={TESTED_USER},mode=755"
        mount = f'mount -t tmpfs -o {options} none {self.name} && exec "$@"'
        return ["unshare", "-m", "sh", "-c", mount, "sh", *as_tested_user(argv)[0]]


def may_mount() -> bool:
    """Whether these tests may."""
    words = ["unshare", "-m", "true"]
    return not subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode


class Both:
    """Runs lines in fresh folders and compares what they did."""

    def __init__(self, cluster: Cluster, place: Path) -> None:
        self.cluster = cluster
        self._place = place
        self._count = itertools.count(1)

    def run(
        self, line: str, level: str, timeout: float = 20.0, mounted: Mounted | None = None
    ) -> Result:
        """One level. Where something is mounted, the line is within a mount namespace."""
        folder = self._place / str(next(self._count))  # lines may run side by side
        folder.mkdir()
        users_own(folder)
        env = {"G": level, "PYTHON": PYTHON, "PYTHONDONTWRITEBYTECODE": "1"}
        if mounted is None:
            return self.cluster.shell(line, cwd=folder, env=env, timeout=timeout)
        (folder / mounted.name).mkdir()
        users_own(folder)
        words = mounted.words("bash", "--norc", "--noprofile", "-c", line)
        return self.cluster.run(*words, uid=os.geteuid(), cwd=folder, env=env, timeout=timeout)

    def same(self, line: str, timeout: float = 20.0, mounted: Mounted | None = None) -> Result:
        """Assert equal output, errors and status; returns the native result."""
        native = self.run(line, NATIVE, timeout, mounted)
        ours = self.run(line, TRANSPARENT, timeout, mounted)
        assert _plain(ours) == _plain(native), f"{line}\n  -T: {ours}\n  native: {native}"
        return native


def _plain(result: Result) -> tuple[int, bytes, bytes]:
    """Bash names a job that a signal ended by its pid and its words: both differ by nature."""
    err = re.sub(rb"(line \d+): +\d+ ", rb"\1: PID ", result.err)
    err = re.sub(rb" {2,}(\$G )?.*", b"", err)
    return result.status, result.out, err

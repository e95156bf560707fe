"""A root's cluster with ordinary users, for attacks of one user on the others.

Users are numbers: no account of this machine is needed. MALLORY attacks, BOB is served meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import DEADLINE, Cluster, as_user, everybodys_python, make_launchers

MALLORY, BOB = 20041, 20042

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become other users")

WITHOUT_GROUPS = [
    "unshare", "--mount", "sh", "-c", 'umount -R -l /sys/fs/cgroup && exec "$@"', "sh",
]  # fmt: skip


@contextlib.contextmanager
def rooted(nodes: int = 1, groups: bool = True, folder: Path | None = None) -> Iterator[Cluster]:
    """A cluster of root's; `groups`: whether its daemons find control groups."""
    tools = Path(tempfile.mkdtemp(prefix="glunix-attacks-"))
    tools.chmod(0o755)
    try:
        make_launchers(tools, everybodys_python() or sys.executable)
        with Cluster(tools, folder).guarded() as cluster:
            up = ["glunix", "up", "-n", str(nodes)]
            command = up if groups else [*WITHOUT_GROUPS, *up]
            done = cluster.run(*command, timeout=60)
            assert done.status == 0, done
            assert cluster.glurun("-w", "node1", "true", uid=BOB).status == 0
            yield cluster
    finally:
        shutil.rmtree(tools)


def bob_takes(cluster: Cluster, times: int = 5, *words: str) -> list[float]:
    """Seconds of each of so many commands of BOB's."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        result = cluster.glurun("-w", "node1", *(words or ("true",)), uid=BOB, timeout=60)
        assert result.status == 0, result
        found.append(time.monotonic() - began)
    return found


def middle(times: list[float]) -> float:
    """The median."""
    return statistics.median(times)


def mallory(cluster: Cluster, *words: str, **how: object) -> subprocess.Popen[bytes]:
    """Start a command of MALLORY's."""
    return cluster.start(*words, uid=MALLORY, **how)  # type: ignore[arg-type]


def python(cluster: Cluster, script: str, *words: str, uid: int = MALLORY) -> str:
    """Output of a Python program of a user's."""
    command = [*as_user(uid), sys.executable, "-c", script, *words]
    done = subprocess.run(
        command, env=cluster.environment(), cwd="/", capture_output=True, timeout=2 * DEADLINE
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def opened(folder: Path) -> Path:
    """A folder of pytest's that other users may enter."""
    for path in (folder, *folder.parents):
        if path == Path(tempfile.gettempdir()):
            break
        path.chmod(0o755)
    return folder


def group_folders(cluster: Cluster) -> list[Path]:
    """Control groups of this cluster's nodes that there are now."""
    from glunix.node.processes.cgroups import hierarchies, parent_name

    names = [parent_name(cluster.folder, node) for node in ("home", "node1", "node2")]
    found = {h.folder / name for h in hierarchies() for name in names}
    return sorted(path for path in found if path.exists())

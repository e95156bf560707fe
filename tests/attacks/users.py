"""Two ordinary users of root's cluster, by number, and what they run there."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from e2e.cluster import DEADLINE, Cluster, Result, ended, finish, read_line

ANN, BEN = 20011, 20012


def words_of(uid: int, *restrictions: str) -> list[str]:
    """setpriv(1) to a user, with what else it is to take away, in one exec: one that follows
    could not find an interpreter that only root may read."""
    user = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return ["setpriv", *user, *restrictions, "--"]


def restricted(cluster: Cluster, uid: int, restrictions: list[str], *words: str) -> Result:
    """How a command of a user ends that is submitted under restrictions."""
    command = [*words_of(uid, *restrictions), str(cluster.bin / words[0]), *words[1:]]
    with ended(cluster.start(*command)) as process:
        return finish(process)


@contextlib.contextmanager
def running(
    cluster: Cluster, uid: int, *words: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A user's job on node1 whose first line is its own pid in its node: (glurun, that pid)."""
    with ended(cluster.start("glurun", "-w", "node1", *words, uid=uid)) as process:
        yield process, int(read_line(process))


def on_node(cluster: Cluster, uid: int, script: str, timeout: float = DEADLINE) -> Result:
    """A Python program of a user's as a job on node1."""
    python = ["/usr/bin/env", "python3", "-c", script]
    return cluster.glurun("-w", "node1", *python, uid=uid, timeout=timeout)

"""The cluster that the glurun ways share: one a test process, started when first needed.

`close` ends it (the conftest files call it when the session ends).
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

from e2e.cluster import Cluster, make_launchers

from glunix.compare.launch import Wrap
from glunix.compare.ways import REGISTRY, Reach, Subject

NODES = 2

_folders: list[Path] = []
_clusters = contextlib.ExitStack()


@cache
def reach() -> Reach:
    """The cluster of this test process."""
    tools = Path(tempfile.mkdtemp(prefix="conformance-bin-"))
    tools.chmod(0o755)
    _folders.append(tools)
    make_launchers(tools)
    cluster = _clusters.enter_context(Cluster(tools).guarded())
    cluster.up(NODES)
    return Reach(str(cluster.folder), str(tools / "glurun"))


def wrap(way: str, subject: Subject) -> Wrap:
    """Runs `subject` that way, on the cluster of this test process if it needs one."""
    return REGISTRY[way].make(subject, reach)


def close() -> None:
    """Ends what this process started; safe to call more than once."""
    _clusters.close()
    while _folders:
        shutil.rmtree(_folders.pop())
    reach.cache_clear()

"""How the slic and the glurun of this checkout are reached, for the entries of wraps.py.

Owns the cluster that the glurun ways share: one a test process, started when first needed and
ended by `close` (the conftest files call it when the session ends).
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from e2e.cluster import Cluster, make_launchers

from .launch import Wrap

NODES = 2

_folders: list[Path] = []
_clusters: list[Cluster] = []


def _missing_module(name: str) -> str | None:
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    return None if found else f"there is no {name} in this checkout"


# -- slic ------------------------------------------------------------------------------------------


@cache
def slic_missing(engine: str) -> str | None:
    """Why `slic run --engine ENGINE` cannot be had here; what the engine itself says."""
    reason = _missing_module("slic.cli")
    if reason:
        return reason
    from slic.engine import engines

    known = engines()
    return known[engine].unavailable() if engine in known else f"there is no engine {engine}"


@cache
def _slic() -> tuple[str, ...]:
    """`slic` of the tree that is imported here, without a PYTHONPATH that guests could see."""
    spec = importlib.util.find_spec("slic")
    assert spec is not None and spec.origin is not None
    root = str(Path(spec.origin).resolve().parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r}); from slic.cli import main; sys.exit(main())"
    return (sys.executable, "-c", code)


def slic(engine: str, *interposers: str) -> Wrap:
    """Runs a program under `interposers` (NAME[:ARGS]), the first asked first."""
    options = [word for interposer in interposers for word in ("-i", interposer)]
    return lambda argv: [*_slic(), "run", "--engine", engine, *options, "--", *argv]


# -- glurun ----------------------------------------------------------------------------------------


@cache
def glurun_missing() -> str | None:
    """Why `glurun` cannot be had in this checkout."""
    return _missing_module("glunix.cli.glurun")


@cache
def _cluster() -> Cluster:
    tools = Path(tempfile.mkdtemp(prefix="conformance-bin-"))
    tools.chmod(0o755)
    _folders.append(tools)
    make_launchers(tools)
    cluster = Cluster(tools)
    _clusters.append(cluster)
    cluster.up(NODES)
    return cluster


def glurun(*options: str) -> Wrap:
    """Runs a program on the cluster of this test process."""

    def wrap(argv: list[str]) -> list[str]:
        cluster = _cluster()
        tool = str(cluster.bin / "glurun")
        return ["env", f"GLUNIX_DIR={cluster.folder}", tool, *options, "--", *argv]

    return wrap


def close() -> None:
    """Ends what this process started; safe to call more than once."""
    while _clusters:
        _clusters.pop().remove()
    while _folders:
        shutil.rmtree(_folders.pop())
    _cluster.cache_clear()

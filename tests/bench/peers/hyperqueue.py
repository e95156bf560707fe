"""HyperQueue as a peer: its server, one worker and one client, in its own virtual environment.

The wheel brings the whole system, so the peer is a Python process of that environment
(`hyperqueue_driver.py`) that is told over a pipe how many tasks to run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..driver import Driver
from ..proc import call, marked, scratch
from . import Package, Unavailable

PACKAGE = Package("pip", ("hyperqueue",))


def environment() -> Path:
    """The folder of HyperQueue's own virtual environment (GLUNIX_BENCH_HQ moves it)."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("GLUNIX_BENCH_HQ") or Path(cache) / "glunix-bench" / "hyperqueue")


def install() -> None:
    """Make the virtual environment and install HyperQueue in it. BenchError: pip said no."""
    folder = environment()
    if not (folder / "bin" / "pip").exists():
        call([sys.executable, "-m", "venv", str(folder)], marked(), deadline=120)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", *PACKAGE.names]
    call(pip, marked(), deadline=600)


def _python() -> str:
    folder = environment()
    if not list(folder.glob("lib/python*/site-packages/hyperqueue")):
        raise Unavailable(
            f"no hyperqueue in {folder}",
            f"{PACKAGE.how} in a virtual environment there, or --install-peers",
        )
    return str(folder / "bin" / "python")


@contextmanager
def hyperqueue(workers: int) -> Iterator[Driver]:
    """A running HyperQueue with `workers` workers; `run(n)` gives the seconds of n tasks."""
    python = _python()
    script = str(Path(__file__).with_name("hyperqueue_driver.py"))
    with ExitStack() as stack:
        folder = stack.enter_context(scratch("hq"))
        # -P: the script's folder is not for importing from, this very file would be found.
        argv = [python, "-P", script, str(folder), str(workers), str(os.cpu_count() or 1)]
        # TMPDIR: the library leaves an empty folder of its own in it.
        yield stack.enter_context(Driver(argv, marked({"TMPDIR": str(folder)})))

"""The product as a contender: a private cluster, and the argv of a `glurun`.

Knows the commands' names and contract only; the one module to change when they change.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .driver import Driver
from .harness import BenchError
from .peers import Unavailable
from .proc import call, carrying, end_all, marked, scratch, timed

REST = "untold: imports before its clock starts, exit"


def program(name: str) -> str:
    """Absolute path of one of our commands: in GLUNIX_BENCH_BIN, or beside this interpreter."""
    folder = Path(os.environ.get("GLUNIX_BENCH_BIN") or Path(sys.executable).parent)
    path = folder / name
    if not os.access(path, os.X_OK):
        raise Unavailable(f"no {name} in {folder}", "make install, and run with .venv/bin/python")
    return str(path)


class Cluster:
    """A running cluster of our own."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self._glurun = program("glurun")

    def command(self, argv: Sequence[str], degree: int = 1) -> list[str]:
        """The argv that runs `argv` on the cluster."""
        wide = ["-n", str(degree)] if degree > 1 else []
        return [self._glurun, *wide, *argv]

    def run(self, argv: Sequence[str], degree: int = 1) -> float:
        """Wall seconds of one glurun, from spawn to exit."""
        return timed(self.command(argv, degree), self.env).seconds

    def steps(self, argv: Sequence[str], floor: float) -> tuple[tuple[str, float], ...]:
        """Where one glurun's time goes: `floor` seconds of interpreter, its own account, the rest.

        glurun writes `name seconds` lines to stderr when GLUNIX_TIMES is set; it cannot know
        what came before its first line, nor its own end. BenchError: it wrote none.
        """
        done = timed(self.command(argv), {**self.env, "GLUNIX_TIMES": "1"})
        own = parse_steps(done.stderr)
        if not own:
            raise BenchError("glurun printed no times for GLUNIX_TIMES=1")
        rest = done.seconds - floor - sum(seconds for _, seconds in own)
        return (("interpreter", floor), *own, (REST, max(0.0, rest)))


def parse_steps(text: str) -> tuple[tuple[str, float], ...]:
    """The `name seconds` lines of `text`, in order; other lines are not steps."""
    steps = []
    for line in text.splitlines():
        name, _, number = line.strip().rpartition(" ")
        try:
            seconds = float(number)
        except ValueError:
            continue
        if name:
            steps.append((name.strip(), seconds))
    return tuple(steps)


@contextmanager
def cluster(nodes: int) -> Iterator[Cluster]:
    """A cluster of `nodes` daemons in a private state folder, ended and checked afterwards.

    BenchError on leaving when `glunix down` left a process running (which is then ended).
    """
    glunix = program("glunix")
    with scratch("glunix") as folder:
        state = str(folder / "s")
        env = marked({"GLUNIX_DIR": state})
        try:
            call([glunix, "up", "-n", str(nodes)], env, deadline=60)
            yield Cluster(env)
        finally:
            try:
                call([glunix, "down"], env, deadline=60)
            finally:
                left = end_all(lambda: carrying("GLUNIX_DIR", state))
        if left:
            raise BenchError(f"`glunix down` left running: {', '.join(left)}")


@contextmanager
def api_client(running: Cluster) -> Iterator[Driver]:
    """One long-lived client of the library; `run(n)` gives the seconds of n `/bin/true` jobs."""
    script = str(Path(__file__).with_name("api_driver.py"))
    with Driver([sys.executable, "-P", script], running.env) as driver:
        yield driver

"""One call that goes home, against what any question to another node costs: a C TCP ping-pong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glunix.compare.latency import measure as measure_calls

from .harness import (
    NO_TARGET,
    Absent,
    BenchError,
    Contender,
    Judged,
    Row,
    Section,
    Target,
    Unit,
    alternate,
)
from .measure import Plan, Stage
from .ours import Cluster, cluster
from .peers import Package, need
from .proc import call, marked, scratch

TITLE = "one call of a transparent job that goes home"
MICROSECONDS = Unit("µs", 1e6)
TRIPS = 2000
CALLS = ("read", "ioctl")


def _pingpong(folder: Path) -> Callable[[], float]:
    gcc = need("gcc", Package("apt", ("gcc", "libc6-dev")))
    program, env = str(folder / "pingpong"), marked()
    source = str(Path(__file__).with_name("pingpong.c"))
    call([gcc, "-O2", "-Wall", "-o", program, source], env)
    return lambda: float(call([program, str(TRIPS)], env)) * 1e-9


class _Calls:
    """One run of the measuring program gives the figures of all calls: taken apart here."""

    def __init__(self, running: Cluster, engine: str) -> None:
        options = ["-T", f"--engine={engine}"]
        command = running.command(["true"])[0]
        folder = running.env["GLUNIX_DIR"]
        prefix = ["env", f"GLUNIX_DIR={folder}", command, *options, "--"]
        self._wrap = lambda argv: [*prefix, *argv]
        self._left: dict[str, float] = {}

    def take(self, name: str) -> float:
        """Seconds of one call, from the run of this round."""
        if name not in self._left:
            found = measure_calls(self._wrap)
            if found.reason:
                raise BenchError(found.reason)
            self._left = {call: nanos * 1e-9 for call, nanos in found.nanoseconds.items()}
        return self._left.pop(name)


def measure(plan: Plan) -> Section:
    """Rows of read and ioctl, on the engine that glurun takes and on ptrace-seccomp."""
    with Stage() as stage:
        ours = stage.enter(cluster(2))
        folder = stage.enter(scratch("pingpong"))
        assert isinstance(folder, Path)
        contenders: dict[str, Contender] = {"tcp": _pingpong(folder)}
        for engine in ("unotify", "ptrace-seccomp"):
            calls = ours if isinstance(ours, Absent) else _Calls(ours, engine)
            for name in CALLS:
                contenders[f"{engine} {name}"] = (
                    calls if isinstance(calls, Absent) else _taker(calls, name)
                )
        got = alternate(contenders, plan.long_rounds, MICROSECONDS)
    rows = tuple(
        Row(
            f"{name} that goes home ({engine}) / TCP ping-pong in C",
            got[f"{engine} {name}"],
            got["tcp"],
            MICROSECONDS,
            Target(Judged.RATIO, 5.0, "3x") if engine == "unotify" else NO_TARGET,
        )
        for engine in ("unotify", "ptrace-seccomp")
        for name in CALLS
    )
    return Section(TITLE, rows, complaints=stage.complaints)


def _taker(calls: _Calls, name: str) -> Callable[[], float]:
    return lambda: calls.take(name)

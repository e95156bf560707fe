"""The ways to run a program that are compared with running it natively: one entry each.

Owns the registry. A way makes a wrap for a subject (what is run, which calls it uses), or says in
words why it cannot. Every guest and every program of tests/realprograms is run under every way that
can be had here. Its known differences are listed in differences.py.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from glunix.compare.guest import Guest
from glunix.compare.launch import Wrap
from slic.registry import ANSWERING, engines

TRANSPARENT = "glurun-T"


@dataclass(frozen=True)
class Subject:
    """What is to be run: the calls are those that a pass-through policy should subscribe to."""

    name: str
    calls: tuple[str, ...]

    @classmethod
    def of(cls, guest: Guest) -> Subject:
        """A guest as a subject."""
        return cls(guest.name, guest.calls)


@dataclass(frozen=True)
class Reach:
    """How the glurun of a cluster is called: its GLUNIX_DIR and the tool's path."""

    folder: str
    glurun: str


Maker = Callable[[Subject, Callable[[], Reach]], Wrap]


@dataclass(frozen=True)
class Way:
    """One way to run programs.

    make: the wrap for a subject; asks for the cluster only if it needs one.
    missing: why this machine does not have it at all; None when it does.
    patience: how many times longer than native it may take.
    engine: the SLIC engine it names, or none.
    """

    title: str
    make: Maker
    missing: Callable[[], str | None] = lambda: None
    patience: float = 3.0
    engine: str = ""


def _native(subject: Subject, reach: Callable[[], Reach]) -> Wrap:
    return lambda argv: argv


@cache
def strace_missing() -> str | None:
    """Why strace cannot be used here: absent, not allowed to trace, or without --inject."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    trial = ["strace", "-o", "/dev/null", "-e", "inject=getppid:retval=7", "true"]
    run = subprocess.run(trial, capture_output=True, text=True, check=False)
    return run.stderr.strip() or None if run.returncode else None


def strace(log: str, *options: str) -> Wrap:
    """A wrap that runs the program under strace, following children, writing to `log`.

    -DDD: the program is the process that was started, and strace watches from another session;
    so signals, stops and the status are the program's own.
    """
    return lambda argv: ["strace", "-f", "-DDD", "-o", log, *options, "--", *argv]


def _list(subject: Subject) -> str:
    return ",".join(sorted(set(subject.calls)))


def _strace(subject: Subject, reach: Callable[[], Reach]) -> Wrap:
    return strace("/dev/null", "--seccomp-bpf", f"-etrace={_list(subject)}")


@cache
def engine_missing(engine: str) -> str | None:
    """Why this SLIC engine cannot be had here; what it says itself."""
    known = engines()
    return known[engine].unavailable() if engine in known else f"there is no engine {engine}"


@cache
def _slic_tool() -> tuple[str, ...]:
    """`slic` of the tree that is imported here, without a PYTHONPATH that guests could see."""
    spec = importlib.util.find_spec("slic")
    assert spec is not None and spec.origin is not None
    root = str(Path(spec.origin).resolve().parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r}); from slic.cli import main; sys.exit(main())"
    return (sys.executable, "-c", code)


def _slic(engine: str) -> Way:
    """The engine alone, with a pass-through policy on the subject's calls."""

    def make(subject: Subject, reach: Callable[[], Reach]) -> Wrap:
        policy = ["-i", f"passthrough:{_list(subject)}"]
        return lambda argv: [*_slic_tool(), "run", "--engine", engine, *policy, "--", *argv]

    return Way(f"slic {engine}", make, lambda: engine_missing(engine), engine=engine)


def _glurun(title: str, *options: str, engine: str = "") -> Way:
    def make(subject: Subject, reach: Callable[[], Reach]) -> Wrap:
        def wrap(argv: list[str]) -> list[str]:
            there = reach()
            return ["env", f"GLUNIX_DIR={there.folder}", there.glurun, *options, "--", *argv]

        return wrap

    missing = (lambda: engine_missing(engine)) if engine else (lambda: None)
    return Way(title, make, missing, engine=engine)


REGISTRY: dict[str, Way] = {
    "native": Way("native", _native, patience=1.0),
    # A mature interposer: what fails under it is a fault of the guest, not of an engine of ours.
    "strace": Way("strace", _strace, strace_missing),
    **{f"slic-{name}": _slic(name) for name in ANSWERING},
    "glurun": _glurun("glurun"),
    TRANSPARENT: _glurun("glurun -T", "-T"),
    **{
        f"{TRANSPARENT}-{name}": _glurun(f"-T {name}", "-T", f"--engine={name}", engine=name)
        for name in ANSWERING
    },
}
"""Every way to run, by name; `native` is the oracle, `glurun-T` takes the engine glurun takes."""

COMPARED = ("glurun", *(f"{TRANSPARENT}-{name}" for name in ANSWERING))
"""What `glunix compare` shows unless told otherwise: both levels, the second on every engine."""

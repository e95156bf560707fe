"""The ways to run a program that are compared with running it natively: one entry each.

Owns the registry. An entry's `make` takes the subject (what is run, which calls it uses, what it
needs) and gives the wrap, or says in words why this way cannot run that subject. Every guest of
tests/conformance and every program of tests/realprograms is run under every entry that can be had
here and compared with native. CONFORMANCE_WAYS (names, comma separated) chooses some of them.
Its known differences are listed in differences.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from . import systems
from .guest import Guest
from .launch import Wrap


@dataclass(frozen=True)
class Subject:
    """What is to be run: the calls are those that a pass-through policy should subscribe to."""

    name: str
    calls: tuple[str, ...]
    tty: bool = False
    needs: tuple[str, ...] = ()

    @classmethod
    def of(cls, guest: Guest) -> Subject:
        return cls(guest.name, guest.calls, guest.tty, guest.needs)


@dataclass(frozen=True)
class Unavailable:
    """Why a way to run cannot be had for a subject."""

    reason: str


Maker = Callable[[Subject], Wrap | Unavailable]


@dataclass(frozen=True)
class Entry:
    """One way to run programs.

    missing: why this machine or checkout does not have it at all; None when it does.
    patience: how many times longer than native it may take.
    """

    make: Maker
    missing: Callable[[], str | None] = lambda: None
    patience: float = 1.0


def _native(subject: Subject) -> Wrap | Unavailable:
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


def _strace(subject: Subject) -> Wrap | Unavailable:
    return strace("/dev/null", "--seccomp-bpf", f"-etrace={_list(subject)}")


def _slic(engine: str, *over: str) -> Entry:
    """The engine with a pass-through policy on the subject's calls, under the extensions `over`."""
    return Entry(
        make=lambda subject: systems.slic(engine, *over, f"passthrough:{_list(subject)}"),
        missing=lambda: systems.slic_missing(engine),
        patience=3.0,
    )


def _glurun(*options: str) -> Entry:
    return Entry(
        make=lambda subject: systems.glurun(*options),
        missing=systems.glurun_missing,
        patience=3.0,
    )


REGISTRY: dict[str, Entry] = {
    "native": Entry(_native),
    # A mature interposer: what fails under it is a fault of the test, not of an engine of ours.
    "strace": Entry(_strace, strace_missing, patience=3.0),
    "slic-unotify": _slic("unotify"),
    "slic-ptrace": _slic("ptrace"),
    "slic-ptrace-seccomp": _slic("ptrace-seccomp"),
    "glurun": _glurun(),
    "glurun-T": _glurun("-T"),
}
"""Every way to run, by name; `native` is the oracle."""


def chosen() -> tuple[str, ...]:
    """The ways besides native that the tests try: all, or those that CONFORMANCE_WAYS names."""
    wanted = [name for name in os.environ.get("CONFORMANCE_WAYS", "").split(",") if name]
    unknown = [name for name in wanted if name not in REGISTRY]
    if unknown:
        raise ValueError(f"CONFORMANCE_WAYS: there is no way {', '.join(unknown)}")
    return tuple(name for name in wanted or REGISTRY if name != "native")


def present() -> tuple[str, ...]:
    """Those of the chosen ways that can be had here."""
    return tuple(name for name in chosen() if REGISTRY[name].missing() is None)

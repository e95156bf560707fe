"""The ways to run a program that are compared with running it natively: one entry each.

Owns the registry. An entry's `make` takes the subject (what is run, which calls it uses, what it
needs) and gives the wrap, or says in words why this machine or this level cannot run it. To add
`slic run` or `glurun`, add one `Entry`; every guest of tests/conformance and every program of
tests/realprograms is then run under it and compared with native.

`differs` lists the known differences of a way: subject name -> why, with the section that explains
it. It is checked both ways: a listed subject that no longer differs fails the tests too.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

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
    """One way to run programs. patience: how many times longer than native it may take."""

    make: Maker
    patience: float = 1.0
    differs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


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


def _strace(subject: Subject) -> Wrap | Unavailable:
    reason = strace_missing()
    return Unavailable(reason) if reason else strace("/dev/null", f"-etrace={_expression(subject)}")


def _expression(subject: Subject) -> str:
    return ",".join(sorted(set(subject.calls)))


REGISTRY: dict[str, Entry] = {
    "native": Entry(_native),
    # A mature interposer: what fails under it is a fault of the test, not of an engine of ours.
    "strace": Entry(_strace, patience=3.0),
}
"""Every way to run, by name; `native` is the oracle."""

OTHERS = tuple(name for name in REGISTRY if name != "native")
"""The ways that are compared with native."""

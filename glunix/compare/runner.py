"""Runs a guest, native or wrapped, and says whether two outcomes agree.

The one module that tests need: `discover`, `run`, `problems`, `compare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from glunix.compare.build import command, missing
from glunix.compare.guest import GUESTS, Guest, discover
from glunix.compare.launch import Late, Launch, Outcome, Wrap, launch, scratch

__all__ = [
    "GUESTS", "Guest", "Late", "Outcome", "Wrap", "compare", "discover", "environment", "missing",
    "native", "oracle", "problems", "run", "unmet", "variants",
]  # fmt: skip

DEADLINE = 10.0  # seconds; natively the slowest guest takes about one

# What a guest sees: fixed, so that outputs can be compared. The last two are for guests that
# print their environment.
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C",
    "TERM": "xterm",
    "GUEST_WORDS": "two words = 'quoted'",
    "GUEST_EMPTY": "",
}


def native(argv: list[str]) -> list[str]:
    """The wrap that wraps nothing: the oracle."""
    return argv


def environment(folder: Path) -> dict[str, str]:
    """The environment of a run in `folder`."""
    return {**ENVIRONMENT, "HOME": str(folder), "PWD": str(folder)}


def variants(guests: tuple[Guest, ...]) -> tuple[Guest, ...]:
    """Each guest, and after it its static build when the header asks for one."""
    found: list[Guest] = []
    for guest in guests:
        found.append(guest)
        if guest.also_static:
            needs = (*guest.needs, "gcc -static")
            found.append(replace(guest, name=f"{guest.name}-static", static=True, needs=needs))
    return tuple(found)


def unmet(guest: Guest) -> str | None:
    """What this machine lacks for `guest`, in words; None when it can be run."""
    reasons = [reason for need in guest.needs if (reason := missing(need))]
    return "; ".join(reasons) or None


def started(guest: Guest, argv: list[str]) -> list[str]:
    """The words that run argv after what the guest's header wants done before."""
    if not guest.start:
        return argv
    return ["bash", "-c", f'{guest.start}; exec "$@"', "start", *argv]


def run(
    guest: Guest,
    wrap: Wrap = native,
    *,
    tty: bool = False,
    deadline: float = DEADLINE,
    extra: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs `guest` as `wrap(argv)` in an empty folder; `Late` when it takes over `deadline` s.

    tty: put its output on a terminal, also when its header does not ask for one.
    extra: variables added to its environment.
    """
    with scratch() as folder:
        outcome = launch(
            Launch(
                argv=started(guest, wrap(command(guest))),
                cwd=folder,
                environment={**environment(folder), **(extra or {})},
                stdin=guest.stdin,
                input=guest.input,
                tty=tty or guest.tty,
                stdout_tty=guest.stdout_tty or (tty and not guest.stdout_any),
                stderr_tty=guest.stderr_tty or (tty and not guest.stdout_any),
                steps=guest.steps,
                deadline=deadline,
            )
        )
    return replace(outcome, stdout="") if guest.stdout_any else outcome


@cache
def oracle(guest: Guest) -> Outcome:
    """What native Linux makes of `guest`; run once a process."""
    return run(guest)


def problems(guest: Guest, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome of `guest` seen alone; empty when it passed."""
    found = []
    if outcome.status != guest.status:
        found.append(f"status {outcome.status}, expected {guest.status}")
    said = (outcome.stdout + "\n" + outcome.stderr).replace("\r", "").split("\n")
    if guest.status == 0 and "ok" not in said:
        found.append("it did not say ok")
    if outcome.left:
        found.append(f"it left {outcome.left} process(es) behind")
    if found:
        found.append(f"stdout: {outcome.stdout[-3000:]}\nstderr: {outcome.stderr[-3000:]}")
    return found


def compare(expected: Outcome, got: Outcome) -> list[str]:
    """How `got` differs from `expected`: one line each for status, stops, first output line."""
    found = []
    if expected.status != got.status:
        found.append(f"status: expected {expected.status}, got {got.status}")
    if expected.stops != got.stops:
        found.append(f"stops: expected {expected.stops}, got {got.stops}")
    for name in ("stdout", "stderr"):
        want, have = getattr(expected, name), getattr(got, name)
        if want == have:
            continue
        lines = list(zip(want.splitlines(), have.splitlines(), strict=False))
        number = next((i for i, (a, b) in enumerate(lines) if a != b), len(lines))
        a, b = ("".join(text.splitlines()[number:][:1]) for text in (want, have))
        found.append(f"{name} line {number + 1}: expected {a[:200]!r}, got {b[:200]!r}")
    return found

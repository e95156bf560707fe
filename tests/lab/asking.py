"""What tests ask of a lab's machines again and again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from subprocess import Popen

import pytest
from e2e.cluster import Result, ended, read_until, until

from lab.machines import DEADLINE, Ability, Lab, Machine

LOST_AFTER = 20.0
"""Seconds of silence that make a node lost (docs/cluster.md, `lost_after`)."""
_SLEEPER = "sleep 3210"
STAY = ("sh", "-c", f"echo begun; exec {_SLEEPER}")
"""A program that says when it runs, and stays."""


def done(result: Result) -> str:
    """The output of a command that must have worked."""
    assert result.status == 0, result
    return result.text


def need(lab: Lab, *abilities: Ability) -> None:
    """Skip, with the reason, where this kind of lab lacks one."""
    for ability in abilities:
        if ability not in lab.abilities:
            pytest.skip(f"a {lab.kind} lab has not: {ability.value}")


def ann(machine: Machine, *argv: str, stdin: bytes | None = None) -> Result:
    """A command of an ordinary user."""
    return machine.run(argv, user="ann", stdin=stdin)


def states(home: Machine) -> dict[str, str]:
    """Node -> state, by glustat."""
    rows = json.loads(done(home.run(["glustat", "--json"])))
    return {row["name"]: row["state"] for row in rows}


def start(machine: Machine) -> None:
    """`glunix up`. It gives a service 60 s, which an emulated machine on a busy one may exceed."""

    def up() -> bool:
        result = machine.run(["glunix", "up"], timeout=4 * DEADLINE)
        assert result.status == 0 or "not ready" in result.complaint, result
        return result.status == 0

    until(up, f"{machine.name}'s services are ready", 4 * DEADLINE)


def join(home: Machine, node: Machine) -> None:
    """Invite a machine and have it join; its daemon runs afterwards."""
    token = done(home.run(["glunix", "invite", "--expires", "20m"], timeout=4 * DEADLINE))
    words = ["glunix", "join", f"{home.name}:7117", "-"]
    result = node.run(words, stdin=token.encode(), timeout=4 * DEADLINE)
    if "not ready" in result.complaint:
        start(node)
    else:
        done(result)


def lost(home: Machine, name: str) -> None:
    """Wait until the master has given a node up."""
    until(lambda: states(home)[name] == "lost", f"the master gives {name} up", DEADLINE)


def back(home: Machine, name: str) -> None:
    """Wait until a node is a full member again; it runs a job."""
    until(lambda: states(home)[name] == "up", f"{name} is back", DEADLINE)
    assert done(ann(home, "glurun", "-w", name, "sh", "-c", "echo $GLUNIX_NODE")) == name


def running(home: Machine, user: str = "ann") -> list[int]:
    """NPIDs of a user's jobs that run, oldest first."""
    rows = json.loads(done(home.run(["glups", "--json"], user=user)))
    return sorted(row["npid"] for row in rows if row["state"] == "running")


@contextlib.contextmanager
def job(
    home: Machine, *words: str, processes: int = 1, stdin: bool = False, user: str = "ann"
) -> Iterator[Popen[bytes]]:
    """A job of which every process has said `begun`; over afterwards, whatever happens."""
    with ended(home.start(["glurun", *words], user=user, stdin=stdin)) as process:
        for _ in range(processes):
            read_until(process, b"begun\n", DEADLINE)
        yield process


def sleepers(machine: Machine) -> list[str]:
    """Pids there of programs that `STAY`."""
    return machine.run(["pgrep", "-f", f"^{_SLEEPER}"]).text.split()


def none_left(machines: Sequence[Machine]) -> None:
    """Wait until no program that did `STAY` runs on any of them."""
    for machine in machines:
        until(lambda m=machine: not sleepers(m), f"{machine.name} has none", DEADLINE)  # type: ignore[misc]

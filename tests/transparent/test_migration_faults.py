"""What a move may lose, and what it may not: one of its parts is killed at each of its steps.

The job answers its user from one node or is over, and says so: it never runs twice, and is never
silent (docs/migration.md, the table). The long form (GLUNIX_LONG) kills every part at every step.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.cluster import Cluster, Member, ended

from .terminal import Terminal
from .test_migration import node_of, npid_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's daemons move jobs")

STEPS = ("movable", "built", "copied", "quiet", "left", "ready")
LIVES_THERE, STAYS, OVER = "lives there", "stays", "over"
ENDINGS: dict[tuple[str, str], set[str]] = {
    **{("source's mover", step): {STAYS} for step in STEPS[:3]},
    ("source's mover", "quiet"): {STAYS, LIVES_THERE, OVER},  # it may have left by now
    **{("source's supervisor", step): {OVER} for step in STEPS[:3]},
    ("source's supervisor", "quiet"): {OVER, LIVES_THERE},
    **{("source", step): {OVER} for step in STEPS[:3]},
    ("source", "quiet"): {OVER, LIVES_THERE},
    **{(who, "left"): {LIVES_THERE} for who in ("source", "source's mover", "source's supervisor")},
    **{
        (who, step): {STAYS, LIVES_THERE}
        for who in ("destination", "destination's mover", "destination's supervisor")
        for step in STEPS[1:5]
    },
    **{("home", step): {OVER} for step in STEPS},
}
SHORT = [
    ("source's mover", "built"),
    ("source's mover", "left"),
    ("source", "left"),
    ("destination's supervisor", "built"),
    ("destination's mover", "quiet"),
    ("destination", "quiet"),
]


def children(pid: int) -> set[int]:
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return set()


def parts(daemon: Member) -> dict[str, int]:
    """The supervisor, which has children, and the mover, which leads a session and has none."""
    found = {}
    for pid in children(daemon.pid):
        if children(pid):
            found["supervisor"] = pid
        elif os.getsid(pid) == pid:
            found["mover"] = pid
    return found


def victim(who: str, source: Member, destination: Member, home: Member) -> int:
    place, _, part = who.partition("'s ")
    member = {"source": source, "destination": destination, "home": home}[place]
    return parts(member)[part] if part else member.pid


@pytest.mark.parametrize(("who", "step"), ENDINGS if os.environ.get("GLUNIX_LONG") else SHORT)
def test_a_part_is_killed(
    own: Cluster, terminal_on: Callable[[Cluster], Terminal], who: str, step: str
) -> None:
    own.up(2)
    user = terminal_on(own)
    user.line("$G cat")
    npid = npid_of(own, "cat")
    user.line("before")
    user.matches("^before\nbefore$")
    here = node_of(own, npid)
    members = own.members()
    there = ({"node1", "node2"} - {here}).pop()
    with ended(own.start("glumigrate", "--progress", str(npid), there)) as moving:
        assert moving.stderr is not None
        for line in moving.stderr:
            if line.split()[1] == step.encode():
                pid = victim(who, members[here], members[there], members["home"])
                os.kill(pid, signal.SIGKILL)
                break
        else:
            pytest.fail(f"the move never was {step}")
        moving.wait(60)
    user.line("after")
    answers = "after\nafter"
    user.until(
        lambda: answers in (text := "\n".join(user.lines())) or "glurun: " in text,
        "an answer, or a word of the job's end",
        deadline=40,
    )
    how = OVER
    if answers in "\n".join(user.lines()):
        how = LIVES_THERE if node_of(own, npid) == there else STAYS
    assert how in ENDINGS[who, step]

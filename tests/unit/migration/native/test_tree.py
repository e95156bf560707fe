"""migration.native.tree: plans, played through a model of fork, setsid and setpgid."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migration.native.tree import (
    OUTSIDE,
    BeginSession,
    Birth,
    End,
    JoinGroup,
    Member,
    Plan,
    Unbuildable,
    plan,
)


class Kernel:
    """parent, group and session of each process, with the rules of fork, setsid and setpgid."""

    def __init__(self, leader: int) -> None:
        self.alive: dict[int, Member] = {}
        self.leader = leader
        start = leader or 1
        self.outer = Member(start, 0, start, start)

    def fork(self, parent: int, pid: int) -> None:
        assert pid not in self.alive and pid != self.outer.pid
        old = self.outer if parent == OUTSIDE else self.alive[parent]
        self.alive[pid] = Member(pid, parent, old.group, old.session)

    def is_group(self, number: int) -> bool:
        return any(one.group == number for one in self.alive.values())

    def setsid(self, pid: int) -> None:
        one = self.alive[pid]
        assert not self.is_group(pid), "where the group is, its leader cannot begin a session"
        self.alive[pid] = Member(pid, one.parent, pid, pid)

    def setpgid(self, pid: int, group: int) -> None:
        one = self.alive[pid]
        assert one.session != pid, "a session's leader cannot change its group"
        if group != pid:
            others = [*self.alive.values(), self.outer]
            assert any(o.group == group and o.session == one.session for o in others), "no group"
        self.alive[pid] = Member(pid, one.parent, group, one.session)

    def end(self, pid: int) -> None:
        assert not [one for one in self.alive.values() if one.parent == pid]
        del self.alive[pid]

    def play(self, made: Plan) -> None:
        for step in made.steps:
            match step:
                case Birth(parent, pid):
                    self.fork(parent, pid)
                case BeginSession(pid):
                    self.setsid(pid)
                case JoinGroup(pid, group):
                    self.setpgid(pid, group)
                case End(_, pid):
                    self.end(pid)


def build(members: list[Member]) -> None:
    made = plan(members)
    kernel = Kernel(made.leader)
    kernel.play(made)
    assert kernel.alive == {one.pid: one for one in members}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([Member(10, 0, 10, 10)], id="its own session"),
        pytest.param([Member(10, 0, 10, 5)], id="a shell's job"),
        pytest.param([Member(10, 0, 5, 5)], id="in the shell's own group"),
        pytest.param([Member(10, 0, 8, 5)], id="last of a pipeline whose first has ended"),
        pytest.param(
            [Member(10, 0, 10, 10), Member(11, 10, 11, 10), Member(12, 10, 11, 10)],
            id="a shell with a pipeline",
        ),
        pytest.param(
            [Member(10, 0, 10, 10), Member(12, 10, 11, 10), Member(13, 10, 11, 10)],
            id="a pipeline without its first",
        ),
        pytest.param(
            [Member(10, 0, 10, 5), Member(11, 10, 11, 11), Member(12, 11, 10, 5)],
            id="born before its parent began a session",
        ),
        pytest.param(
            [
                *(Member(10, 0, 10, 10), Member(11, 10, 11, 11), Member(12, 11, 12, 12)),
                Member(13, 12, 13, 10),
            ],
            id="a grandchild of the grandparent's session",
        ),
    ],
)
def test_trees(members: list[Member]) -> None:
    build(members)


def test_a_session_without_its_first_process_is_refused_by_name() -> None:
    with pytest.raises(Unbuildable, match="session 77"):
        plan([Member(10, 0, 10, 5), Member(11, 10, 11, 77)])


@st.composite
def histories(draw: st.DrawFn) -> list[Member]:
    """Trees as they come about: random forks, setsids and setpgids of living processes."""
    kernel = Kernel(draw(st.sampled_from([0, 5])))
    kernel.fork(OUTSIDE, 10)
    if not kernel.leader:
        kernel.setsid(10)
    following = 11
    for _ in range(draw(st.integers(0, 14))):
        pid = draw(st.sampled_from(sorted(kernel.alive)))
        one = kernel.alive[pid]
        match draw(st.sampled_from(["fork", "fork", "setsid", "lead", "join"])):
            case "fork":
                kernel.fork(pid, following)
                following += 1
            case "setsid" if not kernel.is_group(pid):
                kernel.setsid(pid)
            case "lead" if one.session != pid:
                kernel.setpgid(pid, pid)
            case "join" if one.session != pid:
                groups = {o.group for o in kernel.alive.values() if o.session == one.session}
                kernel.setpgid(pid, draw(st.sampled_from(sorted(groups))))
            case _:
                pass
    order = [10]
    for pid in order:
        order += sorted(o.pid for o in kernel.alive.values() if o.parent == pid)
    return [kernel.alive[pid] for pid in order]


@settings(max_examples=60, deadline=None)
@given(histories())
def test_whatever_came_about_can_be_built_again(members: list[Member]) -> None:
    build(members)

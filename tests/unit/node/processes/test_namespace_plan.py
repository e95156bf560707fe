"""Which process stands for which of home's inside a job's PID namespace."""

import pytest

from glunix.msg.job import HomePids
from glunix.node.processes.namespace_plan import OUTSIDE, Plan, plan


@pytest.mark.parametrize(
    ("home", "expected"),
    [
        # pid, parent, group, session, parent's group -> program, leader, parent, its group, group
        # an interactive shell that leads the session
        ((50, 40, 50, 40, 40), Plan(50, 40, 40, 0, 50, False)),
        # a script: its own group, and the program in it
        ((50, 45, 45, 40, 45), Plan(50, 40, 45, 45, 45, False)),
        # the second of a pipeline of an interactive shell
        ((50, 40, 49, 40, 40), Plan(50, 40, 40, 0, 49, True)),
        # the second of a pipeline of a subshell in the same group
        ((50, 48, 47, 40, 47), Plan(50, 40, 48, 47, 47, True)),
        # the shell is pid 1 of its container
        ((50, 1, 50, 1, 1), Plan(50, 1, 1, 0, 50, False)),
        # the session is led by somebody outside
        ((50, 0, 0, 0, 0), Plan(50, OUTSIDE, 1, 0, 50, False)),
        ((50, 30, 30, 0, 30), Plan(50, OUTSIDE, 30, 30, 30, False)),
        # the startup leads its own session: setsid, a terminal emulator's command
        ((50, 30, 50, 50, 30), Plan(50, 0, 30, 0, 50, False)),
        ((50, 1, 50, 50, 1), Plan(50, 0, 1, 0, 50, False)),
        # a parent that ended: init has adopted it
        ((50, 1, 50, 40, 1), Plan(50, 40, 40, 0, 50, False)),
        # in the session leader's own group
        ((50, 40, 40, 40, 40), Plan(50, 40, 40, 0, 40, False)),
        # the parent's number names the group, which the parent has left
        ((50, 45, 45, 40, 40), Plan(50, 40, 45, 45, 45, False)),
    ],
)
def test_plan(home: tuple[int, int, int, int, int], expected: Plan) -> None:
    assert plan(HomePids(*home)) == expected


def test_every_number_is_given_once() -> None:
    """Whatever home says, nobody is made twice, and the program's group can be joined."""
    for pid in (2, 3, 5):
        for parent in (0, 1, 2, 3, 4):
            if parent == pid:
                continue
            for group in (0, 1, 2, 3, 4, 5):
                for session in (0, 1, 2, 3, 4, 5):
                    found = plan(HomePids(pid, parent, group, session, 3))
                    made = [found.program]
                    made += [found.leader] if found.leader > 1 else []
                    made += [found.parent] if found.parent not in (1, found.leader) else []
                    made += [found.group] if found.makes_group else []
                    assert len(made) == len(set(made)), found
                    assert min(made) > 1, found


def test_pid_1_at_home() -> None:
    with pytest.raises(ValueError, match="pid 1"):
        plan(HomePids(1, 0, 1, 1, 0))


@pytest.mark.parametrize(
    ("home", "signal_proxy"),
    [
        ((50, 40, 50, 40, 40), 2),
        ((4, 2, 4, 2, 2), 3),
        ((50, 2, 3, 1, 3), 4),
        ((50, 30, 50, 50, 30), 0),  # it leads its session: nobody else can be in its group
    ],
)
def test_the_heralds_number_is_nobody_elses(
    home: tuple[int, int, int, int, int], signal_proxy: int
) -> None:
    found = plan(HomePids(*home))
    assert found.signal_proxy == signal_proxy
    assert not signal_proxy or signal_proxy not in found[:5]

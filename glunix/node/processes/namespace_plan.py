"""Which process of ours stands for which of home's inside a job's PID namespace. Pure."""

from typing import NamedTuple

import msgspec

from glunix.msg.job import HomePids

OUTSIDE = -1
"""The leader of a session that home does not see (getsid is 0): nor is it seen here."""


class Plan(NamedTuple):
    """Who has which number. `leader` 0: the program leads its session itself; 1 is init;
    OUTSIDE: the supervisor leads, whom nobody inside sees.
    """

    program: int
    leader: int
    parent: int
    parent_group: int
    """0: the one it inherits."""
    group: int
    makes_group: bool
    """Nobody has the group's number yet: it is made for the program."""

    @property
    def signal_proxy(self) -> int:
        """The signal proxy's number, which no process of the user's has; 0: nobody else is in the
        session at home.
        """
        return 0 if self.leader == 0 else next(n for n in range(2, 9) if n not in self[:5])


def plan(home: HomePids) -> Plan:
    """What to build for these numbers; ValueError where there can be no such namespace."""
    if home.pid < 2:
        raise ValueError("the startup is pid 1 at home")
    leader = 0 if home.session == home.pid else home.session or OUTSIDE
    parent = max(home.parent, 1)
    if parent == 1 and leader > 1:
        parent = leader  # init's own children cannot be in another's session
    group = home.group
    if leader == 0 or group < 1 or (group == 1 and leader != 1):
        group = home.pid
    led = {home.pid, leader} | ({parent} if home.parent_group == parent else set())
    makes_group = group not in led
    if makes_group and group == parent:
        return plan(msgspec.structs.replace(home, parent_group=parent))
    parent_group = 0
    if leader and parent not in (1, leader):
        joins = {parent, group} if makes_group else {parent}
        parent_group = home.parent_group if home.parent_group in joins else 0
    return Plan(home.pid, leader, parent, parent_group, group, makes_group)

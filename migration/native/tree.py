"""Who forks whom, and when, so that numbers, parents, groups and sessions come out right. Pure.

A process has the session it was born in, or one it began itself. So a child of an older session
is born before its parent begins its own. Sessions and groups whose first process has ended are
begun by *placeholders*, which have its number for as long as that is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from migration.native.model import Process, Zombie

OUTSIDE = 0
"""As a parent: the job's own, at its root."""


class Unbuildable(Exception):
    """No order of births gives this tree; the message says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """What the plan needs of a process."""

    pid: int
    parent: int
    group: int
    session: int


@dataclass(frozen=True, slots=True)
class Birth:
    """`parent` forks `pid`; OUTSIDE: the root, from what stands for its parent."""

    parent: int
    pid: int


@dataclass(frozen=True, slots=True)
class BeginSession:
    """setsid(2) in `pid`."""

    pid: int


@dataclass(frozen=True, slots=True)
class JoinGroup:
    """setpgid(2) in `pid`; its own number: it begins the group."""

    pid: int
    group: int


@dataclass(frozen=True, slots=True)
class End:
    """A placeholder ends and its parent waits for it."""

    parent: int
    pid: int


Step = Birth | BeginSession | JoinGroup | End


@dataclass
class Plan:
    """Steps in order. `leader`: the number of the session that the root is born in; 0: it begins
    its own, and is born of the namespace's init."""

    leader: int
    steps: list[Step] = field(default_factory=list)


def members(processes: list[Process], zombies: list[Zombie]) -> list[Member]:
    """What a plan needs of an image."""
    everybody: list[Process | Zombie] = [*processes, *zombies]
    return [Member(one.pid, one.parent, one.group, one.session) for one in everybody]


def plan(all_members: list[Member], standing: Collection[int] = ()) -> Plan:
    """The order for a tree, the root first; Unbuildable. `standing`: groups that need no member."""
    root = all_members[0]
    children: dict[int, list[Member]] = {}
    for one in all_members[1:]:
        children.setdefault(one.parent, []).append(one)
    leader = _must_be_born_in(root, children)
    _check_one_outer_session(all_members, leader)
    made = Plan(leader)
    made.steps.append(Birth(OUTSIDE, root.pid))
    made.steps += _grow(root, leader, children)
    made.steps += _groups(all_members, leader, standing)
    return made


def _check_one_outer_session(all_members: list[Member], leader: int) -> None:
    pids = {one.pid for one in all_members}
    for one in all_members:
        if one.session not in pids and one.session != leader:
            raise Unbuildable(
                f"process {one.pid} is in session {one.session}, whose first process has ended"
            )


def _grow(one: Member, born_in: int, children: dict[int, list[Member]]) -> Iterator[Step]:
    """What follows the birth of a process in session `born_in` (0: one outside the job)."""
    begins = one.session == one.pid
    later: list[Member] = []
    for child in children.get(one.pid, []):
        before = begins and _must_be_born_in(child, children) == born_in != one.session
        if not before:
            later.append(child)
            continue
        yield Birth(one.pid, child.pid)
        yield from _grow(child, born_in, children)
    if begins:
        yield BeginSession(one.pid)
    elif one.session != born_in:
        raise Unbuildable(f"process {one.pid} is in session {one.session}, not in its parent's")
    for child in later:
        yield Birth(one.pid, child.pid)
        yield from _grow(child, one.session, children)


def _must_be_born_in(one: Member, children: dict[int, list[Member]]) -> int:
    """The session it has to be born in; 0: any."""
    if one.session != one.pid:
        return one.session
    for child in children.get(one.pid, []):
        wanted = _must_be_born_in(child, children)
        if wanted not in (0, one.pid):
            return wanted
    return 0


def _groups(all_members: list[Member], leader: int, standing: Collection[int]) -> Iterator[Step]:
    pids = {one.pid for one in all_members}
    ready = {one.pid for one in all_members if one.session == one.pid}
    ready |= {leader, *standing}
    placeholders: list[End] = []
    used = {one.group for one in all_members}
    for one in all_members:
        # One that has left the group it began begins it here, too, and leaves it last.
        if one.pid in used and one.pid not in ready:
            yield JoinGroup(one.pid, one.pid)
            ready.add(one.pid)
    for one in all_members:
        if one.group in pids or one.group in ready:
            continue
        # Its first process has ended: its number is lent for as long as the group has no member.
        yield Birth(one.pid, one.group)
        yield JoinGroup(one.group, one.group)
        ready.add(one.group)
        placeholders.append(End(one.pid, one.group))
    for one in sorted(all_members, key=lambda one: one.pid in used):
        if one.group != one.pid:
            yield JoinGroup(one.pid, one.group)
    yield from placeholders

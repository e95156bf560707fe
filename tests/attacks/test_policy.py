"""What another machine says about a user's groups, limits and rights: it can only lower them.

glunix.daemon.authorization on a played user database; how the master vets members
(glunix.master.authorization). The attack's success is the failure.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
from typing import Any, NamedTuple

import pytest

from glunix.daemon.accounts import Account, Accounts, look_up
from glunix.daemon.authorization import Here, limits_here, owner_here
from glunix.errors import FrameError, Refused
from glunix.ids import NodeName
from glunix.master.authorization import HIDDEN, Vetting
from glunix.msg import master
from glunix.msg.job import JobRow, JobSpec, Owner, Rlimit
from glunix.msg.master import HomeJob
from glunix.trust.peer import Peer
from glunix.users import DEFAULT, Users

ALICE, PROJECT, DISK, DOCKER, NAMED = 60001, 70001, 6, 998, 70009
HOME = Peer(NodeName("home"), "1")
SPEC = JobSpec([b"id"], {}, b"/", 0o22, 0, [], None)


class Entry(NamedTuple):
    pw_name: str
    pw_gid: int


class Group(NamedTuple):
    gr_gid: int


@pytest.fixture(autouse=True)
def accounts(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[int]]:
    """A node's users: alice, in her own group, the project's, and disk."""
    groups = {ALICE: [ALICE, PROJECT, DISK], 0: [0]}
    named = {"disk": DISK, "docker": DOCKER, "named": NAMED, "root": 0}

    def user(uid: int) -> Entry:
        return Entry(str(uid), groups[uid][0])

    def group(gid: int) -> Group:
        if gid not in named.values():
            raise KeyError(gid)
        return Group(gid)

    monkeypatch.setattr(pwd, "getpwuid", user)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: groups[int(name)])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(grp, "getgrnam", lambda name: Group(named[name]))
    monkeypatch.setattr(grp, "getgrgid", group)
    return groups


class AtOnce(Accounts):
    """Asks here, and remembers nothing."""

    def account(self, uid: int, names: tuple[str, ...] = ()) -> Account:
        return look_up(uid, names)


def here(owner: Owner, ours: bool = False, peer: Peer = HOME, **users: Any) -> Here:
    return owner_here(Users(**users), peer, "node1", owner, ours, AtOnce())


def test_a_root_daemons_word_about_groups() -> None:
    """It was believed whenever the uid was the same on both machines."""
    for words in ([0], [DISK], [DOCKER], [0, DISK, DOCKER, PROJECT, 4, 27], list(range(3000))):
        found = here(Owner(ALICE, ALICE, words)).owner
        assert set(found.groups) <= {PROJECT}, words
        assert (found.uid, found.gid) == (ALICE, ALICE)


@pytest.mark.parametrize("gid", [0, DISK, DOCKER, NAMED, 12345])
def test_a_root_daemons_word_about_the_primary_group(gid: int) -> None:
    for groups in ([], [gid], [PROJECT], [0, DISK]):
        with pytest.raises(Refused):
            here(Owner(ALICE, gid, groups))


def test_what_a_user_may_do_with_his_groups() -> None:
    """newgrp, setpriv --clear-groups and fewer groups are what they are natively."""
    assert here(Owner(ALICE, ALICE, [ALICE, PROJECT])).owner.groups == [ALICE, PROJECT]
    assert here(Owner(ALICE, ALICE, [])).owner.groups == []
    assert here(Owner(ALICE, PROJECT, [ALICE])).owner == Owner(ALICE, PROJECT, [ALICE])
    # A group that the node does not give her is exchanged for her own there, if she had that.
    assert here(Owner(ALICE, 12345, [ALICE, PROJECT])).owner.gid == ALICE


def test_refused_groups_are_taken_and_told() -> None:
    found = here(Owner(ALICE, ALICE, [ALICE, PROJECT, DISK]))
    assert (found.owner.groups, found.without) == ([ALICE, PROJECT], ["disk"])
    found = here(Owner(ALICE, ALICE, [ALICE, DISK]), refuse_groups=["docker", str(PROJECT)])
    assert (found.owner.groups, found.without) == ([ALICE, DISK], [])
    with pytest.raises(Refused, match=r"group disk may not run jobs .*refuse_groups"):
        here(Owner(ALICE, DISK, [ALICE]))
    assert here(Owner(ALICE, DISK, [ALICE]), refuse_groups=[]).owner.gid == DISK


def test_group_root(accounts: dict[int, list[int]]) -> None:
    accounts[ALICE].append(0)
    with pytest.raises(Refused, match=r"gid 0\) may not run jobs .*allow_root"):
        here(Owner(ALICE, 0, [ALICE]))
    assert here(Owner(ALICE, ALICE, [ALICE, 0])).without == ["root"]
    assert here(Owner(ALICE, 0, [ALICE]), allow_root=True).owner.gid == 0
    with pytest.raises(Refused, match="root may not run jobs"):
        here(Owner(0, 0, [0]))
    # Root's own jobs, where they are allowed, are root's.
    assert here(Owner(0, 0, [0]), allow_root=True).owner == Owner(0, 0, [0])
    assert here(Owner(0, 0, [0, DISK]), allow_root=True).owner.groups == [0]


def test_a_user_whom_the_node_does_not_know() -> None:
    """In no group but one of his own number, and not if that number is a group's here."""
    assert here(Owner(60002, 60002, [60002, 0, DISK])).owner == Owner(60002, 60002, [])
    for uid, gid in ((60002, 0), (60002, PROJECT), (NAMED, NAMED), (DOCKER, DOCKER)):
        with pytest.raises(Refused, match=f"node1 has no user with uid {uid}"):
            here(Owner(uid, gid, []))


def test_our_own_kernels_word() -> None:
    """Where home is the node: groups as the submitting process has them, but never refused ones."""
    found = here(Owner(ALICE, 12345, [777, DISK]), ours=True)
    assert found == Here(Owner(ALICE, 12345, [777]), ["disk"])
    with pytest.raises(Refused):
        here(Owner(ALICE, 0, []), ours=True)


def test_a_mapped_user(accounts: dict[int, list[int]]) -> None:
    """Numbers of groups are the node's own; who had none gets none."""
    table = {"alice": {DEFAULT: 1000, "node1": ALICE}}
    for words in ([1000], [0, DISK, 5]):
        assert here(Owner(1000, 5, words), table=table).owner == Owner(
            ALICE, ALICE, [ALICE, PROJECT]
        )
    assert here(Owner(1000, 0, []), table=table).owner == Owner(ALICE, ALICE, [])


def test_the_daemon_of_one_user() -> None:
    bobs = Peer(NodeName("bobs"), "2", 60002)
    with pytest.raises(Refused, match="serves uid 60002 only"):
        here(Owner(ALICE, ALICE, []), peer=bobs)
    with pytest.raises(Refused, match="no user with uid"):
        here(Owner(60002, 0, [0]), peer=bobs)


def test_limits_are_only_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = {resource.RLIMIT_NOFILE: 1000, resource.RLIMIT_NPROC: resource.RLIM_INFINITY}
    real = resource.getrlimit
    monkeypatch.setattr(resource, "getrlimit", lambda n: (0, hard[n]) if n in hard else real(n))
    monkeypatch.setattr(os, "getpriority", lambda which, who: 5)
    asked = [
        Rlimit(resource.RLIMIT_NOFILE, -1, -1),
        Rlimit(resource.RLIMIT_NOFILE, 10, 2**62),
        Rlimit(resource.RLIMIT_NOFILE, 10, 20),
        Rlimit(resource.RLIMIT_NPROC, 7, -1),
        Rlimit(31, 1, 1),
    ]
    spec = limits_here(JobSpec([b"id"], {}, b"/", 0o22, -20, asked, None))
    told = [(limit.soft, limit.hard) for limit in spec.rlimits]
    assert told == [(1000, 1000), (10, 1000), (10, 20), (7, -1), (1, 1)]
    assert spec.nice == 5
    assert limits_here(JobSpec([b"id"], {}, b"/", 0o22, 19, [], None)).nice == 19


# -- the master ------------------------------------------------------------------------------

NODE = Peer(NodeName("node1"), "3")


def vetting(**users: Any) -> Vetting:
    homes = {7: "home", 8: "node1"}
    return Vetting(Users(**users), False, 100, "home", {"home", "node1"}.__contains__,
                   lambda npid: homes.get(npid, ""))  # fmt: skip


def kill(npid: int, uid: int = 0) -> master.KillRequest:
    return master.KillRequest(1, uid, npid, None, 9)


def test_root_of_a_member_signals_its_own_jobs() -> None:
    with pytest.raises(Refused, match="job 7 is of home"):
        vetting().vet(NODE, kill(7), [])
    for peer, npid, allowed in ((NODE, 8, False), (NODE, 99, False), (HOME, 8, False),
                                (NODE, 7, True)):  # fmt: skip
        assert vetting(allow_root=allowed).vet(peer, kill(npid), []) == kill(npid)


def test_root_of_a_member_sees_no_command_lines() -> None:
    row = JobRow(7, ALICE, "home", "mysql -psecret", 1, False, "running", 0.0, 0.0, "why", [])
    for peer, allowed, shown in ((NODE, False, HIDDEN), (HOME, False, row.command),
                                 (NODE, True, row.command)):  # fmt: skip
        checks = vetting(allow_root=allowed)
        checks.vet(peer, master.JobsQuery(1, 0, True), [])
        answer = checks.answer(peer, master.JobsTable(1, [row]))
        assert isinstance(answer, master.JobsTable) and answer.rows[0].command == shown


def hello(**more: Any) -> master.NodeHello:
    fields: dict[str, Any] = {"major": 1, "minor": 0, "node": "node1", "boot": "x",
                              "address": "tcp:x:1", "accepts_jobs": True, "cpus": 1,
                              "memory_total": 1, "isolated": [],
                              "running": [], "homes": []}  # fmt: skip
    return master.NodeHello(**{**fields, **more})


def test_a_hello_that_would_fill_the_books() -> None:
    """Nodes that nobody invited, and more processes than a user may have."""
    row = master.RunningProc(5, 0, 9, ALICE, "home", "x", 1, False, 0.0)
    assert vetting().vet(NODE, hello(running=[row]), [])
    strangers = [master.RunningProc(5, 0, 9, ALICE, "nowhere", "x", 1, False, 0.0)]
    with pytest.raises(FrameError, match="no member"):
        vetting().vet(NODE, hello(running=strangers), [])
    homes = [HomeJob(number, ALICE, "x", 4096, False) for number in range(1, 6)]
    with pytest.raises(FrameError, match="over 16384 processes of one user"):
        vetting().vet(NODE, hello(homes=homes), [])
    many = [HomeJob(number, number, "x", 1, False) for number in range(1, 65538)]
    with pytest.raises(FrameError, match="over 65536"):
        vetting().vet(NODE, hello(homes=many), [])

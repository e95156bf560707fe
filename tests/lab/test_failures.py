"""What the README and docs/cluster.md promise when daemons, machines, cables and masters fail."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable

import pytest
from e2e.cluster import ended, finish, read_until, until
from e2e.terminal import Terminal

from lab.asking import (
    LOST_AFTER,
    STAY,
    ann,
    back,
    done,
    job,
    join,
    lost,
    need,
    none_left,
    sleepers,
    start,
    states,
)
from lab.machines import DEADLINE, Ability, Lab, Machine

pytestmark = pytest.mark.vm


def kill_service(machine: Machine, name: str) -> None:
    """SIGKILL for the master or a daemon of a machine."""
    rows = json.loads(done(machine.run(["cat", "/run/glunix/private/cluster.json"])))
    (pid,) = [row["pid"] for row in rows if row["name"] == name]
    done(machine.run(["kill", "-KILL", str(pid)]))


def lose_node1(cluster: Lab, shell: Terminal, how: Callable[[], None], limit: float) -> None:
    """A 3-way job, and a transparent one in a shell at home on node1, when that is gone.

    The first says so and exits 125. The other dies of SIGKILL, as its program did, and the shell
    has its terminal as it was. Nothing of them is left on the machines that are there.
    """
    home, node = cluster.machines["home"], cluster.machines["node1"]
    shell.line("stty -a | md5sum; glurun -T -w node1 sh -c 'stty raw; echo be''gun; sleep 3210'")
    modes = shell.expect("begun").split()[-2]  # md5sum says "SUM  -"
    with job(home, "-n", "3", *STAY, processes=3) as wide:
        assert len(sleepers(node)) == 2
        how()
        result = finish(wide, timeout=limit)
        assert result.status == 125 and "node1" in result.complaint, result
    shell.expect("Killed")
    shell.expect("home> ")
    shell.line("echo was:$?; stty -a | md5sum")
    shell.expect("\r\nwas:137\r\n")
    shell.expect(modes)
    shell.expect("home> ")
    lost(home, "node1")
    none_left([machine for machine in cluster.machines.values() if machine is not node])


def test_daemon_killed(cluster: Lab, home: Machine, shell: Terminal) -> None:
    """kill -9 of node1's daemon: its jobs are over everywhere, also on its own machine."""
    node = cluster.machines["node1"]
    lose_node1(cluster, shell, lambda: kill_service(node, "node1"), DEADLINE)
    none_left([node])
    start(node)
    back(home, "node1")


def test_cable_pulled_for_5_seconds(cluster: Lab, home: Machine) -> None:
    """Jobs wait and lose nothing."""
    need(cluster, Ability.CABLE)
    node = cluster.machines["node2"]
    words = ["glurun", "-w", "node2", "sh", "-c", "echo begun; wc -c"]
    job = home.start(words, user="ann", stdin=True)
    with ended(job):
        read_until(job, b"begun\n", DEADLINE)
        assert job.stdin is not None
        node.link_down()
        try:
            job.stdin.write(b"x" * 50_000)
            job.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(5.0)
        finally:
            node.link_up()
        job.stdin = None
        result = finish(job, timeout=DEADLINE)
    assert (result.status, result.text.strip()) == (0, "50000")
    assert states(home)["node2"] == "up"


def test_cable_pulled_for_60_seconds(cluster: Lab, home: Machine, shell: Terminal) -> None:
    """The node is lost and told so by its own clock; it comes back by itself, without its jobs."""
    need(cluster, Ability.CABLE)
    if Ability.KERNEL not in cluster.abilities and not os.environ.get("GLUNIX_LONG"):
        pytest.skip("without kernels of their own: make test-long; tests/net has it in 3 s")
    node = cluster.machines["node1"]
    pulled = 0.0

    def pull() -> None:
        nonlocal pulled
        pulled = time.monotonic()
        node.link_down()

    try:
        lose_node1(cluster, shell, pull, LOST_AFTER + DEADLINE)
        assert ann(home, "glurun", "-w", "node1", "true").status == 125
        until(lambda: time.monotonic() > pulled + 60, "the minute is over", 61)
    finally:
        node.link_up()
    back(home, "node1")
    assert not sleepers(node)  # ended by its own daemon, while nobody could tell it


@pytest.mark.short_vm
def test_power_cut(cluster: Lab, home: Machine, shell: Terminal) -> None:
    """A node without mains: lost after its silence, and back when it is on again."""
    need(cluster, Ability.POWER)
    node = cluster.machines["node1"]
    try:
        lose_node1(cluster, shell, node.power_off, LOST_AFTER + DEADLINE)
    finally:
        node.power_on()
    if states(home)["node1"] != "up":  # systemd has started its daemon where there are units
        start(node)
    back(home, "node1")


def test_master_restarted_under_load(cluster: Lab, home: Machine) -> None:
    """Jobs that run go on and end as they would; new ones are refused meanwhile, none hangs."""
    load = "while [ ! -e over ]; do glurun -x home true 2>>told; echo $?; done; rm over"
    stay = ["sh", "-c", "echo begun; read x; echo got $x; exit 6"]
    done(ann(home, "rm", "-f", "over", "told"))
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(ended(home.start(["sh", "-c", load], user="ann")))
        jobs = [
            stack.enter_context(job(home, "-n", "3", *stay, processes=3, stdin=True)),
            stack.enter_context(job(home, "-T", "-w", "node2", *stay, stdin=True)),
        ]
        read_until(busy, b"0\n", DEADLINE)
        kill_service(home, "master")
        read_until(busy, b"125\n", DEADLINE)
        start(home)
        read_until(busy, b"0\n", DEADLINE)
        until(lambda: set(states(home).values()) == {"up"}, "all are back", DEADLINE)
        for process, copies in zip(jobs, (3, 1), strict=True):
            result = finish(process, b"word\n", DEADLINE)
            assert (result.status, result.out) == (6, b"got word\n" * copies), result
        done(ann(home, "touch", "over"))
        result = finish(busy, timeout=DEADLINE)
    assert result.status == 0 and set(result.text.split()) <= {"0", "125"}, result
    told = set(done(ann(home, "sh", "-c", "cat told; rm told")).splitlines())
    assert told and all("master" in line for line in told), told


def test_revoked(cluster: Lab, home: Machine, shell: Terminal) -> None:
    """At once: its jobs are over, it cannot come back; invited anew it is a member again."""
    node = cluster.machines["node1"]
    lose_node1(cluster, shell, lambda: done(home.run(["glunix", "revoke", "node1"])), DEADLINE)
    none_left([node])
    rows = json.loads(done(home.run(["glunix", "members", "--json"])))
    assert "node1" not in {row["name"] for row in rows}
    refused = ann(node, "glurun", "true")
    assert refused.status == 125 and refused.err.count(b"\n") == 1, refused
    assert node.run(["glunix", "leave"]).status == 1
    done(node.run(["glunix", "leave", "--force"]))
    join(home, node)
    back(home, "node1")

"""Master and daemon as services of a real systemd: readiness, journal, stop, restart, boot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.cluster import finish

from lab.asking import STAY, ann, back, done, job, need, none_left, start, states
from lab.machines import DEADLINE, Ability, Lab, Machine

pytestmark = pytest.mark.vm


def systemctl(machine: Machine, *words: str) -> str:
    return done(machine.run(["systemctl", *words], timeout=2 * DEADLINE))


def shown(machine: Machine, unit: str, *properties: str) -> list[str]:
    """Values of a unit's properties."""
    words = [f"--property={name}" for name in properties]
    rows = systemctl(machine, "show", unit, *words).splitlines()
    found = dict(row.split("=", 1) for row in rows)
    return [found[name] for name in properties]


def journal(machine: Machine, unit: str) -> str:
    return done(machine.run(["journalctl", "--no-pager", "-o", "cat", "-u", unit]))


@pytest.fixture(scope="module")
def services(cluster: Lab) -> Iterator[Lab]:
    """The cluster, with its master and daemons under systemd; as it was before, afterwards."""
    need(cluster, Ability.SYSTEMD)
    home, *nodes = cluster.machines.values()
    for machine in (*nodes, home):
        done(machine.run(["glunix", "down"]))
    for machine in (home, *nodes):
        said = done(machine.run(["glunix", "install-units", "--now"], timeout=3 * DEADLINE))
        assert "glunix-daemon.service" in said and said.endswith("started")
        assert ("glunix-master.service" in said) == (machine is home)
    for name in cluster.machines:
        back(home, name)
    yield cluster
    for machine in (*nodes, home):
        machine.run(["systemctl", "disable", "--now", "glunix-daemon", "glunix-master"])
        done(machine.run(["sh", "-c", "rm /etc/systemd/system/glunix-*.service"]))
        systemctl(machine, "daemon-reload")
    for machine in (home, *nodes):
        start(machine)


def test_ready_and_in_the_journal(services: Lab, home: Machine) -> None:
    """systemd was told when they were ready, and has what they say."""
    for name, machine in services.machines.items():
        units = ["glunix-daemon"] + (["glunix-master"] if machine is home else [])
        for unit in units:
            kind, state, text = shown(machine, unit, "Type", "SubState", "StatusText")
            assert (kind, state) == ("notify", "running") and text.endswith("is ready")
            assert "is ready" in journal(machine, unit), name
            assert systemctl(machine, "is-enabled", unit) == "enabled"
    assert done(ann(home, "glurun", "-w", "node1", "hostname")) == "node1"
    assert done(ann(home, "glurun", "-T", "-w", "node1", "hostname")) == "home"


def test_master_restarted(services: Lab, home: Machine) -> None:
    """`systemctl restart` of the master keeps running jobs."""
    words = ["-w", "node1", "sh", "-c", "echo begun; read x; echo got $x; exit 6"]
    with job(home, *words, stdin=True) as process:
        (before,) = shown(home, "glunix-master", "MainPID")
        systemctl(home, "restart", "glunix-master")
        (after,) = shown(home, "glunix-master", "MainPID")
        assert before != after
        back(home, "node1")
        result = finish(process, b"word\n", DEADLINE)
    assert (result.status, result.out) == (6, b"got word\n")


def test_daemon_restarted(services: Lab, home: Machine) -> None:
    """Its jobs end and are told of; it stops cleanly and is a member again."""
    node = services.machines["node1"]
    with job(home, "-w", "node1", *STAY) as process:
        systemctl(node, "restart", "glunix-daemon")
        result = finish(process, timeout=DEADLINE)
    assert result.status in (125, 128 + 1, 128 + 9, 128 + 15), result
    none_left([node])
    back(home, "node1")
    systemctl(node, "stop", "glunix-daemon")
    result, state = shown(node, "glunix-daemon", "Result", "SubState")
    assert (result, state) == ("success", "dead")
    systemctl(node, "start", "glunix-daemon")
    back(home, "node1")


def test_started_again_when_it_fails(services: Lab, home: Machine) -> None:
    """kill -9 of a daemon that systemd looks after: it comes back by itself."""
    node = services.machines["node1"]
    (pid,) = shown(node, "glunix-daemon", "MainPID")
    with job(home, "-w", "node1", *STAY) as process:
        done(node.run(["kill", "-KILL", pid]))
        result = finish(process, timeout=DEADLINE)
        assert result.status == 125 and "node1" in result.complaint, result
    back(home, "node1")
    none_left([node])
    assert shown(node, "glunix-daemon", "MainPID") != [pid]


def test_started_at_boot(services: Lab, home: Machine) -> None:
    """After a power cut a node is a member again without a command."""
    need(services, Ability.POWER)
    node = services.machines["node2"]
    node.power_off()
    node.power_on()
    back(home, "node2")
    assert states(home)["node2"] == "up"

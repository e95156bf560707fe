"""The lab itself: machines with kernels and names of their own, one network, home's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.asking import done, need
from lab.machines import Ability, Lab

pytestmark = pytest.mark.vm


@pytest.mark.short_vm
def test_names(lab: Lab) -> None:
    assert list(lab.machines)[:3] == ["home", "node1", "node2"]
    for name, machine in lab.machines.items():
        assert done(machine.run(["hostname"])) == name
        for other in lab.machines.values():
            line = done(machine.run(["getent", "ahostsv4", other.name])).splitlines()[0]
            assert line.split()[0] == other.address


@pytest.mark.short_vm
def test_kernels(lab: Lab) -> None:
    """Each machine has booted by itself, and none is this one."""
    need(lab, Ability.KERNEL)
    boot_id = "/proc/sys/kernel/random/boot_id"
    found = [done(machine.run(["cat", boot_id])) for machine in lab.machines.values()]
    found.append(Path(boot_id).read_text().strip())
    assert len(set(found)) == len(lab.machines) + 1


def can_ping(lab: Lab) -> None:
    """Skip where the machines have this one's programs and ping is none of them."""
    if lab.machines["home"].run(["sh", "-c", "command -v ping"]).status != 0:
        pytest.skip("ping is not installed (apt-get install iputils-ping)")


def test_network(lab: Lab) -> None:
    """Everybody reaches everybody, and there is no way out."""
    can_ping(lab)
    for machine in lab.machines.values():
        for other in lab.machines.values():
            done(machine.run(["ping", "-c1", "-W5", other.name]))
        routes = done(machine.run(["ip", "route"])).splitlines()
        assert all(not route.startswith("default") for route in routes), routes


@pytest.mark.short_vm
def test_home_is_shared(lab: Lab) -> None:
    need(lab, Ability.NFS)
    home, *nodes = lab.machines.values()
    done(home.run(["sh", "-c", "umask 077; echo from home >~/note"], user="ann"))
    try:
        for node in nodes:
            assert done(node.run(["cat", "note"], user="ann")).startswith("from home")
            assert node.run(["cat", "/home/ann/note"], user="bob").status != 0
            done(node.run(["sh", "-c", f"echo {node.name} >>~/note"], user="ann"))
        names = "\n".join(["from home", *(node.name for node in nodes)])
        assert done(home.run(["cat", "note"], user="ann")) == names
    finally:
        done(home.run(["rm", "-f", "note"], user="ann"))


def test_how_commands_end(lab: Lab) -> None:
    home = lab.machines["home"]
    assert home.run(["sh", "-c", "exit 7"]).status == 7
    assert home.run(["sh", "-c", "kill -TERM $$"]).status == 128 + 15
    result = home.run(["sh", "-c", "cat; echo err >&2"], stdin=b"a b\0c\n", user="bob")
    assert (result.status, result.out, result.err) == (0, b"a b\0c\n", b"err\n")
    assert done(home.run(["printenv", "X"], env={"X": "a 'b'"})) == "a 'b'"
    assert done(home.run(["id", "-u"], user="bob")) != done(home.run(["id", "-u"], user="ann"))


def test_terminal(lab: Lab) -> None:
    terminal = lab.machines["node1"].terminal(["sh", "-c", "test -t 0 && echo a terminal; cat"])
    terminal.expect("a terminal")
    terminal.line("x")
    terminal.expect("x")
    terminal.control("d")
    assert terminal.ended() == 0


def test_cable(lab: Lab) -> None:
    """What a machine without its cable sends is lost; afterwards all is as before."""
    need(lab, Ability.CABLE)
    can_ping(lab)
    home, node = lab.machines["home"], lab.machines["node2"]
    node.link_down()
    try:
        assert home.run(["ping", "-c1", "-W2", "node2"]).status == 1
        done(home.run(["ping", "-c1", "-W5", "node1"]))
    finally:
        node.link_up()
    done(home.run(["ping", "-c1", "-W10", "node2"]))
    assert done(node.run(["hostname"])) == "node2"


def test_power(lab: Lab) -> None:
    """A machine that was switched off comes back with its disk, as another boot."""
    need(lab, Ability.POWER)
    node = lab.machines["node2"]
    boot_id = ["cat", "/proc/sys/kernel/random/boot_id"]
    before = done(node.run(boot_id))
    done(node.run(["sh", "-c", "echo kept >/var/note; sync"]))
    node.power_off()
    assert lab.machines["home"].run(["ping", "-c1", "-W2", "node2"]).status == 1
    node.power_on()
    assert done(node.run(["cat", "/var/note"])) == "kept"
    assert done(node.run(boot_id)) != before
    if Ability.NFS in lab.abilities:
        look = "ls /home >/dev/null; findmnt -no SOURCE /home"  # systemd mounts it when it is used
        assert done(node.run(["sh", "-c", look])).splitlines()[-1] == "home:/home"

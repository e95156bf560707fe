"""GLUnix on machines with kernels of their own: installed from a wheel, joined, used by people."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest
from e2e.cluster import Result, ended, finish, read_until, until
from e2e.terminal import Terminal

from lab.machines import DEADLINE, Ability, Lab, Machine
from lab.test_machines import done, need

pytestmark = pytest.mark.vm

LOST_AFTER = 20.0
"""Seconds of silence that make a node lost (docs/cluster.md, `lost_after`)."""


def states(home: Machine) -> dict[str, str]:
    """Node -> state, by glustat."""
    rows = json.loads(done(home.run(["glustat", "--json"])))
    return {row["name"]: row["state"] for row in rows}


def ann(machine: Machine, *argv: str, stdin: bytes | None = None) -> Result:
    """A command of an ordinary user."""
    return machine.run(argv, user="ann", stdin=stdin)


@pytest.fixture
def home(cluster: Lab) -> Machine:
    """Where people type."""
    return cluster.machines["home"]


@pytest.fixture
def shell(home: Machine) -> Terminal:
    """An interactive bash of ann's in an ssh session on home, at its first prompt."""
    terminal = home.terminal(["bash", "--norc", "--noprofile", "-i"], user="ann")
    terminal.line("PS1='ho''me> '; bind 'set enable-bracketed-paste off'")  # its echo is no prompt
    terminal.expect("home> ")
    return terminal


def test_installed_from_the_wheel(cluster: Lab) -> None:
    need(cluster, Ability.INSTALL)
    said = {done(machine.run(["glunix", "version"])) for machine in cluster.machines.values()}
    assert len(said) == 1 and said.pop().startswith("glunix 0.")


def test_everybody_joined(cluster: Lab, home: Machine) -> None:
    assert states(home) == dict.fromkeys(cluster.machines, "up")
    rows = json.loads(done(home.run(["glunix", "members", "--json"])))
    assert {row["name"] for row in rows if row["connected"]} == set(cluster.machines)


def test_both_levels(home: Machine) -> None:
    """Status, both outputs, input, and which machine a program believes to be on."""
    for level in ([], ["-T"]):
        glurun = ["glurun", *level, "-w", "node2"]
        result = ann(home, *glurun, "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (result.status, result.out, result.err) == (3, b"out\n", b"err\n")
        assert done(ann(home, *glurun, "wc", "-c", stdin=b"x" * 100_000)).strip() == "100000"
        assert done(ann(home, *glurun, "hostname")) == ("home" if level else "node2")
        assert done(ann(home, *glurun, "id", "-u")) == done(ann(home, "id", "-u"))
    lines = done(ann(home, "glurun", "-n", "3", "-l", "hostname")).splitlines()
    assert sorted(line.partition(": ")[2] for line in lines) == ["home", "node1", "node2"]


def test_input_stays_home(home: Machine) -> None:
    line = "printf 'a\\nb\\n' | { glurun -T -w node1 sh -c 'read x; echo got $x'; cat; }"
    assert done(ann(home, "sh", "-c", line)) == "got a\nb"


def test_type_ahead_and_job_control(shell: Terminal) -> None:
    """What is typed for the shell reaches the shell; ^Z, fg and ^C do what they do at home."""
    # With LF: a CR that is typed while readline still has the terminal would stay one (no ICRNL).
    shell.line("glurun -T -w node1 sh -c 'read x; echo got:$x'")
    shell.send("first\n")
    shell.line("echo second:$?")
    shell.expect("\r\ngot:first")
    shell.expect("\r\nsecond:0")
    shell.expect("home> ")
    shell.line("glurun -T -w node2 sh -c 'echo begun; exec sed -u s/^/=/'")
    shell.expect("\r\nbegun")
    shell.send("typed\n")
    shell.expect("=typed")
    shell.control("z")
    shell.expect("Stopped")
    shell.expect("home> ")
    shell.line("fg")
    shell.send("again\n")
    shell.expect("=again")
    shell.control("c")
    shell.expect("home> ")
    shell.line("echo was:$?")
    shell.expect("\r\nwas:130")
    shell.line("exit 5")
    assert shell.ended() == 5


def test_vim(home: Machine, shell: Terminal) -> None:
    """An editor on a node, in a terminal at home, on a file at home."""
    done(ann(home, "rm", "-f", "letter"))
    shell.line("glurun -T -w node2 vi letter")
    shell.expect("letter")  # its last line names the file when it has drawn its screen
    shell.send("iDear node,\rit is I.\x1b:wq\r")
    shell.expect("home> ")
    shell.line("echo was:$?")
    shell.expect("\r\nwas:0")
    assert done(ann(home, "cat", "letter")) == "Dear node,\nit is I."


MAKEFILE = """
parts := $(patsubst %.c,%.o,$(wildcard part*.c))
sum: $(parts)
\tglurun -T gcc -o $@ $^
%.o: %.c
\tglurun -T gcc -c -o $@ $<
"""


def test_build_over_nfs(cluster: Lab, home: Machine) -> None:
    """make -j at home, the compilers on the nodes, sources and objects in home's files."""
    need(cluster, Ability.NFS)
    lines = [f"int f{n}(void) {{ return {n}; }}" for n in range(1, 5)]
    total = " + ".join(f"f{n}()" for n in range(1, 5))
    heads = " ".join(f"int f{n}(void);" for n in range(1, 5))
    lines.append(f'#include <stdio.h>\n{heads} int main(void) {{ printf("%d\\n", {total}); }}')
    done(ann(home, "sh", "-c", "rm -rf build && mkdir build"))
    for number, text in enumerate(lines):
        file = f"build/part{number}.c"
        done(ann(home, "sh", "-c", f"cat >{file}", stdin=f"{text}\n".encode()))
    done(ann(home, "sh", "-c", "cat >build/Makefile", stdin=MAKEFILE.encode()))
    done(home.run(["make", "--no-print-directory", "-C", "build", "-j3"], user="ann", timeout=180))
    assert done(ann(home, "build/sum")) == "10"
    assert done(ann(home, "glurun", "-w", "node1", "build/sum")) == "10"


def test_users_are_apart(home: Machine) -> None:
    """Another user's job can neither be signalled nor watched, from any machine's tools."""
    words = ["glurun", "-w", "node1", "sh", "-c", "echo begun; cat"]
    job = home.start(words, user="ann", stdin=True)
    with ended(job):
        read_until(job, b"begun\n", DEADLINE)
        rows = json.loads(done(home.run(["glups", "-a", "--json"], user="bob")))
        (npid,) = [str(row["npid"]) for row in rows if row["state"] == "running"]
        result = home.run(["glukill", npid], user="bob")
        assert result.status == 1 and result.err.count(b"\n") == 1, result
        out, err = job.communicate(b"still here\n", DEADLINE)
        assert (job.returncode, out, err) == (0, b"still here\n", b"")
    assert home.run(["glurun", "true"]).status == 125  # root's jobs: allow_root is off


def _sleepers(machine: Machine) -> list[str]:
    found = machine.run(["pgrep", "-f", "^sleep 3210"])
    return found.text.split()


def test_daemon_killed(cluster: Lab, home: Machine) -> None:
    """kill -9 of node1's daemon during a 3-way job: it is over everywhere, and the user is told."""
    node = cluster.machines["node1"]
    job = home.start(["glurun", "-n", "3", "sh", "-c", "echo begun; exec sleep 3210"], user="ann")
    with ended(job):
        for _ in range(3):
            read_until(job, b"begun\n", DEADLINE)
        assert _sleepers(node)
        listing = "cat ${GLUNIX_DIR:-/run/glunix}/private/cluster.json"
        rows = json.loads(done(node.run(["sh", "-c", listing])))
        done(node.run(["kill", "-KILL", *(str(row["pid"]) for row in rows)]))
        result = finish(job, timeout=DEADLINE)
    assert result.status == 125 and "node1" in result.complaint, result
    for machine in cluster.machines.values():
        until(lambda m=machine: not _sleepers(m), f"{machine.name} has none of its processes")  # type: ignore[misc]
    done(node.run(["glunix", "up"]))
    until(lambda: states(home)["node1"] == "up", "node1 is back", DEADLINE)
    assert done(ann(home, "glurun", "-w", "node1", "hostname")) == "node1"


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


def test_power_cut(cluster: Lab, home: Machine) -> None:
    """A node without mains during a 3-way job: lost after its silence, and back when it is on."""
    need(cluster, Ability.POWER)
    node = cluster.machines["node1"]
    job = home.start(["glurun", "-n", "3", "sh", "-c", "echo begun; exec sleep 3210"], user="ann")
    with ended(job):
        for _ in range(3):
            read_until(job, b"begun\n", DEADLINE)
        node.power_off()
        began = time.monotonic()
        result = finish(job, timeout=LOST_AFTER + DEADLINE)
        seconds = time.monotonic() - began
    assert result.status == 125 and "node1" in result.complaint, result
    assert seconds < LOST_AFTER + DEADLINE / 2
    assert states(home)["node1"] != "up"
    assert not _sleepers(cluster.machines["node2"])
    node.power_on()
    done(node.run(["glunix", "up"]))
    until(lambda: states(home)["node1"] == "up", "node1 is back", DEADLINE)
    assert done(ann(home, "glurun", "-w", "node1", "hostname")) == "node1"


def test_tools_of_the_box(cluster: Lab) -> None:
    """BCC and CRIU are there and work with this kernel; their versions go into the report."""
    need(cluster, Ability.BOX)
    for machine in cluster.machines.values():
        criu = done(machine.run(["criu", "--version"]))
        assert re.match(r"Version: \d", criu)
        assert "Looks good" in done(machine.run(["criu", "check"]))
        bcc = done(machine.run(["python3", "-c", "import bcc; print(bcc.__version__)"]))
        print(f"{machine.name}: BCC {bcc}, CRIU {criu.split()[1]}")

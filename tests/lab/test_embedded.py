"""GLUnix installed from a wheel on a bare machine, and a cluster inside that one machine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.machines import Ability, Lab, Machine
from lab.test_machines import done, need


@pytest.fixture(scope="module")
def home(installed: Lab) -> Iterator[Machine]:
    """Home with the embedded cluster of two nodes."""
    need(installed, Ability.INSTALL)
    machine = installed.machines["home"]
    done(machine.run(["glunix", "up", "-n", "2"], timeout=120))
    yield machine
    done(machine.run(["glunix", "down"], timeout=120))
    assert machine.run(["glunix", "status"]).status == 3


def test_installed_everywhere(installed: Lab) -> None:
    need(installed, Ability.INSTALL)
    said = {done(m.run(["glunix", "version"])) for m in installed.machines.values()}
    assert len(said) == 1 and said.pop().startswith("glunix 0.")


def test_doctor(home: Machine) -> None:
    """The machine's own kernel, 6.1, has what the transparent level needs."""
    found = json.loads(done(home.run(["glunix", "doctor", "--json"], timeout=120)))
    assert found


def test_basics(home: Machine) -> None:
    """Status, both outputs, input, where it runs: at both levels."""
    result = home.run(["glurun", "sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.status, result.out, result.err) == (3, b"out\n", b"err\n")
    result = home.run(["glurun", "-T", "sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.status, result.out, result.err) == (3, b"out\n", b"err\n")
    assert done(home.run(["glurun", "wc", "-c"], stdin=b"x" * 100_000)).strip() == "100000"
    assert done(home.run(["glurun", "-w", "node2", "hostname"])) == "node2"
    assert done(home.run(["glurun", "-T", "-w", "node2", "hostname"])) == "home"
    lines = done(home.run(["glurun", "-n", "4", "printenv", "GLUNIX_VNN"])).split()
    assert sorted(lines) == ["0", "1", "2", "3"]


def test_input_stays_home(home: Machine) -> None:
    """The README's sentence about input on demand, on a kernel that is not the developer's."""
    line = "printf 'a\\nb\\n' | { glurun -T sh -c 'read x; echo got $x'; cat; }"
    assert done(home.run(["sh", "-c", line])) == "got a\nb"


def test_other_users(home: Machine) -> None:
    """Root's cluster serves others as themselves."""
    assert done(home.run(["glurun", "id", "-un"], user="ann")) == "ann"
    assert done(home.run(["glurun", "-T", "id", "-un"], user="bob")) == "bob"


def test_terminal(home: Machine) -> None:
    """An ssh session on home: type-ahead, job control, status, as if nothing were between."""
    terminal = home.terminal(["bash", "--norc", "--noprofile", "-i"], user="ann")
    terminal.line("PS1='home> '; bind 'set enable-bracketed-paste off'")
    terminal.expect("\r\nhome> ")
    terminal.line("glurun -T sh -c 'read x; echo got:$x'")
    terminal.line("first")
    terminal.line("echo second:$?")
    terminal.expect("\r\ngot:first")
    terminal.expect("\r\nsecond:0")
    terminal.expect("home> ")
    terminal.line("glurun -T cat")
    terminal.line("typed")
    terminal.expect("typed\r\ntyped")
    terminal.control("z")
    terminal.expect("Stopped")
    terminal.expect("home> ")
    terminal.line("fg")
    terminal.line("again")
    terminal.expect("again\r\nagain")
    terminal.control("c")
    terminal.expect("home> ")
    terminal.line("echo was:$?")
    terminal.expect("\r\nwas:130")
    terminal.line("exit 5")
    assert terminal.ended() == 5

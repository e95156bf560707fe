"""The lab of a test session, and GLUnix installed on it from a wheel."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.kinds import KINDS
from lab.machines import Ability, Lab, Machine
from vagrant.steps import step

ROOT = Path(__file__).resolve().parents[2]
INSTALL_LIMIT, JOIN_LIMIT = 300.0, 120.0


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The machines that GLUNIX_LAB asks for; started once for all tests."""
    kind = os.environ.get("GLUNIX_LAB", "")
    if not kind:
        pytest.skip(f"GLUNIX_LAB is not set to one of {', '.join(KINDS)} (see vagrant/README.md)")
    if kind not in KINDS:
        pytest.fail(f"GLUNIX_LAB={kind!r}: not one of {', '.join(KINDS)}")
    with KINDS[kind]() as running:
        say = request.config.get_terminal_writer()
        say.line(f"\nlab: {running.description}")
        yield running


@pytest.fixture(scope="session")
def wheel() -> Iterator[Path]:
    """A wheel of this checkout, built from a copy: building leaves files beside the sources."""
    with tempfile.TemporaryDirectory(prefix="glunix-wheel-") as name:
        copy = Path(name, "source")
        copy.mkdir()
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, copy)
        for package in ("glunix", "slic", "migration"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, copy / package, ignore=ignored)
        words = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
        step("building the wheel", [*words, "--no-deps", "-w", name, copy], INSTALL_LIMIT)
        (found,) = Path(name).glob("glunix-*.whl")
        yield found


def install(machine: Machine, wheel: Path) -> None:
    """The two commands of vagrant/README.md on a machine that has only Debian's Python and pip.

    The machine's pip finds what GLUnix depends on in a folder: there is no other network.
    """
    target = f"/tmp/{wheel.name}"
    machine.put(wheel, target)
    for words in (
        ["python3", "-m", "venv", "--without-pip", "/opt/glunix"],
        ["pip", "--python", "/opt/glunix", "--quiet", "install", target],
    ):
        result = machine.run(words, timeout=INSTALL_LIMIT)
        assert (result.status, result.err) == (0, b""), f"{machine.name}: {words}: {result}"


@pytest.fixture(scope="session")
def installed(lab: Lab, wheel: Path) -> Lab:
    """The lab with GLUnix on every machine, installed at the same time on all."""
    from concurrent.futures import ThreadPoolExecutor

    if Ability.INSTALL in lab.abilities:
        with ThreadPoolExecutor(len(lab.machines)) as pool:
            list(pool.map(lambda machine: install(machine, wheel), lab.machines.values()))
    return lab


@pytest.fixture(scope="session")
def cluster(installed: Lab) -> Lab:
    """A cluster of all machines: home has the master, takes jobs as well, and invites the others.

    The commands are those of docs/cluster.md; the machines are thrown away afterwards.
    """
    home, *nodes = installed.machines.values()
    init = ["glunix", "init", "--listen", f"{home.address}:7117", "--accept-jobs"]
    for words in (init, ["glunix", "up"]):
        result = home.run(words, timeout=JOIN_LIMIT)
        assert result.status == 0, result
    for node in nodes:
        invitation = home.run(["glunix", "invite", "--expires", "10m"])
        assert invitation.status == 0, invitation
        words = ["glunix", "join", f"{home.name}:7117", "-"]
        result = node.run(words, stdin=invitation.out, timeout=JOIN_LIMIT)
        assert result.status == 0, f"{node.name}: {result}"
    return installed

"""The lab of a test session, and GLUnix installed on it from a wheel."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e2e.cluster import Result

from lab.kinds import KINDS
from lab.machines import DEADLINE, Ability, Lab, Machine
from vagrant.steps import step

ROOT = Path(__file__).resolve().parents[2]
INSTALL_LIMIT, JOIN_LIMIT = 5 * DEADLINE, 2 * DEADLINE


@pytest.fixture(scope="package")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The machines that GLUNIX_LAB asks for, else namespaces; started once for all tests."""
    kind = os.environ.get("GLUNIX_LAB", "netns")
    if kind not in KINDS:
        pytest.fail(f"GLUNIX_LAB={kind!r}: not one of {', '.join(KINDS)}")
    with KINDS[kind]() as running:
        say = request.config.get_terminal_writer()
        say.line(f"\nlab: {running.description}")
        yield running


@pytest.fixture(scope="package")
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


def copy(home: Machine, nodes: Sequence[Machine]) -> None:
    """What was installed at home onto the nodes, through home's files."""
    pack = home.run(["tar", "-C", "/opt", "-cf", "/home/glunix.tar", "glunix"])
    assert pack.status == 0, pack
    for result in _all(nodes, ["tar", "-C", "/opt", "-xf", "/home/glunix.tar"]):
        assert result.status == 0, result


def _all(machines: Sequence[Machine], words: Sequence[str]) -> list[Result]:
    with ThreadPoolExecutor(len(machines)) as pool:
        return list(pool.map(lambda machine: machine.run(words, timeout=JOIN_LIMIT), machines))


@pytest.fixture(scope="package")
def installed(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """The lab with GLUnix on every machine.

    pip costs an emulated machine 40 s of processor time: the quick lab pays them once, at home.
    """
    machines = list(lab.machines.values())
    if Ability.INSTALL in lab.abilities:
        wheel: Path = request.getfixturevalue("wheel")
        every = lab.kind != "qemu"
        with ThreadPoolExecutor(len(machines)) as pool:
            list(pool.map(lambda m: install(m, wheel), machines if every else machines[:1]))
        if not every:
            copy(machines[0], machines[1:])
    return lab


@pytest.fixture(scope="package")
def cluster(installed: Lab) -> Lab:
    """A cluster of all machines: home has the master, takes jobs as well, and invites the others.

    The commands are those of docs/cluster.md; the machines are thrown away afterwards.
    """
    home, *nodes = installed.machines.values()
    init = ["glunix", "init", "--listen", f"{home.address}:7117", "--accept-jobs"]
    for words in (init, ["glunix", "up"]):
        result = home.run(words, timeout=JOIN_LIMIT)
        assert result.status == 0, result
    tokens = [home.run(["glunix", "invite", "--expires", "10m"]) for _ in nodes]

    def join(node: Machine, token: Result) -> None:
        assert token.status == 0, token
        words = ["glunix", "join", f"{home.name}:7117", "-"]
        result = node.run(words, stdin=token.out, timeout=JOIN_LIMIT)
        assert result.status == 0, f"{node.name}: {result}"

    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(join, nodes, tokens))
    return installed

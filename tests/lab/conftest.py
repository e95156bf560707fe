"""The lab of a test session, and GLUnix installed on it from a wheel."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pluggy
import pytest
from e2e.cluster import Result
from e2e.terminal import Terminal

from lab.asking import done, join, start
from lab.kinds import KINDS
from lab.machines import DEADLINE, Ability, Lab, Machine
from vagrant.steps import UNAVAILABLE, LabError, step

ROOT = Path(__file__).resolve().parents[2]
INSTALL_LIMIT, JOIN_LIMIT = 12 * DEADLINE, 4 * DEADLINE
ORDER = ("machines", "cluster", "terminal", "users", "failures", "systemd")
"""The modules' order: what later ones build on comes first, what breaks things last."""
_TOLD: set[str] = set()
"""Failures that have told their story."""
_RUNNING = pytest.StashKey[Lab]()


@pytest.fixture(scope="package")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The machines that GLUNIX_LAB asks for, else namespaces; started once for all tests.

    Machines that cannot be made here say nothing about GLUnix: the run ends, with UNAVAILABLE.
    """
    kind = os.environ.get("GLUNIX_LAB", "netns")
    if kind not in KINDS:
        pytest.fail(f"GLUNIX_LAB={kind!r}: not one of {', '.join(KINDS)}")
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(KINDS[kind]())
        except LabError as error:
            pytest.exit(f"no {kind} lab: {error}", UNAVAILABLE)
        say = request.config.get_terminal_writer()
        say.line(f"\nlab: {running.description}")
        request.config.stash[_RUNNING] = running
        yield running
        del request.config.stash[_RUNNING]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this folder in ORDER."""
    here = [
        number for number, item in enumerate(items) if item.path.parent == Path(__file__).parent
    ]
    tests = sorted(
        (items[number] for number in here),
        key=lambda item: ORDER.index(item.path.stem.removeprefix("test_")),
    )
    for number, item in zip(here, tests, strict=True):
        items[number] = item


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """A failure says what the machines' consoles and GLUnix's logs on them end with."""
    report = (yield).get_result()
    running = item.config.stash.get(_RUNNING, None)
    if report.failed and running is not None and report.longreprtext not in _TOLD:
        _TOLD.add(report.longreprtext)  # a fixture that failed fails again for each of its tests
        report.sections.append(("the machines of the lab", running.story()))


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


_FORGET = """
systemctl disable --now glunix-daemon glunix-master
glunix down
rm -rf /var/lib/glunix /run/glunix /opt/glunix /etc/systemd/system/glunix-*.service
"""


def forget(machine: Machine) -> None:
    """What an earlier run left on machines that outlive it (`make lab`)."""
    if machine.run(["test", "-e", "/opt/glunix"]).status == 0:
        done(machine.run(["sh", "-c", f"({_FORGET}) 2>/dev/null"], timeout=JOIN_LIMIT))


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
        for machine in machines:
            forget(machine)
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
    done(home.run(init, timeout=JOIN_LIMIT))
    start(home)
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(partial(join, home), nodes))
    return installed


@pytest.fixture
def home(cluster: Lab) -> Machine:
    """Where people type."""
    return cluster.machines["home"]


@pytest.fixture
def shell(home: Machine) -> Iterator[Terminal]:
    """An interactive bash of ann's in an ssh session on home, at its first prompt."""
    terminal = home.terminal(["bash", "--norc", "--noprofile", "-i"], user="ann")
    terminal.line("PS1='ho''me> '; bind 'set enable-bracketed-paste off'")  # its echo is no prompt
    terminal.expect("home> ")
    yield terminal
    terminal.child.close(force=True)

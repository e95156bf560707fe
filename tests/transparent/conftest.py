"""Fixtures: the cluster and the leak checks of tests/e2e, lines and terminals at both levels."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, everybodys_python, make_launchers, users_own
from e2e.conftest import no_leaks, nobody, own, shared, tools

from .compare import TRANSPARENT, Both
from .terminal import Terminal

__all__ = ["no_leaks", "nobody", "own", "shared", "tools"]


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder; native and transparent runs get one each below it."""
    folder = users_own(Path(tempfile.mkdtemp(prefix="glunix-T-")))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def both(shared: Cluster, place: Path) -> Both:
    """Runs a shell line natively and under -T."""
    return Both(shared, place)


@pytest.fixture
def terminal_on(place: Path) -> Iterator[Callable[[Cluster], Terminal]]:
    """Makes a terminal for -T on a cluster of the test's own."""
    made: list[Terminal] = []

    def make(cluster: Cluster) -> Terminal:
        made.append(Terminal(cluster, TRANSPARENT, place))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def terminal(shared: Cluster, place: Path) -> Iterator[Callable[..., Terminal]]:
    """Makes terminals with an interactive bash; all are closed after the test."""
    made: list[Terminal] = []

    def make(level: str, **how: int) -> Terminal:
        folder = place / level.replace(" ", "") / str(len(made))
        folder.mkdir(parents=True)
        users_own(users_own(folder).parent)
        made.append(Terminal(shared, level, folder, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def users_tools() -> Iterator[Path]:
    """Launchers that ordinary users may run from a shell (see `situations`)."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become an ordinary user, and for devpts")
    python = everybodys_python()
    if python is None:
        pytest.skip("ordinary users can run no interpreter of this version")
    folder = Path(tempfile.mkdtemp(prefix="glunix-bin-"))
    folder.chmod(0o755)
    make_launchers(folder, python)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def compiled() -> Iterator[Callable[[str, str], str]]:
    """Compiles C text into a statically linked program; returns its path."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = Path(tempfile.mkdtemp(prefix="glunix-T-bin-"))
    folder.chmod(0o755)

    def build(name: str, text: str) -> str:
        program = folder / name
        if not program.exists():
            source = folder / f"{name}.c"
            source.write_text(text)
            words = ["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", str(program), str(source)]
            subprocess.run(words, check=True, timeout=60)
        return str(program)

    yield build
    shutil.rmtree(folder)

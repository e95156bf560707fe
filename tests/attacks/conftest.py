"""Fixtures of attacks: root's cluster, and an ordinary user with a folder of his own.

An attack's success is the failure. Each first shows that it does what it is meant to do, on
something that it may attack.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.cluster import everybodys_python, make_launchers
from e2e.conftest import no_leaks, nobody, own, shared
from transparent.conftest import compiled

__all__ = ["compiled", "no_leaks", "nobody", "own", "shared", "tools"]


@pytest.fixture(scope="session")
def tools() -> Iterator[Path]:
    """A folder with launchers that every user may run, also from his own shell."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a cluster of root's")
    python = everybodys_python()
    if python is None:
        pytest.skip("ordinary users can run no interpreter of this version")
    folder = Path(tempfile.mkdtemp(prefix="glunix-bin-"))
    folder.chmod(0o755)
    make_launchers(folder, python)
    yield folder
    shutil.rmtree(folder)


PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def place(nobody: int) -> Iterator[Path]:
    """A folder of root's with one of the user's in it, `user`."""
    folder = Path(tempfile.mkdtemp(prefix="glunix-attack-"))
    folder.chmod(0o755)
    (folder / "user").mkdir()
    os.chown(folder / "user", nobody, nobody)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def program(compiled: Callable[[str, str], str]) -> Callable[[str], str]:
    """Compiles one of `programs`; returns its path."""
    return lambda name: compiled(name, (PROGRAMS / f"{name}.c").read_text())

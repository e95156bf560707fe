"""The cluster of a test session, and the leak checks around every test."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .cluster import (
    NOBODY,
    TESTED_USER,
    Cluster,
    Member,
    as_user,
    describe,
    everybodys_python,
    guests_of,
    make_launchers,
    processes,
)

SETTLE = 12.0
"""Seconds in which everything of a test must be gone; over the grace times of leftovers."""


@pytest.fixture(scope="session")
def tools() -> Iterator[Path]:
    """A folder with the launchers of this checkout, which every user may run."""
    folder = Path(tempfile.mkdtemp(prefix="glunix-bin-"))
    folder.chmod(0o755)
    python = everybodys_python() or (sys.executable if os.geteuid() == TESTED_USER else None)
    assert python, "ordinary users can run no interpreter of this version"
    make_launchers(folder, python)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared(tools: Path) -> Iterator[Cluster]:
    """A cluster of 4 nodes for all tests of this worker that leave it as it is."""
    with Cluster(tools).guarded() as cluster:
        cluster.up(4)
        # Links between daemons are made on first use and kept: they are no leak.
        result = cluster.glurun("-n", "4", "glurun", "-n", "4", "true")
        assert result.status == 0, result
        yield cluster


@pytest.fixture
def own(tools: Path) -> Iterator[Cluster]:
    """A cluster that is not started yet, for tests that break it."""
    with Cluster(tools).guarded() as cluster:
        yield cluster


@pytest.fixture
def nobody(tools: Path) -> int:
    """A uid that is not ours and can run our tools."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    probe = " ".join([*as_user(NOBODY), str(tools / "glurun"), "--version >/dev/null 2>&1"])
    if os.system(probe) != 0:
        pytest.skip(f"uid {NOBODY} cannot read this checkout or its interpreter")
    return NOBODY


def _ptys() -> int:
    """Pseudo-terminals of the test itself; those of daemons are counted with their descriptors.

    One exists as long as its master side is open; /dev/pts also shows what others on the machine
    have.
    """
    return sum("ptmx" in what for what in Member("test", os.getpid(), ()).fds().values())


def _mounts() -> list[str]:
    """Without the names of network namespaces: `ip netns` of others on the machine makes them."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if " - nsfs " not in line]


def _children(everything: Mapping[int, tuple[int, str]]) -> set[int]:
    me = os.getpid()
    return {pid for pid, (parent, _) in everything.items() if parent == me}


class _Watch:
    """What was there before a test, and what is too much after it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.members = cluster.members()
        self.fds = {name: member.fds() for name, member in self.members.items()}
        everything = processes()
        self.guests = {n: set(guests_of(m, everything)) for n, m in self.members.items()}
        self.ptys, self.mounts, self.children = _ptys(), len(_mounts()), _children(everything)

    def too_much(self) -> list[str]:
        """Leaks in words; empty when all is as before."""
        found = []
        everything = processes()
        for name, member in self.members.items():
            for pid in set(guests_of(member, everything)) - self.guests[name]:
                found.append(f"process on {name}: {describe(pid)}")
            now, before = member.fds(), self.fds[name]
            if not now:
                found.append(f"{name} is gone: {self.cluster.log(name)[-2000:]}")
            if len(now) > len(before):
                more = {fd: what for fd, what in now.items() if before.get(fd) != what}
                found.append(f"descriptors of {name}: {more}")
        mine = _children(everything) - self.children
        found += [f"child of the test: {describe(pid)}" for pid in mine]
        found += _mounts()[self.mounts :]
        if _ptys() > self.ptys:
            found.append(f"{_ptys() - self.ptys} pseudo-terminals of the test")
        return found

    def kill_leaks(self) -> None:
        """So that one test's leak is not the next one's."""
        for member in self.members.values():
            for pid in guests_of(member):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


@pytest.fixture(autouse=True)
def no_leaks(shared: Cluster) -> Iterator[None]:
    """After every test, all that it made is gone: processes, descriptors, ptys, mounts."""
    watch = _Watch(shared)
    yield
    end = time.monotonic() + SETTLE
    while leaks := watch.too_much():
        if time.monotonic() > end:
            watch.kill_leaks()
            pytest.fail("left behind:\n" + "\n".join(leaks))
        time.sleep(0.02)

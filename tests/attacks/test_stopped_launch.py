"""A launch in which something was stopped: by its owner (SIGSTOP), or a node that does not answer.

What is stopped beside a transparent job goes on within moments; a `glurun` whose job does not start
is ended within a second by the signals that would end a program that is not there yet.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, descendants, ended, processes, until
from e2e.terminal import PROMPT, home_shell

from .rooted import needs_root, rooted

pytestmark = needs_root

levels = pytest.mark.parametrize("words", [(), ("-T",)], ids=["user level", "-T"])
ROUNDS = 40 if os.environ.get("GLUNIX_LONG") else 8


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class Stopper(threading.Thread):
    """Stops each helper of a user's once, as early as it is seen, between the supervisor and the
    program: as its owner, with one signal each."""

    def __init__(self, daemon: int, user: int) -> None:
        super().__init__(daemon=True)
        self._daemon = daemon
        self._user = user
        self.is_over = False
        self.stopped = 0

    def run(self) -> None:
        own_stack = _fields(self._daemon)[25]
        seen: set[int] = set()
        while not self.is_over:
            for supervisor in _children(self._daemon):
                for pid in _below(supervisor):
                    with contextlib.suppress(OSError, IndexError):
                        if pid in seen or os.stat(f"/proc/{pid}").st_uid not in (0, self._user):
                            continue
                        fields = _fields(pid)
                        if fields[25] != own_stack:
                            continue
                        if f"Uid:\t{self._user}" not in Path(f"/proc/{pid}/status").read_text():
                            continue
                        seen.add(pid)
                        os.kill(pid, signal.SIGSTOP)
                        self.stopped += 1


def _children(pid: int) -> list[int]:
    try:
        return [int(w) for w in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _below(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _below(child)


def test_a_helper_that_its_owner_stops_goes_on(shared: Cluster, nobody: int) -> None:
    node = shared.nodes()["node1"]
    stopper = Stopper(node.pid, nobody)
    assert shared.glurun("-T", "-w", "node1", "true", uid=nobody).status == 0
    stopper.start()
    try:
        for _ in range(ROUNDS):
            began = time.monotonic()
            with ended(shared.start("glurun", "-T", "-w", "node1", "true", uid=nobody)) as job:
                _await(job, began + 5)
            assert time.monotonic() - began < 6
    finally:
        stopper.is_over = True
        stopper.join()
    assert stopper.stopped >= ROUNDS


def _await(job: subprocess.Popen[bytes], end: float) -> None:
    """It ends well. The program's own child may have been stopped, which then counts for the
    program, as at home: so does glurun, and goes on as a shell has it."""
    while time.monotonic() < end:
        pid, status = os.waitpid(job.pid, os.WUNTRACED | os.WNOHANG)
        if pid and os.WIFSTOPPED(status):
            os.kill(job.pid, signal.SIGCONT)
        elif pid:
            job.returncode = os.waitstatus_to_exitcode(status)
            assert job.returncode == 0
            return
        time.sleep(0.005)
    raise AssertionError("the launch takes too long")


@pytest.fixture(scope="module")
def roots() -> Iterator[Cluster]:
    with rooted() as cluster:
        yield cluster


@contextlib.contextmanager
def hanging(cluster: Cluster) -> Iterator[None]:
    """Its node1 gets jobs from the master, and does nothing: for a second, or it counts as lost."""
    pid = cluster.nodes()["node1"].pid
    until(lambda: cluster.glurun("-w", "node1", "true").status == 0, "the node works")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@levels
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT], ids=lambda n: n.name
)
def test_a_launch_that_hangs_is_ended_by_signals(
    roots: Cluster, words: tuple[str, ...], number: signal.Signals
) -> None:
    for pause in (0.05, 0.15, 0.5):
        with (
            hanging(roots),
            ended(roots.start("glurun", *words, "-w", "node1", "true")) as job,
        ):
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.wait(pause)
            assert job.poll() is None, job.communicate()
            job.send_signal(number)
            assert job.wait(1.5) in (128 + number, -number)


@levels
def test_the_terminal_is_restored(roots: Cluster, words: tuple[str, ...]) -> None:
    with home_shell(roots) as t:
        before = t.modes()
        for _ in range(2):
            with hanging(roots):
                t.line(f"{' '.join(['glurun', *words])} -w node1 cat")
                t.expect("\r\n")
                startup = _until_placed(roots)
                began = time.monotonic()
                os.kill(startup, signal.SIGTERM)
                t.expect(PROMPT)
                assert time.monotonic() - began < 2
                assert t.status() == 143
                assert t.modes() == before


def _until_placed(cluster: Cluster) -> int:
    """The pid of the shell's child, when its job is placed, and it has had time for all else."""
    until(lambda: [r for r in cluster.jobs() if r["state"] == "placed"], "it is placed")
    time.sleep(0.3)
    whole = processes()
    found = [pid for pid in descendants(os.getpid(), whole) if _is_glurun(pid)]
    return min(found)


def _is_glurun(pid: int) -> bool:
    try:
        return b"glurun\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_half_that_is_stopped_alone(roots: Cluster) -> None:
    with hanging(roots), ended(roots.start("glurun", "-T", "-w", "node1", "true")) as job:
        until(lambda: _children(job.pid), "it has divided")
        time.sleep(0.5)
        os.kill(_children(job.pid)[0], signal.SIGSTOP)
        job.send_signal(signal.SIGTERM)
        assert job.wait(2) in (143, -signal.SIGTERM)

"""What belongs to a job is known by the kernel, whatever a process says of itself.

Each attack is made twice: where jobs have control groups, and where they have their own reapers.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, alive, ended, read_line, until

from .rooted import BOB, MALLORY, group_folders, mallory, needs_root, rooted

pytestmark = needs_root

GRACES = 6.0
"""Seconds in which what a job left must be gone: SIGHUP, a second, SIGKILL."""


@pytest.fixture(scope="module", params=[True, False], ids=["groups", "reapers"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with rooted(groups=request.param) as made:
        yield made


def pid_of(mark: str) -> int:
    """The process whose command line has this mark; 0: there is none that lives."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in words and words[0] == b"sleep" and alive(int(entry.name)):
                return int(entry.name)
    return 0


def long_job(cluster: Cluster, script: str = "") -> tuple[subprocess.Popen[bytes], str]:
    """A job of MALLORY's that goes on, and its NPID."""
    line = f"{script} echo $GLUNIX_NPID; exec sleep 900"
    job = mallory(cluster, "glurun", "-w", "node1", "sh", "-c", line)
    return job, read_line(job)


def leaves(cluster: Cluster, how: str, mark: str, *options: str) -> int:
    """A job of MALLORY's that ends and leaves a `sleep` behind; the sleep's pid."""
    line = f"{how} setsid sleep {mark} </dev/null >/dev/null 2>&1 & sleep 0.3; echo done"
    job = mallory(cluster, "glurun", *options, "-w", "node1", "sh", "-c", line)
    until(lambda: pid_of(mark), "it was started")
    pid = pid_of(mark)
    with ended(job):
        assert job.wait(20) == 0
    return pid


def gone(pid: int) -> None:
    until(lambda: not alive(pid), "what a job left behind is ended", GRACES)


def test_an_orphan_that_names_another_job_does_not_live_on(cluster: Cluster) -> None:
    other, npid = long_job(cluster)
    with ended(other):
        gone(leaves(cluster, f"GLUNIX_NPID={npid}", "90001"))
        assert other.poll() is None


def test_an_orphan_that_names_no_job_does_not_live_on(cluster: Cluster) -> None:
    """Also while its user has another job here, or ever kept something."""
    leaves(cluster, "", "90002", "--keep")
    kept = pid_of("90002")
    other, _ = long_job(cluster)
    with ended(other):
        gone(leaves(cluster, "env -i", "90003"))
        assert alive(kept), "--keep leaves it"
    os.kill(kept, signal.SIGKILL)


def test_naming_a_job_that_ends_kills_nobody(cluster: Cluster) -> None:
    """A process of one job says that it is of another; that other one ends."""
    short = mallory(cluster, "glurun", "-w", "node1", "sh", "-c", "echo $GLUNIX_NPID; read x",
                    stdin=subprocess.PIPE)  # fmt: skip
    with ended(short):
        npid = read_line(short)
        line = f"(GLUNIX_NPID={npid} setsid sleep 90004 &);"
        other, _ = long_job(cluster, line)
        with ended(other):
            until(lambda: pid_of("90004"), "it was started")
            pid = pid_of("90004")
            short.communicate(b"\n", timeout=20)
            next_one = cluster.glurun("-w", "node1", "sleep", "2", uid=MALLORY)
            assert next_one.status == 0 and alive(pid) and other.poll() is None
    gone(pid)


def test_nobody_kills_anothers_by_a_name(cluster: Cluster) -> None:
    """BOB's orphan says it is MALLORY's job, and MALLORY's job ends: BOB's process is BOB's."""
    short = mallory(cluster, "glurun", "-w", "node1", "sh", "-c", "echo $GLUNIX_NPID; read x",
                    stdin=subprocess.PIPE)  # fmt: skip
    with ended(short):
        npid = read_line(short)
        line = f"(GLUNIX_NPID={npid} setsid sleep 90005 &); echo go; exec sleep 900"
        with ended(cluster.start("glurun", "-w", "node1", "sh", "-c", line, uid=BOB)) as bobs:
            assert read_line(bobs) == "go"
            until(lambda: pid_of("90005"), "it was started")
            pid = pid_of("90005")
            short.communicate(b"\n", timeout=20)
            assert cluster.glurun("-w", "node1", "sleep", "2", uid=MALLORY).status == 0
            assert alive(pid)
    gone(pid)


def test_forks_that_outrun_a_sweep_are_ended(cluster: Cluster) -> None:
    """What is left behind forks and ends, over and over, so that no list of it is ever true."""
    script = "import os\nwhile os.fork() == 0 or os._exit(0): os.setsid()"
    code = f"exec(b'{script.encode().hex()}'.__class__.fromhex('{script.encode().hex()}'))"
    line = f'setsid python3 -c "{code}" hopper </dev/null >/dev/null 2>&1 & sleep 0.3'
    assert cluster.glurun("-w", "node1", "sh", "-c", line, uid=MALLORY).status == 0

    def hops() -> bool:
        found = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, timeout=20)
        return any(row.endswith(b" hopper") for row in found.stdout.splitlines())

    until(lambda: not hops(), "the hopper is caught", 15.0)


def test_no_group_stays() -> None:
    """After a user's last job; after a daemon was killed, from its next start; after `down`."""
    with rooted() as cluster:
        until(lambda: users_of(cluster) == [], "the groups of users go with their last job")
        job, _ = long_job(cluster)
        with ended(job):
            assert users_of(cluster) != []
            os.kill(cluster.members()["node1"].pid, signal.SIGKILL)
        assert users_of(cluster) != []
        cluster.up(1)
        assert users_of(cluster) == []
        job, _ = long_job(cluster)
        with ended(job):
            os.kill(cluster.members()["node1"].pid, signal.SIGKILL)
    assert group_folders(cluster) == []  # also of the one that was killed just now


def users_of(cluster: Cluster) -> list[Path]:
    return [user for parent in group_folders(cluster) for user in parent.glob("u*")]

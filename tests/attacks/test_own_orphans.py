"""Jobs of the cluster's own user have no control group: below whose reaper a process is, decides.

Each attack is made in root's cluster by root, and in a user's own cluster by that user, who shares
nothing with it but his rights.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.cluster import ROOT, Cluster, alive, ended, everybodys_python, make_launchers, read_line

from .rooted import MALLORY, needs_root, rooted
from .test_job_membership import GRACES, gone, pid_of, until


@dataclass
class Own:
    """A cluster, and its own user (None: of these tests)."""

    cluster: Cluster
    uid: int | None


@pytest.fixture(scope="module", params=["root-groups", "root", "user"])
def own(request: pytest.FixtureRequest) -> Iterator[Own]:
    if request.param != "user":
        with rooted(groups=request.param == "root-groups") as made:
            yield Own(made, None)
        return
    python = everybodys_python()
    if python is None:
        pytest.skip("no interpreter that every user may start")
    tools = Path(tempfile.mkdtemp(prefix="glunix-own-"))
    folder = tools / "state"
    try:
        tools.chmod(0o755)
        make_launchers(tools, python)
        folder.mkdir(0o700)
        os.chown(folder, MALLORY, MALLORY)
        cluster = Cluster(tools, folder)
        done = cluster.run("glunix", "up", "-n", "1", uid=MALLORY, timeout=60)
        assert done.status == 0, done
        try:
            yield Own(cluster, MALLORY)
        finally:
            assert cluster.run("glunix", "down", uid=MALLORY, timeout=40).status == 0
    finally:
        shutil.rmtree(tools)


pytestmark = needs_root


def leaves(own: Own, how: str, mark: str, *options: str) -> int:
    """A job that ends and leaves a `sleep` behind; the sleep's pid."""
    line = f"{how} setsid sleep {mark} </dev/null >/dev/null 2>&1 & sleep 0.3; echo done"
    words = ("glurun", *options, "-w", "node1", "sh", "-c", line)
    with ended(own.cluster.start(*words, uid=own.uid)) as job:
        until(lambda: pid_of(mark), "it was started")
        pid = pid_of(mark)
        assert job.wait(20) == 0
    return pid


def test_an_orphan_that_names_another_job_does_not_live_on(own: Own) -> None:
    line = "echo $GLUNIX_NPID; exec sleep 900"
    other = own.cluster.start("glurun", "-w", "node1", "sh", "-c", line, uid=own.uid)
    with ended(other):
        gone(leaves(own, f"GLUNIX_NPID={read_line(other)}", "90101"))
        gone(leaves(own, "env -i", "90102"))
        assert other.poll() is None


def test_naming_a_job_that_ends_kills_nobody(own: Own) -> None:
    """A process of one job says that it is of another; that other one ends."""
    start = own.cluster.start
    words = ("glurun", "-w", "node1", "sh", "-c")
    with ended(start(*words, "echo $GLUNIX_NPID; read x", uid=own.uid, stdin=-1)) as short:
        line = f"(GLUNIX_NPID={read_line(short)} setsid sleep 90103 &); exec sleep 900"
        with ended(start(*words, line, uid=own.uid)) as other:
            until(lambda: pid_of("90103"), "it was started")
            pid = pid_of("90103")
            short.communicate(b"\n", timeout=20)
            assert own.cluster.glurun("-w", "node1", "sleep", "2", uid=own.uid).status == 0
            assert alive(pid) and other.poll() is None
    gone(pid)


def test_what_is_kept_stays_whatever_ends_beside_it(own: Own) -> None:
    pid = leaves(own, "env -i", "90104", "--keep")
    gone(leaves(own, "", "90105"))
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_who_kills_his_reaper_keeps_nothing(own: Own) -> None:
    """The program's parent is the reaper. Its end is the job's, and that of all below it."""
    kept = leaves(own, "", "90106", "--keep")
    line = "setsid sleep 90107 </dev/null >/dev/null 2>&1 & sleep 0.3; kill -9 $PPID; sleep 900"
    words = ("glurun", "-w", "node1", "sh", "-c", line)
    with ended(own.cluster.start(*words, uid=own.uid)) as job:
        until(lambda: pid_of("90107"), "it was started")
        pid = pid_of("90107")
        assert job.wait(20) == 128 + signal.SIGKILL
    until(lambda: not alive(pid), "the orphan is ended", GRACES)
    assert alive(kept), "what another job kept"
    os.kill(kept, signal.SIGKILL)
    assert own.cluster.glurun("-w", "node1", "true", uid=own.uid).status == 0


def test_no_daemon_reads_an_environment() -> None:
    """Nor does anything else on the node's side: there is no such read in the source."""
    sources = [
        p for part in ("daemon", "node", "master") for p in (ROOT / "glunix" / part).rglob("*")
    ]
    found = [p for p in sources if p.suffix in (".py", ".c")
             and re.search(r"/environ\b", p.read_text())]  # fmt: skip
    assert len(sources) > 50
    assert found == []

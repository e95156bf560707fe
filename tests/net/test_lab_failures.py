"""What docs/cluster.md promises when cables, daemons, masters and disks fail."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e.cluster import ROOT, Cluster, alive, ended, finish, read_line, until

from .lab import Lab, LabNode, running_lab

COUNT = "i=0; while [ $i -lt {n} ]; do echo $i; i=$((i+1)); sleep {pause}; done; exit 3"
STAY = "trap '' HUP TERM; echo go; while :; do sleep 1; done"


def numbers(n: int) -> bytes:
    return b"".join(b"%d\n" % i for i in range(n))


def sleepers(node: LabNode) -> list[int]:
    """Processes of jobs on a node, as this machine's pids."""
    found = []
    space = f"/proc/{node.pid}/ns/pid"
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdecimal()
                and (entry / "ns/pid").readlink() == Path(space).readlink()
                and b"GLUNIX_NPID=" in (entry / "environ").read_bytes()
            ):
                found.append(int(entry.name))
    return found


def all_work(cluster: Cluster, nodes: int = 3) -> None:
    until(lambda: set(cluster.states().values()) == {"up"}, "all nodes are up")
    assert len(cluster.glurun("-n", str(nodes), "hostname").text.split()) == nodes


def test_silent_for_five_seconds(shared_lab: Lab) -> None:
    """Nothing happens: the job goes on, and no byte is lost."""
    home, node = shared_lab.home, shared_lab.node(1)
    line = COUNT.format(n=40, pause=0.2)
    with ended(home.start("glurun", "-w", "node1", "sh", "-c", line)) as job:
        assert read_line(job) == "0"
        with shared_lab.silent(node):
            time.sleep(5)
        result = finish(job, timeout=40)
    assert (result.status, result.out, result.err) == (3, numbers(40)[2:], b"")
    assert home.states()["node1"] == "up"


def test_silent_for_longer_than_lost_after(can_lab: None) -> None:
    """The node is lost: its jobs end on both sides, and it comes back by itself."""
    with running_lab(2, lost_after=3.0) as lab:
        home, node = lab.home, lab.node(1)
        with ended(home.start("glurun", "-n", "2", "sh", "-c", STAY)) as job:
            assert [read_line(job), read_line(job)] == ["go", "go"]
            pids = sleepers(node) + sleepers(lab.node(2))
            assert len(pids) >= 2
            with lab.silent(node):
                began = time.monotonic()
                result = finish(job, timeout=20)
                assert result.status == 125 and "node node1 is lost" in result.complaint
                assert 2 < time.monotonic() - began < 15
                assert home.glurun("hostname").text == "node2"
                until(lambda: not any(alive(pid) for pid in pids), "nothing of it runs anywhere")
        all_work(home, 2)


def test_a_slow_and_lossy_link(shared_lab: Lab) -> None:
    """50 ms each way and 1 % loss: slower, nothing else."""
    home, node = shared_lab.home, shared_lab.node(2)
    data = bytes(range(256)) * 4096
    assert home.good("glurun", "-w", "node2", "hostname") == "node2"
    with shared_lab.slow(node, 0.05, 0.01) as how:
        began = time.monotonic()
        assert home.good("glurun", "-w", "node2", "hostname", timeout=60) == "node2"
        took = time.monotonic() - began
        result = home.run("glurun", "-w", "node2", "cat", stdin=data, timeout=100)
        assert (result.status, result.out == data) == (0, True)
        both = "printf 'a\\nb\\n' | { glurun -T -w node2 sh -c 'read x; echo $x'; cat; }"
        assert home.good("bash", "-c", both, timeout=60) == "a\nb"
    assert took >= 0.1, f"the link was not slow ({how})"  # start there, started back
    all_work(home)


def test_daemon_killed_during_a_parallel_job(shared_lab: Lab) -> None:
    """The whole job is killed at once, on the other nodes too; the daemon can come back."""
    home = shared_lab.home
    with ended(home.start("glurun", "-n", "3", "sh", "-c", STAY)) as job:
        for _ in range(3):
            assert read_line(job) == "go"
        pids = [pid for node in shared_lab.nodes for pid in sleepers(node)]
        assert len(pids) >= 3
        began = time.monotonic()
        shared_lab.node(2).kill("node2")
        result = finish(job, timeout=10)
        assert result.status == 125 and "node node2 is lost" in result.complaint
        assert time.monotonic() - began < 5
        until(lambda: not any(alive(pid) for pid in pids), "all three are gone")
    until(lambda: home.states()["node2"] == "lost", "the master knows")
    assert home.jobs()[-1]["state"] == "killed"
    shared_lab.node(2).good("glunix", "up", timeout=40)
    all_work(home)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_master_restart(shared_lab: Lab, number: signal.Signals) -> None:
    """Running jobs go on; meanwhile new ones are refused; the new master knows the old jobs."""
    home = shared_lab.home
    script = "echo go; read x; echo got $x; exit 6"
    with ended(home.start("glurun", "-w", "node3", "sh", "-c", script,
                          stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert read_line(job) == "go"
        home.kill("master", number)
        until(lambda: b"no master" in home.glurun("true").err, "home knows")
        home.good("glunix", "up", timeout=40)
        all_work(home)
        (row,) = [row for row in home.jobs() if row["state"] == "running"]
        assert "got" in str(row["command"])
        result = finish(job, b"word\n")
        assert (result.status, result.out) == (6, b"got word\n")
    until(lambda: all(row["state"] != "running" for row in home.jobs()), "it hears of the end")


def test_daemon_stopped_in_order(shared_lab: Lab) -> None:
    """`glunix down` on a node ends its jobs and says so; `up` brings it back."""
    home, node = shared_lab.home, shared_lab.node(1)
    with ended(home.start("glurun", "-w", "node1", "sh", "-c", "echo go; sleep 1000")) as job:
        assert read_line(job) == "go"
        assert "1 processes ended" in node.good("glunix", "down")
        assert finish(job, timeout=10).status in (125, 137)
    until(lambda: home.states()["node1"] == "lost", "the master knows")
    node.good("glunix", "up", timeout=40)
    all_work(home)


def test_revoked_during_a_job(shared_lab: Lab) -> None:
    """At once: the job is over, the node cannot come back, its name is free for another."""
    home, node = shared_lab.home, shared_lab.node(1)
    with ended(home.start("glurun", "-w", "node1", "sh", "-c", STAY)) as job:
        assert read_line(job) == "go"
        pids = sleepers(node)
        home.good("glunix", "revoke", "node1")
        result = finish(job, timeout=10)
        assert result.status == 125 and "node1" in result.complaint
        until(lambda: not any(alive(pid) for pid in pids), "the job is over")
    log = lambda: home.log("master")  # noqa: E731
    until(lambda: "the certificate of node1 is revoked" in log(), "it was refused")
    assert "node1" not in home.good("glunix", "members")
    assert home.states()["node1"] == "lost"
    said = _dial(node, node.folder, shared_lab.master, "node")
    assert said == "0 bytes", said
    # And by daemons, which the master told.
    said = _dial(node, node.folder, f"{shared_lab.node(2).address}:7118", "node")
    assert said == "0 bytes", said
    assert node.run("glunix", "leave").status == 1
    assert node.good("glunix", "leave", "--force") == "node1 has left home"
    assert node.join(shared_lab.invite()).status == 0
    all_work(home)


def test_another_cluster_gets_nothing(shared_lab: Lab) -> None:
    """A master's machine of its own right, with valid certificates of its own."""
    stranger = shared_lab.node(3)
    assert stranger.good("glunix", "leave") == "node3 has left home"
    stranger.good("glunix", "init", "--listen", f"{stranger.address}:7117", "--name", "node3")
    stranger.good("glunix", "up", timeout=40)
    for port in (
        shared_lab.master,
        f"{shared_lab.home.address}:7118",
        f"{shared_lab.node(1).address}:7118",
    ):
        for kind in ("node", "nobody"):
            assert _dial(stranger, stranger.folder, port, kind) == "0 bytes"
    token = stranger.good("glunix", "invite")
    wrong = shared_lab.node(2).run("glunix", "join", "--folder", str(shared_lab.folder / "x"),
                                shared_lab.master, token)  # fmt: skip
    assert wrong.status == 1 and wrong.err.count(b"\n") == 1
    log = shared_lab.home.log("master")
    assert f"refused {stranger.address}: " in log and "is not valid here" in log
    assert len(shared_lab.home.glurun("-n", "2", "hostname").text.split()) == 2
    stranger.good("glunix", "down")
    shutil.rmtree(stranger.folder)
    stranger.folder.mkdir(mode=0o755)
    assert stranger.join(shared_lab.invite()).status == 0
    all_work(shared_lab.home)


def _dial(node: LabNode, folder: Path, address: str, kind: str) -> str:
    """Count what somebody with that folder's certificate hears who says hello."""
    script = str(Path(__file__).with_name("stranger.py"))
    words = [sys.executable, script, str(folder / "private"), address, kind]
    return node.good(*words, env={"PYTHONPATH": str(ROOT)})


def test_full_disk_in_the_state_folder(can_lab: None) -> None:
    """The master goes on and logs it; what cannot be written is refused with one line."""
    with running_lab(1, home_disk="3m") as lab:
        home = lab.home
        fill = f"head -c 100m /dev/zero >{home.folder}/filler; test -s {home.folder}/filler"
        home.good("sh", "-c", fill)
        assert home.good("glurun", "hostname") == "node1"
        refused = home.run("glunix", "invite")
        assert refused.status == 1 and "No space left" in refused.complaint
        assert refused.err.count(b"\n") == 1
        assert home.good("glurun", "sh", "-c", "echo still") == "still"
        home.good("rm", f"{home.folder}/filler")
        assert home.good("glunix", "invite").startswith("glunix1.")
        all_work(home, 1)

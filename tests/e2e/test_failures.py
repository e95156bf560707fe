"""Daemons and masters that die or hang: everybody is told, nothing waits for ever (4.2.3)."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from .cluster import Cluster, Member, alive, ended, finish, guests_of, read_line, until


def _kill(member: Member) -> None:
    os.kill(member.pid, signal.SIGKILL)


def _pids(cluster: Cluster) -> list[int]:
    return [pid for node in cluster.nodes().values() for pid in guests_of(node)]


def test_node_of_a_sequential_job_dies(own: Cluster) -> None:
    own.up(2)
    members = own.members()
    with ended(own.start("glurun", "-w", "node1", "sh", "-c", "echo go; sleep 1000")) as job:
        assert read_line(job) == "go"
        pids = _pids(own)
        _kill(members["node1"])
        result = finish(job, timeout=10)
    assert result.status == 125
    assert result.complaint.startswith("glurun: node node1 is lost")
    assert result.err.count(b"\n") == 1
    until(lambda: not any(alive(pid) for pid in pids), "the job died with its daemon")
    until(lambda: own.states()["node1"] == "lost", "the master knows")
    (row,) = own.jobs()
    assert row["state"] == "killed" and "node1" in str(row["reason"])
    assert own.glurun("-n", "4", "sh", "-c", "echo $GLUNIX_NODE").text.split() == ["node2"] * 4
    own.up(2)
    assert own.states()["node1"] == "up"
    assert own.glurun("-w", "node1", "true").status == 0


def test_node_of_a_parallel_job_dies(own: Cluster) -> None:
    """The whole job is killed, on the other nodes too."""
    own.up(3)
    members = own.members()
    script = "trap '' HUP TERM; echo go; while :; do sleep 1; done"
    with ended(own.start("glurun", "-n", "6", "sh", "-c", script)) as job:
        for _ in range(6):
            assert read_line(job) == "go"
        pids = _pids(own)
        assert len(pids) >= 6
        _kill(members["node3"])
        result = finish(job, timeout=10)
    assert result.status == 125
    assert "node node3 is lost" in result.complaint
    until(lambda: not any(alive(pid) for pid in pids), "all six are gone")
    until(lambda: own.jobs()[0]["state"] == "killed", "the master knows")


def test_node_dies_while_much_is_under_way(own: Cluster) -> None:
    own.up(2)
    with ended(own.start("glurun", "-w", "node1", "yes")) as job:
        assert read_line(job) == "y"
        _kill(own.members()["node1"])
        result = finish(job, timeout=10)
    assert result.status == 125
    assert result.out.strip(b"y\n") == b""


def test_node_that_hangs(own: Cluster) -> None:
    """Stopped, not dead: only the deadline can tell."""
    own.up(2)
    hung = own.members()["node1"]
    with ended(own.start("glurun", "-n", "2", "sh", "-c", "echo go; sleep 1000")) as job:
        for _ in range(2):
            assert read_line(job) == "go"
        pids = _pids(own)
        os.kill(hung.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            result = finish(job, timeout=15)
            assert result.status == 125
            assert "node node1 is lost" in result.complaint
            assert 2 < time.monotonic() - began < 14
            assert own.glurun("sh", "-c", "echo $GLUNIX_NODE").text == "node2"
        finally:
            os.kill(hung.pid, signal.SIGCONT)
    until(lambda: own.states()["node1"] == "up", "it comes back")
    until(lambda: not any(alive(pid) for pid in pids), "what it still ran is killed")
    assert own.glurun("-w", "node1", "true").status == 0


def test_home_dies(own: Cluster) -> None:
    own.up(2)
    with ended(own.start("glurun", "-n", "2", "sh", "-c", "echo go; sleep 1000")) as job:
        for _ in range(2):
            assert read_line(job) == "go"
        pids = _pids(own)
        _kill(own.members()["home"])
        result = finish(job, timeout=10)
    assert result.status == 125
    assert result.complaint == "glurun: lost the daemon of this node"
    until(lambda: not any(alive(pid) for pid in pids), "the job is killed")


def test_master_dies(own: Cluster) -> None:
    """A running job goes on and ends right; a new master knows the jobs."""
    own.up(2)
    old = own.members()["master"]
    script = "echo go; read x; echo got $x; exit 6"
    with (
        ended(own.start("glurun", "sh", "-c", script, stdin=subprocess.PIPE)) as first,
        ended(own.start("glurun", "-n", "2", "sh", "-c", "echo go; sleep 1000")) as second,
    ):
        assert read_line(first) == "go"
        assert [read_line(second), read_line(second)] == ["go", "go"]
        before = {row["npid"]: row["command"] for row in own.jobs()}
        assert len(before) == 2
        _kill(old)
        until(lambda: not alive(old.pid), "it is dead")
        until(lambda: b"no master" in own.glurun("true").err, "home knows")
        refused = own.glurun("true")
        assert refused.status == 125 and refused.err.count(b"\n") == 1
        assert own.run("glups").status == 1
        assert first.poll() is None and second.poll() is None
        own.up(2)
        assert own.members()["master"].pid != old.pid
        assert set(own.states().values()) == {"up"}
        rows = {row["npid"]: row for row in own.jobs()}
        assert {npid: rows[npid]["command"] for npid in before} == before
        assert [rows[npid]["state"] for npid in sorted(before)] == ["running"] * 2
        third = own.glurun("sh", "-c", "echo $GLUNIX_NPID")
        assert third.status == 0 and int(third.text) > max(map(int, before))
        result = finish(first, b"word\n")
        assert (result.status, result.out) == (6, b"got word\n")
        (left,) = [str(npid) for npid, command in before.items() if "1000" in str(command)]
        assert own.run("glukill", left).status == 0
        assert second.wait(10) == 143
    until(
        lambda: {str(row["state"]) for row in own.jobs()} <= {"exited", "killed"},
        "the new master hears of their ends",
    )


def test_job_ends_while_there_is_no_master(own: Cluster) -> None:
    own.up(1)
    with ended(own.start("glurun", "sh", "-c", "echo go; read x; exit 7",
                         stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert read_line(job) == "go"
        _kill(own.members()["master"])
        assert finish(job, b"\n").status == 7
    own.up(1)
    until(lambda: own.jobs()[0]["state"] != "running", "the new master does not wait for it")


def test_up_after_the_master_died_is_ready(own: Cluster) -> None:
    own.up(2)
    for _ in range(3):
        _kill(own.members()["master"])
        own.up(2)
        assert own.glurun("-n", "2", "true").status == 0


def test_master_that_hangs(own: Cluster) -> None:
    """Running jobs do not notice; when it goes on, everything is as before."""
    own.up(2)
    master = own.members()["master"]
    with ended(own.start("glurun", "sh", "-c", "echo go; read x; exit 3",
                         stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert read_line(job) == "go"
        os.kill(master.pid, signal.SIGSTOP)
        try:
            time.sleep(7)  # longer than the deadline for silent nodes
        finally:
            os.kill(master.pid, signal.SIGCONT)
        assert own.glurun("-n", "2", "true").status == 0
        assert set(own.states().values()) == {"up"}
        assert finish(job, b"\n").status == 3


def test_down_when_one_hangs(own: Cluster) -> None:
    own.up(1)
    os.kill(own.members()["node1"].pid, signal.SIGSTOP)
    members = own.members()
    result = own.down()
    assert "node1" in result.complaint
    assert not any(alive(member.pid) for member in members.values())

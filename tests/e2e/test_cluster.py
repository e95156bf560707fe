"""`glunix up` and `down`: ready when they return, idempotent, robust against what is left over."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from .cluster import Cluster, alive, ended, finish, programs_of, until


def test_up_is_idempotent(own: Cluster) -> None:
    first = own.up(2)
    assert first.text.startswith("cluster is up: master, home and 2 nodes (node1..node2)")
    before = own.members()
    assert own.up(2).text == f"cluster is already up: 2 nodes ({own.folder})"
    assert own.members() == before
    own.up(3)
    assert {n: m for n, m in own.members().items() if n in before} == before
    assert own.glurun("-w", "node3", "true").status == 0
    assert "6 processes ended" not in own.down().text
    assert own.run("glunix", "down").text == "no cluster is up"


def test_ready_when_up_returns(own: Cluster) -> None:
    """No sleep anywhere: the first job works, again and again."""
    for _ in range(3):
        own.up(2)
        assert own.glurun("-n", "4", "true").status == 0
        own.down()


def test_down_ends_everything(own: Cluster) -> None:
    own.up(2)
    members = own.members()
    process = own.start("glurun", "-n", "4", "sleep", "1000")
    with ended(process):
        nodes = [members["node1"], members["node2"]]
        until(lambda: sum(len(programs_of(node)) for node in nodes) == 4, "4 processes")
        own.down()
        result = finish(process, timeout=10)
    # Killed with its processes, or told that its daemon is gone: whichever it hears first.
    assert result.status in (125, 137)
    assert result.err.count(b"\n") == (1 if result.status == 125 else 0)
    for member in members.values():
        assert not alive(member.pid)
    assert not list(own.folder.glob("*.sock"))


def test_dead_members_are_replaced(own: Cluster) -> None:
    own.up(2)
    before = own.members()
    for name in ("home", "node2"):
        os.kill(before[name].pid, signal.SIGKILL)
        until(lambda pid=before[name].pid: not alive(pid), "it is gone")
    assert (own.folder / "home.sock").exists()  # the stale sockets are still there
    own.up(2)
    after = own.members()
    assert after["master"] == before["master"] and after["node1"] == before["node1"]
    assert after["home"].pid != before["home"].pid
    assert own.glurun("-n", "2", "true").status == 0


def test_everything_killed(own: Cluster) -> None:
    """After a crash of the machine: stale sockets, a journal, pids of others in cluster.json."""
    own.up(2)
    for member in own.members().values():
        os.kill(member.pid, signal.SIGKILL)
    listing = own.folder / "private" / "cluster.json"
    rows = json.loads(listing.read_text())
    for row in rows:
        row["pid"] = os.getpid()
    until(lambda: own.run("glups").status == 1, "nobody answers")
    listing.write_text(json.dumps(rows))
    own.up(2)
    assert own.glurun("-n", "2", "true").status == 0


@pytest.mark.parametrize("garbage", ["", "{", "[1, 2]", '[{"name": 5}]', "\0\0\0", "[null]"])
def test_garbage_in_cluster_json(own: Cluster, garbage: str) -> None:
    private = own.folder / "private"
    private.mkdir(mode=0o700)
    (private / "cluster.json").write_text(garbage)
    assert own.run("glunix", "down").status == 0
    own.up(1)
    assert own.glurun("true").status == 0


def test_in_the_way_of_a_socket(own: Cluster) -> None:
    """What is not our socket is not removed; the error names it and nothing is left running."""
    private = own.folder / "private"
    private.mkdir(mode=0o700)
    (private / "peer-node2.sock").write_text("precious")
    result = own.run("glunix", "up", "-n", "3", timeout=40)
    assert result.status == 1
    assert result.err.count(b"\n") == 1 and b"node2 did not start" in result.err, result
    assert (private / "peer-node2.sock").read_text() == "precious"
    marks = [f"glunix:{name}" for name in ("master", "home", "node1", "node2", "node3")]

    def ours_running() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                comm = (entry / "comm").read_text().strip()
                if comm in marks and os.readlink(entry / "fd" / "1").startswith(str(private)):
                    found.append(comm)
            except OSError:
                continue
        return found

    until(lambda: not ours_running(), "no member is left", 10)


def test_two_clusters(shared: Cluster, own: Cluster) -> None:
    own.up(1)
    show = ["sh", "-c", "echo $GLUNIX_DIR $GLUNIX_NODE"]
    assert own.glurun(*show).text == f"{own.folder} node1"
    assert shared.glurun("-w", "node4", *show).text == f"{shared.folder} node4"
    own.down()
    assert shared.glurun("true").status == 0


def test_long_folder(tools: Path, tmp_path: Path) -> None:
    """Longer than a socket address may be (unix(7): 108 bytes)."""
    folder = tmp_path / ("long" * 30) / ("er" * 30)
    cluster = Cluster(tools, folder)
    assert len(str(folder)) > 150
    try:
        cluster.up(1)
        assert cluster.glurun("sh", "-c", "exit 3").status == 3
        assert cluster.glurun("glurun", "sh", "-c", "exit 4").status == 4
        assert len(cluster.states()) == 2
    finally:
        cluster.remove()


def test_relative_folder(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    cluster = Cluster(tools, tmp_path / "here" / "state")
    relative = {"GLUNIX_DIR": "state"}
    try:
        up = cluster.run("glunix", "up", "-n", "1", cwd=tmp_path / "here", env=relative)
        assert up.status == 0, up
        result = cluster.glurun("sh", "-c", "exit 3", cwd=tmp_path / "here", env=relative)
        assert result.status == 3
    finally:
        cluster.remove()


@pytest.mark.parametrize("tool", ["glurun true", "glups", "glustat", "glukill 1"])
def test_no_cluster(own: Cluster, tool: str) -> None:
    began = time.monotonic()
    result = own.shell(tool)
    assert result.status == (125 if tool.startswith("glurun") else 1)
    assert result.out == b""
    assert result.err.count(b"\n") == 1 and b"glunix up" in result.err, result
    assert time.monotonic() - began < 5


def test_unusable_folder(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cluster = Cluster(tools, tmp_path / "file" / "state")
    result = cluster.run("glunix", "up")
    assert result.status == 1
    assert result.err.count(b"\n") == 1 and b"cannot use the state folder" in result.err


def test_signals_of_whoever_starts_it(own: Cluster) -> None:
    """What `nohup glunix up &` ignores is not ignored by the jobs."""
    result = own.shell("trap '' HUP INT QUIT TERM; glunix up -n 1")
    assert result.status == 0, result
    for name, status in (("HUP", 129), ("INT", 130), ("QUIT", 131), ("TERM", 143)):
        assert own.glurun("sh", "-c", f"kill -{name} $$").status == status


def test_a_client_that_hears_nothing_more(own: Cluster) -> None:
    """A daemon that writes to a client that is just gone must not die of SIGPIPE."""
    own.up(1)
    home = own.members()["home"]
    for _ in range(12):
        assert own.glurun("/").status == 126
    assert own.members()["home"] == home
    assert own.glurun("true").status == 0

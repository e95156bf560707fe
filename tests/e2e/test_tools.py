"""glukill, glups and glustat on real jobs (paper 3.2)."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from .cluster import Cluster, ended, finish, programs_of, read_line, stop_signal, until


def _running(cluster: Cluster) -> list[dict[str, object]]:
    return [row for row in cluster.jobs() if row["state"] in ("running", "stopped", "placed")]


def test_kill_a_job(shared: Cluster) -> None:
    with ended(shared.start("glurun", "-n", "3", "sh", "-c", "echo go; exec sleep 1000")) as job:
        for _ in range(3):
            assert read_line(job) == "go"
        (row,) = _running(shared)
        result = shared.run("glukill", "--json", str(row["npid"]))
        assert result.status == 0
        assert json.loads(result.out)["done"] == [
            {"npid": row["npid"], "vnn": None, "processes": 3}
        ]
        assert job.wait(10) == 143


def test_kill_one_process(shared: Cluster) -> None:
    script = "trap 'echo $GLUNIX_VNN; exit 9' USR1; echo go; while :; do sleep 0.05; done"
    with ended(shared.start("glurun", "-n", "3", "sh", "-c", script)) as job:
        for _ in range(3):
            assert read_line(job) == "go"
        (row,) = _running(shared)
        for vnn in (1, 0, 2):
            assert shared.run("glukill", "-USR1", f"{row['npid']}.{vnn}").status == 0
            assert read_line(job) == str(vnn)
        assert job.wait(10) == 9


def test_kill_tells_what_is_wrong(shared: Cluster) -> None:
    assert shared.glurun("true").status == 0
    last = max(int(str(row["npid"])) for row in shared.jobs())
    result = shared.run("glukill", str(last))
    assert (result.status, result.complaint) == (1, f"glukill: {last}: job {last} has ended")
    result = shared.run("glukill", "999999")
    assert (result.status, result.complaint) == (1, "glukill: 999999: no job 999999")
    with ended(shared.start("glurun", "sh", "-c", "echo go; exec sleep 1000")) as job:
        assert read_line(job) == "go"
        npid = _running(shared)[0]["npid"]
        assert shared.run("glukill", "-0", str(npid)).status == 0
        result = shared.run("glukill", f"{npid}.1")
        assert result.status == 1 and "1-way" in result.complaint
        result = shared.run("glukill", "-KILL", str(npid), "999999")
        assert result.status == 64  # some done
        assert job.wait(10) == 137


def test_stop_and_continue_by_glukill(shared: Cluster) -> None:
    with ended(shared.start("glurun", "sh", "-c", "echo go; exec sleep 1000")) as job:
        assert read_line(job) == "go"
        npid = str(_running(shared)[0]["npid"])
        assert shared.run("glukill", "-STOP", npid).status == 0
        assert stop_signal(job) == signal.SIGSTOP  # the user's shell sees it
        until(lambda: _running(shared)[0]["state"] == "stopped", "glups sees it")
        job.send_signal(signal.SIGCONT)
        until(lambda: _running(shared)[0]["state"] == "running", "it goes on")
        job.send_signal(signal.SIGTERM)
        assert job.wait(10) == 143


def test_glups(shared: Cluster) -> None:
    words = ["-n", "2", "-w", "node2,node3", "sh", "-c", "echo go; exec sleep 1000"]
    with ended(shared.start("glurun", *words)) as job:
        assert [read_line(job), read_line(job)] == ["go", "go"]
        (row,) = json.loads(shared.run("glups", "--json").out)
        until(lambda: json.loads(shared.run("glups", "--json").out)[0]["state"] == "running", "up")
        (row,) = json.loads(shared.run("glups", "--json").out)
        assert row["degree"] == 2 and row["home"] == "home" and not row["transparent"]
        assert row["command"] == "sh -c echo go; exec sleep 1000"
        assert sorted(p["node"] for p in row["procs"]) == ["node2", "node3"]
        nodes = shared.members()
        for proc in row["procs"]:
            (pid,) = programs_of(nodes[proc["node"]])
            status = Path(f"/proc/{pid}/status").read_text()
            inner = next(x for x in status.splitlines() if x.startswith("NSpid")).split()[-1]
            assert proc["pid"] == int(inner)
        table = shared.run("glups").text.splitlines()
        assert table[0].split()[:3] == ["NPID", "USER", "HOME"]
        assert str(row["npid"]) in table[1] and "node2,node3" in table[1]
        job.send_signal(signal.SIGINT)
        assert job.wait(10) == -signal.SIGINT
    until(lambda: shared.run("glups", "--json").text == "[]", "nothing runs")
    (row,) = [r for r in shared.jobs() if r["npid"] == row["npid"]]
    assert row["state"] in ("exited", "killed")
    assert {p["signal"] for p in row["procs"]} == {int(signal.SIGINT)}  # type: ignore[attr-defined]


def test_glups_of_failures(shared: Cluster) -> None:
    assert shared.glurun("no-such-command").status == 127
    row = max(shared.jobs(), key=lambda row: int(str(row["npid"])))
    assert row["command"] == "no-such-command"
    assert row["procs"][0]["code"] == 127  # type: ignore[index]


def test_glustat(shared: Cluster) -> None:
    rows = {row["name"]: row for row in json.loads(shared.run("glustat", "--json").out)}
    assert set(rows) == {"home", "node1", "node2", "node3", "node4"}
    assert {name for name, row in rows.items() if row["accepts_jobs"]} == set(rows) - {"home"}
    for row in rows.values():
        assert row["state"] == "up"
        assert 0 < row["memory_free"] <= row["memory_total"]
        assert row["cpus"] >= 1 and row["load"] >= 0
    text = shared.run("glustat").text
    assert all(name in text for name in rows)


def test_watch_ends_by_control_c(shared: Cluster) -> None:
    with ended(shared.start("glustat", "--json", "--watch", "0.2")) as watch:
        for _ in range(2):
            assert {row["state"] for row in json.loads(read_line(watch))} == {"up"}
        watch.send_signal(signal.SIGINT)
        assert finish(watch).status == 130


def test_least_loaded(shared: Cluster) -> None:
    """Nodes with running jobs are chosen last."""
    script = "echo $GLUNIX_NODE; exec sleep 1000"
    with ended(shared.start("glurun", "-n", "3", "sh", "-c", script)) as job:
        busy = {read_line(job) for _ in range(3)}
        assert len(busy) == 3
        (free,) = {"node1", "node2", "node3", "node4"} - busy
        assert shared.glurun("sh", "-c", "echo $GLUNIX_NODE").text == free
        job.send_signal(signal.SIGTERM)
        assert job.wait(10) == 143


@pytest.mark.parametrize("tool", ["glups", "glustat", "glukill", "glunix"])
def test_bad_usage(shared: Cluster, tool: str) -> None:
    result = shared.run(tool, "--no-such-option")
    assert result.status in (1, 2)
    assert result.out == b"" and result.err.count(b"\n") == 1, result

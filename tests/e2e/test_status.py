"""Exit statuses, degree and placement (issue: the program's own, 128+N, 127, 126, 125, 124)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from .cluster import Cluster


@pytest.mark.parametrize("status", [0, 1, 2, 77, 125, 126, 127, 128, 255])
def test_own_status(shared: Cluster, status: int) -> None:
    assert shared.glurun("sh", "-c", f"exit {status}").status == status


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "SEGV", "TERM", "USR1", "RTMIN+3"])
def test_killed_by_signal(shared: Cluster, name: str) -> None:
    native = shared.shell(f"bash -c 'kill -{name} $$'")
    result = shared.glurun("bash", "-c", f"kill -{name} $$")
    assert result.status == native.status > 128
    assert result.err == b""


def test_not_found(shared: Cluster) -> None:
    result = shared.glurun("no-such-command")
    assert result.status == 127
    assert result.complaint == "glurun: no-such-command: command not found"


def test_not_found_by_path(shared: Cluster, tmp_path: Path) -> None:
    assert shared.glurun(str(tmp_path / "nothing")).status == 127
    assert shared.glurun("/etc/passwd/x").status == 127


def test_not_executable(shared: Cluster, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("echo hello\n")
    result = shared.glurun(str(plain))
    assert result.status == 126
    assert result.complaint == f"glurun: {plain}: Permission denied"
    assert shared.glurun(str(tmp_path)).status == 126


def test_script_without_interpreter_line(shared: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hello $1\n")
    script.chmod(0o755)
    assert shared.glurun(str(script), "you").text == "hello you"


def test_cwd_missing(shared: Cluster) -> None:
    result = shared.glurun("-D", "/no/such/folder", "true")
    assert result.status == 125
    assert result.complaint == (
        "glurun: cannot enter /no/such/folder on this node: No such file or directory"
    )


def test_own_failures_code(shared: Cluster) -> None:
    result = shared.glurun("-D", "/no/such", "true", env={"GLUNIX_EXIT_ERROR": "42"})
    assert result.status == 42
    assert shared.glurun("-w", "mars", "true", env={"GLUNIX_EXIT_ERROR": "9"}).status == 9
    assert shared.glurun("--nonsense", env={"GLUNIX_EXIT_ERROR": "9"}).status == 9


def test_long_bad_names_are_one_line(shared: Cluster) -> None:
    """What does not fit in a message field must not cost anybody his connection."""
    before = len(shared.log("master"))
    for words in (["x" * 10_000], ["-D", "/" + "y" * 10_000, "true"], ["-w", "z" * 100, "true"]):
        result = shared.glurun(*words)
        assert result.status in (125, 126, 127), result
        assert result.err.startswith(b"glurun: ") and result.err.count(b"\n") == 1, result
    assert set(shared.states().values()) == {"up"}
    assert "bad message" not in shared.log("master")[before:]


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit $GLUNIX_VNN", 3), ("exit 0", 0), ("test $GLUNIX_VNN != 2 || kill -TERM $$", 143)],
)
def test_highest_status(shared: Cluster, script: str, status: int) -> None:
    assert shared.glurun("-n", "4", "sh", "-c", script).status == status


def test_highest_status_not_found(shared: Cluster) -> None:
    result = shared.glurun("-n", "3", "no-such-command")
    assert result.status == 127
    assert result.err.count(b"command not found") == 3


def test_wraps_round(shared: Cluster) -> None:
    result = shared.glurun("-n", "10", "sh", "-c", "echo $GLUNIX_VNN $GLUNIX_NODE")
    rows = [line.split() for line in result.text.splitlines()]
    assert sorted(int(vnn) for vnn, _ in rows) == list(range(10))
    counts = sorted([node for _, node in rows].count(f"node{i}") for i in range(1, 5))
    assert counts == [2, 2, 3, 3]


def test_job_environment(shared: Cluster) -> None:
    line = "echo $GLUNIX_NPID $GLUNIX_VNN $GLUNIX_DEGREE $GLUNIX_NODE $(hostname)"
    result = shared.glurun("-n", "4", "sh", "-c", line)
    rows = [row.split() for row in result.text.splitlines()]
    assert len({row[0] for row in rows}) == 1 and int(rows[0][0]) > 0
    assert sorted(row[1] for row in rows) == ["0", "1", "2", "3"]
    assert {row[2] for row in rows} == {"4"}
    assert {row[3] for row in rows} == {"node1", "node2", "node3", "node4"}
    if "uts" in shared.nodes()["node1"].isolated:
        assert [row[3] for row in rows] == [row[4] for row in rows]
    again = shared.glurun("sh", "-c", "echo $GLUNIX_NPID")
    assert int(again.text) > int(rows[0][0])


def test_chosen_nodes(shared: Cluster) -> None:
    show = ["sh", "-c", "echo $GLUNIX_NODE"]
    result = shared.glurun("-n", "4", "-w", "node2,node3", *show)
    assert sorted(result.text.split()) == ["node2", "node2", "node3", "node3"]
    result = shared.glurun("-n", "3", "-x", "node1", "--exclude=node4", *show)
    assert set(result.text.split()) == {"node2", "node3"}


def test_no_such_node(shared: Cluster) -> None:
    result = shared.glurun("-w", "node1,mars,venus", "true")
    assert (result.status, result.complaint) == (125, "glurun: no such nodes: mars, venus")
    result = shared.glurun("-w", "node1", "-x", "node1", "true")
    assert (result.status, result.complaint) == (
        125,
        "glurun: no node accepts jobs among those asked for",
    )


@pytest.mark.parametrize(
    "words",
    [[], ["-n"], ["-n", "0", "true"], ["-n", "x", "true"], ["-t", "-1", "true"], ["-q", "true"],
     ["-i", "/no/such/file", "cat"], ["--label=moon", "true"], ["-w", ",", "true"]],
)  # fmt: skip
def test_bad_usage_is_one_line(shared: Cluster, words: list[str]) -> None:
    result = shared.glurun(*words)
    assert result.status == 125
    assert result.err.startswith(b"glurun: ") and result.err.count(b"\n") == 1
    assert b"Traceback" not in result.err


def test_time_limit(shared: Cluster) -> None:
    began = time.monotonic()
    result = shared.glurun("-t", "0.3", "sleep", "60")
    assert result.status == 124
    assert time.monotonic() - began < 4
    assert shared.glurun("-t", "30", "sh", "-c", "exit 5").status == 5
    assert shared.glurun("-n", "3", "-t", "0.3", "sleep", "60").status == 124


def test_time_limit_stopped_job(shared: Cluster) -> None:
    """A stopped job hears SIGTERM too."""
    result = shared.glurun("-n", "2", "-t", "0.5", "sh", "-c", "sleep 60 & wait")
    assert result.status == 124


def test_chdir(shared: Cluster, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    assert shared.glurun("-D", str(inside), "pwd").text == str(inside)
    assert shared.glurun("-D", "inside", "pwd", cwd=tmp_path).text == str(inside)


def test_gone_directory(shared: Cluster, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    line = f"mkdir {gone} && cd {gone} && rmdir {gone} && "
    native = shared.shell(line + "sh -c 'true; ls'")
    result = shared.shell(line + "glurun sh -c 'true; ls'")
    assert (result.status, result.out) == (native.status, native.out) == (0, b"")


def test_odd_names(shared: Cluster) -> None:
    """Arguments and environment pass as raw bytes, in any encoding."""
    odd = os.fsdecode(b"a b\n\t'\"\\ \xff\xfe \xc3\xa9")
    result = shared.glurun("printf", "%s|", odd, "", "x" * 100_000)
    assert result.out == os.fsencode(odd) + b"||" + b"x" * 100_000 + b"|"
    result = shared.glurun("sh", "-c", 'printf %s "$ODD"', env={"ODD": odd})
    assert result.out == os.fsencode(odd)


def test_inner_glurun(shared: Cluster) -> None:
    """A job may start jobs: its client is then the daemon of the node it runs on."""
    result = shared.glurun("glurun", "-w", "node2", "sh", "-c", "echo $GLUNIX_NODE; exit 6")
    assert (result.status, result.text) == (6, "node2")

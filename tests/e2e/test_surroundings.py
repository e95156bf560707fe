"""What a job finds around it is what it would have found at home; users stay who they are."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import NOBODY, Cluster, alive, ended, finish, guests_of, programs_of, until

SHOW = """
import json, os, resource, signal, sys
print(json.dumps({
    "cwd": os.getcwd(), "nice": os.getpriority(0, 0), "umask": os.umask(0),
    "ids": [os.getresuid(), os.getresgid(), sorted(os.getgroups())],
    "limits": [resource.getrlimit(n) for n in range(16)],
    "argv": sys.argv[1:], "fds": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "environ": {k: v for k, v in os.environ.items() if not k.startswith("GLUNIX_")},
    "leads its group": os.getpid() == os.getpgrp(),
}))
"""


def _seen(cluster: Cluster, line: str, prefix: str) -> dict[str, object]:
    """What SHOW finds when a home shell runs `line` with glurun (prefix) or without."""
    command = f"{prefix} {sys.executable} -IS -c '{SHOW}' one 'two three'"
    result = cluster.shell(f"{line}; {command}", env={"SHLVL": "1"})
    assert result.status == 0, result
    found = json.loads(result.out)
    assert isinstance(found, dict)
    found["environ"].pop("_", None)
    return found


@pytest.mark.parametrize(
    "line",
    [":", "umask 027", "umask 0", "cd /usr/lib", "ulimit -n 64; ulimit -c 0; ulimit -s 4096",
     "ulimit -Sn 100; ulimit -f 1000", "export A=1 B='x y' C=$'\\n'; unset HOME"],
)  # fmt: skip
@pytest.mark.parametrize("degree", ["", "-n 1"])
def test_same_as_native(shared: Cluster, line: str, degree: str) -> None:
    native = _seen(shared, line, "")
    native["leads its group"] = True  # a job is a process group of its own
    assert _seen(shared, line, f"glurun {degree}") == native


def test_nice(shared: Cluster) -> None:
    for value in ("5", "19"):
        result = shared.run("nice", "-n", value, str(shared.bin / "glurun"), "nice")
        assert result.text == value
    assert shared.glurun("nice").text == "0"


def test_raised_limits(shared: Cluster) -> None:
    """Limits above the daemon's own, where home may have them."""
    line = "ulimit -Hn 30000; ulimit -Sn 30000; glurun sh -c 'ulimit -n; ulimit -Hn'"
    assert shared.shell(line).text == shared.shell(line.replace("glurun ", "")).text


LEVELS = pytest.mark.parametrize("level", ["glurun", "glurun -T"])


def _as_native(shared: Cluster, line: str, level: str) -> None:
    """`line`, in which @ is glurun or nothing, says and does the same."""
    native = shared.shell(line.replace("@", ""))
    found = shared.shell(line.replace("@", level))
    assert (found.status, found.text) == (native.status, native.text), found


@LEVELS
@pytest.mark.parametrize(
    "line", ["unset LANG LC_ALL LC_CTYPE", "unset LC_ALL LC_CTYPE; export LANG=C",
             "unset LANG LC_ALL; export LC_CTYPE=POSIX", "unset LC_ALL; export LC_CTYPE=C.UTF-8"],
)  # fmt: skip
def test_the_locale_is_the_callers(shared: Cluster, line: str, level: str) -> None:
    """Python's start adds and changes LC_CTYPE (PEP 538)."""
    _as_native(shared, f"{line}; @ env | grep -E '^(LANG|LC_)'; true", level)


@LEVELS
def test_a_directory_as_input(shared: Cluster, level: str) -> None:
    _as_native(shared, "@ echo hi </tmp", level)
    _as_native(shared, "@ cat </tmp 2>&1", level)


@LEVELS
@pytest.mark.parametrize(
    "line", ["ulimit -n 12", "ulimit -n 8", "exec 60>/dev/null; ulimit -n 50",
             "exec 60> >(cat); ulimit -n 50", "ulimit -Sv 20000", "ulimit -t 5", "ulimit -Sd 9000"],
)  # fmt: skip
def test_tight_limits_are_the_programs(shared: Cluster, line: str, level: str) -> None:
    words = "ulimit -n; ulimit -v; ulimit -t; ulimit -d; ulimit -Hv; ulimit -Ht"
    _as_native(shared, f"{line}; @ bash -c '{words}'", level)


@LEVELS
def test_what_python_ignores_is_ignored_whoever_starts_us(shared: Cluster, level: str) -> None:
    """SIGPIPE and SIGXFSZ: Python ignores them in any case, and does not say what was before."""
    show = "@ grep SigIgn /proc/self/status"
    _as_native(shared, f"trap '' PIPE XFSZ; exec nohup {show} 2>/dev/null", level)
    _as_native(shared, f"trap '' XFSZ; exec timeout 60 {show}", level)


# -- other users -----------------------------------------------------------------------------


def test_groups(shared: Cluster, nobody: int) -> None:
    words = ["--reuid=65534", "--regid=65534", "--groups=4,20,1000", str(shared.bin / "glurun")]
    result = shared.run("setpriv", *words, "id", cwd="/")
    native = shared.run("setpriv", *words[:3], "id", cwd="/")
    assert result.status == 0, result
    assert result.text == native.text
    many = ",".join(str(gid) for gid in range(5000, 5400))
    more = [*words[:2], f"--groups={many}", words[3]]
    assert shared.run("setpriv", *more, "id", "-G").text.split()[1:] == many.split(",")
    result = shared.run("setpriv", *words, "cat", "/proc/self/status", cwd="/")
    rows = dict(line.split(":\t", 1) for line in result.text.splitlines())
    assert rows["Uid"].split() == ["65534"] * 4
    assert rows["Gid"].split() == ["65534"] * 4
    assert rows["CapEff"].strip("0") == ""


def test_another_user(shared: Cluster, nobody: int, tmp_path: Path) -> None:
    result = shared.glurun("-n", "2", "id", "-u", uid=nobody)
    assert (result.status, result.text) == (0, f"{nobody}\n{nobody}")
    secret = tmp_path / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    assert shared.glurun("cat", str(secret), uid=nobody).status == 1
    data = os.urandom(300_000)
    assert shared.glurun("cat", uid=nobody, stdin=data).out == data
    assert shared.glurun("no-such-command", uid=nobody).status == 127


def test_another_user_in_a_folder_not_his(shared: Cluster, nobody: int, tmp_path: Path) -> None:
    """What he may not enter at home he may not enter on a node."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    result = shared.glurun("-D", str(closed), "pwd", uid=nobody)
    assert result.status == 125
    assert "Permission denied" in result.complaint


def test_asking_for_another_uid(shared: Cluster, nobody: int) -> None:
    result = shared.glurun("--uid=0", "id", uid=nobody)
    assert (result.status, result.out) == (125, b"")
    assert result.complaint == f"glurun: you are uid {nobody}: you may not run a job as uid 0"
    assert shared.glurun(f"--uid={nobody}", "id", "-u", uid=nobody).text == str(nobody)
    me = os.geteuid()
    assert shared.glurun("--uid=12345", "id").complaint == (
        f"glurun: you are uid {me}: you may not run a job as uid 12345"
    )


def test_the_job_of_another_user(shared: Cluster, nobody: int) -> None:
    node = shared.members()["node4"]
    with ended(shared.start("glurun", "-w", "node4", "sleep", "1000")) as job:
        until(lambda: guests_of(node), "it runs")
        (row,) = [row for row in shared.jobs() if row["state"] == "running"]
        npid = str(row["npid"])
        result = shared.run("glukill", "-KILL", npid, uid=nobody)
        assert result.status == 1
        assert result.complaint == f"glukill: {npid}: job {npid} belongs to uid {os.geteuid()}"
        assert json.loads(shared.run("glups", "--json", uid=nobody).out) == []
        everything = json.loads(shared.run("glups", "-a", "--json", uid=nobody).out)
        assert npid in [str(row["npid"]) for row in everything]
        assert job.poll() is None
        assert shared.run("glukill", npid).status == 0
        assert job.wait(10) == 143


def test_root_may_signal_everybody(shared: Cluster, nobody: int) -> None:
    node = shared.members()["node4"]
    with ended(shared.start("glurun", "-w", "node4", "sleep", "1000", uid=nobody)) as job:
        until(lambda: guests_of(node), "it runs")
        (row,) = [row for row in shared.jobs() if row["state"] == "running"]
        assert row["uid"] == nobody
        assert shared.run("glukill", "-INT", str(row["npid"])).status == 0
        assert job.wait(10) == -signal.SIGINT


def test_private_files_are_private(shared: Cluster, nobody: int) -> None:
    for tool in (["glunix", "logs"], ["glunix", "down"], ["glunix", "up"]):
        result = shared.run(*tool, uid=nobody)
        assert result.status != 0
        assert result.err.count(b"\n") == 1, result
    assert shared.glurun("true").status == 0


def test_dies_with_its_daemon_also_as_another_user(own: Cluster, nobody: int) -> None:
    """Not isolated nodes rely on the parent-death signal (tests/unit/node/spawn/test_exec.py)."""
    own.up(1)
    node = own.members()["node1"]
    with ended(own.start("glurun", "-w", "node1", "sleep", "61", uid=nobody)) as job:
        until(lambda: any(row["state"] == "running" for row in own.jobs()), "it runs")
        guests = programs_of(node)
        assert len(guests) >= 2  # with its session server
        os.kill(node.pid, signal.SIGKILL)
        until(lambda: not any(alive(pid) for pid in guests), "all are gone")
        assert finish(job).status in (125, 137)


# -- a cluster without root ------------------------------------------------------------------


@pytest.fixture
def unprivileged(tools: Path, nobody: int) -> Iterator[Cluster]:
    """A cluster of uid 65534's own, which nobody else's daemon helps."""
    cluster = Cluster(tools, uid=nobody)
    try:
        yield cluster
    finally:
        cluster.remove()


def test_cluster_of_an_ordinary_user(unprivileged: Cluster) -> None:
    cluster = unprivileged
    cluster.up(2)
    result = cluster.glurun("-n", "4", "sh", "-c", "id -u; echo $GLUNIX_NODE $(hostname)")
    assert result.status == 0, result
    assert result.text.splitlines().count(str(NOBODY)) == 4
    if "uts" in cluster.nodes()["node1"].isolated:
        assert "node1 node1" in result.text and "node2 node2" in result.text
    data = os.urandom(300_000)
    assert cluster.glurun("cat", stdin=data).out == data
    assert cluster.glurun("sh", "-c", "kill -USR1 $$").status == 138
    members = cluster.members()
    with ended(cluster.start("glurun", "sh", "-c", "setsid sleep 1000 & sleep 1000")) as job:
        until(lambda: sum(len(programs_of(members[n])) for n in ("node1", "node2")) >= 3, "it runs")
        pids = programs_of(members["node1"]) + programs_of(members["node2"])
        job.kill()
        job.wait(10)
        until(lambda: not any(alive(pid) for pid in pids), "gone with its startup")
    result = cluster.run("glurun", "id", uid=0)  # not even root: this daemon cannot become root
    assert result.status == 125
    assert "serves uid 65534 only" in result.complaint and result.err.count(b"\n") == 1


def test_terminal_of_an_ordinary_user(unprivileged: Cluster) -> None:
    """A pseudo-terminal that belongs to the user, from a daemon that is not root."""
    unprivileged.up(1)
    master, slave = os.openpty()
    words = ["glurun", "sh", "-c", "test -t 0; echo $?; tty >&2; exit 6"]
    try:
        with ended(unprivileged.start(*words, stdin=slave, stdout=slave)) as job:
            result = finish(job)
        assert result.status == 6, result
        assert os.read(master, 100) == b"0\r\n"
        assert result.err.startswith(b"/dev/pts/")
    finally:
        os.close(master)
        os.close(slave)


def test_a_node_resolves_its_own_name(shared: Cluster) -> None:
    """Where it has one of its own (a UTS namespace)."""
    if "mount" not in shared.nodes()["node1"].isolated:
        pytest.skip("nodes have no mounts of their own here")
    name, _, found = shared.glurun(
        "-w", "node1", "sh", "-c", "hostname; getent hosts $(hostname)"
    ).text.partition("\n")
    assert name == "node1" and found.split()[1:] == ["node1"], found

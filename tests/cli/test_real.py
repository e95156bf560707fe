"""The tools and the library against a real cluster; nothing may be left when it is down."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from glunix.api import Client, job_spec
from glunix.cli import launchers

DEADLINE = 60


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every tool, made as `make install` makes them."""
    folder = tmp_path_factory.mktemp("bin")
    assert launchers.write(folder, sys.executable, launchers.targets()) == []
    return folder


@pytest.fixture(scope="module")
def cluster(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Two nodes; the environment in which the tools find them."""
    folder = tmp_path_factory.mktemp("glunix")
    env = os.environ | {"GLUNIX_DIR": str(folder), "PATH": f"{tools}:{os.environ['PATH']}"}
    env.pop("GLUNIX_NODE", None)
    up = call(env, "glunix", "up", "-n", "2")
    assert up.returncode == 0, up.stderr
    pids = [row["pid"] for row in json.loads((folder / "private" / "cluster.json").read_text())]
    yield env
    assert call(env, "glunix", "down").returncode == 0
    assert not [pid for pid in pids if runs(pid)]
    assert call(env, "glunix", "status").returncode == 3


def runs(pid: int) -> bool:
    """Whether this process has not ended; some machines' process 1 reaps at leisure."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(condition: Callable[[], bool]) -> None:
    """Look until it is so; the processes in question are not ours to wait for."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.02)


def call(env: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=DEADLINE,
    )


def test_status_and_glustat(cluster: dict[str, str]) -> None:
    told = call(cluster, "glunix", "status")
    assert told.returncode == 0 and "2 nodes up (node1, node2)" in told.stdout, told
    rows = json.loads(call(cluster, "glustat", "--json").stdout)
    assert {row["name"] for row in rows if row["accepts_jobs"]} == {"node1", "node2"}
    assert all(row["cpus"] > 0 and row["memory_total"] > 0 for row in rows)


def test_glups_sees_a_job_and_glukill_ends_it(cluster: dict[str, str]) -> None:
    with subprocess.Popen(
        ["glurun", "-n", "2", "sleep", "600"], env=cluster, stdin=subprocess.DEVNULL
    ) as startup:
        deadline = time.monotonic() + DEADLINE
        running: list[dict[str, object]] = []
        while time.monotonic() < deadline and len(running) < 2:
            jobs = json.loads(call(cluster, "glups", "--json").stdout)
            running = [p for j in jobs for p in j["procs"] if p["pid"] and p["state"] == "running"]
        npid = jobs[-1]["npid"]
        table = call(cluster, "glups", "-p", str(npid)).stdout.splitlines()
        assert [line.split()[0] for line in table[1:]] == [f"{npid}.0", f"{npid}.1"]
        assert call(cluster, "glukill", "-0", str(npid)).returncode == 0
        assert call(cluster, "glukill", f"{npid}.9").returncode == 1
        assert call(cluster, "glukill", "-9", str(npid)).returncode == 0
        assert startup.wait(DEADLINE) == 128 + signal.SIGKILL
    gone = call(cluster, "glukill", str(npid))
    assert gone.returncode == 1 and gone.stderr.count("\n") == 1
    ended = json.loads(call(cluster, "glups", "-a", "--json", str(npid)).stdout)
    assert {proc["signal"] for proc in ended[0]["procs"]} == {9}


def test_logs_of_a_real_cluster(cluster: dict[str, str]) -> None:
    told = call(cluster, "glunix", "logs", "-n", "1")
    assert told.returncode == 0
    assert {line.split(":")[0] for line in told.stdout.splitlines()} == {
        "home",
        "master",
        "node1",
        "node2",
    }


def test_many_jobs_on_one_connection(cluster: dict[str, str]) -> None:
    with Client(Path(cluster["GLUNIX_DIR"])) as client:
        spec = job_spec(["sh", "-c", "echo $GLUNIX_NPID; exit 5"])
        ended = list(client.map((spec for _ in range(100)), in_flight=16))
        assert [job.status for job in ended] == [5] * 100
        assert {job.output() for job in ended} == {b"%d\n" % job.npid for job in ended}
        assert len({job.npid for job in ended}) == 100


def test_bytes_pass_unchanged_both_ways(cluster: dict[str, str]) -> None:
    data = os.urandom(1 << 20) * 5
    with Client(Path(cluster["GLUNIX_DIR"])) as client:
        job = client.submit(job_spec(["cat"]), stdin=data)
        client.wait(DEADLINE)
        assert job.error is None and job.status == 0 and job.output() == data
        wide = client.submit(job_spec(["wc", "-c"]), 3, stdin=data)
        client.wait(DEADLINE)
        assert [wide.output(vnn=vnn).strip() for vnn in range(3)] == [b"%d" % len(data)] * 3


def test_the_clients_end_is_its_jobs_end(cluster: dict[str, str]) -> None:
    with Client(Path(cluster["GLUNIX_DIR"])) as client:
        job = client.submit(job_spec(["sleep", "601"]))
        while not (job.npid and job.procs[0].pid):
            client.poll(DEADLINE)
    ended = ["glups", "--json", "-a", str(job.npid)]
    wait_until(lambda: bool(json.loads(call(cluster, *ended).stdout)[0]["ended"]))
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _reads(p) == b"sleep\x00601\x00"]
    assert not left


def _reads(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_demo_does_what_it_says(tools: Path, tmp_path: Path) -> None:
    env = os.environ | {"TMPDIR": str(tmp_path)}
    told = call(env, str(tools / "glunix"), "demo")
    assert told.returncode == 0 and "!!" not in told.stdout, told.stdout + told.stderr
    assert not list(tmp_path.glob("glunix-*"))


def test_shell_has_a_cluster_that_ends_with_it(tools: Path, tmp_path: Path) -> None:
    env = os.environ | {"SHELL": "/bin/bash", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    shell = pexpect.spawn(
        str(tools / "glunix"), ["shell", "-n", "1"], env=env, timeout=DEADLINE, encoding="utf-8"
    )
    try:
        shell.expect_exact("(glunix)")
        shell.sendline("glurun sh -c 'echo $GLUNIX_NODE'; complete -p glups")
        shell.expect("node1\r\n.*_glunix_glups glups\r\n")
        shell.sendline("sh -c 'echo be''gun; exec sleep 600'")
        shell.expect_exact("begun\r\n")
        shell.sendintr()
        shell.sendline("echo alive $((40 + 2))")
        shell.expect_exact("alive 42\r\n")
        shell.sendline("exit 7")
        shell.expect(pexpect.EOF)
        shell.wait()
        assert shell.exitstatus == 7
    finally:
        shell.close(force=True)
    assert not list(tmp_path.glob("glunix-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_shell_leaves_no_cluster(tools: Path, tmp_path: Path, number: int) -> None:
    env = os.environ | {"SHELL": "/bin/sh", "TMPDIR": str(tmp_path)}
    told = tmp_path / "stderr"
    with (
        told.open("w") as errors,
        subprocess.Popen(
            [str(tools / "glunix"), "shell", "-n", "1"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as shell,
    ):
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write("cat $GLUNIX_DIR/private/cluster.json; echo\n")
        shell.stdin.flush()
        line = shell.stdout.readline()
        assert line.startswith("["), (line, shell.wait(DEADLINE), told.read_text())
        members = json.loads(line)
        shell.send_signal(number)
        killed = number == signal.SIGKILL
        assert shell.wait(DEADLINE) == (-number if killed else 128 + number)
    assert len(members) == 3
    if killed:  # its guardian cleans up, and nobody waits for that but us
        wait_until(lambda: not list(tmp_path.glob("glunix-*")))
    assert not [row for row in members if runs(row["pid"])]
    assert not list(tmp_path.glob("glunix-*"))


@pytest.mark.parametrize(
    ("command", "status", "out", "err"),
    [
        ("glurun sh -c 'echo o; echo e >&2; exit 5' <&-", 5, "o\n", "e\n"),
        (
            "glurun sh -c 'echo o; echo e >&2; exit 5' >&-",
            5,
            "",
            "sh: 1: echo: echo: I/O error\ne\n",
        ),
        ("glurun sh -c 'echo o; echo e >&2; exit 5' 2>&-", 5, "o\n", ""),
        ("glurun sh -c 'exit 5' <&- >&- 2>&-", 5, "", ""),
        ("glurun no-such-program 2>&-", 127, "", ""),
        ("glurun -n 2 sh -c 'cat 2>/dev/null || exit 5' <&- >&-", 5, "", ""),
        ("glurun -T sh -c 'cat; exit 5' <&- 2>&-", 5, "", ""),
    ],
)
def test_what_the_user_closed_stays_closed(
    cluster: dict[str, str], command: str, status: int, out: str, err: str
) -> None:
    told = call(cluster, "sh", "-c", command)
    assert (told.returncode, told.stdout, told.stderr) == (status, out, err)
    log = Path(cluster["GLUNIX_DIR"], "private", "home.log").read_text()
    assert "not a frame" not in log  # the job's output once went into the startup's own socket


def test_a_file_that_takes_a_closed_number_is_nothing_else(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    told = call(cluster, "sh", "-c", f"glurun -o {tmp_path}/out sh -c 'cat 2>&1; echo $?' <&-")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    native = call(cluster, "sh", "-c", "sh -c 'cat 2>&1; echo $?' <&-")
    assert (tmp_path / "out").read_text() == native.stdout != "0\n"


def test_output_that_a_full_disk_lost_is_a_failure(cluster: dict[str, str]) -> None:
    told = call(cluster, "sh", "-c", "glurun echo x >/dev/full")
    assert told.returncode == 125
    assert told.stderr == "glurun: cannot write output: No space left on device\n"
    native = call(cluster, "sh", "-c", "/bin/echo x >/dev/full")
    told = call(cluster, "sh", "-c", "glurun -T /bin/echo x >/dev/full")
    assert (told.returncode, told.stderr) == (native.returncode, native.stderr)
    assert native.returncode == 1


def test_odd_environments_are_one_line(cluster: dict[str, str], tmp_path: Path) -> None:
    for name, value in (("GLUNIX_NODE", "\udcff"), ("GLUNIX_DIR", f"{tmp_path}/\udcff")):
        told = call(cluster, "env", f"{name}={value}", "glurun", "true")
        assert told.returncode == 125
        assert told.stderr.startswith("glurun: no daemon is running") and told.stderr[-1] == "\n"
    assert call(cluster, "env", "GLUNIX_NODE=", "glurun", "true").returncode == 0


def test_long_times(cluster: dict[str, str]) -> None:
    """More milliseconds than poll(2) takes."""
    assert call(cluster, "glurun", "-t", "9999999999", "true").returncode == 0
    told = call(cluster, "glurun", "-t", "inf", "true")
    assert (told.returncode, told.stderr) == (125, "glurun: not a time: inf\n")

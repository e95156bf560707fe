"""`glukill -STOP`, then `-CONT` or `-KILL`: as kill(1) of the job's own processes at home.

The startup stops and goes on with the job, so that the user's shell sees it, also when ^Z or the
program itself stopped it; and nothing else of the startup's process group does.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Cluster, ended, guests_of, read_line, stop_signal, until
from .terminal import PROMPT, home_shell

levels = pytest.mark.parametrize("words", [(), ("-T",)], ids=["user level", "-T"])

WAITS = "echo go; exec sleep 1000"
STOPS_ITSELF = "echo go; kill -STOP $$; exec sleep 1000"


def _npid(cluster: Cluster) -> str:
    (row,) = [r for r in cluster.jobs() if r["state"] in ("running", "stopped", "placed")]
    return str(row["npid"])


def _state_of_job(cluster: Cluster, npid: str) -> object:
    return next((row["state"] for row in cluster.jobs() if str(row["npid"]) == npid), "")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _by_glukill(cluster: Cluster, job: subprocess.Popen[bytes], npid: str) -> None:
    assert cluster.run("glukill", "-STOP", npid).status == 0


def _by_the_shell(cluster: Cluster, job: subprocess.Popen[bytes], npid: str) -> None:
    job.send_signal(signal.SIGTSTP)


def _by_itself(cluster: Cluster, job: subprocess.Popen[bytes], npid: str) -> None:
    pass


Stop = Callable[[Cluster, "subprocess.Popen[bytes]", str], None]
stops = pytest.mark.parametrize("stop", [_by_glukill, _by_the_shell, _by_itself])


@levels
@stops
def test_glukill_reaches_a_stopped_startup(
    shared: Cluster, words: tuple[str, ...], stop: Stop
) -> None:
    script = STOPS_ITSELF if stop is _by_itself else WAITS
    with ended(shared.start("glurun", *words, "sh", "-c", script)) as job:
        assert read_line(job) == "go"
        npid = _npid(shared)
        if stop is not _by_itself:
            node = next(n for n in shared.nodes().values() if guests_of(n))
            until(lambda: any(_sleeps(pid) for pid in guests_of(node)), "it has begun")
        for _ in range(3):
            stop(shared, job, npid)
            assert stop_signal(job) in (signal.SIGSTOP, signal.SIGTSTP)
            assert shared.run("glukill", "-CONT", npid).status == 0
            until(lambda: _state(job.pid) in "RS", "the startup goes on")
            until(lambda: _state_of_job(shared, npid) == "running", "so does the job")
            if stop is _by_itself:
                stop = _by_glukill
        stop(shared, job, npid)
        stop_signal(job)
        assert shared.run("glukill", "-KILL", npid).status == 0
        assert job.wait(5) in (137, -signal.SIGKILL)


def _sleeps(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    except OSError:
        return False


@levels
def test_nothing_but_the_job_is_stopped(shared: Cluster, words: tuple[str, ...]) -> None:
    """The startup's group has a script and a reader in it."""
    glurun = " ".join(["glurun", *words])
    script = f"{glurun} sh -c 'echo go; exec sleep 1000' | cat; echo over"
    with ended(shared.start("sh", "-c", script)) as job:
        assert read_line(job) == "go"
        npid = _npid(shared)
        group = _members(job.pid)
        cat = next(pid for pid in group if Path(f"/proc/{pid}/comm").read_text() == "cat\n")
        assert shared.run("glukill", "-STOP", npid).status == 0
        until(lambda: any(_state(pid) == "T" for pid in group), "the startup is stopped")
        until(lambda: _state_of_job(shared, npid) == "stopped", "the job is")
        for _ in range(20):
            assert {_state(pid) for pid in (job.pid, cat)} == {"S"}
        assert shared.run("glukill", "-CONT", npid).status == 0
        until(lambda: all(_state(pid) in "RS" for pid in _members(job.pid)), "all go on")
        assert shared.run("glukill", "-KILL", npid).status == 0
        assert read_line(job, 5) in ("over", "Killed")


def _members(group: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.getpgid(int(name)) == group:
                    found.append(int(name))
            except ProcessLookupError:
                pass
    return found


@levels
def test_one_sigcont_is_one(shared: Cluster, words: tuple[str, ...]) -> None:
    """The program handles it once, whoever sent it."""
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGCONT, lambda *a: print('continued', flush=True))\n"
        "print('go', flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    with ended(shared.start("glurun", *words, "python3", "-c", program)) as job:
        assert read_line(job) == "go"
        npid = _npid(shared)
        for send in (
            lambda: shared.run("glukill", "-CONT", npid),
            lambda: job.send_signal(signal.SIGCONT),
        ):
            assert shared.run("glukill", "-STOP", npid).status == 0
            stop_signal(job)
            send()
            assert read_line(job) == "continued"
            with pytest.raises(AssertionError, match="no b"):
                read_line(job, 0.7)
        assert shared.run("glukill", "-KILL", npid).status == 0
        job.wait(5)


@levels
def test_at_a_terminal(shared: Cluster, words: tuple[str, ...]) -> None:
    """^Z, then glukill: the shell hears of it; fg after a stop by glukill works as after ^Z."""
    with home_shell(shared) as t:
        before = t.modes()
        t.line(f"{' '.join(['glurun', *words])} sh -c 'echo here; read x; echo got $x; read y'")
        t.expect("here\r\n")
        npid = _npid(shared)
        t.control("z")
        t.expect("Stopped")
        t.expect(PROMPT)
        t.line("fg")
        t.expect("\r\n")
        until(lambda: _state_of_job(shared, npid) == "running", "it goes on")
        assert shared.run("glukill", "-STOP", npid).status == 0
        t.expect("Stopped")
        t.expect(PROMPT)
        assert t.modes() == before
        t.line("fg")
        t.expect("\r\n")
        t.line("word")
        t.expect("got word\r\n")
        t.control("z")
        t.expect("Stopped")
        t.expect(PROMPT)
        assert shared.run("glukill", "-KILL", npid).status == 0
        until(lambda: re.search("Killed|Exit 137", t.command("jobs")), "the shell hears of it")
        assert t.modes() == before

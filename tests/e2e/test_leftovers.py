"""When a program exits its job is over, and what it left behind is ended (paper 4.2.3)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from .cluster import Cluster, alive, ended, guests_of, read_line, until

LEFT = {
    "plain": "sleep 1000 & true",
    "quiet": "sleep 1000 >/dev/null 2>&1 </dev/null & true",
    "nohup": "nohup sleep 1000 >/dev/null 2>&1 & true",
    "deaf": "sh -c 'trap \"\" HUP TERM INT; while :; do sleep 1; done' >/dev/null 2>&1 & true",
    "own session": "setsid sleep 1000 >/dev/null 2>&1 & true",
    "deaf in its own session": "setsid nohup sleep 1000 >/dev/null 2>&1 & true",
    "tree": "setsid sh -c 'sleep 1000 & sleep 1000 & sleep 1000' >/dev/null 2>&1 & true",
    "stopped": "sh -c 'kill -STOP $$; sleep 1000' >/dev/null 2>&1 & sleep 0.1",
    "no environment": "env -i setsid nohup sleep 1000 >/dev/null 2>&1 & true",
    "writes for ever": "nohup yes & true",
}


@pytest.mark.parametrize("kind", sorted(LEFT))
@pytest.mark.parametrize("degree", ["1", "2"])
def test_left_behind(shared: Cluster, kind: str, degree: str) -> None:
    """The leak check after the test looks for it on every node."""
    result = shared.glurun("-n", degree, "-w", "node1,node2", "sh", "-c", LEFT[kind] + "; exit 5")
    assert result.status == 5
    nodes = [shared.members()[name] for name in ("node1", "node2")]
    until(lambda: not any(guests_of(node) for node in nodes), "all is gone")


def test_hang_up_comes_first(shared: Cluster, tmp_path: Path) -> None:
    """What catches SIGHUP has its grace time to put things in order."""
    mark = tmp_path / "mark"
    script = tmp_path / "script"
    script.write_text(
        f"trap 'echo tidy >{mark}; exit' HUP; touch {mark}.ready; while :; do sleep 0.05; done"
    )
    line = f"sh {script} & until test -e {mark}.ready; do sleep 0.01; done"
    assert shared.glurun("sh", "-c", line).status == 0
    until(lambda: mark.exists() and mark.read_text(), "it heard SIGHUP")
    assert mark.read_text() == "tidy\n"


@pytest.mark.parametrize("tty", [False, True])
def test_keep(shared: Cluster, tty: bool) -> None:
    # Its terminal closes with the job: what is to stay must not mind, as with nohup(1) at home.
    line = "trap '' HUP; sleep 1000 >/dev/null 2>&1 </dev/null & exit 0"
    words = ["glurun", "--keep", "-w", "node3", "sh", "-c", line]
    node = shared.members()["node3"]
    if tty:
        master, slave = os.openpty()
        try:
            with_tty = shared.start(*words, stdin=slave, stdout=slave, stderr=slave)
            assert with_tty.wait(20) == 0
        finally:
            os.close(master)
            os.close(slave)
    else:
        assert shared.glurun(*words[1:]).status == 0
    time.sleep(1.6)  # longer than the grace time: what is there now, stays
    (pid,) = (p for p in guests_of(node) if Path(f"/proc/{p}/comm").read_text() == "sleep\n")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "killed")
    until(lambda: not guests_of(node), "its reaper, too")


def test_another_job_is_left_alone(shared: Cluster) -> None:
    script = "env -i setsid sleep 1.7 & echo go; wait; echo done"
    with ended(shared.start("glurun", "-w", "node1", "sh", "-c", script)) as job:
        assert read_line(job) == "go"
        for _ in range(3):
            assert shared.glurun("-w", "node1", "sh", "-c", "setsid sleep 9 & true").status == 0
        assert read_line(job) == "done"
        assert job.wait(10) == 0


def test_late_output_is_not_lost(shared: Cluster) -> None:
    """A grandchild that still writes when the program has ended."""
    line = "trap '' HUP; (sleep 0.3; echo late) & echo early"
    result = shared.glurun("sh", "-c", line)
    assert result.out == b"early\nlate\n"

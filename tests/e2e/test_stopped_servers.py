"""Who serves a running job is stopped (SIGSTOP): a signal ends its `glurun` all the same, with one
sentence; and a program that handles the signal and lives on is left alone."""

from __future__ import annotations

import os
import signal
import time

import pytest

from .cluster import Cluster, finish, processes, read_line

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="looks at root's daemons")


def _supervisor(cluster: Cluster) -> int:
    daemon = cluster.members()["node1"].pid
    (pid,) = [pid for pid, (parent, _) in processes().items() if parent == daemon]
    return pid


@pytest.mark.parametrize(
    ("words", "victim"),
    [((), "node1"), ((), "home"), (("-T",), "supervisor")],
    ids=["user level, node's daemon", "user level, home's daemon", "-T, supervisor"],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_job_whose_server_is_stopped(
    shared: Cluster, words: tuple[str, ...], victim: str, number: signal.Signals
) -> None:
    command = [
        "glurun",
        *words,
        "-w",
        "node1",
        "sh",
        "-c",
        "trap : TERM INT; echo go; while :; do sleep 1; done",
    ]
    job = shared.start(*command)
    assert read_line(job) == "go"
    pid = _supervisor(shared) if victim == "supervisor" else shared.members()[victim].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        job.send_signal(number)
        found = finish(job, 20)
        took = time.monotonic() - begun
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found.status == 128 + number, found
    assert 4 < took < 12
    assert found.complaint == (
        f"glurun: node1 does not answer: the job is given up, signal {number.value}"
    )


@pytest.mark.parametrize("words", [(), ("-T",)], ids=["user level", "-T"])
def test_a_program_that_handles_the_signal_goes_on(shared: Cluster, words: tuple[str, ...]) -> None:
    script = (
        "trap 'echo got' TERM; echo go; i=0; while [ $i -lt 14 ]; do sleep 0.5; i=$((i+1)); done"
    )
    job = shared.start("glurun", *words, "sh", "-c", script)
    assert read_line(job) == "go"
    job.send_signal(signal.SIGTERM)
    found = finish(job, 30)
    assert (found.status, found.text) == (0, "got")
    assert "glurun" not in found.complaint

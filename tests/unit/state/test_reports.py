"""What nodes report of processes, and what of it cannot be."""

import pytest

from glunix.msg.base import Message
from glunix.msg.job import ProcRow
from glunix.msg.master import JobOver, KillOrder, ProcExited, ProcStarted, ProcStopped
from unit.state.cluster import Cluster


def test_the_life_of_a_sequential_job() -> None:
    cluster = Cluster("home", "node1")
    cluster.place()
    seen = [cluster.job(1).state]
    for message in (
        ProcStarted(1, 0, 42),
        ProcStopped(1, 0, 20),
        ProcStopped(1, 0, 0),
        ProcExited(1, 0, 3, 0),
    ):
        cluster.now += 1.0
        cluster.says("node1", message)
        seen.append(cluster.job(1).state)
    assert seen == ["placed", "running", "stopped", "running", "exited"]
    row = cluster.job(1)
    assert row.procs == [ProcRow(0, "node1", 42, "exited", 3, 0)]
    assert (row.started, row.ended, row.reason) == (1.0, 5.0, "")
    assert cluster.told() == []
    assert cluster.closed == []


def test_a_job_ends_with_its_last_process() -> None:
    cluster = Cluster("home", "node1", "node2", "node3")
    placed = cluster.start(3)
    cluster.exits(placed, vnn=2, code=1)
    cluster.exits(placed, vnn=0, signal=15)
    assert cluster.job(1).state == "running"
    cluster.exits(placed, vnn=1)
    row = cluster.job(1)
    assert row.state == "killed"
    assert [(p.code, p.signal, p.state) for p in row.procs] == [
        (0, 15, "killed"),
        (0, 0, "exited"),
        (1, 0, "exited"),
    ]


def test_exec_failure_says_why() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.place()
    cluster.says("node1", ProcExited(1, 0, 127, 0, "command not found: nope"))
    assert (cluster.job(1).state, cluster.job(1).reason) == ("exited", "command not found: nope")
    cluster.place(2)
    cluster.says("node1", ProcExited(2, 1, 126, 0, "not executable"))
    assert cluster.job(2).state == "starting"
    cluster.says("node2", ProcExited(2, 0, 127, 0, "not found"))
    assert cluster.job(2).reason == "process 1 on node1: not executable"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (ProcStarted(1, 0, 43), "process 1.0 started twice"),
        (ProcStarted(1, 2, 43), "no process 1.2: 2-way"),
        (ProcStarted(1, 1, 43), "process 1.1 is on node2"),
        (ProcStopped(1, 1, 19), "process 1.1 is on node2"),
        (ProcExited(1, 1, 0, 0), "process 1.1 is on node2"),
        (ProcExited(1, 9, 0, 0), "no process 1.9: 2-way"),
        (ProcStopped(2, 0, 19), "process 2.0 stopped before it started"),
    ],
)
def test_what_contradicts_the_books_ends_the_link(message: Message, reason: str) -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.place(nodes=["node1"])
    cluster.says("node1", message)
    assert cluster.closed == [("node1", reason)]


def test_job_over_from_elsewhere_ends_that_link_and_not_the_job() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(nodes=["node1"])
    cluster.says("node2", JobOver(1, "because I say so"))
    assert cluster.closed == [("node2", "job 1 has its home on home")]
    assert cluster.job(1).state == "running"


@pytest.mark.parametrize("npid", [1, 2], ids=["ended", "never heard of"])
def test_a_start_of_what_is_over_is_answered_with_sigkill(npid: int) -> None:
    cluster = Cluster("home", "node1")
    cluster.exits(cluster.start())
    cluster.says("node1", ProcStarted(npid, 0, 9))
    assert cluster.told() == [("node1", KillOrder(npid, [0], 9))]
    assert cluster.closed == []


@pytest.mark.parametrize("npid", [1, 2], ids=["ended", "never heard of"])
def test_late_reports_and_late_ends_are_no_fault(npid: int) -> None:
    cluster = Cluster("home", "node1")
    cluster.exits(cluster.start(), code=3)
    before = cluster.job(1)
    for message in (ProcStopped(npid, 0, 19), ProcExited(npid, 0, 0, 9), JobOver(npid, "late")):
        name = "home" if isinstance(message, JobOver) else "node1"
        assert cluster.says(name, message) == []
    assert cluster.job(1) == before
    assert cluster.closed == []


def test_the_same_report_twice_changes_nothing() -> None:
    cluster = Cluster("home", "node1")
    cluster.start()
    assert cluster.says("node1", ProcStarted(1, 0, 100)) == []
    assert cluster.says("node1", ProcStopped(1, 0, 0)) == []
    cluster.says("node1", ProcStopped(1, 0, 19))
    assert cluster.says("node1", ProcStopped(1, 0, 19)) == []
    assert cluster.job(1).state == "stopped"

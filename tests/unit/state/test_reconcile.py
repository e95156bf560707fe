"""Master restarts and daemons that come back: whose word counts, and what dies."""

import pytest

from glunix.msg.job import JobRow, RunningProc
from glunix.msg.master import (
    JobOver,
    JobsQuery,
    JobsTable,
    KillOrder,
    NodeLost,
    ProcExited,
    ProcStarted,
)
from unit.state.cluster import GRACE, UID, Cluster, home_job, running

KILL = 9


def rows_of(degree: int, *nodes: str, started: bool = True) -> list[JobRow]:
    """What the journal of a dead master says: one job."""
    before = Cluster("home", *nodes)
    if started:
        before.start(degree)
    else:
        before.place(degree)
    return before.rows()


def test_everybody_comes_back_and_the_job_goes_on() -> None:
    cluster = Cluster(rows=rows_of(2, "node1", "node2"))
    cluster.join("node1", running=[running(1, 0, degree=2)])
    cluster.join("home", homes=[home_job(1, 2)])
    cluster.join("node2", running=[running(1, 1, degree=2, stopped=True)])
    assert cluster.job(1).state == "running"
    assert [p.state for p in cluster.job(1).procs] == ["running", "stopped"]
    cluster.wait(3 * GRACE, alive=["home", "node1", "node2"])
    assert cluster.told() == []
    assert cluster.job(1).state == "running"
    cluster.says("node1", ProcExited(1, 0, 0, 0))
    cluster.says("node2", ProcExited(1, 1, 5, 0))
    assert cluster.job(1).state == "exited"


def test_a_process_that_its_node_does_not_have_any_more() -> None:
    cluster = Cluster(rows=rows_of(1, "node1"))
    cluster.join("home", homes=[home_job(1)])
    cluster.join("node1")
    row = cluster.job(1)
    assert (row.state, row.reason) == ("lost", "process 0 ended on node1 unseen")
    assert cluster.told() == []


def test_one_process_that_ended_unseen_does_not_end_the_others() -> None:
    cluster = Cluster(rows=rows_of(2, "node1", "node2"))
    cluster.join("home", homes=[home_job(1, 2)])
    cluster.join("node1")
    cluster.join("node2", running=[running(1, 1, degree=2)])
    assert cluster.told() == []
    assert cluster.job(1).state == "running"
    cluster.says("node2", ProcExited(1, 1, 0, 0))
    assert cluster.job(1).state == "lost"


def test_a_process_that_was_only_placed_may_still_come() -> None:
    cluster = Cluster(rows=rows_of(1, "node1", started=False))
    cluster.join("home", homes=[home_job(1)])
    cluster.join("node1")
    assert cluster.job(1).state == "placed"
    cluster.says("node1", ProcStarted(1, 0, 7))
    assert cluster.job(1).state == "running"


def test_a_node_that_does_not_come_back_is_lost() -> None:
    cluster = Cluster(rows=rows_of(2, "node1", "node2"))
    cluster.join("home", homes=[home_job(1, 2)])
    cluster.join("node1", running=[running(1, 0, degree=2)])
    cluster.wait(GRACE - 0.1, alive=["home", "node1"])
    assert cluster.told() == []
    cluster.wait(0.2, alive=["home", "node1"])
    lost = NodeLost("node2", "node node2 lost: not back within 12 s")
    assert cluster.told() == [
        ("home", lost),
        ("node1", lost),
        ("node1", KillOrder(1, [], KILL)),
    ]


def test_a_home_that_does_not_come_back_ends_its_jobs() -> None:
    cluster = Cluster(rows=rows_of(1, "node1"))
    cluster.join("node1", running=[running(1, 0)])
    cluster.wait(GRACE + 0.1, alive=["node1"])
    assert cluster.told()[-1] == ("node1", KillOrder(1, [], KILL))
    cluster.says("node1", ProcExited(1, 0, 0, KILL))
    assert cluster.job(1).reason == "home node home lost: not back within 12 s"


def test_a_home_that_comes_back_without_the_job_has_no_startup_for_it() -> None:
    cluster = Cluster(rows=rows_of(1, "node1"))
    cluster.join("node1", running=[running(1, 0)])
    cluster.join("home")
    assert cluster.told() == [("node1", KillOrder(1, [], KILL))]
    cluster.says("node1", ProcExited(1, 0, 0, KILL))
    assert (cluster.job(1).state, cluster.job(1).reason) == (
        "killed",
        "its startup on home is gone",
    )


def test_the_home_first_and_then_the_node_with_a_process_that_must_die() -> None:
    cluster = Cluster(rows=rows_of(1, "node1"))
    cluster.join("home")
    assert cluster.job(1).state == "ending"
    cluster.join("node1", running=[running(1, 0)])
    assert cluster.told() == [("node1", KillOrder(1, [0], KILL))]


def test_an_ending_job_is_still_ended_after_a_restart() -> None:
    before = Cluster("home", "node1")
    before.start()
    before.says("home", JobOver(1, "startup is gone"))
    cluster = Cluster(rows=before.rows())
    cluster.join("home")
    cluster.join("node1", running=[running(1, 0)])
    cluster.wait(7.0, alive=["home", "node1"])
    assert cluster.told() == [("node1", KillOrder(1, [], KILL))]
    cluster.says("node1", ProcExited(1, 0, 0, KILL))
    assert (cluster.job(1).state, cluster.job(1).reason) == ("killed", "startup is gone")


def listed(cluster: Cluster) -> list[JobRow]:
    cluster.says("home", JobsQuery(1, UID, False))
    [(_, table)] = cluster.told()
    assert isinstance(table, JobsTable)
    return table.rows


def test_jobs_that_the_journal_does_not_know_are_made_again() -> None:
    cluster = Cluster()
    cluster.join("node1", running=[running(7, 0, degree=3), running(7, 2, degree=3)])
    cluster.join("home", homes=[home_job(7, 3)])
    [row] = listed(cluster)
    assert (row.npid, row.uid, row.home, row.degree) == (7, UID, "home", 3)
    assert (row.command, row.started, row.state) == ("sleep 9", 0.5, "running")
    cluster.says("node1", ProcExited(7, 0, 0, 0))
    cluster.says("node1", ProcExited(7, 2, 0, 0))
    assert [row.state for row in listed(cluster)] == ["running"]  # node2 may know more
    cluster.join("node2", running=[running(7, 1, degree=3)])
    cluster.says("node2", ProcExited(7, 1, 4, 0))
    assert cluster.job(7).state == "exited"
    assert sorted(p.vnn for p in cluster.job(7).procs) == [0, 1, 2]


def test_a_job_made_again_ends_when_nobody_tells_more() -> None:
    cluster = Cluster()
    cluster.join("home", homes=[home_job(7, 2)])
    cluster.join("node1", running=[running(7, 0, degree=2)])
    cluster.says("node1", ProcExited(7, 0, 0, 0))
    cluster.wait(GRACE + 0.1, alive=["home", "node1"])
    assert (cluster.job(7).state, cluster.job(7).reason) == ("exited", "")


def test_a_job_that_only_its_home_knows_ends_after_the_grace() -> None:
    cluster = Cluster()
    cluster.join("home", homes=[home_job(7)])
    assert cluster.job(7).state == "running"
    cluster.wait(GRACE + 0.1, alive=["home"])
    assert (cluster.job(7).state, cluster.job(7).reason) == (
        "lost",
        "no node reported a process of it",
    )


def test_a_process_that_starts_while_its_job_is_being_made_again() -> None:
    cluster = Cluster("node1")
    cluster.join("home", homes=[home_job(7)])
    cluster.says("node1", ProcStarted(7, 0, 12))
    assert cluster.told() == []
    assert cluster.job(7).procs[0].state == "running"


def test_the_home_of_a_job_made_again_must_come_back() -> None:
    cluster = Cluster()
    cluster.join("node1", running=[running(7, 0)])
    cluster.wait(GRACE + 0.1, alive=["node1"])
    assert cluster.told() == [
        ("node1", NodeLost("home", "node home lost: not back within 12 s")),
        ("node1", KillOrder(7, [], KILL)),
    ]


def test_a_process_whose_home_is_here_without_it_is_killed() -> None:
    cluster = Cluster("home")
    cluster.join("node1", running=[running(7, 0)])
    assert cluster.told() == [("node1", KillOrder(7, [0], KILL))]
    assert cluster.journal == {}


@pytest.mark.parametrize(
    "told",
    [
        running(1, 0, uid=UID + 1),
        running(1, 0, home="node2"),
        running(1, 0, degree=2),
    ],
)
def test_a_process_of_another_job_of_the_same_number_is_killed(told: RunningProc) -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(nodes=["node1"])
    cluster.join("node3", running=[told])
    assert cluster.told() == [("node3", KillOrder(1, [0], KILL))]
    assert cluster.job(1).state == "running"
    assert [p.node for p in cluster.job(1).procs] == ["node1"]


def test_a_daemon_that_was_lost_comes_back_to_have_its_processes_killed() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.down("node1")
    cluster.says("node2", ProcExited(1, 1, 0, KILL))
    cluster.told()
    cluster.join("node1", running=[running(1, 0, degree=2), running(99, 0)])
    assert cluster.told() == [
        ("node1", KillOrder(1, [0], KILL)),
        ("node1", KillOrder(99, [0], KILL)),  # long forgotten, but this master saw this daemon
    ]
    assert cluster.job(1).state == "killed"


def test_a_home_that_lists_what_is_over_changes_nothing() -> None:
    cluster = Cluster("home", "node1")
    cluster.exits(cluster.start())
    cluster.down("home")
    cluster.told()
    cluster.join("home", homes=[home_job(1), home_job(55)])
    assert cluster.told() == []
    assert sorted(cluster.journal) == [1]


def test_damaged_rows_are_logged_and_removed() -> None:
    bad = JobRow(5, 1, "home", "x", 1, False, "dancing", 0.0, 0.0, "", [])
    cluster = Cluster(rows=[bad])
    assert cluster.journal == {}
    assert cluster.logs == ["journal: job 5: 'dancing' is not a valid JobState"]


def test_restore_comes_first() -> None:
    cluster = Cluster("home")
    with pytest.raises(RuntimeError, match="after the first event"):
        cluster.master.restore([], 2.0)
    cluster = Cluster(rows=[])
    with pytest.raises(RuntimeError, match="after the first event"):
        cluster.master.restore([], 2.0)


def test_what_ended_without_a_master_is_told_by_the_hello() -> None:
    cluster = Cluster(rows=rows_of(2, "node1", "node2"))
    cluster.join("node1", unsent=[ProcExited(1, 0, 3, 0)])
    cluster.join("home", unsent=[JobOver(1)])
    assert cluster.job(1).state == "ending"
    cluster.join("node2", unsent=[ProcExited(1, 1, 0, 15), ProcExited(1, 0, 9, 0)])
    row = cluster.job(1)
    assert (row.state, row.reason) == ("killed", "")
    assert [(p.state, p.code, p.signal) for p in row.procs] == [
        ("exited", 3, 0),
        ("killed", 0, 15),
    ]
    assert cluster.told() == []
    assert cluster.closed == []


def test_unsent_reports_of_what_is_elsewhere_or_over_are_left() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(nodes=["node1"])
    cluster.join(
        "node3",
        unsent=[ProcExited(1, 0, 3, 0), ProcExited(9, 0, 3, 0), JobOver(1, "x"), JobOver(9)],
    )
    assert cluster.told() == []
    assert cluster.closed == []
    assert cluster.job(1).state == "running"


def test_a_process_that_the_books_have_on_another_node_is_killed_where_it_is_not() -> None:
    cluster = Cluster("home", "node1")
    cluster.start()
    cluster.join("node2", running=[running(1, 0)])
    assert cluster.told() == [("node2", KillOrder(1, [0], KILL))]
    assert [p.node for p in cluster.job(1).procs] == ["node1"]


def test_a_process_of_the_same_number_and_node_but_another_job() -> None:
    cluster = Cluster(rows=rows_of(1, "node1"))
    cluster.join("node1", running=[running(1, 0, uid=UID + 1)])
    assert cluster.told() == [("node1", KillOrder(1, [0], KILL))]
    assert cluster.job(1).reason == "process 0 ended on node1 unseen"


def test_pids_are_those_of_the_hello() -> None:
    cluster = Cluster(rows=rows_of(1, "node1", started=False))
    cluster.join("node1", running=[running(1, 0, pid=4711)])
    assert cluster.job(1).procs[0].pid == 4711
    assert cluster.job(1).state == "running"
    cluster.join("node1", running=[running(1, 0, pid=4712)])
    assert cluster.job(1).procs[0].pid == 4712


def test_a_known_daemon_cannot_bring_jobs_that_this_master_never_placed() -> None:
    cluster = Cluster("node1")
    cluster.join("node1", running=[running(9, 0, home="elsewhere")])
    assert cluster.told() == [("node1", KillOrder(9, [0], KILL))]
    cluster.join("node2", running=[running(9, 0, home="elsewhere")])
    assert cluster.told() == []
    assert cluster.job(9).state == "running"


def test_a_job_that_was_being_made_again_when_the_next_master_died() -> None:
    before = Cluster()
    before.join("home", homes=[home_job(7, 2)])
    before.join("node1", running=[running(7, 0, degree=2)])
    before.says("node1", ProcExited(7, 0, 0, 0))
    cluster = Cluster(rows=before.rows())
    assert cluster.job(7).state == "running"
    cluster.join("home", homes=[home_job(7, 2)])
    cluster.join("node2", running=[running(7, 1, degree=2)])
    cluster.says("node2", ProcExited(7, 1, 0, 0))
    assert cluster.job(7).state == "exited"

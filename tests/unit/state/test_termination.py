"""Paper 4.2.3: what ends when a node, a home or a startup is gone."""

import signal

from glunix.msg.base import Message
from glunix.msg.master import JobOver, KillOrder, NodeLost, ProcExited, ProcStarted
from unit.state.cluster import LOST_AFTER, Cluster

KILL = int(signal.SIGKILL)


def orders(cluster: Cluster) -> list[tuple[str, Message]]:
    return [(to, m) for to, m in cluster.told() if not isinstance(m, NodeLost)]


def test_a_lost_node_ends_its_sequential_jobs_and_no_others() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(nodes=["node1"])
    cluster.start(nodes=["node2"])
    cluster.down("node1", "end of file")
    lost = NodeLost("node1", "node node1 lost: end of file")
    assert cluster.told() == [("home", lost), ("node2", lost)]
    row = cluster.job(1)
    assert (row.state, row.reason) == ("killed", "node node1 lost: end of file")
    assert row.procs[0].state == "lost"
    assert cluster.job(2).state == "running"


def test_a_lost_node_ends_the_whole_of_a_parallel_job() -> None:
    cluster = Cluster("home", "node1", "node2", "node3", "node4")
    placed = cluster.start(4, nodes=["node1", "node2", "node3"])
    cluster.down("node2")
    told = cluster.told()
    assert [type(m) for _, m in told] == [NodeLost] * 4 + [KillOrder] * 2
    assert told[4:] == [
        ("node1", KillOrder(1, [], KILL)),
        ("node3", KillOrder(1, [], KILL)),
    ]
    assert cluster.job(1).state == "ending"
    for vnn in (0, 2, 3):
        cluster.exits(placed, vnn, signal=KILL)
    row = cluster.job(1)
    assert (row.state, row.reason) == ("killed", "node node2 lost: end of file")
    assert [p.state for p in row.procs] == ["killed", "lost", "killed", "killed"]
    assert cluster.told() == []


def test_processes_not_started_are_over_at_once_and_killed_if_they_start_all_the_same() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.place(2)
    cluster.down("node1")
    assert orders(cluster) == [("node2", KillOrder(1, [], KILL))]
    assert cluster.job(1).state == "killed"
    cluster.says("node2", ProcStarted(1, 1, 55))
    assert orders(cluster) == [("node2", KillOrder(1, [1], KILL))]
    assert cluster.says("node2", ProcExited(1, 1, 0, KILL)) == []


def test_two_nodes_lost_in_turn_leave_nothing() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.down("node1")
    cluster.down("node2")
    row = cluster.job(1)
    assert (row.state, row.reason) == ("killed", "node node1 lost: end of file")


def test_a_lost_home_ends_its_jobs_everywhere() -> None:
    cluster = Cluster("home", "node1", "node2")
    placed = cluster.start(2)
    cluster.start(home="node1", nodes=["node2"])
    cluster.down("home")
    assert orders(cluster) == [
        ("node1", KillOrder(1, [], KILL)),
        ("node2", KillOrder(1, [], KILL)),
    ]
    for vnn in (0, 1):
        cluster.exits(placed, vnn, signal=KILL)
    assert cluster.job(1).reason == "home node home lost: end of file"
    assert cluster.job(1).state == "killed"
    assert cluster.job(2).state == "running"


def test_a_home_that_is_also_a_node_of_the_job() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2, home="node1")
    cluster.down("node1")
    assert orders(cluster) == [("node2", KillOrder(1, [], KILL))]
    cluster.says("node2", ProcExited(1, 1, 0, KILL))
    assert cluster.job(1).reason == "node node1 lost: end of file"


def test_startup_gone_home_ends_the_job_and_the_master_waits_for_the_reports() -> None:
    cluster = Cluster("home", "node1", "node2")
    placed = cluster.start(2)
    cluster.says("home", JobOver(1, "startup is gone"))
    assert cluster.told() == []
    assert cluster.job(1).state == "ending"
    cluster.exits(placed, 0, signal=1)
    cluster.exits(placed, 1, signal=1)
    row = cluster.job(1)
    assert (row.state, row.reason) == ("killed", "startup is gone")


def test_home_may_be_faster_than_the_node() -> None:
    """JobOver takes another way than ProcStarted and ProcExited: the status must survive."""
    cluster = Cluster("home", "node1")
    cluster.place()
    cluster.says("home", JobOver(1))
    cluster.says("node1", ProcStarted(1, 0, 42))
    cluster.says("node1", ProcExited(1, 0, 7, 0))
    row = cluster.job(1)
    assert (row.state, row.procs[0].code, row.reason) == ("exited", 7, "")
    assert cluster.told() == []


def test_what_home_left_running_is_killed_after_a_while() -> None:
    cluster = Cluster("home", "node1")
    placed = cluster.start()
    cluster.says("home", JobOver(1))
    cluster.wait(LOST_AFTER - 0.1, alive=["home", "node1"])
    assert cluster.told() == []
    cluster.wait(0.2, alive=["home", "node1"])
    assert cluster.told() == [("node1", KillOrder(1, [], KILL))]
    cluster.exits(placed, signal=KILL)
    assert cluster.job(1).state == "killed"


def test_what_never_started_when_home_ended_is_over_after_a_while() -> None:
    cluster = Cluster("home", "node1")
    cluster.place()
    cluster.says("home", JobOver(1, "startup is gone"))
    cluster.wait(LOST_AFTER + 0.1, alive=["home", "node1"])
    assert cluster.told() == [("node1", KillOrder(1, [], KILL))]
    assert (cluster.job(1).state, cluster.job(1).reason) == ("killed", "startup is gone")


def test_an_end_that_is_never_reported_is_given_up_with_the_story() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.down("node2")
    alive = ["home", "node1"]
    cluster.wait(LOST_AFTER + 0.1, alive)
    assert orders(cluster) == [("node1", KillOrder(1, [], KILL))] * 2
    assert cluster.job(1).state == "ending"
    cluster.wait(LOST_AFTER + 0.1, alive)
    assert orders(cluster) == []
    row = cluster.job(1)
    assert (row.state, row.reason) == ("killed", "node node2 lost: end of file")
    assert cluster.logs[-1].startswith("job 1: the end of 1 process was not reported by node1\n")
    assert ".0 on node1: running -> lost" in cluster.logs[-1]


def test_a_silent_node_is_lost_like_a_broken_link() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.wait(LOST_AFTER + 0.1, alive=["home", "node2"])
    told = cluster.told()
    lost = NodeLost("node1", "node node1 lost: silent for 6 s")
    assert told == [("home", lost), ("node2", lost), ("node2", KillOrder(1, [], KILL))]


def test_the_second_end_does_not_order_again() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.down("node1")
    cluster.told()
    assert cluster.says("home", JobOver(1, "node lost")) == []
    cluster.down("home")
    assert orders(cluster) == []
    assert cluster.job(1).reason == "node node1 lost: end of file"


def test_a_job_whose_startup_is_gone_was_killed_whatever_its_programs_made_of_it() -> None:
    cluster = Cluster("home", "node1")
    placed = cluster.start()
    cluster.says("home", JobOver(1, "startup is gone"))
    cluster.exits(placed, code=0)
    assert cluster.job(1).state == "killed"
    assert cluster.job(1).procs[0].state == "exited"

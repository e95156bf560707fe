"""Placement, and who may signal whom."""

import pytest

from glunix.ids import Why
from glunix.msg.base import Message
from glunix.msg.master import (
    KillDone,
    KillOrder,
    KillRequest,
    LoadReport,
    PlacedJob,
    ProcExited,
    ProcStarted,
    RequestRefused,
)
from unit.state.cluster import UID, Cluster, place, running


def nodes_of(placed: PlacedJob) -> list[str]:
    return [proc.node for proc in placed.procs]


def refusal(cluster: Cluster, home: str = "home") -> tuple[str, str]:
    [(to, answer)] = cluster.told()
    assert to == home
    assert isinstance(answer, RequestRefused)
    return answer.why, answer.text


def test_the_answer_says_who_where_and_how_to_get_there() -> None:
    cluster = Cluster("home", "node1", "node2")
    placed = cluster.place(2, request=77)
    assert placed.request == 77
    assert placed.npid == 1
    assert [(proc.vnn, proc.node) for proc in placed.procs] == [(0, "node1"), (1, "node2")]
    assert placed.addresses == {
        "node1": "unix:peer-node1.sock",
        "node2": "unix:peer-node2.sock",
    }
    assert cluster.job(1).state == "placed"
    assert cluster.place().npid == 2


def test_least_loaded_by_report_and_what_was_placed_since() -> None:
    cluster = Cluster("home", "node1", "node2", "node3")
    for name, load in (("node1", 2.0), ("node2", 0.0), ("node3", 1.5)):
        cluster.says(name, LoadReport(load, 1))
    assert nodes_of(cluster.place(2)) == ["node2", "node3"]
    assert [nodes_of(cluster.place())[0] for _ in range(3)] == ["node2", "node1", "node2"]
    cluster.says("node2", LoadReport(9.0, 1))
    cluster.says("node3", LoadReport(0.0, 1))
    assert nodes_of(cluster.place()) == ["node3"]


def test_more_processes_than_nodes_go_round_by_load() -> None:
    cluster = Cluster("home", "node1", "node2", "node3")
    for name, load in (("node1", 2.0), ("node2", 0.0), ("node3", 1.0)):
        cluster.says(name, LoadReport(load, 1))
    order = ["node2", "node3", "node1"]
    assert nodes_of(cluster.place(7)) == [*order, *order, "node2"]
    assert cluster.master.core.pdb.load() == {"node1": 2, "node2": 3, "node3": 2}


def test_restricted_and_excluded() -> None:
    cluster = Cluster("home", "node1", "node2", "node3")
    assert nodes_of(cluster.place(3, nodes=["node3", "node3"])) == ["node3"] * 3
    assert nodes_of(cluster.place(2, exclude=["node1"])) == ["node2", "node3"]
    assert nodes_of(cluster.place(2, nodes=["node1", "node2"], exclude=["node2"])) == ["node1"] * 2


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"nodes": ["nowhere"]}, "no such node: nowhere"),
        ({"exclude": ["nowhere"]}, "no such node: nowhere"),
        ({"nodes": ["x", "node1", "y"], "exclude": ["x", "z"]}, "no such nodes: x, y, z"),
        (
            {"nodes": [f"n{i}" for i in range(4000)]},
            "no such nodes: n0, n1, n2, n3, n4, n5, n6, n7 and 3992 more",
        ),
    ],
)
def test_unknown_names_are_named(given: dict[str, list[str]], text: str) -> None:
    cluster = Cluster("home", "node1")
    cluster.says("home", place(1, **given))
    assert refusal(cluster) == ("bad-request", text)
    assert cluster.journal == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "no node accepts jobs"),
        (
            {"nodes": ["home", "node1"]},
            "no node accepts jobs among those asked for: home takes no jobs, node1 is lost",
        ),
        (
            {"nodes": ["home", "home"]},
            "no node accepts jobs among those asked for: home takes no jobs",
        ),
        (
            {"nodes": ["home"], "exclude": ["home"]},
            "no node accepts jobs among those asked for",
        ),
        ({"exclude": ["home"]}, "no node accepts jobs among those asked for"),
        (
            {"nodes": ["node1"]},
            "no node accepts jobs among those asked for: node1 is lost",
        ),
    ],
)
def test_nothing_accepts_jobs(given: dict[str, list[str]], text: str) -> None:
    cluster = Cluster("home", "node1")
    cluster.down("node1")
    cluster.told()
    cluster.says("home", place(1, **given))
    assert refusal(cluster) == ("no-node", text)


def kill(npid: int, signal: int, uid: int = UID, vnn: int | None = None) -> KillRequest:
    return KillRequest(5, uid, npid, vnn, signal)


def orders(cluster: Cluster) -> list[tuple[str, Message]]:
    return sorted(cluster.told(), key=lambda pair: pair[0])


def test_the_owner_signals_every_process_from_any_node() -> None:
    cluster = Cluster("home", "node1", "node2", "node3")
    cluster.start(3, nodes=["node1", "node2"])
    cluster.says("node3", kill(1, 15))
    assert orders(cluster) == [
        ("node1", KillOrder(1, [0, 2], 15)),
        ("node2", KillOrder(1, [1], 15)),
        ("node3", KillDone(5, 3)),
    ]


def test_one_process() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.says("home", kill(1, 10, vnn=1))
    assert orders(cluster) == [("home", KillDone(5, 1)), ("node2", KillOrder(1, [1], 10))]


def test_root_may_and_others_may_not() -> None:
    cluster = Cluster("home", "node1")
    cluster.start()
    cluster.says("home", kill(1, 9, uid=UID + 1))
    assert refusal(cluster) == ("not-yours", "job 1 belongs to uid 1000")
    cluster.says("home", kill(1, 0, uid=UID + 1))
    assert refusal(cluster) == ("not-yours", "job 1 belongs to uid 1000")
    cluster.says("home", kill(1, 9, uid=0))
    assert orders(cluster) == [("home", KillDone(5, 1)), ("node1", KillOrder(1, [0], 9))]


def test_attempts_are_logged_once() -> None:
    """For each user and job: neither their number nor the disk is the stranger's to decide."""
    cluster = Cluster("home", "node1")
    cluster.start()
    for uid in (UID + 1, UID + 1, UID + 2):
        cluster.says("home", kill(1, 9, uid=uid))
    told = "refused a signal of uid {} on home: job 1 belongs to uid 1000"
    refusals = [line for line in cluster.logs if "refused" in line]
    assert refusals == [told.format(UID + n) for n in (1, 2)]
    assert "refused signal 9 from uid 1002" in cluster.master.story("job 1")


def test_signal_0_only_asks() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.start(2)
    cluster.says("home", kill(1, 0))
    assert cluster.told() == [("home", KillDone(5, 2))]


def test_what_is_not_there() -> None:
    cluster = Cluster("home", "node1", "node2")
    placed = cluster.start(2)
    cluster.exits(placed, vnn=0)
    for vnn, npid, text in (
        (None, 9, "no job 9"),
        (1, 9, "no job 9.1"),
        (2, 1, "no process 1.2: job 1 is 2-way"),
        (0, 1, "process 1.0 has ended"),
    ):
        cluster.says("home", kill(npid, 9, vnn=vnn))
        assert refusal(cluster) == ("no-job", text)
    cluster.exits(placed, vnn=1)
    cluster.says("home", kill(1, 9))
    assert refusal(cluster) == ("no-job", "job 1 has ended")


def test_ended_processes_are_not_counted() -> None:
    cluster = Cluster("home", "node1", "node2")
    placed = cluster.start(2)
    cluster.exits(placed, vnn=0)
    cluster.says("home", kill(1, 2))
    assert orders(cluster) == [("home", KillDone(5, 1)), ("node2", KillOrder(1, [1], 2))]


def test_a_signal_before_the_start_arrives_once_and_after_it() -> None:
    cluster = Cluster("home", "node1")
    cluster.place()
    for number in (10, 12, 10):
        cluster.says("home", kill(1, number))
    assert cluster.told() == [("home", KillDone(5, 1))] * 3
    cluster.says("node1", ProcStarted(1, 0, 4))
    assert cluster.told() == [("node1", KillOrder(1, [0], 10)), ("node1", KillOrder(1, [0], 12))]
    cluster.says("node1", ProcStarted(1, 0, 4))
    assert cluster.told() == []


def test_a_signal_to_what_never_starts_is_dropped() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.place(2)
    cluster.says("home", kill(1, 15))
    cluster.says("node1", ProcExited(1, 0, 127, 0, "no such command"))
    assert cluster.told() == [("home", KillDone(5, 2))]


def test_a_signal_while_the_node_is_away_waits_for_it() -> None:
    before = Cluster("home", "node1")
    before.start()
    cluster = Cluster(rows=before.rows())
    cluster.join("home", homes=[])
    assert cluster.job(1).state == "ending"
    cluster = Cluster("node2", rows=before.rows())
    cluster.says("node2", kill(1, 12))
    assert cluster.told() == [("node2", KillDone(5, 1))]
    cluster.join("node1", running=[running(1, 0)])
    assert cluster.told() == [("node1", KillOrder(1, [0], 12))]


def test_npids_go_on_after_a_restart() -> None:
    before = Cluster("home", "node1")
    for _ in range(3):
        before.start()
    cluster = Cluster("home", "node1", rows=before.rows())
    cluster.told()
    assert cluster.place().npid == 4


def test_processes_of_one_user_are_bounded() -> None:
    """All his jobs together, wherever they run; what is over counts no more; others' do not."""
    cluster = Cluster("home", "node1", processes_each=5)
    first = cluster.place(3)
    cluster.says("home", place(3))
    why, text = refusal(cluster)
    assert (why, "has 3 processes, 3 more are over 5" in text) == (Why.BAD_REQUEST, True)
    cluster.place(5, uid=UID + 1)
    cluster.place(2)
    for vnn in range(3):
        cluster.says("home" if nodes_of(first)[vnn] == "home" else "node1",
                     ProcExited(first.npid, vnn, 0, 0))  # fmt: skip
    cluster.unseen.clear()
    cluster.place(3)

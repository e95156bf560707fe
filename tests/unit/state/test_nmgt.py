"""Links, hellos, heartbeats: who is whom, and who is lost."""

import pytest

from glunix.debug import Bug
from glunix.msg.base import MAJOR, MINOR
from glunix.msg.master import (
    Goodbye,
    LoadReport,
    NodeHello,
    NodeLost,
    NodesQuery,
    NodesTable,
    ProcStarted,
    Welcome,
)
from glunix.state.events import LinkId, PeerDown, PeerUp, Received, Tick
from unit.state.cluster import GRACE, HEARTBEAT, LOST_AFTER, Cluster, hello, home_job, running


def states(cluster: Cluster) -> dict[str, str]:
    return {row.name: row.state for row in cluster.master.core.ndb.rows({})}


def test_welcome() -> None:
    cluster = Cluster()
    cluster.connect("node1")
    assert cluster.told() == []
    cluster.says("node1", hello("node1"))
    assert cluster.told() == [("node1", Welcome(MAJOR, MINOR, "test", HEARTBEAT))]
    assert states(cluster) == {"node1": "up"}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (hello("node1", major=MAJOR + 1), f"protocol {MAJOR + 1}.0 is not {MAJOR}.{MINOR}"),
        (hello("no/name"), "not a node name: 'no/name'"),
        (hello("node1", boot=""), "hello without a boot id"),
        (hello("node1", running=[running(3, 1)]), "process 3.1 of a 1-way job"),
        (hello("node1", running=[running(3, 0)] * 2), "a process is told twice"),
        (hello("node1", homes=[home_job(3)] * 2), "a job is told twice"),
        (
            hello("node1", running=[running(3, 0, home="-")]),
            "process 3.0: not a node name: '-'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_with_goodbye(message: NodeHello, text: str) -> None:
    cluster = Cluster()
    cluster.connect("node1")
    cluster.says("node1", message)
    assert cluster.told() == [("node1", Goodbye(text))]
    assert cluster.closed == [("node1", text)]
    assert states(cluster) == {}
    assert cluster.master.next_deadline() is None


def test_a_second_daemon_of_the_same_name_is_refused_and_the_first_stays() -> None:
    cluster = Cluster("home", "node1")
    first = cluster.links["node1"]
    cluster.connect("node1")
    cluster.says("node1", hello("node1", boot="other"))
    text = "node node1 is already there (another daemon of that name)"
    assert cluster.told() == [("node1", Goodbye(text))]
    assert cluster.closed == [("node1", text)]
    assert cluster.master.core.ndb.by_link.keys() == {cluster.links["home"], first}
    assert states(cluster)["node1"] == "up"


def test_the_same_daemon_on_a_new_link_replaces_its_old_one() -> None:
    cluster = Cluster("home", "node1")
    cluster.start()
    old = cluster.links["node1"]
    cluster.join("node1", running=[running(1, 0)])
    assert cluster.closed == [("node1", "node1 has a new link")]
    assert cluster.told() == []
    cluster.event(PeerDown(old, "late news"))
    assert states(cluster)["node1"] == "up"
    assert cluster.job(1).state == "running"


def test_a_restarted_daemon_is_refused_only_until_the_old_link_is_known_dead() -> None:
    cluster = Cluster("home", "node1")
    old = cluster.links["node1"]
    cluster.connect("node1")
    cluster.says("node1", hello("node1", boot="second"))
    assert len(cluster.closed) == 1
    cluster.event(PeerDown(old, "end of file"))
    cluster.told()
    cluster.join("node1", boot="second")
    assert states(cluster)["node1"] == "up"


def test_silence_is_measured_from_the_last_word() -> None:
    cluster = Cluster("home", "node1")
    cluster.wait(LOST_AFTER - 0.1, alive=["home"])
    assert states(cluster)["node1"] == "up"
    cluster.says("node1", NodesQuery(1))
    cluster.wait(LOST_AFTER - 0.1, alive=["home"])
    assert states(cluster)["node1"] == "up"
    cluster.told()
    cluster.wait(0.2, alive=["home"])
    assert states(cluster)["node1"] == "lost"
    assert cluster.told() == [("home", NodeLost("node1", "node node1 lost: silent for 6 s"))]
    assert cluster.closed == [("node1", "silent for 6 s")]


def test_a_lost_link_is_told_to_every_other_node_with_its_story_in_the_log() -> None:
    cluster = Cluster("home", "node1", "node2")
    cluster.down("node1", "connection reset")
    lost = NodeLost("node1", "node node1 lost: connection reset")
    assert cluster.told() == [("home", lost), ("node2", lost)]
    assert cluster.logs[-1].splitlines()[:2] == [lost.text, "node node1:"]
    assert "said hello: unknown -> up" in cluster.logs[-1]
    cluster.down("node1", "again")
    assert cluster.told() == []


def test_a_long_reason_still_fits_the_message() -> None:
    cluster = Cluster("home", "node1")
    cluster.down("node1", "x" * 9000)
    [(_, lost)] = cluster.told()
    assert isinstance(lost, NodeLost)
    assert len(lost.text) == 4096


def test_a_link_without_hello_is_closed_after_a_while() -> None:
    cluster = Cluster()
    cluster.connect("stranger")
    cluster.wait(LOST_AFTER - 0.1)
    assert cluster.closed == []
    cluster.wait(0.2)
    assert cluster.closed == [("stranger", "no hello within 6 s")]
    assert cluster.master.next_deadline() is None


@pytest.mark.parametrize("message", [LoadReport(0.0, 1), ProcStarted(1, 0, 1), NodesQuery(1)])
def test_anything_before_hello_closes_the_link(message: object) -> None:
    cluster = Cluster()
    cluster.connect("node1")
    cluster.says("node1", message)  # type: ignore[arg-type]
    assert cluster.told() == []
    assert cluster.closed == [("node1", f"{type(message).__name__} before hello")]


def test_a_second_hello_ends_the_link_and_so_the_node() -> None:
    cluster = Cluster("home", "node1")
    cluster.says("node1", hello("node1"))
    assert cluster.closed == [("node1", "second hello on a link")]
    assert states(cluster) == {"home": "up", "node1": "lost"}


def test_a_message_of_another_direction_ends_the_link() -> None:
    cluster = Cluster("home", "node1")
    cluster.says("node1", Goodbye("you too"))
    assert cluster.closed == [("node1", "Goodbye is not for a master")]
    assert states(cluster) == {"home": "up", "node1": "lost"}


def test_what_a_closed_link_still_says_is_not_heard() -> None:
    cluster = Cluster("home", "node1")
    link = cluster.links["node1"]
    cluster.says("node1", hello("node1"))
    cluster.told()
    assert cluster.event(Received(link, NodesQuery(1))) == []
    assert cluster.event(PeerDown(link, "closed")) == []
    assert cluster.event(Received(LinkId(99), NodesQuery(1))) == []


def test_a_link_number_used_twice_is_the_loops_bug() -> None:
    cluster = Cluster("node1")
    with pytest.raises(Bug, match="up twice"):
        cluster.master.handle(PeerUp(cluster.links["node1"]), cluster.now)


def test_the_master_does_not_blame_the_nodes_for_its_own_sleep() -> None:
    cluster = Cluster("home", "node1")
    cluster.now += 1000.0
    cluster.event(Tick())
    assert cluster.logs[-1] == "the master did not run for 994.0 s"
    assert states(cluster) == {"home": "up", "node1": "up"}
    cluster.says("home", LoadReport(0.0, 1))
    cluster.told()
    deadline = cluster.master.next_deadline()
    assert deadline == cluster.now + HEARTBEAT
    cluster.now = deadline
    cluster.event(Tick())
    assert states(cluster) == {"home": "up", "node1": "lost"}


def test_an_early_tick_does_nothing() -> None:
    cluster = Cluster("home", "node1")
    assert cluster.event(Tick()) == []


def test_glustat() -> None:
    cluster = Cluster("home", "node1")
    cluster.start()
    cluster.now = 3.0
    cluster.says("node1", LoadReport(0.75, 123))
    cluster.says("home", NodesQuery(8))
    [(to, table)] = cluster.told()
    assert to == "home"
    assert isinstance(table, NodesTable)
    assert table.request == 8
    home, node = table.rows
    assert (home.name, home.accepts_jobs, home.procs) == ("home", False, 0)
    assert (node.name, node.accepts_jobs, node.procs) == ("node1", True, 1)
    assert (node.load, node.memory_free, node.memory_total) == (0.75, 123, 8 << 30)
    assert (node.since, node.seen, node.isolated, node.cpus) == (1.0, 3.0, ["uts"], 2)


def test_deadlines_are_none_without_peers() -> None:
    cluster = Cluster("node1")
    assert cluster.master.next_deadline() == 1.0 + LOST_AFTER
    cluster.down("node1")
    assert cluster.master.next_deadline() is None
    assert GRACE == 2 * LOST_AFTER

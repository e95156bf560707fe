"""Ndb: node states, loads, and who is least loaded."""

import pytest

from glunix.debug import IllegalTransition, InvariantBroken, Story
from glunix.ids import NodeName
from glunix.state.events import LinkId
from glunix.state.ndb import MOVES, Ndb, NodeInput, NodeState, natural
from unit.state.cluster import hello


def ndb_of(*names: str) -> Ndb:
    ndb = Ndb(Story(), epoch=100.0)
    for link, name in enumerate(names):
        ndb.hello(LinkId(link), hello(name), 1.0)
    ndb.check()
    return ndb


def names(ndb: Ndb, n: int, *args: list[str]) -> list[str]:
    return [node.name for node in ndb.least_loaded(n, *args)]


def test_least_loaded_first() -> None:
    ndb = ndb_of("node1", "node2", "node3", "home")
    for name, load in (("node1", 3.0), ("node2", 0.5), ("node3", 1.0)):
        ndb.report(ndb.nodes[NodeName(name)], load, 7)
    assert names(ndb, 9) == ["node2", "node3", "node1"]
    assert names(ndb, 2) == ["node2", "node3"]
    assert names(ndb, 2, ["node1", "node3", "home"]) == ["node3", "node1"]
    assert names(ndb, 9, [], ["node2"]) == ["node3", "node1"]
    assert names(ndb, 9, ["home"]) == []


def test_what_was_placed_counts_until_the_next_report() -> None:
    ndb = ndb_of("node1", "node2")
    node1, node2 = (ndb.nodes[NodeName(n)] for n in ("node1", "node2"))
    ndb.report(node1, 0.0, 7)
    ndb.report(node2, 1.5, 7)
    ndb.placed([node1.name, node1.name])
    assert node1.effective_load == 2.0
    assert names(ndb, 1) == ["node2"]
    ndb.report(node1, 1.4, 7)
    assert names(ndb, 1) == ["node1"]


def test_equal_loads_take_turns() -> None:
    ndb = ndb_of("node10", "node2", "node1")
    chosen = []
    for _ in range(6):
        [node] = ndb.least_loaded(1)
        ndb.placed([node.name])
        ndb.report(node, 0.0, 7)
        chosen.append(node.name)
    assert chosen == ["node1", "node2", "node10"] * 2


def test_lost_nodes_are_not_chosen_and_come_back_with_no_load() -> None:
    ndb = ndb_of("node1", "node2")
    node = ndb.nodes[NodeName("node1")]
    ndb.report(node, 9.0, 7)
    ndb.placed([node.name])
    ndb.lost(node, NodeInput.LINK_DOWN, 5.0)
    ndb.check()
    assert names(ndb, 9) == ["node2"]
    assert ndb.by_link.keys() == {LinkId(1)}
    ndb.hello(LinkId(7), hello("node1", boot="new"), 6.0)
    ndb.check()
    assert node.effective_load == 0.0
    assert (node.state, node.boot, node.link) == (NodeState.UP, "new", 7)


def test_a_new_link_replaces_the_old_one() -> None:
    ndb = ndb_of("node1")
    ndb.hello(LinkId(9), hello("node1"), 2.0)
    ndb.check()
    assert ndb.by_link.keys() == {LinkId(9)}


def test_rows_are_sorted_naturally_and_dated_by_the_epoch() -> None:
    ndb = ndb_of("node10", "node9", "home")
    node = ndb.nodes[NodeName("node9")]
    ndb.heard(node, 4.0)
    rows = ndb.rows({NodeName("node9"): 3})
    assert [row.name for row in rows] == ["home", "node9", "node10"]
    assert (rows[1].since, rows[1].seen, rows[1].procs) == (101.0, 104.0, 3)
    assert [row.accepts_jobs for row in rows] == [False, True, True]
    assert {row.state for row in rows} == {"up"}


def test_unknown_names_once_each() -> None:
    assert ndb_of("node1").unknown(["x", "node1", "y", "x"]) == ["x", "y"]


def test_natural_order() -> None:
    assert sorted(["b", "n10", "n9", "10", "9"], key=natural) == ["9", "10", "b", "n9", "n10"]


def test_every_other_transition_is_a_bug_with_a_story() -> None:
    ndb = ndb_of("node1")
    node = ndb.nodes[NodeName("node1")]
    ndb.lost(node, NodeInput.SILENT, 9.0)
    with pytest.raises(IllegalTransition, match="was silent") as caught:
        ndb.lost(node, NodeInput.SILENT, 9.5)
    assert "9.000 was silent for too long: up -> lost" in str(caught.value)


def test_every_state_and_input_is_used() -> None:
    assert {how for _, how in MOVES} == set(NodeInput)
    assert set(MOVES.values()) == set(NodeState)


def test_check_finds_what_is_wrong() -> None:
    ndb = ndb_of("node1")
    ndb.nodes[NodeName("node1")].link = None
    with pytest.raises(InvariantBroken, match="said hello"):
        ndb.check()
    ndb = ndb_of("node1")
    del ndb.nodes[NodeName("node1")]
    with pytest.raises(InvariantBroken, match="links of no node"):
        ndb.check()

"""glunix.state.barrier: nobody passes before all have entered, and nobody waits for ever."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glunix.msg.parallel import BarrierAsk, BarrierBroken, BarrierDown, BarrierUp, Place
from glunix.state.barrier import Barrier, Effect, Release, Say, relatives


def places(*counts: int) -> list[Place]:
    """node0 has the first counts[0] VNNs, and so on."""
    found, first = [], 0
    for at, count in enumerate(counts):
        found.append(Place(f"node{at}", "", list(range(first, first + count))))
        first += count
    return found


def test_the_tree_is_binary_in_the_order_of_the_smallest_vnn() -> None:
    seven = places(*[1] * 7)
    random.Random(1).shuffle(seven)
    assert relatives(seven, "node0") == ("", ["node1", "node2"])
    assert relatives(seven, "node2") == ("node0", ["node5", "node6"])
    assert relatives(seven, "node6") == ("node2", [])


def test_processes_of_one_node_need_nobody_else() -> None:
    one = Barrier(7, places(3), "node0")
    assert one.enter(0, "a") == []
    assert one.enter(2, "c") == []
    passed = one.enter(1, "b")
    assert sorted(str(e.waiter) for e in passed if isinstance(e, Release)) == ["a", "b", "c"]
    assert all(isinstance(e, Release) and not e.why for e in passed)
    assert one.enter(1, "again") == []  # the next one


def test_a_process_may_not_enter_twice() -> None:
    one = Barrier(7, places(2), "node0")
    one.enter(0, "a")
    assert one.enter(0, "a2") == [Release("a2", "process 7.0 waits at the barrier already")]
    assert one.enter(5, "x") == [Release("x", "no process 7.5 is on this node")]


def test_a_leaf_asks_its_parent_and_waits_for_it() -> None:
    leaf = Barrier(7, places(1, 1), "node1")
    assert leaf.enter(1, "b") == [Say("node0", BarrierAsk(7)), Say("node0", BarrierUp(7, 0))]
    assert leaf.hear("node0", BarrierDown(7, 1)) == []  # of another turn
    assert leaf.hear("node9", BarrierDown(7, 0)) == []  # no relative
    assert leaf.hear("node0", BarrierDown(7, 0)) == [Release("b")]


def test_a_parent_that_has_not_been_told_is_not_believed() -> None:
    leaf = Barrier(7, places(1, 2), "node1")
    leaf.enter(1, "b")
    assert leaf.hear("node0", BarrierDown(7, 0)) == []


def test_who_ends_releases_the_others_with_the_reason() -> None:
    root = Barrier(7, places(2, 1), "node0")
    root.enter(0, "a")
    why = "process 7.1 has ended"
    assert root.ended(1, "has ended") == [
        Release("a", why),
        Say("node1", BarrierBroken(7, why)),
    ]
    assert root.enter(0, "a") == [Release("a", why)]
    assert root.hear("node1", BarrierUp(7, 0)) == [Say("node1", BarrierBroken(7, why))]
    assert root.ended(0, "has ended") == []


def test_where_nobody_waits_nothing_is_said() -> None:
    root = Barrier(7, places(2, 1), "node0")
    assert root.ended(1, "has ended") == []
    assert root.hear("node1", BarrierAsk(7)) == [
        Say("node1", BarrierBroken(7, "process 7.1 has ended"))
    ]


def test_one_who_waits_makes_all_nodes_say_who_has_ended() -> None:
    """The whole tree keeps the barrier from the first entry on, once."""
    middle = Barrier(7, places(1, 1, 1, 1), "node1")
    assert middle.hear("node3", BarrierAsk(7)) == [Say("node0", BarrierAsk(7))]
    assert middle.hear("node0", BarrierAsk(7)) == []
    assert middle.hear("node2", BarrierAsk(7)) == []  # no relative
    assert middle.ended(1, "has ended") == [
        Say(node, BarrierBroken(7, "process 7.1 has ended")) for node in ("node0", "node3")
    ]


@pytest.mark.parametrize(("lost", "breaks"), [("node0", True), ("node1", False), ("node3", True)])
def test_a_lost_relative_breaks_it(lost: str, breaks: bool) -> None:
    middle = Barrier(7, places(1, 1, 1, 1), "node1")  # children: node3
    middle.enter(1, "b")
    found = middle.lost(lost)
    assert bool(found) is breaks
    assert (Release("b", f"node {lost} is lost") in found) is breaks


class World:
    """All daemons of a job; messages between a pair arrive in order, pairs in any order."""

    def __init__(self, counts: list[int], seed: int) -> None:
        self.random = random.Random(seed)
        self.places = places(*counts)
        self.barriers = {p.node: Barrier(7, self.places, p.node) for p in self.places}
        self.node_of = {vnn: p.node for p in self.places for vnn in p.vnns}
        self.wires: dict[
            tuple[str, str], list[BarrierAsk | BarrierUp | BarrierDown | BarrierBroken]
        ] = {}
        self.waiting: set[int] = set()
        self.passed = dict.fromkeys(self.node_of, 0)
        self.errors: dict[int, str] = {}

    def carry_out(self, node: str, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Say):
                self.wires.setdefault((node, effect.node), []).append(effect.message)
                continue
            vnn = effect.waiter
            assert isinstance(vnn, int)
            self.waiting.remove(vnn)
            if effect.why:
                self.errors[vnn] = effect.why
            else:
                self.passed[vnn] += 1
        self.barriers[node].check()

    def enter(self, vnn: int) -> None:
        self.waiting.add(vnn)
        self.carry_out(self.node_of[vnn], self.barriers[self.node_of[vnn]].enter(vnn, vnn))

    def deliver(self) -> bool:
        full = [pair for pair, wire in self.wires.items() if wire]
        if not full:
            return False
        pair = self.random.choice(full)
        message = self.wires[pair].pop(0)
        self.carry_out(pair[1], self.barriers[pair[1]].hear(pair[0], message))
        return True


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=9), st.integers(0, 10_000))
def test_all_pass_each_barrier_and_nobody_before_the_last(counts: list[int], seed: int) -> None:
    world = World(counts, seed)
    for turn in range(3):
        order = list(world.node_of)
        world.random.shuffle(order)
        for vnn in order:
            assert set(world.passed.values()) == {turn}
            world.enter(vnn)
            while world.random.random() < 0.7 and world.deliver():
                pass
        while world.deliver():
            pass
        assert set(world.passed.values()) == {turn + 1}
    assert not world.waiting


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=9), st.integers(0, 10_000))
def test_nobody_waits_for_a_process_that_ended(counts: list[int], seed: int) -> None:
    world = World(counts, seed)
    victim = world.random.choice(list(world.node_of))
    order = [vnn for vnn in world.node_of if vnn != victim]
    world.random.shuffle(order)
    at = world.random.randint(0, len(order))
    for vnn in order[:at]:
        world.enter(vnn)
        world.deliver()
    world.carry_out(
        world.node_of[victim], world.barriers[world.node_of[victim]].ended(victim, "has ended")
    )
    for vnn in order[at:]:
        world.enter(vnn)
    while world.deliver():
        pass
    assert not world.waiting
    assert set(world.errors) == set(order)
    assert set(world.errors.values()) <= {f"process 7.{victim} has ended"}


def test_what_each_brings_all_get() -> None:
    world = World([2, 1, 1], 3)
    got: list[dict[str, str]] = []
    for vnn, node in world.node_of.items():
        barrier = world.barriers[node]
        world.waiting.add(vnn)
        effects = barrier.enter(vnn, vnn, {f"k{vnn}": "v"})
        got += [dict(e.data) for e in effects if isinstance(e, Release)]
        world.carry_out(node, effects)
    while any(world.wires.values()):
        pair = next(pair for pair, wire in world.wires.items() if wire)
        effects = world.barriers[pair[1]].hear(pair[0], world.wires[pair].pop(0))
        got += [dict(e.data) for e in effects if isinstance(e, Release)]
        world.carry_out(pair[1], effects)
    assert got == [{"k0": "v", "k1": "v", "k2": "v", "k3": "v"}] * 4


def test_another_kind_of_barrier_is_another_one() -> None:
    root = Barrier(7, places(1, 1), "node0", "pmi")
    assert root.enter(0, "a") == [Say("node1", BarrierAsk(7, "pmi"))]
    assert root.hear("node1", BarrierUp(7, 0)) == []
    assert Release("a") in root.hear("node1", BarrierUp(7, 0, "pmi"))


def test_an_abort_tells_the_status_to_all() -> None:
    middle = Barrier(7, places(1, 1, 1, 1), "node1", "pmi")
    middle.enter(1, "b")
    told = middle.hear("node3", BarrierBroken(7, "rank 3 aborts", "pmi", 9))
    assert Say("node0", BarrierBroken(7, "rank 3 aborts", "pmi", 9)) in told
    assert middle.status == 9

"""glunix.daemon.parallel with links that are lists: what daemons say to each other of barriers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from glunix.comm.loop import Loop
from glunix.daemon.parallel import Parallel
from glunix.daemon.peers import PeerLink, Peers
from glunix.ids import Why
from glunix.msg import client, parallel
from glunix.msg.base import Message
from glunix.msg.parallel import Place


@dataclass
class FakeLink:
    said: list[Message] = field(default_factory=list)
    is_open: bool = True

    def send(self, stream: int, message: Message) -> None:
        self.said.append(message)


@dataclass
class FakeMate:
    node: str
    link: FakeLink = field(default_factory=FakeLink)


@dataclass
class FakeLoop:
    later: list[Callable[[], None]] = field(default_factory=list)

    def call_later(self, delay: float, what: Callable[..., None], *args: Any) -> None:
        self.later.append(lambda: what(*args))


@dataclass
class Owner:
    uid: int = 7


@dataclass
class FakeStart:
    npid: int = 5
    degree: int = 2
    vnns: list[int] = field(default_factory=lambda: [0])
    home: str = "home"
    owner: Owner = field(default_factory=Owner)
    places: list[Place] = field(
        default_factory=lambda: [Place("node1", "a1", [0]), Place("node2", "a2", [1])]
    )


class FakeStream:
    def __init__(self, start: FakeStart, pids: dict[int, int]) -> None:
        self.start = start
        self.ended: set[int] = set()
        self.aborted = 0
        self._pids = pids

    def roots(self) -> dict[int, int]:
        return self._pids

    def abort(self, status: int) -> None:
        self.aborted = status


class World:
    """The daemon of node1, which has VNN 0 as this very process."""

    def __init__(self) -> None:
        import os

        self.pid = os.getpid()
        self.stream = FakeStream(FakeStart(), {self.pid: 0})
        self.streams: list[Any] = [self.stream]
        self.loop = FakeLoop()
        self.answers: list[tuple[int, Message]] = []
        self.dials: list[tuple[str, str, Callable[[Any, str], None]]] = []
        self.part = Parallel(
            cast(Loop, self.loop),
            "node1",
            cast(Peers, self),
            lambda: self.streams,
            lambda link, message: self.answers.append((link, message)),
        )

    def dial(self, node: str, address: str, done: Callable[[Any, str], None]) -> None:
        self.dials.append((node, address, done))

    def enters(self, request: int = 1) -> None:
        self.part.asked(9, self.pid, 7, parallel.EnterBarrier(request))

    def hears(self, mate: FakeMate, message: parallel.BarrierMessage) -> None:
        self.part.heard(cast(PeerLink, mate), message)


def test_a_process_is_known_by_its_uid_and_its_descent() -> None:
    world = World()
    world.part.asked(9, world.pid, 7, parallel.WhoAmI(1))
    assert world.answers == [(9, parallel.Member(1, 5, 0, 2, "home", ["node1", "node2"]))]
    world.part.asked(9, world.pid, 8, parallel.WhoAmI(2))
    assert isinstance(world.answers[-1][1], client.Refused)
    world.part.asked(9, 1, 7, parallel.WhoAmI(3))
    assert isinstance(world.answers[-1][1], client.Refused)


def test_the_root_asks_its_child_and_passes_when_it_is_there() -> None:
    world = World()
    world.enters()
    ((node, address, done),) = world.dials
    assert (node, address) == ("node2", "a2")
    mate = FakeMate("node2")
    done(mate, "")
    assert mate.link.said == [parallel.BarrierAsk(5)]
    world.hears(mate, parallel.BarrierUp(5, 0))
    assert world.answers == [(9, parallel.Passed(1))]
    assert mate.link.said[-1] == parallel.BarrierDown(5, 0)


def test_what_is_said_while_a_link_is_made_stays_in_order() -> None:
    world = World()
    world.enters()
    (_, _, done) = world.dials[0]
    other = FakeMate("node2")
    world.hears(other, parallel.BarrierUp(5, 0))  # its own link, while ours is being made
    assert world.answers == [(9, parallel.Passed(1))]
    assert other.link.said == []
    mate = FakeMate("node2")
    done(mate, "")
    assert mate.link.said == [parallel.BarrierAsk(5), parallel.BarrierDown(5, 0)]
    assert len(world.dials) == 1


def test_a_stranger_is_not_heard() -> None:
    world = World()
    world.enters()
    world.dials[0][2](FakeMate("node2"), "")
    world.hears(FakeMate("node3"), parallel.BarrierUp(5, 0))
    assert world.answers == []


def test_a_node_that_cannot_be_reached_breaks_the_barrier() -> None:
    world = World()
    world.enters()
    world.dials[0][2](None, "no route")
    assert world.answers == [
        (9, client.Refused(1, Why.BAD_REQUEST, "cannot reach node2: no route"))
    ]


def test_a_lost_link_breaks_it_whichever_way_it_was_used() -> None:
    for lost in ("ours", "theirs"):
        world = World()
        world.enters()
        ours, theirs = FakeMate("node2"), FakeMate("node2")
        world.dials[0][2](ours, "")
        world.hears(theirs, parallel.BarrierAsk(5))
        world.part.link_lost(cast(PeerLink, ours if lost == "ours" else theirs))
        ((_, answer),) = world.answers
        assert isinstance(answer, client.Refused)
        assert answer.text == "node node2 is lost"


def test_a_client_that_goes_leaves_the_barrier() -> None:
    world = World()
    world.enters()
    mate = FakeMate("node2")
    world.dials[0][2](mate, "")
    world.part.client_down(9)
    assert mate.link.said[-1] == parallel.BarrierBroken(5, "process 5.0 has left the barrier")


def test_what_comes_before_the_job_waits_for_it_but_not_for_ever() -> None:
    world = World()
    world.streams.clear()
    mate = FakeMate("node2")
    world.hears(mate, parallel.BarrierUp(5, 0))
    world.streams.append(world.stream)
    world.part.began(cast(Any, world.stream))
    world.enters()
    assert world.answers == [(9, parallel.Passed(1))]
    world.hears(FakeMate("node2"), parallel.BarrierUp(6, 0))
    late = FakeMate("node2")
    world.hears(late, parallel.BarrierUp(6, 0))
    for call in world.loop.later:
        call()
    assert late.link.said == [parallel.BarrierBroken(6, "job 6 is not on node1")]


def test_a_job_that_is_over_says_so() -> None:
    world = World()
    world.part.forget(cast(Any, world.stream))
    world.streams.clear()
    mate = FakeMate("node2")
    world.hears(mate, parallel.BarrierUp(5, 0))
    assert mate.link.said == [parallel.BarrierBroken(5, "job 5 is over on node1")]


def test_an_abort_elsewhere_ends_what_is_here() -> None:
    world = World()
    world.hears(FakeMate("node2"), parallel.BarrierBroken(5, "rank 1 aborts", "pmi", 3))
    assert world.stream.aborted == 3

"""What one user may have of a daemon, and the daemon of one user of others; links are stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from glunix.comm.rate_limit import CONNECTS, PAUSE_MOST, RateLimit
from glunix.daemon.client_limits import MIB, ClientLimits, Share
from glunix.daemon.stream_relay import StreamRelay
from glunix.errors import FrameError, GlunixError
from glunix.ids import NodeName, StreamId
from glunix.msg import client
from glunix.msg.frame import BODY_MAX
from glunix.msg.job import JobRow, JobSpec, Owner, ProcRow
from glunix.msg.stream import INPUT_WINDOW, Start
from glunix.settings import LimitsSection
from glunix.trust.peer import Peer

LIMITS = LimitsSection(requests=10, connections=3, mebibytes=16)
SPEC = JobSpec([b"true"], {}, b"/", 0o22, 0, [], None)


class FakeLink:
    def __init__(self) -> None:
        self.unsent = 0
        self.full = False
        self.is_open = True
        self.holds = 0
        self.relayed: list[bytes] = []
        self.waiting: list[Callable[[], None]] = []

    def hold(self) -> None:
        self.holds += 1

    def go_on(self) -> None:
        self.holds -= 1

    def relay(self, stream: int, *parts: Any) -> None:
        self.relayed.append(b"".join(parts))

    def abort(self, reason: str) -> None:
        self.is_open = False

    def when_drained(self, call: Callable[[], None]) -> None:
        self.waiting.append(call)

    def drain(self) -> None:
        self.full = False
        calls, self.waiting = self.waiting, []
        for call in calls:
            call()


class FakeMate:
    def __init__(self) -> None:
        self.link = FakeLink()

    def open(self, route: object, start: Start) -> StreamId:
        return StreamId(7)


class FakeLoop:
    def __init__(self) -> None:
        self.time = 0.0
        self.later: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self.later.append((delay, call))


def share(uid: int = 1000) -> Share:
    return ClientLimits(0, LIMITS).of(uid, 0.0)


def test_requests_of_one_user_over_all_his_connections() -> None:
    limits = ClientLimits(0, LIMITS)
    mine = limits.of(1000, 0.0)
    mine.connections += 1
    his = limits.of(1001, 0.0)
    assert limits.of(1000, 0.0) is mine
    ask = client.ListNodes(1)
    assert sum(mine.may_ask(ask, 0.0) for _ in range(100)) == 40
    assert his.may_ask(ask, 0.0)
    assert mine.may_ask(client.TtyMode(True), 0.0)  # a terminal is restored whatever he asked
    assert "uid 1000 asks too often: over 10 requests a second" in mine.too_often
    assert mine.refuses_connection(0.0) == mine.too_often
    assert sum(mine.may_ask(ask, 1.0) for _ in range(100)) == 10
    assert all(limits.of(0, 0.0).may_ask(ask, 0.0) for _ in range(1000))  # the cluster's own


def test_a_table_costs_what_it_is_long() -> None:
    limits = ClientLimits(0, LIMITS)
    row = JobRow(1, 1000, "home", "x", 1, False, "running", 0.0, 0.0, "",
                 [ProcRow(0, "node1", 1, "running", 0, 0)] * 500)  # fmt: skip
    limits.answered(client.Jobs(1, [row]))
    mine = limits.of(1000, 0.0)
    ask = client.ListJobs(1, True)
    assert [mine.may_ask(ask, 0.0) for _ in range(4)] == [True, True, False, False]  # 14 each
    limits.answered(client.Jobs(1, []))
    assert [mine.may_ask(ask, 0.0) for _ in range(4)] == [True, True, True, False]  # 4 each


def test_who_comes_again_finds_what_he_left() -> None:
    """A new connection is no new share; shares that nobody needs are forgotten."""
    limits = ClientLimits(0, LIMITS)
    mine = limits.of(1000, 0.0)
    mine.connections += 1
    while mine.may_ask(client.ListNodes(1), 0.0):
        pass
    mine.closed(FakeLink())  # type: ignore[arg-type]
    limits.of(1001, 0.0)
    assert limits.of(1000, 0.0) is mine
    limits.of(1002, 10.0)
    assert limits.of(1000, 10.0) is not mine


def test_unread_output_is_summed_over_connections() -> None:
    mine = share()
    links = [FakeLink() for _ in range(3)]
    for link in links:
        link.unsent = 6 * MIB
    mine.note_unread(links[0])  # type: ignore[arg-type]
    mine.note_unread(links[1])  # type: ignore[arg-type]
    links[0].unsent = 0  # read meanwhile, unseen
    mine.note_unread(links[2])  # type: ignore[arg-type]
    links[0].unsent = 6 * MIB
    with pytest.raises(FrameError, match="uid 1000 leaves over 16 MiB of output unread"):
        mine.note_unread(links[0])  # type: ignore[arg-type]
    mine.connections = 1
    mine.closed(links[0])  # type: ignore[arg-type]
    mine.note_unread(links[1])  # type: ignore[arg-type]


def joined(mine: Share) -> tuple[StreamRelay, FakeLink, FakeMate]:
    link, mate = FakeLink(), FakeMate()
    join = StreamRelay(link, StreamId(1), mine, lambda stream, why: None)  # type: ignore[arg-type]
    return join, link, mate


def opened(join: StreamRelay, mate: FakeMate) -> None:
    start = Start(1, 1, [0], "home", Owner(0, 0, []), SPEC)
    join.open(mate, start)  # type: ignore[arg-type]


def test_input_waits_for_its_node_and_keeps_its_order() -> None:
    join, link, mate = joined(share())
    join.from_client(b"1")
    opened(join, mate)
    assert mate.link.relayed == [b"1"]
    mate.link.full = True
    join.from_client(b"2")
    join.from_client(b"3")
    assert (mate.link.relayed, link.holds) == ([b"1"], 1)
    mate.link.drain()
    join.from_client(b"4")
    assert (mate.link.relayed, link.holds) == ([b"1", b"2", b"3", b"4"], 0)


def fed(joins: list[StreamRelay], size: int) -> None:
    for join in joins:
        join.from_client(bytes(size))


def test_input_that_no_node_takes_is_bounded_for_each_job_and_user() -> None:
    mine = share()
    join, _, _ = joined(mine)
    with pytest.raises(FrameError, match="without credit"):
        fed([join] * 100, (INPUT_WINDOW + BODY_MAX) // 8)
    join.drop()
    joins = [joined(mine)[0] for _ in range(5)]
    with pytest.raises(FrameError, match="too much is under way"):
        fed(joins, 4 * MIB)
    for other in joins:
        other.drop()
    mine.budget.take(16 * MIB)  # all of it was given back


def test_the_turnstile_is_for_daemons_of_one_user() -> None:
    loop = FakeLoop()
    turnstile = RateLimit(loop, 10.0)  # type: ignore[arg-type]
    bob = Peer(NodeName("bobs"), "1", 1001)
    every = Peer(NodeName("node1"), "2", None)
    link: Any = FakeLink()
    assert all(turnstile.in_time(who, link, 1.0) for who in (every, None) for _ in range(1000))
    assert sum(turnstile.in_time(bob, link, 1.0) for _ in range(200)) == 40
    assert link.holds == len(loop.later) == 160
    assert max(delay for delay, _ in loop.later) == PAUSE_MOST
    for _, call in loop.later:
        call()
    assert link.holds == 0
    for _ in range(int(CONNECTS[1])):
        turnstile.connects(bob)
    with pytest.raises(GlunixError, match="bobs connects too often"):
        turnstile.connects(bob)
    for _ in range(1000):
        turnstile.connects(every)


def test_limits_are_numbers_that_make_sense() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"mebibytes": 1}, LimitsSection)

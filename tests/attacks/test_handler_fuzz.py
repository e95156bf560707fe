"""Typed messages at edge values at a daemon's real connection handlers, in any order.

Clients, peers with certificates of root's and of one user's daemon, nodes that were dialled,
supervisors, and the master. No handler raises, no link is closed but the speaker's, the books
agree, and what is kept for those who never go on is bounded.
"""

from __future__ import annotations

import os
import typing

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from glunix.comm.link import Link
from glunix.daemon.announced import EXPECTED_MAX
from glunix.ids import NodeName
from glunix.msg import client, master, peer, stream
from glunix.msg.base import Message, encode
from glunix.msg.job import JobSpec, Owner, TtySpec, WinSize
from glunix.node.bridge import RELAY, REPORT
from glunix.trust.peer import Peer

from .played_daemon import PlayedDaemon
from .strategies import messages, raw
from .test_link_fuzz import FROM_CLIENT, KNOWN, LONG, RUNS, TO_DAEMON

NAMES = ["evil", "node1", "bobs"]
pytestmark = [
    pytest.mark.timeout(7200 if LONG else 240),
    # Jobs whose processes never were do not end: what they hold goes with their objects.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),  # a message is what it is
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PEER = typing.get_args(peer.PeerToPeer)
TO_NODE = typing.get_args(stream.HomeToNode)
TO_HOME = typing.get_args(stream.NodeToHome)
STREAMS = st.sampled_from([1, 2, 3, 4, 2**31, 2**32 - 1])
SMALL = JobSpec([b"cat"], {}, b"/", 0o22, 0, [], None)
SOME = [
    SMALL,
    JobSpec([b"cat"], {}, b"/", 0o22, 0, [], None, transparent=True),
    JobSpec([b"cat"], {}, b"/", 0o22, 0, [], None, transparent=True, stdin="socket"),
    JobSpec([b"cat"], {}, b"/", 0o22, 0, [], TtySpec([0, 1, 2], bytes(60), WinSize(1, 1))),
]  # fmt: skip
SPECS = st.sampled_from(SOME)
UIDS = [0, 1001, 1002] if os.geteuid() == 0 else [os.geteuid()]
"""The last is whose daemon `bobs` is."""
PEERS = [Peer(NodeName("evil"), "1"), Peer(NodeName("node1"), "2"),
         Peer(NodeName("bobs"), "3", UIDS[-1])]  # fmt: skip


class Handlers(RuleBasedStateMachine):
    """One daemon, which is home and node."""

    def __init__(self) -> None:
        super().__init__()
        self.it = PlayedDaemon()
        self.npid = 0
        self.welcomed = self.it.uplink
        self._welcome()
        for uid in UIDS:
            self.it.client(uid)
        for who in PEERS:
            self.it.peer(who)
            hello = peer.PeerHello(1, 0, str(who.node), "x")
            self.it.says(self.it.peers[-1], 0, encode(hello))
        for which, spec in enumerate(SOME):
            self._submit(which, spec, 1)
            for mate in range(len(PEERS)):
                self._start(mate, which + 1, spec, UIDS[-1], [0], True)
        self.it.dialled_up(0, "")

    def _welcome(self) -> None:
        """Of a master that the daemon has a link to, since the first or again."""
        self.welcomed = self.it.uplink
        self.it.says(self.it.uplink, 0, encode(master.Welcome(1, 0, "test", 2.0)))
        policy = master.UserPolicy(True, {}, [], announces_all=True)
        self.it.says(self.it.uplink, 0, encode(policy))

    def teardown(self) -> None:
        self.it.close()

    def _says(self, links: list[Link], which: int, number: int, body: bytes) -> None:
        """One of them speaks; the others stay as they are."""
        if not links:
            return
        link = links[which % len(links)]
        others = [other for other in self.it.all_links() if other is not link]
        self.it.says(link, number, body)
        left = self.it.all_links()
        closed = [other for other in others if other not in left]
        assert not [other for other in closed if other in self.it.clients], closed
        # A job that is over takes its own supervisor along.
        assert all(other.name.startswith("supervisor") for other in closed), closed

    @rule(uid=st.sampled_from(UIDS))
    def client_up(self, uid: int) -> None:
        if len(self.it.clients) < 6:
            self.it.client(uid)

    @rule(who=st.sampled_from(PEERS))
    def peer_up(self, who: Peer) -> None:
        if len(self.it.peers) < 6:
            self.it.peer(who)
            hello = peer.PeerHello(1, 0, str(who.node), "x")
            self.it.says(self.it.peers[-1], 0, encode(hello))

    @rule(which=st.integers(0, 9), number=st.sampled_from([0, 0, 0, 1, 5]),
          body=raw(FROM_CLIENT, KNOWN))  # fmt: skip
    def client_says(self, which: int, number: int, body: bytes) -> None:
        self._says(self.it.clients, which, number, body)

    @rule(which=st.integers(0, 9), spec=SPECS, degree=st.integers(1, 2))
    def submits(self, which: int, spec: JobSpec, degree: int) -> None:
        self._submit(which, spec, degree)

    def _submit(self, which: int, spec: JobSpec, degree: int) -> None:
        """And the master places it, on nodes that will be dialled."""
        self._says(self.it.clients, which, 0, encode(client.Submit(1, spec, degree)))
        self.npid += 1
        for request in list(self.it.daemon._home._requests):
            procs = [master.PlacedProc(vnn, NAMES[vnn]) for vnn in range(degree)]
            placed = master.PlacedJob(request, self.npid, procs, {"evil": "tcp:x:1"})
            self.it.says(self.it.uplink, 0, encode(placed))

    @rule(which=st.integers(0, 9), number=STREAMS, body=raw(TO_NODE, KNOWN))
    def startup_says(self, which: int, number: int, body: bytes) -> None:
        self._says(self.it.clients, which, number, body)

    @rule(which=st.integers(0, 9), body=raw(PEER, KNOWN))
    def peer_says(self, which: int, body: bytes) -> None:
        self._says(self.it.peers, which, 0, body)

    @rule(which=st.integers(0, 9), number=STREAMS, body=raw([stream.Start], KNOWN))
    def peer_opens(self, which: int, number: int, body: bytes) -> None:
        self._says(self.it.peers, which, number, body)

    @rule(which=st.integers(0, 9), number=STREAMS, spec=SPECS, uid=st.sampled_from(UIDS),
          vnns=st.sampled_from([[0], [0, 1], [0, 0], [4095]]), announced=st.booleans())  # fmt: skip
    def peer_starts(self, which: int, number: int, spec: JobSpec, uid: int, vnns: list[int],
                    announced: bool) -> None:  # fmt: skip
        self._start(which, number, spec, uid, vnns, announced)

    def _start(self, which: int, number: int, spec: JobSpec, uid: int, vnns: list[int],
               announced: bool) -> None:  # fmt: skip
        """A job that can be, announced or not."""
        if not self.it.peers:
            return
        mate = self.it.daemon._peers._by_link[self.it.peers[which % len(self.it.peers)]]
        self.npid += 1
        if announced:
            expect = master.Expect(self.npid, mate.node, vnns, uid)
            self.it.says(self.it.uplink, 0, encode(expect))
        degree = 1 if vnns == [0] else 4096
        start = stream.Start(self.npid, degree, vnns, mate.node, Owner(uid, uid, []), spec)
        self._says(self.it.peers, which, number, encode(start))

    @rule(which=st.integers(0, 9), number=st.integers(1, 4),
          message=messages(TO_NODE, KNOWN))  # fmt: skip
    def home_says_what_it_may(self, which: int, number: int, message: Message) -> None:
        self._says(self.it.peers, which, number, encode(message))

    @rule(which=st.integers(0, 9), number=st.sampled_from([RELAY, REPORT]),
          message=messages(TO_HOME, KNOWN))  # fmt: skip
    def supervisor_says_what_it_may(self, which: int, number: int, message: Message) -> None:
        self._says(self.it.loop.supervisors, which, number, encode(message))

    @rule(which=st.integers(0, 9), number=STREAMS, body=raw(TO_NODE, KNOWN))
    def home_says(self, which: int, number: int, body: bytes) -> None:
        self._says(self.it.peers, which, number, body)

    @rule(which=st.integers(0, 9), why=st.sampled_from(["", "", "refused"]))
    def dialled(self, which: int, why: str) -> None:
        self.it.dialled_up(which, why)

    @rule(which=st.integers(0, 9), number=st.sampled_from([0, 1, 2, 3]),
          body=raw([*TO_HOME, *PEER, stream.Start], KNOWN))  # fmt: skip
    def node_says(self, which: int, number: int, body: bytes) -> None:
        self._says([link for _, link, _ in self.it.network.dialled], which, number, body)

    @rule(which=st.integers(0, 9), number=st.sampled_from([RELAY, REPORT, REPORT, 0, 9]),
          body=raw(TO_HOME, KNOWN))  # fmt: skip
    def supervisor_says(self, which: int, number: int, body: bytes) -> None:
        self._says(self.it.loop.supervisors, which, number, body)

    @rule(body=st.one_of(messages(TO_DAEMON, KNOWN).map(encode), raw(TO_DAEMON, KNOWN)))
    def master_says(self, body: bytes) -> None:
        """It may end links (NodeLost, TrustNews), but no client's."""
        if self.it.uplink is not self.welcomed:
            self._welcome()
        clients = list(self.it.clients)
        self.it.says(self.it.uplink, 0, body)
        assert self.it.clients == clients

    @rule(which=st.integers(0, 9), kind=st.sampled_from(["clients", "peers", "supervisors"]))
    def gone(self, which: int, kind: str) -> None:
        links = self.it.loop.supervisors if kind == "supervisors" else getattr(self.it, kind)
        if links:
            self.it.gone(links[which % len(links)])

    @rule(seconds=st.sampled_from([0.0, 0.1, 6.0, 1e6]))
    def later(self, seconds: float) -> None:
        self.it.loop.advance(seconds)
        self.it.settle()

    @invariant()
    def agrees(self) -> None:
        daemon = self.it.daemon
        daemon._home.check()
        membership = daemon.membership
        assert membership is not None
        assert all(len(e) <= EXPECTED_MAX for e in membership.announced._expected.values())
        assert not any("bug" in line or "Traceback" in line for line in self.it.log)


TestHandlers = Handlers.TestCase
TestHandlers.settings = RUNS if LONG else settings(RUNS, max_examples=12)

"""Every link, with typed messages at edge values, in any order.

Pure halves here: the master, and the home half of a daemon. What they answer can be sent, no link
but the speaker's is closed, the books agree after each step. The connection handlers are in
test_handler_fuzz, real processes in test_process_fuzz.

About 20 s in all; GLUNIX_LONG=1 goes on for much longer.
"""

from __future__ import annotations

import os
import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg import client, master
from glunix.msg.base import Message, encode
from glunix.msg.job import Owner
from glunix.state import home_effects as todo
from glunix.state.events import (
    Close,
    Effect,
    ForgetJob,
    LinkId,
    PeerDown,
    PeerUp,
    Received,
    SaveJob,
    Send,
    Tick,
)
from glunix.state.homejobs import HomeJobs
from glunix.state.master import Master

from .strategies import messages, raw

LONG = bool(os.environ.get("GLUNIX_LONG"))
if LONG:
    pytestmark = pytest.mark.timeout(7200)
RUNS = settings(
    max_examples=3000 if LONG else 20,
    stateful_step_count=60 if LONG else 25,
    phases=[Phase.generate] if not LONG else list(Phase),  # what is found in CI is not made small
    deadline=None,
    derandomize=not LONG,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
NAMES = ["home", "node1", "node2"]
KNOWN = {
    "npid": [1, 2, 3],
    "vnn": [0, 1],
    "vnns": [[0], [0, 1]],
    "degree": [1, 2],
    "uid": [0, 1000, 1001],
    "node": NAMES,
    "home": NAMES,
    "nodes": [[], ["node1"]],
    "exclude": [[], ["node2"]],
    "boot": ["a"],
    "major": [1],
    "request": [1, 2, 3, 4],
    "pid": [100],
}
TO_MASTER = typing.get_args(master.DaemonToMaster)
TO_DAEMON = typing.get_args(master.MasterToDaemon)
FROM_CLIENT = typing.get_args(client.ClientToDaemon)


def hello_of(name: str) -> master.NodeHello:
    return master.NodeHello(1, 0, name, "a", "unix:x", name != "home", 1, 0, [], [], [])


class MasterLinks(RuleBasedStateMachine):
    """Daemons that say anything to the master."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.last = 0
        self.open: set[LinkId] = set()
        self.journal: dict[int, object] = {}
        self.master = Master("test", 2.0, 6.0)
        for name in NAMES:
            self._says(self._up(), encode(hello_of(name)))

    def _do(self, effects: list[Effect], speaker: LinkId | None) -> None:
        for effect in effects:
            match effect:
                case Send(link, message):
                    assert link in self.open, "a message to a closed link"
                    assert master.master_to_daemon.decode(encode(message)) == message
                case Close(link, reason):
                    # Its own; or the one that this daemon lost, which it says by its boot id.
                    if speaker is not None:
                        assert link == speaker or reason.endswith("has a new link"), reason
                    self.open.remove(link)
                case SaveJob(row):
                    self.journal[row.npid] = row
                case ForgetJob(npid):
                    del self.journal[npid]

    def _up(self) -> LinkId:
        self.last += 1
        link = LinkId(self.last)
        self.open.add(link)
        self._do(self.master.handle(PeerUp(link), self.now), link)
        return link

    def _says(self, link: LinkId, body: bytes) -> None:
        try:
            message = master.daemon_to_master.decode(body)
        except FrameError:  # the shell closes the link
            self.open.discard(link)
            self._do(self.master.handle(PeerDown(link, "a bad frame"), self.now), link)
            return
        self._do(self.master.handle(Received(link, message), self.now), link)

    @rule()
    def up(self) -> None:
        if len(self.open) < 8:
            self._up()

    @rule(name=st.sampled_from(NAMES))
    def joins(self, name: str) -> None:
        self._says(self._up(), encode(hello_of(name)))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7), body=raw(TO_MASTER, KNOWN))
    def says(self, which: int, body: bytes) -> None:
        links = sorted(self.open)
        self._says(links[which % len(links)], body)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7), message=messages(
        [master.Place, master.ProcStarted, master.ProcExited, master.KillRequest, master.JobOver],
        KNOWN))  # fmt: skip
    def does(self, which: int, message: Message) -> None:
        """What keeps jobs alive long enough to be harmed."""
        links = sorted(self.open)
        self._says(links[which % len(links)], encode(message))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7))
    def down(self, which: int) -> None:
        link = sorted(self.open)[which % len(self.open)]
        self.open.discard(link)
        self._do(self.master.handle(PeerDown(link, "gone"), self.now), link)

    @rule(seconds=st.sampled_from([0.0, 0.3, 2.0, 7.0, 1e6]))
    def later(self, seconds: float) -> None:
        due = self.master.next_deadline()
        self.now = self.now + seconds if due is None else min(due, self.now + seconds)
        self._do(self.master.handle(Tick(), self.now), None)

    @invariant()
    def agrees(self) -> None:
        self.master.check()
        pdb = self.master.core.pdb
        assert self.journal.keys() == pdb.jobs.keys() | pdb.ended.keys()
        assert len(self.master.core.ndb.nodes) < 100


class HomeLinks(RuleBasedStateMachine):
    """Clients, and a master, that say anything to the home half of a daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.home = HomeJobs("home", 0, "host", 8)
        self.home.master_up = True
        self.clients: dict[int, int] = {}
        self.streams: set[tuple[int, int, StreamId]] = set()
        self.asked: list[Any] = []
        self.last = 0
        self.up(1000)

    def _do(self, effects: list[todo.DaemonEffect], speaker: int | None) -> None:
        for effect in effects:
            match effect:
                case todo.ToClient(link, message):
                    assert link in self.clients
                    assert client.daemon_to_client.decode(encode(message)) == message
                case todo.ToMaster(message):
                    assert master.daemon_to_master.decode(encode(message)) == message
                    self.asked.append(message)
                case todo.Dial(npid, link, number, _, _):
                    assert link in self.clients
                    self.streams.add((npid, link, number))
                case todo.CloseJoin(link, _, _) | todo.RestoreTty(link):
                    assert speaker is None or link == speaker, "another's link"
                case todo.StopDaemon():
                    assert speaker is not None and self.clients[speaker] == 0

    @rule(uid=st.sampled_from([0, 1000, 1001]))
    def up(self, uid: int) -> None:
        if len(self.clients) < 6:
            self.last += 1
            self.clients[self.last] = uid
            self.home.client_up(self.last, Owner(uid, uid, []))

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 5), body=raw(FROM_CLIENT, KNOWN))
    def says(self, which: int, body: bytes) -> None:
        link = sorted(self.clients)[which % len(self.clients)]
        try:
            message = client.client_to_daemon.decode(body)
        except FrameError:
            self._gone(link)
            return
        self._do(self.home.client_message(link, message), link)

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 5))
    def down(self, which: int) -> None:
        self._gone(sorted(self.clients)[which % len(self.clients)])

    def _gone(self, link: int) -> None:
        effects = self.home.client_down(link)
        del self.clients[link]
        self._do(effects, link)

    @rule(body=raw(TO_DAEMON, KNOWN))
    def the_master_says(self, body: bytes) -> None:
        try:
            message = master.master_to_daemon.decode(body)
        except FrameError:
            return
        self._hears(message)

    @precondition(lambda self: self.asked)
    @rule(message=messages([master.PlacedJob], KNOWN), which=st.integers(0, 99),
          fits=st.booleans())  # fmt: skip
    def the_master_answers(self, message: master.PlacedJob, which: int, fits: bool) -> None:
        """To something that was asked, in the right form or not."""
        ask = self.asked[which % len(self.asked)]
        procs = message.procs
        if fits and isinstance(ask, master.Place) and ask.degree < 9:
            procs = [master.PlacedProc(vnn, NAMES[vnn % 3]) for vnn in range(ask.degree)]
        answer = master.PlacedJob(getattr(ask, "request", 1), message.npid, procs, {"node1": "x"})
        self._hears(answer)

    def _hears(self, message: Message) -> None:
        try:
            effects = self.home.master_message(message)
        except FrameError:  # the shell closes the link
            effects = self.home.master_down()
            self.home.master_up = True
        self._do(effects, None)

    @rule(up=st.booleans())
    def master_link(self, up: bool) -> None:
        self._do(self.home.master_down(), None)
        self.home.master_up = up

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 99), lost=st.sampled_from(["", "broken"]), opens=st.booleans())
    def node(self, which: int, lost: str, opens: bool) -> None:
        npid, link, number = sorted(self.streams)[which % len(self.streams)]
        if opens:
            self._do(self.home.dialled(npid, number), None)
        else:
            self._do(self.home.stream_ended(link, number, lost), None)

    @invariant()
    def agrees(self) -> None:
        self.home.check()


TestMaster = MasterLinks.TestCase
TestMaster.settings = RUNS
TestHome = HomeLinks.TestCase
TestHome.settings = RUNS

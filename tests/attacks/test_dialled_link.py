"""Who was dialled opens no streams, whatever it says and when: also before the dialling is noted.

TLS hands over what came with the end of the handshake before whoever dials hears that the link is
up. In that moment a link that we had dialled was taken for one that a process of our own user had
made, and a Start on it was carried out as it stood: as root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from glunix.comm.link import Link
from glunix.daemon.peers import PeerLink, Peers
from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg import peer, stream
from glunix.msg.base import Message, encode
from glunix.msg.job import JobSpec, Owner

SPEC = JobSpec([b"touch", b"/forged"], {}, b"/", 0o22, 0, [], None)


class Network:
    """Keeps what was dialled; `answer` is what comes of it."""

    def __init__(self) -> None:
        self.links: list[tuple[Link, Callable[[str], None]]] = []

    def dial(self, node: str, address: str, link: Link, done: Callable[[str], None]) -> None:
        self.links.append((link, done))

    def listen(self, accepted: object) -> None:
        raise AssertionError


class Free:
    def in_time(self, *given: object) -> bool:
        return True


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Link, "is_open", True)  # what is sent waits for a transport


class Attack:
    def __init__(self) -> None:
        self.network = Network()
        self.started: list[stream.Start] = []
        network: Any = self.network
        turnstile: Any = Free()
        self.peers = Peers(
            network, turnstile, "home", "boot", self._started, *[lambda *_: None] * 3
        )
        self.peers.dial("evil", "tcp:x:1", lambda mate, why: None)
        self.link, self.done = self.network.links[0]

    def _started(self, mate: PeerLink, number: StreamId, start: stream.Start) -> Any:
        self.started.append(start)
        raise AssertionError(f"{mate.node} started a job")

    def says(self, message: Message, number: int = 0) -> None:
        self.peers._frame(self.link, StreamId(number), encode(message))


def start(home: str) -> stream.Start:
    return stream.Start(1, 1, [0], home, Owner(0, 0, [0]), SPEC)


@pytest.mark.parametrize("name", ["evil", "home", "node1"])
@pytest.mark.parametrize("noted", [False, True])
def test_a_start_on_a_dialled_link(name: str, noted: bool) -> None:
    attack = Attack()
    if noted:
        attack.done("")
    try:
        attack.says(peer.PeerHello(1, 0, name, "x"))
    except FrameError:
        assert name != "evil"
        return
    for number in (1, 2, 7, 2**32 - 1):
        attack.says(start(name), number)
    assert attack.started == []


def test_garbage_before_the_dialling_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS closes slowly: the dialling is noted first, then the link is lost. Home's daemon died."""
    attack = Attack()
    told: list[str] = []
    attack.peers.dial("evil", "tcp:x:1", lambda mate, why: told.append(why))
    attack.link.begin(b"\xc1")
    assert attack.link.reason
    monkeypatch.setattr(Link, "is_open", False)
    attack.done("")
    attack.link.connection_lost(None)
    assert told == ["it closed the link at once"]


@pytest.mark.parametrize("noted", [False, True])
def test_it_is_who_was_dialled(noted: bool) -> None:
    """By another name it would not be found when its certificate is revoked."""
    attack = Attack()
    if noted:
        attack.done("")
    with pytest.raises(FrameError, match="evil says that it is 'node1'"):
        attack.says(peer.PeerHello(1, 0, "node1", "x"))

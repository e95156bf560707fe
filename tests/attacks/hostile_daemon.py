"""A node's daemon that lies: a member's certificate in the hands of whoever wrote this.

Speaks the wire by hand, so that it can say what the types do not allow. To the master, to other
daemons as their peer, and as the node that a home dials.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
from e2e.cluster import Cluster
from net.loopback import Loopback

Words = list[Any]


def frame(stream: int, words: Words) -> bytes:
    return msgpack.packb((stream, msgpack.packb(words)))


def spec(*argv: str, rlimits: Words | None = None, nice: int = 0) -> Words:
    words = [word.encode() for word in argv]
    return [words, {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, nice, rlimits or [], None]


class Talk:
    """A connection, frame by frame."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self._unpacker = msgpack.Unpacker(max_buffer_size=1 << 24)
        self.heard: list[Words] = []
        self.welcome = False

    def say(self, words: Words, stream: int = 0) -> None:
        with contextlib.suppress(OSError):  # it may have had enough of us
            self.link.sendall(frame(stream, words))

    def hear(self, *tags: str, seconds: float = 10.0) -> Words | None:
        """The next message with one of the tags; None when the other side closes or says nothing
        for so long. What comes before is in `heard`."""
        self.link.settimeout(seconds)
        while True:
            for stream, body in self._unpacker:
                words = [stream, *msgpack.unpackb(body, strict_map_key=False)]
                self.heard.append(words)
                if words[1] in tags:
                    return words
            try:
                data = self.link.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self._unpacker.feed(data)

    def closed(self, seconds: float = 10.0) -> bool:
        """Whether the other side ends it."""
        self.link.settimeout(seconds)
        try:
            while self.link.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


class HostileDaemon:
    """The member `name`, which has no daemon of ours."""

    def __init__(self, cluster: Loopback, name: str, port: int) -> None:
        self.cluster, self.name, self.port = cluster, name, port
        token = cluster.home.run("glunix", "invite").text
        self.folder = cluster.folder / name
        words = ["glunix", "join", "--folder", str(self.folder), "--name", name, "--no-start", "--"]
        result = cluster.node.run(*words, cluster.master, token)
        assert result.status == 0, result
        self.keys = Cluster(cluster.home.bin, self.folder)
        self._boots = 0

    def hello(self, **more: Any) -> Words:
        """Of the daemon that is connected already, on a new link."""
        fields: dict[str, Any] = {"major": 1, "minor": 0, "node": self.name,
                                  "boot": f"evil{self._boots}",
                                  "address": f"tcp:127.0.0.1:{self.port}",
                                  "accepts_jobs": True, "cpus": 1, "memory_total": 1,
                                  "isolated": [], "running": [], "homes": []}  # fmt: skip
        return ["hello", *{**fields, **more}.values()]

    def hello_again(self, **more: Any) -> Words:
        """Of a daemon that has started again: the master knows nothing of its jobs."""
        self._boots += 1
        return self.hello(**more)

    @contextlib.contextmanager
    def master(self, hello: Words | None = None) -> Iterator[Talk]:
        """As a node at the master, which has welcomed us unless the hello is the attack.

        A daemon that has started again (another boot) is not let in while its last link stands.
        """
        end = time.monotonic() + 20.0
        while True:
            with self.cluster.dial(self.cluster.master, self.keys) as link:
                talk = Talk(link)
                talk.say(self.hello() if hello is None else hello)
                told = talk.hear("welcome", "goodbye", seconds=5.0)
                again = told is None if hello is None else "already" in str(told)
                if not again or time.monotonic() > end:
                    talk.welcome = told is not None and told[1] == "welcome"
                    assert talk.welcome or hello is not None, "not welcome"
                    yield talk
                    return

    @contextlib.contextmanager
    def peer(self, address: str) -> Iterator[Talk]:
        """As a home at another node's daemon."""
        with self.cluster.dial(address, self.keys) as link:
            talk = Talk(link)
            talk.say(["hello", 1, 0, self.name, "evil"])
            yield talk

    def start(self, npid: Any, owner: Words, what: Words, vnns: Words | None = None,
              home: str = "") -> Words:  # fmt: skip
        numbers = [0] if vnns is None else vnns
        return ["start", npid, len(numbers), numbers, home or self.name, owner, what]

    @contextlib.contextmanager
    def dialled(self, act: Callable[[Talk], None]) -> Iterator[None]:
        """As the node that others dial: `act` on each link, as soon as the handshake is over."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        private = self.folder / "private"
        context.load_cert_chain(private / "listen.crt", private / "node.key")
        context.load_verify_locations(cadata=Path(private / "ca.crt").read_text())
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0
        with socket.create_server(("127.0.0.1", self.port)) as server:
            thread = threading.Thread(target=self._serve, args=(server, context, act), daemon=True)
            thread.start()
            try:
                yield
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join(10)

    def _serve(self, server: socket.socket, context: ssl.SSLContext,
               act: Callable[[Talk], None]) -> None:  # fmt: skip
        while True:
            try:
                bare, _ = server.accept()
            except OSError:
                return
            with bare, contextlib.suppress(OSError), context.wrap_socket(bare, True) as link:
                act(Talk(link))

"""Client links of a daemon: startups and tools of this node, their terminals, their joins.

Owns the Unix socket, the terminal descriptor a startup sent along (to restore it if the startup
dies raw), and the pairing of client streams with peer streams. Job data is relayed undecoded.
"""

import contextlib
import fcntl
import os
import socket
import termios
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from glunix import config
from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.comm.sockets import connections_max, listening_socket, peer_owner
from glunix.daemon.peers import PeerLink
from glunix.ids import CONTROL, StreamId, Why
from glunix.msg import client
from glunix.msg.base import Body, Message, encode
from glunix.msg.frame import BODY_MAX, Budget, encode_frame
from glunix.msg.job import Owner
from glunix.msg.stream import INPUT_WINDOW, Start

SUBMIT_MAX = BODY_MAX - 2**20
"""Bytes of a Submit: as a Start, with the owner's groups, it must still fit a frame."""

SHARE = 4
"""One user's clients may take one in so many of the daemon's connections."""

CONNECTIONS_EACH = 2048
"""Connections of one user at the most: each costs the daemon 40 kB."""

LARGE_EACH = 256 * 1024 * 1024
"""Bytes of one user's unfinished messages beyond that."""


class Join:
    """One client stream and its peer stream: frames pass both ways (a peers.Route)."""

    def __init__(
        self, link: Link, stream: StreamId, ended: Callable[[StreamId, str], None]
    ) -> None:
        self._link = link
        self._stream = stream
        self._ended = ended
        self._mate: PeerLink | None = None
        self._peer_stream = StreamId(0)
        self._early: list[bytes] = []
        self._early_size = 0
        self._held = False

    def _drained(self) -> None:
        self._held = False
        self._link.go_on()

    def open(self, mate: PeerLink, start: Start) -> None:
        """The node can be reached: start there, then send what came meanwhile."""
        self._mate = mate
        self._peer_stream = mate.open(self, start)
        for body in self._early:
            mate.link.relay(self._peer_stream, body)
        self._early.clear()

    def from_client(self, body: Body) -> None:
        """A frame of the startup for the node."""
        if self._mate is not None:
            mate = self._mate.link
            mate.relay(self._peer_stream, body)
            if mate.full and not self._held:
                # Whoever sends without credit is stopped here: the link is everybody's.
                self._held = True
                self._link.hold()
                mate.when_drained(self._drained)
            return
        self._early.append(bytes(body))
        self._early_size += len(body)
        if self._early_size > INPUT_WINDOW + BODY_MAX:
            self._link.close("sends without credit")

    def opened(self) -> None:
        """Never: nodes open no streams to a home."""

    def frame(self, body: Body) -> None:
        """A frame of the node for the startup."""
        self._link.relay(self._stream, body)

    def closed(self, text: str, lost: bool) -> None:
        """The node closed the stream, or the link to it broke."""
        self._ended(self._stream, (text or "link closed") if lost else "")

    def close(self, text: str) -> None:
        """End it from home: the node kills what still runs."""
        if self._mate is not None:
            self._mate.close_stream(self._peer_stream, text)


class _Client:
    def __init__(self, number: int, link: Link, owner: Owner, pid: int) -> None:
        self.number = number
        self.link = link
        self.owner = owner
        self.pid = pid
        self.tty_fd = -1
        self.termios = b""
        self.transparent = False
        self.joins: dict[StreamId, Join] = {}


class Clients:
    """All clients of one daemon. The handlers are given by the shell."""

    def __init__(
        self,
        loop: Loop,
        up: Callable[[int, Owner], None],
        message: Callable[[int, Message], None],
        down: Callable[[int], None],
        stream_ended: Callable[[int, StreamId, str], None],
        log: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._up = up
        self._message = message
        self._down = down
        self._stream_ended = stream_ended
        self._log = log
        self._next = 1
        self._by_number: dict[int, _Client] = {}
        self._by_link: dict[Link, _Client] = {}
        self._count: Counter[int] = Counter()
        self._budgets: dict[int, Budget] = {}
        """uid -> its connections, and what their unfinished messages may hold."""

    def listen(self, folder: Path, node: str, is_home: bool) -> None:
        """Accept every user of this machine; who they are is the kernel's word.

        `is_home`: also under the name that tools outside of jobs ask for.
        """
        for name in {node, config.HOME_NODE} if is_home else {node}:
            sock = listening_socket(folder / f"{name}.sock", 0o666)
            self._loop.listen(sock, self._accepted)

    def _accepted(self, connection: socket.socket, fds: list[int]) -> Link | None:
        pid, owner = peer_owner(connection)
        if self._has_enough(owner.uid):
            text = f"uid {owner.uid} has too many connections to this daemon"
            refusal = client.Refused(1, Why.BAD_REQUEST, text)
            with contextlib.suppress(OSError):
                connection.send(encode_frame(CONTROL, encode(refusal)))
            return None
        budget = self._budgets.setdefault(owner.uid, Budget(LARGE_EACH))
        name = f"pid {pid} of uid {owner.uid}"
        link = Link(self._frame, self._closed, name, answers=True, budget=budget)
        self._count[owner.uid] += 1
        who = _Client(self._next, link, owner, pid)
        self._next += 1
        if fds:
            who.tty_fd = fds.pop(0)
        for fd in fds:
            os.close(fd)
        fds.clear()
        self._by_number[who.number] = who
        self._by_link[link] = who
        self._up(who.number, owner)
        return link

    def _has_enough(self, uid: int) -> bool:
        """Whether one user, who is not the cluster's own, would keep the others out."""
        if uid in (0, os.geteuid()):
            return False
        theirs = self._count[uid]
        return theirs >= min(connections_max() // SHARE, CONNECTIONS_EACH)

    def _frame(self, link: Link, stream: StreamId, body: Body) -> None:
        who = self._by_link[link]
        if stream != CONTROL:
            join = who.joins.get(stream)
            if join is not None:  # else: the stream ended while this frame was under way
                join.from_client(body)
            return
        message = client.client_to_daemon.decode(body)
        if isinstance(message, client.Submit):
            if len(body) > SUBMIT_MAX:
                what = "staged files, " if message.spec.staged else ""
                text = f"{what}command line and environment are over {SUBMIT_MAX // 2**20} MiB"
                link.send(CONTROL, client.Refused(message.request, Why.BAD_REQUEST, text))
                return
            if message.spec.tty is not None:
                who.termios = message.spec.tty.termios
                who.transparent = message.spec.transparent
        self._message(who.number, message)

    def _closed(self, link: Link, reason: str) -> None:
        who = self._by_link.pop(link)
        if link.reason:
            self._log(f"closed client {link.name}: {reason}")
        self._down(who.number)
        del self._by_number[who.number]
        uid = who.owner.uid
        self._count[uid] -= 1
        if not self._count[uid]:
            del self._count[uid], self._budgets[uid]
        if who.tty_fd >= 0:
            os.close(who.tty_fd)

    def send(self, number: int, message: Message) -> None:
        """Send on stream 0; nothing when the client is gone."""
        who = self._by_number.get(number)
        if who is not None:
            who.link.send(CONTROL, message)

    def join(self, number: int, stream: StreamId) -> Join:
        """The join of a client stream, made at its first mention."""
        who = self._by_number[number]
        if stream not in who.joins:
            who.joins[stream] = Join(who.link, stream, lambda s, why: self._ended(who, s, why))
        return who.joins[stream]

    def _ended(self, who: _Client, stream: StreamId, why: str) -> None:
        who.joins.pop(stream, None)
        self._stream_ended(who.number, stream, why)

    def close_join(self, number: int, stream: StreamId, text: str) -> None:
        """End a stream from home."""
        who = self._by_number.get(number)
        join = who.joins.pop(stream, None) if who is not None else None
        if join is not None:
            join.close(text)

    def restore_terminal(self, number: int) -> None:
        """Give the terminal of a dead startup the modes it had when the job began."""
        who = self._by_number.get(number)
        if who is None or who.tty_fd < 0 or not who.termios:
            return
        try:
            modes = termios.tcgetattr(who.tty_fd)[3]
            if not who.transparent and modes & (termios.ISIG | termios.ICANON | termios.ECHO):
                return  # raw no more: the user's shell was faster, and these modes are its own
            # Not our controlling terminal, so the kernel does not ask who is in the foreground.
            fcntl.ioctl(who.tty_fd, termios.TCSETS, who.termios)
        except (OSError, termios.error) as error:
            self._log(f"cannot restore the terminal of {who.link.name}: {error}")

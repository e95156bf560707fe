"""A real daemon, with its real connection handlers, on a loop that tests turn by hand.

Frames go in as bytes; a link that a handler closes is closed as its transport would do it. What
would fork gives back numbers that no process has.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from glunix.comm.link import Link
from glunix.comm.network import Accepted, Dialled
from glunix.daemon.accounts import look_up
from glunix.daemon.daemon import Daemon, DaemonConfig
from glunix.msg.frame import encode_frame
from glunix.msg.job import Owner
from glunix.settings import LimitsSection
from glunix.trust.peer import NotTrusted, Peer
from glunix.trust.revocation import Revocations

NO_PID = 2**22 + 1
"""The first of numbers over every pid_max (proc(5))."""


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class PlayedLoop:
    """Has the shape of glunix.comm.loop.Loop, as far as a daemon asks."""

    def __init__(self) -> None:
        self.time = 0.0
        self.stopped = False
        self.supervisors: list[Link] = []
        self.sockets: list[socket.socket] = []
        self._order = itertools.count()
        self._due: list[tuple[float, int, Timer, Callable[..., Any], tuple[Any, ...]]] = []

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer()
        heapq.heappush(self._due, (self.time + delay, next(self._order), timer, callback, args))
        return timer

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        self.call_later(0.0, callback, *args)

    def advance(self, seconds: float, most: int = 500) -> None:
        """Let time pass; at most so many calls, because some come again and again."""
        end = self.time + seconds
        while self._due and self._due[0][0] <= end and most:
            self.time, _, timer, callback, args = heapq.heappop(self._due)
            if not timer.cancelled:
                most -= 1
                callback(*args)
        self.time = end

    def stop(self) -> None:
        self.stopped = True

    def adopt(self, sock: socket.socket, link: Link) -> None:
        self.sockets.append(sock)
        self.supervisors.append(link)

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        pass

    def add_reader(self, *args: Any) -> None:
        pass

    remove_reader = add_writer = remove_writer = add_reader


class PlayedNetwork:
    """Keeps what was dialled, and what would take those who dial us."""

    def __init__(self) -> None:
        self.uplinks: list[Link] = []
        self.dialled: list[tuple[str, Link, Dialled]] = []

    def advertised(self, uplink: Link | None) -> str:
        return "tcp:127.0.0.1:1"

    def dial_master(self, link: Link, done: Dialled) -> None:
        self.uplinks.append(link)
        done("")

    def dial(self, node: str, address: str, link: Link, done: Dialled) -> None:
        self.dialled.append((node, link, done))

    def listen(self, accepted: Accepted) -> None:
        pass


class PlayedMember:
    """Certificates that are never looked at."""

    def __init__(self) -> None:
        self.revoked = Revocations()

    def renew_in(self) -> float:
        return 1e9

    def request(self) -> bytes:
        return b"x"

    def now_revoked(self, told: Revocations) -> None:
        self.revoked = told

    def renewed(self, node_cert: bytes, listen_cert: bytes) -> None:
        raise NotTrusted("not ours")


class PlayedDaemon:
    """See above. `links` are all that are open, and who speaks there."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="glunix-fuzz-"))
        self.loop = PlayedLoop()
        self.network = PlayedNetwork()
        loop: Any = self.loop
        member: Any = PlayedMember()
        self._pids = itertools.count(NO_PID)
        self._fds = set(os.listdir("/proc/self/fd"))
        self._patches = [
            mock.patch("glunix.node.userlevel.process.spawn_quickly", return_value=None),
            mock.patch("glunix.node.userlevel.process.spawn_direct", self._spawned),
            mock.patch("glunix.node.userlevel.process.spawn_kept", self._spawned),
            mock.patch("glunix.daemon.transparent_job.spawn_supervisor", self._spawned),
            mock.patch("glunix.daemon.clients.peer_owner", self._peer_owner),
            mock.patch("glunix.daemon.daemon.say", lambda text: self.log.append(text)),
            mock.patch("glunix.daemon.children.children_of_self", list),
            mock.patch("glunix.daemon.uplink.measure_load", return_value=0.0),
            mock.patch("glunix.daemon.accounts.Accounts.account", lambda _, *who: look_up(*who)),
            mock.patch("glunix.daemon.chores.fork_child", self._forked),
            mock.patch("glunix.node.spawn.sessions.fork_child", self._forked),
        ]
        for patch in self._patches:
            patch.start()
        self.log: list[str] = []
        self._owner = Owner(0, 0, [])
        conf = DaemonConfig(self.folder, "home", True, limits=LimitsSection(jobs=8))
        self.daemon = Daemon(loop, conf, lambda: None, self.network, member)
        self.up: set[Link] = set()
        """Links that were dialled, and are up."""
        self.clients: list[Link] = []
        self.peers: list[Link] = []
        assert self.daemon.membership is not None
        self.daemon.membership.start()
        self.daemon.uplink.connect()

    def _peer_owner(self, sock: socket.socket) -> tuple[int, Owner]:
        return 1, self._owner

    def _forked(self, body: object) -> int:
        return next(self._pids)

    def _spawned(self, *given: Any, **named: Any) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.close()
        self.loop.sockets.append(ours)
        return next(self._pids), ours

    def close(self) -> None:
        """End all links and jobs; what was open is closed."""
        for link in [*self.clients, *self.peers, *self.loop.supervisors]:
            self.gone(link)
        self.loop.advance(60.0)
        for patch in self._patches:
            patch.stop()
        for sock in self.loop.sockets:
            sock.close()
        for fd in set(os.listdir("/proc/self/fd")) - self._fds:
            with contextlib.suppress(OSError):  # sockets are closed by their objects
                if os.readlink(f"/proc/self/fd/{fd}").startswith(("pipe:", "/dev/pt")):
                    os.close(int(fd))
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- who connects ------------------------------------------------------------------------

    def client(self, uid: int) -> None:
        self._owner = Owner(uid, uid, [])
        ours, theirs = socket.socketpair()
        with ours, theirs:
            link = self.daemon._clients._accepted(ours)
        if link is not None:
            self.clients.append(link)

    def peer(self, who: Peer) -> None:
        self.peers.append(self.daemon._peers._accepted(who))

    @property
    def uplink(self) -> Link:
        return self.network.uplinks[-1]

    # -- what they say -----------------------------------------------------------------------

    def says(self, link: Link, stream: int, body: bytes) -> None:
        """A frame arrives, if the link is still open."""
        if not link.reason:
            link.begin(encode_frame(stream, body))
        self.settle()

    def gone(self, link: Link) -> None:
        """The other side closes it."""
        if link in self.all_links():
            self._end(link)
        self.settle()

    def all_links(self) -> list[Link]:
        dialled = [link for _, link, _ in self.network.dialled]
        return [*self.clients, *self.peers, *dialled, *self.loop.supervisors, self.uplink]

    def settle(self) -> None:
        """Carry out what handlers closed; what is sent is looked at no more."""
        self.loop.advance(0.0)
        for link in self.all_links():
            link._early.clear()
            if link.reason:
                self._end(link)

    def _end(self, link: Link) -> None:
        for links in (self.clients, self.peers, self.loop.supervisors):
            if link in links:
                links.remove(link)
        for row in [row for row in self.network.dialled if row[1] is link]:
            self.network.dialled.remove(row)
            if link not in self.up:
                row[2]("")  # the handshake was over, and TLS takes its time to close
        self.up.discard(link)
        link.connection_lost(None)

    def dialled_up(self, which: int, why: str) -> None:
        """A dialling ends well, or not."""
        rows = [row for row in self.network.dialled if row[1] not in self.up]
        if not rows:
            return
        row = rows[which % len(rows)]
        _, link, done = row
        if why:
            self.network.dialled.remove(row)
            done(why)
            return
        self.up.add(link)
        with mock.patch.object(Link, "is_open", True):
            done("")

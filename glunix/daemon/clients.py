"""Client links of a daemon: startups and tools of this node, their terminals, their joins.

Owns the Unix socket, a descriptor of each startup's terminal (to restore it if the startup dies
raw), and the pairing of client streams with peer streams. Job data is relayed undecoded.
"""

import contextlib
import fcntl
import os
import socket
import termios
from collections.abc import Callable
from pathlib import Path

import msgspec

from glunix import config
from glunix.comm.link import Link
from glunix.comm.logline import Sparse
from glunix.comm.loop import Loop
from glunix.comm.sockets import listening_socket, peer_owner
from glunix.daemon.chores import Chores
from glunix.daemon.client_limits import BARRIER, ClientLimits, Share
from glunix.daemon.stream_relay import StreamRelay
from glunix.daemon.submitter import Limits, limits_of, restricted, with_io_priority, within
from glunix.daemon.terminals import open_terminal_of
from glunix.errors import FrameError
from glunix.ids import CONTROL, StreamId, Why
from glunix.msg import batch, client, parallel
from glunix.msg.base import Body, Message, encode
from glunix.msg.frame import BODY_MAX, encode_frame
from glunix.msg.job import Owner
from glunix.settings import LimitsSection

SUBMIT_MAX = BODY_MAX - 2**20
"""Bytes of a Submit: as a Start, with the owner's groups, it must still fit a frame."""

PAUSE = 0.25
"""Seconds for which a client that asks too often is not read."""

PATIENCE = 64
"""Refused requests of one client in a row, for asking too often, after which it is closed."""


class _Client:
    def __init__(
        self,
        number: int,
        link: Link,
        owner: Owner,
        pid: int,
        share: Share,
        limits: Limits | None,
    ) -> None:
        self.number = number
        self.limits = limits
        self.link = link
        self.owner = owner
        self.pid = pid
        self.share = share
        self.refused = 0
        """Requests in a row that were too many."""
        self.paused = False
        self.last_stream = 0
        self.tty_fd = -1
        self.termios = self.left = b""
        self.transparent = False
        self.joins: dict[StreamId, StreamRelay] = {}


class Clients:
    """All clients of one daemon. The handlers are given by the shell."""

    def __init__(
        self,
        loop: Loop,
        up: Callable[[int, Owner], None],
        message: Callable[[int, Message], None],
        down: Callable[[int], None],
        stream_ended: Callable[[int, StreamId, str], None],
        process_asks: Callable[[int, int, int, parallel.ProcessToDaemon], None],
        log: Callable[[str], None],
        limits: LimitsSection,
        chores: Chores,
    ) -> None:
        self._loop = loop
        self._chores = chores
        self._up = up
        self._message = message
        self._down = down
        self._stream_ended = stream_ended
        self._process_asks = process_asks
        self._log = Sparse(log)
        self._next = 1
        self._by_number: dict[int, _Client] = {}
        self._by_link: dict[Link, _Client] = {}
        self._limits = ClientLimits(os.geteuid(), limits)

    def listen(self, folder: Path, node: str, is_home: bool) -> None:
        """Accept every user of this machine; who they are is the kernel's word.

        `is_home`: also under the name that tools outside of jobs ask for.
        """
        for name in {node, config.HOME_NODE} if is_home else {node}:
            sock = listening_socket(folder / f"{name}.sock", 0o666)
            self._loop.listen(sock, self._accepted, self._dispose)

    def _dispose(self, fd: int) -> None:
        """Close a connection that has descriptors in its queue: a process of the sender's does."""
        with socket.socket(fileno=os.dup(fd)) as connection:
            owner = peer_owner(connection)[1]
        share = self._limits.of(owner.uid, self._loop.now())
        share.connections += 1  # until it is really gone

        def done(text: str) -> None:
            share.connections -= 1

        self._log(f"clients of uid {owner.uid}", f"uid {owner.uid} sends descriptors: closed")
        self._chores.do(owner, lambda: None, done, closing=fd)

    def adopt(self, connection: socket.socket, owner: Owner, pid: int) -> int:
        """Take in a process that the daemon has made for this owner; returns its link's number."""
        share = self._limits.of(owner.uid, self._loop.now())
        who = self._enter(owner, pid, share, limits_of(connection, pid))
        self._loop.adopt(connection, who.link)
        return who.number

    def _enter(self, owner: Owner, pid: int, share: Share, limits: Limits | None) -> _Client:
        name = f"pid {pid} of uid {owner.uid}"
        link = Link(self._frame, self._closed, name, answers=True, budget=share.budget)
        share.connections += 1
        who = _Client(self._next, link, owner, pid, share, limits)
        self._next += 1
        self._by_number[who.number] = who
        self._by_link[link] = who
        self._up(who.number, owner)
        return who

    def _accepted(self, connection: socket.socket) -> Link | None:
        pid, owner = peer_owner(connection)
        owner, limits = restricted(connection, pid, owner), limits_of(connection, pid)
        now = self._loop.now()
        share = self._limits.of(owner.uid, now)
        text = share.refuses_connection(now)
        if text:
            self._log(f"connections of uid {owner.uid}", f"refused pid {pid}: {text}")
            refusal = client.Refused(1, Why.BAD_REQUEST, text)
            with contextlib.suppress(OSError):
                connection.send(encode_frame(CONTROL, encode(refusal)))
            return None
        return self._enter(owner, pid, share, limits).link

    def _frame(self, link: Link, stream: StreamId, body: Body) -> None:
        who = self._by_link[link]
        if stream != CONTROL:
            self._pause(who, who.share.frame_debt(self._loop.now()))
            join = who.joins.get(stream)
            if join is not None:
                join.from_client(body)
            elif stream > who.last_stream:
                raise FrameError(f"stream {stream} is not its own")
            # else: the stream ended while this frame was under way
            return
        message = batch.client_to_daemon.decode(body)
        if not who.share.may_ask(message, self._loop.now()):
            self._asks_too_often(who, getattr(message, "request", 0))
            return
        who.refused = 0
        if isinstance(message, parallel.ProcessToDaemon):
            if isinstance(message, parallel.EnterBarrier):
                self._pause(who, who.share.frame_debt(self._loop.now(), BARRIER))
            self._process_asks(who.number, who.pid, who.owner.uid, message)
            return
        if isinstance(message, client.Submit):
            submit = self._submit(who, message, len(body))
            if submit is None:
                return
            spec = with_io_priority(submit.spec, who.pid)
            message = msgspec.structs.replace(submit, spec=spec)
        elif isinstance(message, client.TtyMode):
            who.left = message.left
        self._message(who.number, message)

    def _submit(self, who: _Client, message: client.Submit, size: int) -> client.Submit | None:
        """The job as it may be asked for; None: it was refused."""
        text = ""
        if size > SUBMIT_MAX:
            what = "staged files, " if message.spec.staged else ""
            text = f"{what}command line and environment are over {SUBMIT_MAX // 2**20} MiB"
        elif who.limits is None and os.geteuid() not in (0, who.owner.uid):
            return message  # a job of somebody whom this daemon does not serve: refused for that
        elif who.limits is None:
            text = "the limits of the process that submits cannot be known: it is gone"
        if text or who.limits is None:
            who.link.send(CONTROL, client.Refused(message.request, Why.BAD_REQUEST, text))
            return None
        if message.spec.tty is not None:
            if who.tty_fd < 0:
                who.tty_fd = open_terminal_of(who.pid, who.owner.uid)
            who.termios = message.spec.tty.termios
            who.transparent = message.spec.transparent
        return msgspec.structs.replace(message, spec=within(message.spec, who.limits))

    def _asks_too_often(self, who: _Client, request: int) -> None:
        """Say no, wait a little; who goes on with what he had sent before is cut off."""
        text = who.share.too_often
        self._log(f"requests of uid {who.owner.uid}", f"refused {who.link.name}: {text}")
        who.link.send(CONTROL, client.Refused(request, Why.BAD_REQUEST, text))
        who.refused += 1
        if who.refused > PATIENCE:
            who.link.close(text)
        self._pause(who, PAUSE)

    def _pause(self, who: _Client, seconds: float) -> None:
        """Read nothing of this client for so long."""
        if seconds <= 0 or who.paused:
            return
        who.paused = True
        who.link.hold()
        self._loop.call_later(seconds, self._go_on, who)

    def _go_on(self, who: _Client) -> None:
        who.paused = False
        who.link.go_on()

    def _closed(self, link: Link, reason: str) -> None:
        who = self._by_link.pop(link)
        if link.reason:
            self._log(f"clients of uid {who.owner.uid}", f"closed client {link.name}: {reason}")
        self._down(who.number)
        del self._by_number[who.number]
        for join in who.joins.values():
            join.drop()
        who.share.closed(link)
        if who.tty_fd >= 0:
            os.close(who.tty_fd)

    def send(self, number: int, message: Message) -> None:
        """Send on stream 0; nothing when the client is gone."""
        who = self._by_number.get(number)
        if who is not None:
            if isinstance(message, client.Refused) and message.why == Why.NOT_YOURS:
                who_asked, text = f"uid {who.owner.uid} and others", message.text
                self._log(who_asked, f"refused {who.link.name}: {text}")
            who.link.send(CONTROL, message)
            self._limits.answered(message)

    def join(self, number: int, stream: StreamId) -> StreamRelay:
        """The join of a client stream, made at its first mention."""
        who = self._by_number[number]
        if stream not in who.joins:
            ended = lambda s, why: self._ended(who, s, why)  # noqa: E731
            who.joins[stream] = StreamRelay(who.link, stream, who.share, ended)
            who.last_stream = max(who.last_stream, stream)
        return who.joins[stream]

    def _ended(self, who: _Client, stream: StreamId, why: str) -> None:
        join = who.joins.pop(stream, None)
        if join is not None:
            join.drop()
        self._stream_ended(who.number, stream, why)

    def close_join(self, number: int, stream: StreamId, text: str) -> None:
        """End a stream from home."""
        who = self._by_number.get(number)
        join = who.joins.pop(stream, None) if who is not None else None
        if join is not None:
            join.drop()
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
            if (
                who.left
                and fcntl.ioctl(who.tty_fd, termios.TCGETS, bytes(len(who.left))) != who.left
            ):
                return  # a job that was stopped: its shell is editing a line
            # Not our controlling terminal, so the kernel does not ask who is in the foreground.
            fcntl.ioctl(who.tty_fd, termios.TCSETS, who.termios)
        except (OSError, termios.error) as error:
            text = f"cannot restore the terminal of {who.link.name}: {error}"
            self._log(f"terminals of uid {who.owner.uid}", text)

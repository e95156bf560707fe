"""A session of its own for each user's processes: the daemon's side of a session server.

A process may join any group of its own session (setpgid(2)), and may send SIGCONT within it to
whomever (kill(2)). So the programs of root's daemon that have no terminal are not children of the
daemon, in its session, but of a session server for each user; with other groups or restrictions the
same user has another one. Programs with a terminal have a keeper, which leads a session, too. A
daemon without root has one user, and root's daemon is root's: those programs are its own children.

Never waits for a server, which its user can stop: requests that do not fit its socket wait here,
each program is signalled from here by its pidfd, and one that was killed is over when its pidfd
says so.
"""

import contextlib
import dataclasses
import functools
import os
import signal
import socket
from collections import deque
from collections.abc import Callable

from glunix.msg.base import encode
from glunix.msg.job import Owner
from glunix.msg.session import StartProgram
from glunix.node.reactor import Reactor, Timer
from glunix.node.spawn.fork import Report, Surroundings, fork_child
from glunix.node.spawn.served import Program
from glunix.node.spawn.session_server import serve

IDLE = 3.0
"""Seconds without a program after which a server is ended."""

_PACKETS = socket.AF_UNIX, socket.SOCK_SEQPACKET


@dataclasses.dataclass
class _Server:
    """A server process and our end of its socket."""

    reactor: Reactor
    pid: int
    sock: socket.socket
    waiting: deque[list[int]] = dataclasses.field(default_factory=deque)
    """Requests that did not fit: their descriptors, ours to close."""
    programs: int = 0
    idle: Timer | None = None

    def send(self, fds: list[int]) -> None:
        """Send a request now or when there is room; OSError when the server is gone."""
        if not self.waiting:
            try:
                socket.send_fds(self.sock, [b"\0"], fds)
                return
            except BlockingIOError:
                self.reactor.add_writer(self.sock.fileno(), self._writable)
        self.waiting.append([os.dup(fd) for fd in fds])

    def _writable(self) -> None:
        while self.waiting:
            try:
                socket.send_fds(self.sock, [b"\0"], self.waiting[0])
            except BlockingIOError:
                return
            except OSError:
                break  # its end is reported to `Sessions.child_changed`
            _close_all(self.waiting.popleft())
        self.reactor.remove_writer(self.sock.fileno())

    def close(self) -> None:
        """It is over: what waits finds its status sockets closed."""
        if self.idle is not None:
            self.idle.cancel()
        self.reactor.remove_writer(self.sock.fileno())
        self.sock.close()
        while self.waiting:
            _close_all(self.waiting.popleft())


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


_User = tuple[int, int, tuple[int, ...]]
_Key = tuple[_User, bool, int]


def _user(owner: Owner) -> _User:
    return owner.uid, owner.gid, tuple(sorted(owner.groups))


def _key(owner: Owner) -> _Key:
    return _user(owner), owner.no_new_privs, owner.bounding


class Sessions:
    """The session servers of one daemon, each made when it is first needed."""

    def __init__(
        self, reactor: Reactor, tasks: int, ended: Callable[[], None] = lambda: None
    ) -> None:
        """`tasks`: processes and threads that one user may have here; `ended`: a server has."""
        self._tasks = tasks
        self._ended = ended
        self._reactor = reactor
        self._own = _user(Owner(os.geteuid(), os.getegid(), os.getgroups()))
        self._servers: dict[_Key, _Server] = {}
        self._pids: set[int] = set()
        """Those not reaped yet, also those that were ended."""

    def serves(self, owner: Owner) -> bool:
        """Whether this owner's programs are to have a session of their own."""
        return os.geteuid() == 0 and _user(owner) != self._own

    def is_server(self, pid: int) -> bool:
        """Whether this child of the daemon is a session server."""
        return pid in self._pids

    def start(
        self, around: Surroundings, report: Callable[[Report], None], gone: Callable[[], None]
    ) -> Program:
        """Have the owner's server start a program. OSError when this node is short of something."""
        begins = around.into >= 0
        has_line = around.line >= 0
        request = encode(StartProgram(around.spec, around.owner, around.env, begins, has_line))
        key = _key(around.owner)
        with contextlib.ExitStack() as stack:
            memory = os.memfd_create("glunix-start", os.MFD_CLOEXEC)
            stack.callback(os.close, memory)
            os.write(memory, request)
            ours, theirs = map(stack.enter_context, socket.socketpair(*_PACKETS))
            fds = [memory, theirs.fileno(), around.stdin, around.stdout, around.stderr]
            fds += [around.line] if has_line else []
            fds += [around.into] if begins else around.groups
            server = self._server_of(key, around)
            try:
                server.send(fds)
            except (BrokenPipeError, ConnectionResetError):  # killed, and not reaped yet
                self._drop(key)
                server = self._server_of(key, around)
                server.send(fds)
            kept = ours.dup()
        server.programs += 1
        settled = functools.partial(self._settled, key, server)
        return Program(self._reactor, kept, report, gone, settled)

    def _server_of(self, key: _Key, around: Surroundings) -> _Server:
        server = self._servers.get(key)
        if server is None:
            ours, theirs = socket.socketpair(*_PACKETS)
            try:
                begins = around.into >= 0
                own = around.groups if begins else ()
                body = lambda: serve(theirs, around.owner, self._tasks, own, begins)  # noqa: E731
                pid = fork_child(body)
            except OSError:
                ours.close()
                raise
            finally:
                theirs.close()
            ours.setblocking(False)
            server = self._servers[key] = _Server(self._reactor, pid, ours)
            self._pids.add(pid)
        if server.idle is not None:
            server.idle.cancel()
            server.idle = None
        return server

    def _settled(self, key: _Key, server: _Server, is_stopped: bool) -> None:
        server.programs -= 1
        if server.programs == 0 and self._servers.get(key) is server:
            if is_stopped:  # what comes next would wait for it
                self._drop(key)
            else:
                server.idle = self._reactor.call_later(IDLE, self._drop, key)

    def _drop(self, key: _Key) -> None:
        """End a server; by a signal, because its user may have stopped it."""
        server = self._servers.pop(key)
        server.close()
        if server.pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGKILL)

    def child_changed(self, pid: int, status: int) -> bool:
        """A child of the daemon changed state; False when it is not a session server."""
        if pid not in self._pids:
            return False
        if not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
            self._pids.remove(pid)
            for key, server in list(self._servers.items()):
                if server.pid == pid:
                    self._drop(key)
            self._ended()
        return True

    def close(self) -> None:
        """The daemon stops: its jobs were killed."""
        for key in list(self._servers):
            self._drop(key)

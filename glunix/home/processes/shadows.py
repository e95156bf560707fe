"""Home's half of the shadows of a transparent job's processes (docs/shadows.md).

Owns which fork server has which shadow. The first fork server starts with the job, because the
first row of shadows must be there before the program can fork; another one when the program itself
has made a session, in which only its own shadow can start anybody.
"""

from __future__ import annotations

import _signal
import errno
import posix
import resource
import select
import time

from glunix.home.jobspec import is_tight, soft_limit
from glunix.home.processes.forkserver import ForkServer, spawn
from glunix.home.sinks import in_foreground, job_groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Sequence

    from glunix.home.level import Handlers
    from glunix.home.processes.root_shadow import HomeHalf
    from glunix.home.terminal.tty import HomeTerminal
    from glunix.home.wire import Bytes

    Send = Callable[[list[object]], None]

_AT_ONCE = 256

_ROW = 32

_SHARE = 8
"""As glunix.node.processes.pid_allocator."""

_MOST = 1 << 15
"""Shadows of one job: a node may ask for ever."""

_SETTLE = 0.02
"""Seconds that a signal waits for those that were sent with it: the kernel is at it."""


class Shadows:
    """Takes the node's messages about shadows; `send` answers."""

    def __init__(
        self,
        send: Send,
        epoll: select.epoll,
        terminal: HomeTerminal | None,
        half: HomeHalf,
        hear_root: Callable[[], None],
    ) -> None:
        """`half` has the program's shadow, which is no child of a fork server's; `hear_root` sends
        the signals on that it has got."""
        self._hear_root = hear_root
        self._terminal = terminal
        self._half = half
        self._root = posix.getppid()
        job_groups.add(posix.getpgrp())
        self._send = send
        self._epoll = epoll
        self._fork_servers: list[ForkServer] = []
        """The first is in home's session, and makes the rows."""
        self._had = False
        self._asking: dict[int, tuple[ForkServer, ForkServer, int, int, int]] = {}
        """ask -> a fork server, and one that is to have this shadow of it; its group, session."""
        self._leaving: dict[int, tuple[ForkServer, int, int, int]] = {}
        """ask -> the fork server that waits until another has ended this shadow; its group,
        session."""
        self._moving: dict[int, int] = {}
        """ask -> the group that a shadow is about to be in."""
        self._lasting: set[int] = set()
        """Shadows of processes that were there for a while."""
        self._came: list[tuple[int, int]] = []
        """(shadow, signal) that the node has not heard of."""
        self._woken: set[int] = set()
        """Shadows that were stopped, and have said one of these: they go on."""

    # -- the node's messages -----------------------------------------------------------------

    def handlers(self) -> Handlers:
        """Who does what the node asks for."""
        return {
            "shadowmove": self._move,
            "shadownamed": self._name,
            "shadowsended": self._ended,
            "shadowstopped": self._stop,
            "shadowswanted": self._make,
        }

    def _stop(self, pid: int, stopped: bool) -> None:
        for fork_server in self._with(pid):
            fork_server.stop(pid, stopped)

    def begin(self) -> None:
        """The job begins: the first row is there before its program can fork."""
        most = soft_limit(resource.RLIMIT_NPROC)
        self._make(posix.getpgrp(), _ROW if most is None else min(_ROW, max(2, most // _SHARE)))

    def _make(self, group: int, count: int) -> None:
        if not self._had:
            self._had = True
            if not is_tight():
                self._start(lambda program, sock: spawn(program, sock.fileno()))
        full = sum(len(fork_server.shadows) for fork_server in self._fork_servers) >= _MOST
        if self._fork_servers and not self._fork_servers[0].session and not full:
            self._fork_servers[0].say(b"M", min(count, _AT_ONCE), group)
        else:
            self._send(["shadowsmade", group, []])

    def _start(self, start: Callable[[str, _socket.socket], int], session: int = 0) -> None:
        try:
            self._fork_servers.append(ForkServer(self._epoll, self._hear, start, session))
        except OSError:
            pass  # nobody has a shadow, or none in this session

    def _with(self, pid: int) -> list[ForkServer]:
        """The fork server that has this shadow, if one has."""
        return [fork_server for fork_server in self._fork_servers if pid in fork_server.shadows]

    def _ended(self, pids: list[int], sessions: Sequence[int] = ()) -> None:
        self._lasting.difference_update(pids)
        for fork_server in list(self._fork_servers):
            over = [pid for pid in pids if pid in fork_server.shadows]
            for pid in over:
                fork_server.forget(pid)
            over += [fork_server.anchors.pop(one) for one in sessions if one in fork_server.anchors]
            if over:
                fork_server.say(b"E", *over)

    def _move(self, ask: int, pid: int, group: int, session: int = 0) -> None:
        if not pid:
            self._moved(ask, self._give_terminal(group))
        elif pid == self._root:
            self._moved(ask, self._move_root(group))
        elif not (found := self._with(pid)):
            self._moved(ask, errno.ESRCH)
        elif not group:
            found[0].say(b"S", ask, pid)
        else:
            self._moving[ask] = group
            self._move_to(ask, pid, group, session, found[0])

    def _move_to(
        self, ask: int, pid: int, group: int, session: int, fork_server: ForkServer
    ) -> None:
        for other in self._fork_servers:
            anchor = other.anchor_of(session)
            if anchor is None or fork_server.sessions.get(pid) == session:
                continue
            if other is fork_server:
                fork_server.sessions[pid] = session
                fork_server.say(b"J", ask, pid, group, anchor)
            else:
                self._asking[ask] = fork_server, other, pid, group, session
                other.say(b"P", ask, pid)  # while it can see whose it is
            return
        fork_server.say(b"G", ask, pid, group)

    def _move_root(self, group: int) -> int:
        """The program itself moves; errno. Into a session (0): a fork server begins there."""
        if group or not self._fork_servers or not self._fork_servers[0].chooses:
            error = self._half.move(group)
        else:
            error = 0

            def start(program: str, sock: _socket.socket) -> int:
                nonlocal error
                error = self._half.move(0, program, sock)
                if error:
                    raise OSError(error, "no session")
                return 0  # no child of ours

            self._start(start, self._root)
        if not error:
            job_groups.add(group or self._root)
        return error

    def _moved(self, ask: int, error: int) -> None:
        group = self._moving.pop(ask, 0)
        if group and not error:
            job_groups.add(group)  # before the node hears of it: the terminal may be given to it
        self._send(["shadowmoved", ask, error])

    def _name(self, pid: int, name: Bytes, words: Bytes) -> None:
        """`words`: each with a NUL."""
        name, words = bytes(name), bytes(words)
        if pid == self._root:
            self._half.name(name, words)
        for fork_server in self._with(pid):
            self._lasting.add(pid)
            fork_server.say(b"N", pid, text=name[:15].ljust(16, b"\0") + words)

    def _give_terminal(self, group: int) -> int:
        """tcsetpgrp(3) for a process that may; errno. Not when another job has the terminal."""
        terminal = self._terminal
        if terminal is None:
            return errno.ENOTTY
        if group not in job_groups or not in_foreground(terminal.fd):
            return errno.EPERM
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGTTOU])
        try:
            posix.setpgid(0, group)
            posix.tcsetpgrp(terminal.fd, group)
        except OSError as error:
            return error.errno or errno.EIO
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        return 0

    # -- the fork servers' words ----------------------------------------------------------------

    def is_there(self) -> bool:
        """Whether processes that the program forked have shadows."""
        return bool(self._fork_servers)

    def read(self, fd: int) -> bool:
        """Tell the node what was said on this socket; False when it is none of ours."""
        for fork_server in self._fork_servers:
            if fork_server.fileno() == fd:
                fork_server.read()
                if self._came:
                    self._send_signals()
                return True
        return False

    def _send_signals(self) -> None:
        """The kernel sends a signal to all of a group before anybody acts; we one after the other.

        So that nobody sees his child die of it before he has got it himself: all are awaited, and
        the oldest get theirs first, of all the program.
        """
        groups, numbers = (
            {_group(pid) for pid, _ in self._came},
            {number for _, number in self._came} | {int(_signal.SIGCONT)},
        )
        others = self._woken.union(pid for pid in self._lasting if _group(pid) in groups)
        end = time.monotonic() + _SETTLE
        poll = select.poll()
        for fork_server in self._fork_servers:
            poll.register(fork_server, select.POLLIN)
        while any(_is_due(pid, numbers) for pid in others) and time.monotonic() < end:
            poll.poll(1)
            for fork_server in list(self._fork_servers):
                fork_server.read()
        if _group(self._root) in groups:
            self._hear_root()
        # A stop that came at once has taken the SIGCONT of some back (signal(7)).
        lost = [(pid, int(_signal.SIGCONT)) for pid in self._woken]
        came = [one for one in lost if one not in self._came] + self._came
        self._came, self._woken = [], set()
        for pid, number in sorted(came, key=lambda one: one[0]):
            self._send(["shadowsignal", pid, number])

    def _hear(self, fork_server: ForkServer, kind: str, words: list[int]) -> None:
        if kind == "m":
            fork_server.shadows.update(words[1:])
            self._send(["shadowsmade", *words[:1], words[1:]])
        elif kind == "s" and words[1] == _signal.SIGWINCH and self._terminal is not None:
            self._send(["resize", self._terminal.size()])  # the node's kernel tells who is to hear
        elif kind == "s":
            if words[0] in fork_server.halted:
                self._woken.add(words[0])
            if words[0] in fork_server.halted or words[1] == _signal.SIGCONT:
                fork_server.goes_on(words[0])
            self._came.append((words[0], words[1]))
        elif kind == "h":
            fork_server.halted.update({words[0]} & fork_server.stopped)
        elif kind == "a":
            self._answered(*words)
        elif kind == "r":
            session, anchor = words
            fork_server.anchors[session] = anchor
            fork_server.sessions[session] = session
        elif kind == "w":
            self._changed(fork_server, *words)
        elif kind == "c":
            fork_server.chooses = words[0] != 0
        elif kind == "":
            self._fork_servers.remove(fork_server)
            self._send(["shadowsmade", 0, []])

    def _answered(self, ask: int, error: int) -> None:
        if ask in self._asking:
            fork_server, to, number, in_group, in_session = self._asking.pop(ask)
            if error:
                self._moved(ask, error)
                return
            fork_server.forget(number)
            self._leaving[ask] = to, number, in_group, in_session
            fork_server.say(b"L", ask, number)
            return
        if ask not in self._leaving:
            self._moved(ask, error)
            return
        other, pid, group, session = self._leaving.pop(ask)
        other.shadows.add(pid)
        other.sessions[pid] = session
        other.say(b"J", ask, pid, group, other.anchor_of(session) or 0)

    def _changed(self, fork_server: ForkServer, pid: int, status: int) -> None:
        """Somebody has stopped or killed a child of the fork server's."""
        if posix.WIFSTOPPED(status) and pid in fork_server.anchors.values():
            fork_server.say(b"C", pid)
            return
        if posix.WIFSTOPPED(status):
            fork_server.stopped.add(pid)
            fork_server.halted.add(pid)
            self._half.look_now()  # the whole group may have been stopped
            self._came.append((pid, posix.WSTOPSIG(status)))
            return
        # None ends by itself.
        fork_server.forget(pid)
        for session in [one for one, anchor in fork_server.anchors.items() if anchor == pid]:
            del fork_server.anchors[session]
        self._came.append((pid, posix.WTERMSIG(status)))

    def end(self) -> None:
        """The job is over: nothing of ours is left when this returns."""
        fork_servers, self._fork_servers = self._fork_servers, []
        for fork_server in fork_servers:
            fork_server.end()


def _group(pid: int) -> int:
    """0: there is no such process."""
    try:
        return posix.getpgid(pid)
    except ProcessLookupError:
        return 0


def _is_due(pid: int, numbers: set[int]) -> bool:
    """Whether a shadow has one of these signals and has not said so yet."""
    try:
        fd = posix.open(f"/proc/{pid}/status", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        status = posix.read(fd, 4096)
    except OSError:
        return False
    finally:
        posix.close(fd)
    state = status.partition(b"\nState:\t")[2][:1]
    pending = int(status.partition(b"\nShdPnd:")[2].split(b"\n", 1)[0] or b"0", 16)
    if state == b"T":
        return False  # it says so when it goes on
    return state == b"R" or any(pending >> (number - 1) & 1 for number in numbers)

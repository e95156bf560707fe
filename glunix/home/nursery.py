"""Home's half of the shadows of a transparent job's processes (docs/shadows.md).

Owns the nursery, a small program (shadow.c) that is the parent of all shadows but the program's.
It is started with the job, because the first row of shadows must be there before the program can
fork; the kernel ends it with home's half, and the shadows with it.
"""

from __future__ import annotations

import _signal
import _socket
import errno
import os
import posix

from glunix.home.link import blob, integer
from glunix.home.shadowprogram import built
from glunix.home.sinks import in_foreground, job_groups
from glunix.home.wire import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable

    from glunix.home.shadow import Half
    from glunix.home.terminal import HomeTerminal

    Send = Callable[[list[object]], None]

_PACKET = 8192
_ROOM = b"." * 3200
"""Words of the nursery's command line: what a shadow can show."""

_AT_ONCE = 256

_ROW = 32


def _packed(kind: bytes, *words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little", signed=True) for word in (kind[0], *words))


def _unpacked(packet: bytes) -> list[int]:
    return [
        int.from_bytes(packet[at : at + 4], "little", signed=True)
        for at in range(0, len(packet), 4)
    ]


def _integers(value: Value) -> list[int]:
    return [integer(one) for one in value] if isinstance(value, list) else []


class Nursery:
    """Takes the node's messages about shadows; `send` answers."""

    def __init__(
        self,
        send: Send,
        epoll: select.epoll,
        terminal: HomeTerminal | None,
        half: Half,
    ) -> None:
        """`half` has the program's shadow, which is no child of the nursery's."""
        self._terminal = terminal
        self._half = half
        self._root = posix.getppid()
        job_groups.add(posix.getpgrp())
        self._send = send
        self._epoll = epoll
        self._sock: _socket.socket | None = None
        self._pid = 0
        self._shadows: set[int] = set()
        self._stopped: set[int] = set()
        """Shadows that are, by us or by others."""
        self._halted: set[int] = set()
        """Those of them that hear nothing before somebody at home continues them."""
        self._anchors: dict[int, int] = {}
        """Session that the job has made -> pid of who can fork shadows in it."""
        self._sessions: dict[int, int] = {}
        """Shadow -> its session, when it is one of these."""

    # -- the node's messages -----------------------------------------------------------------

    def take(self, tag: str, message: list[Value]) -> bool:
        """One message; False when it is not for us."""
        if tag == "shadowswanted":
            group, count = (integer(value) for value in message[1:3])
            self._make(group, count)
        elif tag == "shadowsended":
            self._ended(_integers(message[1]), _integers(message[2]))
        elif tag == "shadownamed":
            self._name(integer(message[1]), blob(message[2]), blob(message[3]))
        elif tag == "shadowstopped":
            self._stop(integer(message[1]), message[2] is True)
        elif tag == "shadowmove":
            self._move(*(integer(value) for value in message[1:5]))
        else:
            return False
        return True

    def begin(self) -> None:
        """The job begins: the first row is there before its program can fork."""
        self._make(posix.getpgrp(), _ROW)

    def _make(self, group: int, count: int) -> None:
        if self._sock is None and not self._start():
            self._send(["shadowsmade", group, []])
            return
        self._say(_packed(b"M", min(count, _AT_ONCE), group))

    def _ended(self, pids: list[int], sessions: list[int]) -> None:
        self._shadows.difference_update(pids)
        self._stopped.difference_update(pids)
        self._halted.difference_update(pids)
        for pid in pids:
            self._sessions.pop(pid, None)
        pids += [self._anchors.pop(session) for session in sessions if session in self._anchors]
        self._say(_packed(b"E", *pids))

    def _move(self, ask: int, pid: int, group: int, session: int) -> None:
        if not pid:
            self._send(["shadowmoved", ask, self._give_terminal(group)])
        elif pid == self._root:
            error = self._half.move(group)
            if not error:
                job_groups.add(group or pid)
            self._send(["shadowmoved", ask, error])
        elif self._sock is None:
            self._send(["shadowmoved", ask, errno.ESRCH])
        elif group:
            job_groups.add(group)
            anchor = self._anchors.get(session, 0)
            if anchor and self._sessions.get(pid) != session:
                self._sessions[pid] = session
                self._say(_packed(b"J", ask, pid, group, anchor))
            else:
                self._say(_packed(b"G", ask, pid, group))
        else:
            self._say(_packed(b"S", ask, pid))

    def _stop(self, pid: int, stops: bool) -> None:
        """A process was stopped or goes on, as the node saw: so does its shadow, if it did not."""
        if stops and pid in self._shadows - self._stopped:
            self._stopped.add(pid)
            self._say(_packed(b"H", pid))
        elif not stops and pid in self._stopped:
            self._stopped.discard(pid)
            self._halted.discard(pid)
            self._say(_packed(b"C", pid))

    def _name(self, pid: int, name: bytes, words: bytes) -> None:
        """`words`: each with a NUL."""
        if pid == self._root:
            self._half.name(name, words)
        else:
            self._say(_packed(b"N", pid) + name[:15].ljust(16, b"\0") + words)

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

    # -- the program -------------------------------------------------------------------------

    def _start(self) -> bool:
        program = built()
        if program is None or self._pid:
            return False
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        folder = posix.environ.get(b"GLUNIX_DIR")  # so that one sees whose they are
        around_it = {} if folder is None else {b"GLUNIX_DIR": folder}
        nothing = (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0)
        copies = [(posix.POSIX_SPAWN_DUP2, old, new) for old, new in ((0, 1), (0, 2))]
        around = [(posix.POSIX_SPAWN_DUP2, theirs.fileno(), 3), nothing, *copies]
        try:
            words, heard = [b"glurun: shadows", _ROOM], [_signal.SIGCHLD]
            self._pid = posix.posix_spawn(
                program, words, around_it, file_actions=around, setsigdef=heard
            )
        except OSError:
            ours.close()
            return False
        finally:
            theirs.close()
        ours.setblocking(False)
        self._sock = ours
        self._epoll.register(ours, 1)  # EPOLLIN
        return True

    def _say(self, packet: bytes) -> None:
        if self._sock is None:
            return
        try:
            self._sock.send(packet)
        except OSError:  # it was killed, or is stopped and hears nothing
            self._lost()

    def _lost(self) -> None:
        """Its shadows are gone, too."""
        if self._sock is None:
            return
        self._epoll.unregister(self._sock)
        self._sock.close()
        self._sock = None
        for known in (self._shadows, self._stopped, self._halted, self._anchors, self._sessions):
            known.clear()
        self._send(["shadowsmade", 0, []])

    def fileno(self) -> int:
        """As the startup's epoll knows it; -1 when there is none."""
        return -1 if self._sock is None else self._sock.fileno()

    def read(self) -> None:
        """Tell the node what shadows said."""
        while self._sock is not None:
            try:
                packet = self._sock.recv(_PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._lost()
                return
            self._hear(_unpacked(packet))

    def _hear(self, words: list[int]) -> None:
        kind, first, rest = chr(words[0]), words[1], words[2:]
        if kind == "m":
            self._shadows.update(rest)
            self._send(["shadowsmade", first, rest])
        elif kind == "s" and rest[0] == _signal.SIGWINCH and self._terminal is not None:
            self._send(["resize", self._terminal.size()])  # the node's kernel tells who is to hear
        elif kind == "s":
            if rest[0] == _signal.SIGCONT or first in self._halted:
                self._stopped.discard(first)
            if rest[0] != _signal.SIGCONT and first in self._halted:
                # It goes on, and a stop that came at once took the SIGCONT back (signal(7)).
                self._send(["shadowsignal", first, _signal.SIGCONT])
            self._halted.discard(first)
            self._send(["shadowsignal", first, rest[0]])
        elif kind == "h" and first in self._stopped:
            self._halted.add(first)
        elif kind == "a":
            self._send(["shadowmoved", first, rest[0]])
        elif kind == "r":
            self._anchors[first] = rest[0]
            self._sessions[first] = first
        elif kind == "w":
            self._changed(first, rest[0])

    def _changed(self, pid: int, status: int) -> None:
        """Somebody has stopped or killed a child of the nursery's."""
        if posix.WIFSTOPPED(status) and pid in self._anchors.values():
            self._say(_packed(b"C", pid))
            return
        if posix.WIFSTOPPED(status):
            self._stopped.add(pid)
            self._halted.add(pid)
            self._half.look_now()  # the whole group may have been stopped
            self._send(["shadowsignal", pid, posix.WSTOPSIG(status)])
            return
        # None ends by itself.
        self._shadows.discard(pid)
        self._stopped.discard(pid)
        for session in [one for one, anchor in self._anchors.items() if anchor == pid]:
            del self._anchors[session]
        self._send(["shadowsignal", pid, posix.WTERMSIG(status)])

    def end(self) -> None:
        """The job is over: nothing of ours is left when this returns."""
        if self._sock is None:
            return
        shadows = sorted({*self._shadows, *self._anchors.values()})
        self._sock.settimeout(1.0)
        for at in range(0, len(shadows), _AT_ONCE):
            try:
                self._sock.send(_packed(b"E", *shadows[at : at + _AT_ONCE]))
            except OSError:
                break
        self._epoll.unregister(self._sock)
        self._sock.close()
        self._sock = None
        posix.kill(self._pid, _signal.SIGCONT)  # it may have been stopped
        try:
            posix.waitpid(self._pid, 0)
        except ChildProcessError:
            pass  # the user ignores SIGCHLD: it was waited for by the kernel

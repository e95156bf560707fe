"""One fork server: a small program (forkserver.c), parent of shadows at home (docs/shadows.md).

Owns its process, its socket, and what is known of its children. The kernel ends the first one with
home's half; every fork server ends when its socket does, and its shadows with it.
"""

from __future__ import annotations

import _signal
import _socket
import os
import posix

from glunix.home.processes.forkserver_build import built

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable

_PACKET = 8192
_ROOM = b"." * 3200
"""Words of the fork server's command line: what a shadow can show."""

_AT_ONCE = 256

_END_SECONDS = 1.0
"""A fork server ends at once, unless somebody has stopped it."""


def _packed(kind: bytes, *words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little", signed=True) for word in (kind[0], *words))


def _unpacked(packet: bytes) -> list[int]:
    return [
        int.from_bytes(packet[at : at + 4], "little", signed=True)
        for at in range(0, len(packet), 4)
    ]


def spawn(program: str, sock: int) -> int:
    """Start a fork server, whose socket `sock` is; returns the pid of who watches it. OSError."""
    folder = posix.environ.get(b"GLUNIX_DIR")  # so that one sees whose they are
    around_it = {} if folder is None else {b"GLUNIX_DIR": folder}
    nothing = (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0)
    copies = [(posix.POSIX_SPAWN_DUP2, old, new) for old, new in ((0, 1), (0, 2))]
    around = [(posix.POSIX_SPAWN_DUP2, sock, 3), nothing, *copies]
    words, heard = [b"glurun: shadows", _ROOM], [_signal.SIGCHLD]
    return posix.posix_spawn(program, words, around_it, file_actions=around, setsigdef=heard)


class ForkServer:
    """`take` hears (kind, words) as forkserver.c says them; ("", []) is the end of it."""

    def __init__(
        self,
        epoll: select.epoll,
        take: Callable[[ForkServer, str, list[int]], None],
        start: Callable[[str, _socket.socket], int],
        session: int = 0,
    ) -> None:
        """`start` (program, its socket) starts it; OSError when there is none. `session` is the one
        in which it is, if the job has made that."""
        program = built()
        if program is None:
            raise FileNotFoundError("no program to be a shadow")
        self._epoll = epoll
        self._take = take
        self.session = session
        self.shadows: set[int] = set()
        self.stopped: set[int] = set()
        """Shadows that are, by us or by others."""
        self.halted: set[int] = set()
        """Those of them that hear nothing before somebody at home continues them."""
        self.anchors: dict[int, int] = {}
        """Session that the job has made -> pid of who can fork shadows in it."""
        self.sessions: dict[int, int] = {}
        """Shadow -> its session, when it is one of these."""
        self.chooses = False
        """Whether it may choose pids."""
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            self._pid = start(program, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._sock: _socket.socket | None = ours
        self._epoll.register(ours, 1)  # EPOLLIN

    def fileno(self) -> int:
        """As the startup's epoll knows it; -1 when it is gone."""
        return -1 if self._sock is None else self._sock.fileno()

    def anchor_of(self, session: int) -> int | None:
        """Who forks shadows in it: a pid, 0 for the fork server itself; None: nobody here."""
        return 0 if session and session == self.session else self.anchors.get(session)

    def say(self, kind: bytes, *words: int, text: bytes = b"") -> None:
        """One packet, as forkserver.c knows them."""
        if self._sock is None:
            return
        try:
            self._sock.send(_packed(kind, *words) + text)
        except OSError:  # it was killed, or is stopped and hears nothing
            self._lost()

    def stop(self, pid: int, stops: bool) -> None:
        """A process was stopped or goes on, as the node saw: so does its shadow, if it did not."""
        if stops and pid in self.shadows - self.stopped:
            self.stopped.add(pid)
            self.say(b"H", pid)
        elif not stops and pid in self.stopped:
            self.goes_on(pid)
            self.say(b"C", pid)

    def goes_on(self, pid: int) -> None:
        """A shadow is not stopped any more."""
        self.stopped.discard(pid)
        self.halted.discard(pid)

    def forget(self, pid: int) -> None:
        """It is no shadow of ours any more."""
        self.shadows.discard(pid)
        self.goes_on(pid)
        self.sessions.pop(pid, None)

    def read(self) -> None:
        """Hear what was said."""
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
            words = _unpacked(packet)
            self._take(self, chr(words[0]), words[1:])

    def _lost(self) -> None:
        """Its shadows are gone, too."""
        if self._sock is None:
            return
        self._epoll.unregister(self._sock)
        self._sock.close()
        self._sock = None
        for known in (self.shadows, self.stopped, self.halted, self.anchors, self.sessions):
            known.clear()
        self._take(self, "", [])

    def end(self) -> None:
        """Nothing of it is left when this returns."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        self._epoll.unregister(sock)
        sock.settimeout(_END_SECONDS)
        shadows = sorted({*self.shadows, *self.anchors.values()})
        try:
            for at in range(0, len(shadows), _AT_ONCE):
                sock.send(_packed(b"E", *shadows[at : at + _AT_ONCE]))
            sock.shutdown(_socket.SHUT_WR)
            if self._pid:
                posix.kill(self._pid, _signal.SIGCONT)  # it may have been stopped
                posix.waitpid(self._pid, 0)
            else:
                while sock.recv(_PACKET):
                    pass  # until nobody has the other end
        except OSError:
            pass  # it was killed. Or the user ignores SIGCHLD: it was waited for by the kernel
        sock.close()

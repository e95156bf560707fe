"""The startup of a transparent job divides in two (DESIGN 5.3).

The *shadow* is the process that the user's shell started and knows. It stands for the job's program
and does nothing else: signals that it gets are the program's, it stops, goes on and ends when the
program does. *Home's half* is its child, in the same process group and session: it has the user's
descriptors and serves the job as long as anything of it lives. So the shell hears of the program's
end at once though others live on, and SIGKILL of the shadow ends the program only, as at home.

The two speak in small packets. The shadow's signals go to the half through the pipe
that both have (glunix.home.signals).
"""

from __future__ import annotations

import _signal
import _socket
import errno
import os
import posix

from glunix.home.jobspec import is_tight
from glunix.home.processes import lifecycle
from glunix.home.processes.lifecycle import HomeLife
from glunix.home.signals import Signals, die_of, stop_self
from glunix.home.sinks import to_nowhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.processes.title import Title

    Performers = dict[str, Callable[..., object]]
    """Effect of glunix.home.processes.lifecycle -> what performs it."""

_CATCH, _STOP, _EXIT, _DIE, _MOVE, _SETTLE, _NAME = b"C", b"S", b"E", b"K", b"G", b"?", b"N"
_NAME_MAX = 15
"""Bytes of a process's name (proc(5), comm)."""
_ANSWER_SECONDS = 0.5
"""It answers at once, unless somebody has stopped it."""
_BEGIN_SECONDS = 2.0
"""It has to start a program first."""
_TRIES = (0.02, 0.1, 0.5, 0.5)
"""Seconds to wait for it after each SIGCONT of ours: it may not have stopped yet."""
_TITLE = b"glurun: home's half of a job"


class HomeHalf:
    """What home's half has of its shadow: packets, SIGCONT, and what /proc shows of it. When which
    of them is due `life` decides; its effects of the shadow are performed here."""

    def __init__(self, sock: _socket.socket, signals: Signals) -> None:
        self._sock = sock
        self.signals = signals
        self.life = HomeLife()
        self._shadow = posix.getppid()
        self.parent = 0
        """The process that started the shadow."""

    def fileno(self) -> int:
        """For poll, until we are alone: readable when the shadow was killed."""
        return self._sock.fileno()

    def performers(self) -> Performers:
        """What performs the effects of the shadow."""
        return {
            lifecycle.EXIT: posix._exit,
            lifecycle.GO_ALONE: self._go_on_alone,
            lifecycle.STOP_SHADOW: lambda number: self._send(_STOP + bytes((number,))),
            lifecycle.TELL_END: self._tell_end,
            lifecycle.WAKE_AGAIN: self._continue,
            lifecycle.WAKE_SHADOW: self._wake,
        }

    def catch(self) -> None:
        """From now on signals are the program's."""
        self.signals.overhear()
        self._send(_CATCH)
        # Waited for, or who sees the program's first words could signal it too early.
        self._answer(_CATCH, None)

    def _wake(self) -> None:
        for seconds in _TRIES:
            if not self.life.unanswered or not self._is_there():
                break
            posix.kill(self._shadow, _signal.SIGCONT)
            self._hear(self._answer(_STOP, seconds))

    def _continue(self) -> None:
        if self._is_there():
            posix.kill(self._shadow, _signal.SIGCONT)

    def _is_there(self) -> bool:
        """Whether it was not killed."""
        return posix.getppid() == self._shadow

    def is_halted(self) -> bool:
        """Whether it is stopped, whatever stopped it."""
        return self._state() == b"T"

    def look_now(self) -> None:
        """It may just have been stopped."""
        self.life.handle((lifecycle.SUSPECT,), 0.0)

    def _state(self) -> bytes:
        """As proc(5) has it."""
        try:
            fd = posix.open(f"/proc/{self._shadow}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return posix.read(fd, 1024).rpartition(b")")[2][1:2]
        except OSError:
            return b""
        finally:
            posix.close(fd)

    def move(self, group: int, program: str = "", fork_server: _socket.socket | None = None) -> int:
        """The shadow does setpgid (0: setsid); returns its errno. In a session that it has made it
        starts `program`, whose socket `nursery` is. For glunix.home.processes.shadows."""
        if self.life.is_alone:
            return errno.ESRCH
        fds = b"" if fork_server is None else fork_server.fileno().to_bytes(4, "little")
        around = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)] if fds else []
        try:
            words = _MOVE + group.to_bytes(4, "little") + program.encode(errors="surrogateescape")
            self._sock.sendmsg([words], around)
        except OSError:
            pass  # it was killed: no answer tells
        answer = self._answer(_MOVE, _BEGIN_SECONDS if program else _ANSWER_SECONDS)
        return answer[1] if answer else errno.ESRCH

    def name(self, name: bytes, words: bytes) -> None:
        """The program is called so, and has these words: ps at home shows them."""
        if not self.life.is_alone:
            self._send(_NAME + name[:_NAME_MAX].ljust(_NAME_MAX, b"\0") + words)

    def settled(self) -> list[int]:
        """The signals that it has got until now.

        They were sent before what we have just seen: the kernel hands them over first.
        """
        if not self.life.is_alone and not self.is_halted():
            self._send(_SETTLE)
            self._answer(_SETTLE, _ANSWER_SECONDS)
        return self.signals.read()

    def _answer(self, kind: bytes, seconds: float | None) -> bytes:
        """Its answer to `kind`; empty when it was killed, or is stopped for so many seconds."""
        self._sock.settimeout(seconds)
        try:
            while (answer := self._sock.recv(2)) and answer[:1] != kind:
                self._hear(answer)  # late, from when it was stopped
        except OSError:
            return b""
        finally:
            self._sock.setblocking(True)
        return answer

    def is_gone(self) -> bool:
        """`fileno` is readable: was it killed? Else it has answered."""
        return not self.take_answers()

    def take_answers(self) -> bool:
        """Take the answers that have come; False when there will be no more: it was killed."""
        while True:
            try:
                answer = self._sock.recv(2, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                continue  # it was killed before it heard us; once (unix(7))
            if not answer:
                return False
            self._hear(answer)

    def _hear(self, answer: bytes) -> None:
        if answer[:1] == _STOP:
            self.life.handle((lifecycle.ANSWERED,), 0.0)

    def end(self, status: int, killed_by: int) -> None:
        """This process ends, and so does the shadow then, if it has not been told before."""
        performers = self.performers()
        for name, *given in self.life.handle((lifecycle.END, status, killed_by), 0.0):
            performers[name](*given)

    def _tell_end(self, status: int, killed_by: int, alone: bool) -> None:
        """The shadow ends so. Unless we go on `alone` it waits for our end first."""
        self._send((_DIE if killed_by else _EXIT) + bytes((killed_by or status, not alone)))

    def _go_on_alone(self) -> None:
        """There is no shadow any more: signals of its group are ours to hear."""
        self._sock.close()
        self.signals.listen()

    def _send(self, words: bytes) -> None:
        try:
            self._sock.send(words)
        except OSError:
            pass  # it was killed: poll tells


def split_startup() -> HomeHalf:
    """Fork home's half, and return in it; this process is the shadow and never returns."""
    signals = Signals()
    shadow_end, half_end = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    parent = posix.getppid()
    half = posix.fork()
    if half:
        half_end.close()
        _stand(shadow_end, signals, half)
    shadow_end.close()
    if is_tight():
        signals.leave()
    from glunix.home.processes.title import overwrite

    overwrite(_TITLE)
    found = HomeHalf(half_end, signals)
    found.parent = parent
    return found


def _stand(sock: _socket.socket, signals: Signals, half: int) -> None:
    """Be the shadow. Holds none of the user's descriptors: their readers wait for the half only."""
    to_nowhere(0, 1, 2)
    keep = sorted((sock.fileno(), *signals.fds))
    for low, high in zip([2, *keep], [*keep, 1 << 20], strict=True):
        posix.closerange(low + 1, high)

    def answer(words: bytes) -> None:
        try:
            sock.send(words)
        except OSError:
            pass  # it goes on alone, and what it has said before is still to be read

    from glunix.home.processes.root_signals import RootSignals  # while the half goes on

    root_signals = RootSignals(sock, signals.fds[1], half)
    title: Title | None = None
    while True:
        words, fds = root_signals.packet()
        if not words:
            _await(half)  # or it would be an orphan of ours
            die_of(_signal.SIGKILL)  # without the half there is no job
        kind, number = words[:1], words[1] if words[1:] else 0
        if kind == _CATCH:
            root_signals.catch()
            answer(_CATCH)
        elif kind == _STOP:
            if number:
                stop_self(number)
            answer(_STOP)
        elif kind == _SETTLE:
            answer(_SETTLE)
        elif kind == _NAME:
            if title is None:
                from glunix.home.processes.title import Title

                title = Title()
            title.show(words[1 : 1 + _NAME_MAX].rstrip(b"\0"), words[1 + _NAME_MAX :])
        elif kind == _MOVE:
            group, program = int.from_bytes(words[1:5], "little"), words[5:]
            answer(_MOVE + bytes((_move(group, program, fds),)))
        else:
            if words[2]:
                _await(half)  # the user's descriptors are closed when we have ended
            if kind == _DIE:
                die_of(number)
            posix._exit(number)


def _await(child: int) -> None:
    try:
        posix.waitpid(child, 0)
    except ChildProcessError:
        pass  # the user ignores SIGCHLD: the kernel has waited for it


def _move(group: int, program: bytes, fds: list[int]) -> int:
    try:
        if group:
            posix.setpgid(0, group)
        else:
            posix.setsid()
        if program and fds:
            from glunix.home.processes.forkserver import spawn

            spawn(os.fsdecode(program), fds[0])
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        for fd in fds:
            posix.close(fd)
    return 0

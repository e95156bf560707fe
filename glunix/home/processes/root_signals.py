"""How the shadow of a transparent job's program hears: packets of home's half, and signals.

Owns the shadow's signal mask. Signals are blocked and taken one by one, so they are passed on in
the order in which the kernel has them. Handlers would interrupt each other, and the last to come
be the first to be told: SIGCONT with SIGTTIN right behind it would be a job that goes on.
"""

from __future__ import annotations

import _signal
import _socket
import fcntl
import posix

from glunix.home.signals import FORWARDED, OWN, sent_by_others

_PACKET = 4096
_PYTHONS = (_signal.SIGPIPE, _signal.SIGXFSZ)
"""Python ignores these for itself, whatever the program is to do."""
_ENDING = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)


class RootSignals:
    """`pipe` takes the numbers of signals that come, from `catch` on."""

    def __init__(self, sock: _socket.socket, pipe: int, half: int) -> None:
        """`half`: our child that reads the pipe."""
        self._half = half
        self._sock = sock
        self._pipe = pipe
        self._forwarded: set[int] = set()
        self._awaited: set[int] = set()

    def catch(self) -> None:
        """From now on signals are told; what was ignored stays ignored."""
        ignored = _signal.SIG_IGN
        self._forwarded = {
            one
            for one in (*FORWARDED, *OWN)
            if one in _PYTHONS or _signal.getsignal(one) != ignored
        }
        self._awaited = {*self._forwarded, _signal.SIGIO}
        _signal.pthread_sigmask(_signal.SIG_BLOCK, self._awaited)
        fcntl.fcntl(self._sock, fcntl.F_SETOWN, posix.getpid())
        fcntl.fcntl(self._sock, fcntl.F_SETFL, posix.O_ASYNC)  # SIGIO when a packet comes

    def packet(self) -> tuple[bytes, list[int]]:
        """Wait for the next one, and the descriptor that came along, if any; empty when the other
        end is gone. All signals that came before have been told.
        """
        flags = _socket.MSG_DONTWAIT if self._awaited else 0
        while True:
            try:
                packet, more, _, _ = self._sock.recvmsg(_PACKET, _socket.CMSG_LEN(4), flags)
            except ConnectionResetError:
                continue  # it closed before it heard us; once (unix(7))
            except BlockingIOError:
                self._tell(_signal.sigwaitinfo(self._awaited))
                continue
            while self._awaited and (info := _signal.sigtimedwait(self._awaited, 0)) is not None:
                self._tell(info)
            return packet, [int.from_bytes(data[:4], "little") for _, _, data in more]

    def _tell(self, info: _signal.struct_siginfo) -> None:
        ours = info.si_signo == _signal.SIGIO and info.si_code > 0
        if info.si_signo in OWN:
            ours = not sent_by_others(info)
        if info.si_signo in self._forwarded and not ours:
            try:
                posix.write(self._pipe, bytes((info.si_signo,)))
            except BlockingIOError:
                pass  # 65536 wait to be read
            if info.si_signo in _ENDING:  # it may have been stopped, which it is not to be alone
                posix.kill(self._half, _signal.SIGCONT)

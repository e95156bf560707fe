"""The agent's own process, in a job's PID namespace: what only somebody there can do.

Owns the numbers that the kernel has given, and who of them lives, is stopped, or has ended. Speaks
with the supervisor (glunix.node.processes.agent) in packets: a byte that says what, then numbers.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import NoReturn

from glunix.msg.shadows import SHADOWS_MAX, WORDS_MAX
from glunix.node.spawn.fork import close_others
from slic.kernel.pidfd import PIDFD_THREAD, status_fields
from slic.kernel.prctl import set_parent_death_signal

PACKET = 8192
_ZOMBIES = 0.02
"""Seconds between looks at who has ended and was not waited for: some kernels tell nobody."""

_LOOK_FIRST, _LOOK_LAST = 0.005, 0.25
"""Seconds until it is looked who is stopped, after something that may have stopped somebody; each
further one waits twice as long. The kernel tells of a stop nobody but the parent."""

_LOOK_SHARE = 50
"""Looking takes one in so many seconds at most."""

_OF_A_TERMINAL = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH,
}  # fmt: skip
"""What a terminal, or the shell on it, sends to whomever is in a group: home does not say why a
shadow got it."""

_STOPS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT}

LAST_PID = "/proc/sys/kernel/ns_last_pid"
JUMP, LAST, SWEEP, NAME, KILL, LOOK, STOP, WATCH = b"JLSNKOTW"
ENDED, NAMED, STATE = b"ent"


def packed(kind: int, *numbers: int) -> bytes:
    """A packet."""
    return struct.pack(f"=B{len(numbers)}i", kind, *numbers)


def unpacked(packet: bytes) -> tuple[int, ...]:
    """The numbers of one."""
    return struct.unpack(f"={len(packet) // 4}i", packet[1:])


class AgentProcess:
    """In the agent's own process. Ends with the supervisor, and with the namespace."""

    def __init__(
        self, run: range, asks: socket.socket, news: socket.socket, owner: int = 0
    ) -> None:
        """`owner`: uid of the job's owner; 0: it may signal all of the job."""
        self._owner = owner
        self._asks = asks
        self._news = news
        self._run = run
        self._seen = run[0] - 1
        """The last number of the row that was looked at."""
        self._new: list[int] = []
        """Numbers of earlier rows that were not looked at."""
        self._alive: dict[int, int] = {}
        """pidfd -> number."""
        self._zombies: dict[int, int] = {}
        """The same of who has ended and was not waited for."""
        self._own = 0
        self._epoll = select.epoll()
        self._todo: dict[int, Callable[..., None]] = {
            JUMP: self._jump,
            LAST: self._tell_last,
            SWEEP: self._sweep,
            NAME: self._tell_name,
            KILL: self._kill,
            LOOK: self._look_soon,
            STOP: self._is_stopped_now,
            WATCH: self._watch,
        }
        self._processes: set[int] = set()
        """Who of the living is no thread of another."""
        self._stopped: set[int] = set()
        """Who of them is stopped, as far as we have told."""
        self._wait = _LOOK_LAST
        self._next_look = 0.0

    def serve(self) -> NoReturn:
        set_parent_death_signal(signal.SIGKILL)
        close_others({self._asks.fileno(), self._news.fileno(), self._epoll.fileno()})
        self._last_pid = os.open(LAST_PID, os.O_RDWR | os.O_CLOEXEC)
        self._proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        self._epoll.register(self._asks, select.EPOLLIN)
        self._own = os.getpid()
        self._asks.send(packed(0, self._own))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the supervisor is gone
            while True:
                self._turn()
        os._exit(0)

    def _turn(self) -> None:
        ended = []
        for fd, events in self._epoll.poll(self._patience()):
            if fd == self._asks.fileno():
                self._take()
            else:
                self._has_ended(fd, events)
        for fd, number in list(self._zombies.items()):
            if not _is_there(number):
                del self._zombies[fd]
                self._epoll.unregister(fd)
                os.close(fd)
                ended.append(number)
        self._tell(ENDED, ended)
        if self._processes and time.monotonic() >= self._next_look:
            self._look()

    def _patience(self) -> float | None:
        waits = [_ZOMBIES] if self._zombies else []
        if self._processes:
            waits.append(max(0.0, self._next_look - time.monotonic()))
        return min(waits, default=None)

    def _take(self) -> None:
        packet = self._asks.recv(PACKET)
        if not packet:
            os._exit(0)
        self._todo[packet[0]](*unpacked(packet))

    def _tell(self, kind: int, numbers: list[int]) -> None:
        if numbers:
            self._news.send(packed(kind, *numbers))

    def _last(self) -> int:
        return int(os.pread(self._last_pid, 16, 0))

    def _tell_last(self) -> None:
        self._asks.send(packed(0, self._last()))

    def _jump(self, first: int, size: int) -> None:
        last, error = self._last(), 0
        try:
            os.pwrite(self._last_pid, str(first - 1).encode(), 0)
        except OSError as failed:
            error = failed.errno or errno.EIO
        self._note(last)
        self._run = range(first, first + size)
        self._seen = first - 1
        self._asks.send(packed(0, last, error))

    def _note(self, last: int) -> None:
        """These of the row have been given: look at them."""
        last = min(last, self._run[-1])
        self._new += range(self._seen + 1, last + 1)
        self._seen = max(self._seen, last)

    def _watch(self, *numbers: int) -> None:
        """These came from another node (glunix.node.migration.migrating)."""
        self._new += numbers
        self._sweep()
        self._look_soon()

    def _sweep(self) -> None:
        self._note(self._last())
        new, self._new = self._new, []
        gone = []
        for number in new:
            if number == self._own:
                continue
            try:
                fd, is_thread = _watched(number)
            except ProcessLookupError:
                gone.append(number)
                continue
            self._alive[fd] = number
            if not is_thread:
                self._processes.add(number)
            self._epoll.register(fd, select.EPOLLIN)
            self._tell_name(number)
        for at in range(0, len(gone), SHADOWS_MAX):
            self._tell(ENDED, gone[at : at + SHADOWS_MAX])

    def _has_ended(self, fd: int, events: int) -> None:
        if fd in self._alive:
            number = self._zombies[fd] = self._alive.pop(fd)
            self._processes.discard(number)
            self._stopped.discard(number)
            self._epoll.modify(fd, 0)  # newer kernels tell when it was waited for (EPOLLHUP)

    def _tell_name(self, number: int) -> None:
        try:
            name = self._read(number, "comm", 64).rstrip(b"\n").replace(b"\n", b" ")
            words = self._read(number, "cmdline", WORDS_MAX)
        except OSError:
            return
        self._news.send(packed(NAMED, number) + name + b"\n" + words)

    def _kill(self, number: int, signal_number: int) -> None:
        try:
            if number == self._own:  # which is of the row, too
                raise ProcessLookupError
            fd = os.pidfd_open(number)  # not of a thread: its process has a shadow of its own
            try:
                if signal_number in _OF_A_TERMINAL or self._may_signal(number):
                    signal.pidfd_send_signal(fd, signal_number)
            finally:
                os.close(fd)
        except OSError:  # it has ended, or was never there: then its shadow is not to be stopped
            if signal_number in _STOPS:
                self._tell(STATE, [number, False])
        else:
            if signal_number in _STOPS:
                self._sweep()
                self._look_soon()

    def _may_signal(self, number: int) -> bool:
        """Whether the owner could do it (kill(2)): a setuid program is another user's."""
        if not self._owner:
            return True
        real, _, saved, _ = status_fields(number)["Uid"].split()
        return self._owner in (int(real), int(saved))

    # -- who is stopped ------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._wait = _LOOK_FIRST
        self._next_look = time.monotonic() + self._wait

    def _is_stopped_now(self, number: int) -> None:
        """An engine that traces knows better: its processes seem to be traced, not stopped."""
        if number in self._processes and number not in self._stopped:
            self._stopped.add(number)
            self._tell(STATE, [number, True])
        self._look_soon()

    def _look(self) -> None:
        began = time.monotonic()
        self._sweep()  # one who was stopped before his first act has not been told of
        for number in self._processes:
            try:
                state = self._read(number, "stat", 512).rpartition(b")")[2][1:2]
            except OSError:
                continue  # it has just ended
            if number in self._stopped and state not in b"Tt":
                self._stopped.discard(number)
            elif number not in self._stopped and state == b"T":
                self._stopped.add(number)
            else:
                continue
            self._tell(STATE, [number, number in self._stopped])
        now = time.monotonic()
        self._wait = min(_LOOK_LAST, 2 * self._wait)
        self._next_look = now + max(self._wait, _LOOK_SHARE * (now - began))

    def _read(self, number: int, name: str, size: int) -> bytes:
        """From the job's own /proc."""
        fd = os.open(f"{number}/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return os.read(fd, size)
        finally:
            os.close(fd)


def _watched(number: int) -> tuple[int, bool]:
    """A pidfd of a process or a thread, and whether it is the latter."""
    try:
        return os.pidfd_open(number), False
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # before and since Linux 6.16
            raise
    return os.pidfd_open(number, PIDFD_THREAD), True


def _is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True

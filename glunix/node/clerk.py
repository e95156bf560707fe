"""The clerk: a helper inside a job's PID namespace, for what can only be done there.

It writes ns_last_pid (which acts on the writer's own namespace, whichever /proc it is opened
through, proc(5)), kills by the job's own numbers, and watches who has ended (pidfd_open(2)). Forked
by the supervisor when the job makes its first process. Numbers are those of the namespace.
"""

import errno
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from glunix.msg.shadows import WORDS_MAX
from glunix.node.spawn import close_others, fork_child
from slic.kernel.libc import SYS_SETNS, syscall
from slic.kernel.prctl import CLONE_NEWPID, set_parent_death_signal

ANSWER_SECONDS = 5.0
IN_FLIGHT = 0.002
"""Seconds that a clone which was let go may take until the kernel gives it a number."""

_PACKET = 8192
_ZOMBIES = 0.02
"""Seconds between looks at who has ended and was not waited for: some kernels tell nobody."""

LAST_PID = "/proc/sys/kernel/ns_last_pid"
_JUMP, _WATCH, _NAME, _KILL = b"JWNK"
_ENDED, _UNBORN, _NAMED = b"eun"


class ClerkGone(Exception):
    """It was killed, or cannot work."""


class Ended(NamedTuple):
    """Nobody has these numbers any more."""

    numbers: list[int]


class Unborn(NamedTuple):
    """Nobody has had these numbers yet."""

    numbers: list[int]


class Named(NamedTuple):
    """What a process is called, and its command line, as proc(5) has them."""

    number: int
    name: bytes
    words: bytes


News = Ended | Unborn | Named


def _packed(kind: int, *numbers: int) -> bytes:
    return struct.pack(f"=B{len(numbers)}i", kind, *numbers)


def _unpacked(packet: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(packet) // 4}i", packet[1:])


class Clerk:
    """The supervisor's side. `init` is the namespace's, as a pid of the node."""

    def __init__(self, init: int) -> None:
        """OSError when it cannot be forked."""
        self._asks, asks = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._news, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(f"/proc/{init}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscall(SYS_SETNS, inside, CLONE_NEWPID)  # for the child; we stay where we are
            self.pid = fork_child(lambda: _Inside(init, asks, news).serve())
        finally:
            syscall(SYS_SETNS, own, CLONE_NEWPID)
            for fd in (own, inside):
                os.close(fd)
            asks.close()
            news.close()
        self._asks.settimeout(ANSWER_SECONDS)
        self._news.setblocking(False)
        (self.number,) = self._answer()

    def fileno(self) -> int:
        """Readable when there is news."""
        return self._news.fileno()

    def jump(self, first: int, size: int, expected: int) -> int:
        """The next `size` numbers that the kernel gives are `first` and those after it.

        Waits a moment for clones under way: the last number given should be `expected` (0: any).
        Returns the last number that was given before.
        """
        self._ask(_packed(_JUMP, first, size, expected))
        last, error = self._answer()
        if error:
            raise ClerkGone(f"pid {first} cannot be chosen: {os.strerror(error)}")
        return last

    def watch(self, numbers: list[int]) -> None:
        """Tell about these: their names, and when they have ended, once."""
        self._ask(_packed(_WATCH, *numbers))

    def name(self, number: int) -> None:
        """Tell its name again."""
        self._ask(_packed(_NAME, number))

    def kill(self, number: int, signal_number: int) -> None:
        """Send one process a signal."""
        self._ask(_packed(_KILL, number, signal_number))

    def read(self) -> list[News]:
        """What it has told."""
        found: list[News] = []
        while True:
            try:
                packet = self._news.recv(_PACKET)
            except BlockingIOError:
                return found
            except OSError as error:
                raise ClerkGone(str(error)) from None
            if not packet:
                raise ClerkGone("it was killed")
            found.append(_news_of(packet))

    def close(self) -> None:
        """End it; waits, since the namespace's init would."""
        self._asks.close()
        self._news.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # it has been

    def _ask(self, packet: bytes) -> None:
        try:
            self._asks.send(packet)
        except OSError as error:
            raise ClerkGone(str(error)) from None

    def _answer(self) -> tuple[int, ...]:
        try:
            packet = self._asks.recv(_PACKET)
        except OSError as error:
            raise ClerkGone(f"no answer: {error}") from None
        if not packet:
            raise ClerkGone("it was killed")
        return _unpacked(packet)


def _news_of(packet: bytes) -> News:
    if packet[0] == _NAMED:
        (number,) = struct.unpack_from("=i", packet, 1)
        name, _, words = packet[5:].partition(b"\n")
        return Named(number, name, words)
    numbers = list(_unpacked(packet))
    return Ended(numbers) if packet[0] == _ENDED else Unborn(numbers)


class _Inside:
    """In the clerk's own process. Ends with the supervisor, and with the namespace."""

    def __init__(self, init: int, asks: socket.socket, news: socket.socket) -> None:
        self._init = init
        self._asks = asks
        self._news = news
        self._run = range(0)
        self._alive: dict[int, int] = {}
        """pidfd -> number."""
        self._zombies: dict[int, int] = {}
        """The same of who has ended and was not waited for."""
        self._epoll = select.epoll()
        self._todo: dict[int, Callable[..., None]] = {
            _JUMP: self._jump,
            _WATCH: self._watch,
            _NAME: self._tell_name,
            _KILL: self._kill,
        }

    def serve(self) -> NoReturn:
        set_parent_death_signal(signal.SIGKILL)
        close_others({self._asks.fileno(), self._news.fileno(), self._epoll.fileno()})
        self._last_pid = os.open(LAST_PID, os.O_RDWR | os.O_CLOEXEC)
        self._epoll.register(self._asks, select.EPOLLIN)
        self._asks.send(_packed(0, os.getpid()))
        while True:
            ended = []
            for fd, events in self._epoll.poll(_ZOMBIES if self._zombies else None):
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
            self._tell(_ENDED, ended)

    def _take(self) -> None:
        packet = self._asks.recv(_PACKET)
        if not packet:
            os._exit(0)
        self._todo[packet[0]](*_unpacked(packet))

    def _tell(self, kind: int, numbers: list[int]) -> None:
        if numbers:
            self._news.send(_packed(kind, *numbers))

    def _last(self) -> int:
        return int(os.pread(self._last_pid, 16, 0))

    def _jump(self, first: int, size: int, expected: int) -> None:
        end = time.monotonic() + IN_FLIGHT
        while (last := self._last()) != expected and expected and time.monotonic() < end:
            os.sched_yield()
        error = 0
        try:
            os.pwrite(self._last_pid, str(first - 1).encode(), 0)
        except OSError as failed:
            error = failed.errno or errno.EIO
        self._run = range(first, first + size)
        self._asks.send(_packed(0, last, error))

    def _watch(self, *numbers: int) -> None:
        last = self._last()
        gone, unborn = [], []
        for number in numbers:
            if number in self._run and number > last:
                unborn.append(number)
                continue
            try:
                fd = os.pidfd_open(number)
            except ProcessLookupError:
                gone.append(number)
                continue
            except OSError:  # EINVAL: a thread, which has taken the number of a process
                unborn.append(number)
                continue
            self._alive[fd] = number
            self._epoll.register(fd, select.EPOLLIN)
            self._tell_name(number)
        self._tell(_ENDED, gone)
        self._tell(_UNBORN, unborn)

    def _has_ended(self, fd: int, events: int) -> None:
        if fd in self._alive:
            self._zombies[fd] = self._alive.pop(fd)
            self._epoll.modify(fd, 0)  # newer kernels tell when it was waited for (EPOLLHUP)

    def _tell_name(self, number: int) -> None:
        place = f"/proc/{self._init}/root/proc/{number}"
        try:
            with open(f"{place}/comm", "rb") as file:
                name = file.read().rstrip(b"\n").replace(b"\n", b" ")
            with open(f"{place}/cmdline", "rb") as file:
                words = file.read(WORDS_MAX)
        except OSError:
            return
        self._news.send(_packed(_NAMED, number) + name + b"\n" + words)

    def _kill(self, number: int, signal_number: int) -> None:
        try:
            os.kill(number, signal_number)
        except OSError:
            pass  # it has ended


def _is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True

"""The clerk: a helper inside a job's PID namespace, for what can only be done there.

It writes ns_last_pid (which acts on the writer's own namespace, whichever /proc it is opened
through, proc(5)), kills by the job's own numbers, and watches who has ended (pidfd_open(2)). Forked
by the supervisor when the job makes its first process. Numbers are those of the namespace.
"""

import os
import signal
import socket
import struct
from typing import NamedTuple

from glunix.node.clerkinside import (
    JUMP,
    KILL,
    LAST,
    LOOK,
    NAME,
    NAMED,
    PACKET,
    STATE,
    STOP,
    SWEEP,
    Inside,
    packed,
    unpacked,
)
from glunix.node.spawn import fork_child
from slic.kernel.libc import SYS_SETNS, syscall
from slic.kernel.prctl import CLONE_NEWPID

ANSWER_SECONDS = 5.0


class ClerkGone(Exception):
    """It was killed, or cannot work."""


class Ended(NamedTuple):
    """Nobody has these numbers any more."""

    numbers: list[int]


class Named(NamedTuple):
    """What a process is called, and its command line, as proc(5) has them."""

    number: int
    name: bytes
    words: bytes


class Stopped(NamedTuple):
    """A process was stopped, or goes on."""

    number: int
    is_stopped: bool


News = Ended | Named | Stopped


class Clerk:
    """The supervisor's side. `init` is the namespace's, as a pid of the node; `run` is the row of
    numbers that the kernel is in."""

    def __init__(self, init: int, run: range) -> None:
        """OSError when it cannot be forked."""
        self._asks, asks = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._news, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(f"/proc/{init}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscall(SYS_SETNS, inside, CLONE_NEWPID)  # for the child; we stay where we are
            self.pid = fork_child(lambda: Inside(init, run, asks, news).serve())
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

    def last(self) -> int:
        """The last number that the kernel has given."""
        self._ask(packed(LAST))
        return self._answer()[0]

    def jump(self, first: int, size: int) -> int:
        """The next `size` numbers that the kernel gives are `first` and those after it.

        Returns the last number that was given before.
        """
        self._ask(packed(JUMP, first, size))
        last, error = self._answer()
        if error:
            raise ClerkGone(f"pid {first} cannot be chosen: {os.strerror(error)}")
        return last

    def sweep(self) -> None:
        """Look who has come: tell their names, and when they have ended, once."""
        self._ask(packed(SWEEP))

    def name(self, number: int) -> None:
        """Tell its name again."""
        self._ask(packed(NAME, number))

    def kill(self, number: int, signal_number: int) -> None:
        """Send one process a signal."""
        self._ask(packed(KILL, number, signal_number))

    def look(self) -> None:
        """Somebody may have been stopped, or may go on: look soon."""
        self._ask(packed(LOOK))

    def stopped(self, number: int) -> None:
        """This one was, as an engine says."""
        self._ask(packed(STOP, number))

    def read(self) -> list[News]:
        """What it has told."""
        found: list[News] = []
        while True:
            try:
                packet = self._news.recv(PACKET)
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
            packet = self._asks.recv(PACKET)
        except OSError as error:
            raise ClerkGone(f"no answer: {error}") from None
        if not packet:
            raise ClerkGone("it was killed")
        return unpacked(packet)


def _news_of(packet: bytes) -> News:
    if packet[0] == NAMED:
        (number,) = struct.unpack_from("=i", packet, 1)
        name, _, words = packet[5:].partition(b"\n")
        return Named(number, name, words)
    if packet[0] == STATE:
        number, state = unpacked(packet)
        return Stopped(number, bool(state))
    return Ended(list(unpacked(packet)))

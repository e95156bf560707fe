"""The agent: a helper inside a job's PID namespace, for what can only be done there.

It writes ns_last_pid (which acts on the writer's own namespace, whichever /proc it is opened
through, proc(5)), kills by the job's own numbers, and watches who has ended (pidfd_open(2)). Forked
by the namespace's init, at the supervisor's order, when the job makes its first process: it has the
init's two capabilities (glunix.node.privilege), and is asked for numbers only. Numbers are those of
the namespace.
"""

import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from glunix.node.processes.agent_process import (
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
    WATCH,
    packed,
    unpacked,
)

ANSWER_SECONDS = 5.0
AT_ONCE = 1000
"""Numbers in one packet."""

HIRE = struct.Struct("=3i")
"""The order for an agent: the first number of the row that the kernel is in, and the one after its
last, and the number that the agent itself is to have (0: any). With it come two sockets, for
questions and for news."""

_UCRED = struct.Struct("=3i")


class AgentGone(Exception):
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


class Hirer(Protocol):
    """The namespace's init, as glunix.node.processes.namespace has it."""

    def hire(self, asks: socket.socket, news: socket.socket, run: range, own: int) -> None: ...


class NamespaceAgent:
    """The supervisor's side. `run` is the row of numbers that the kernel is in."""

    def __init__(self, space: Hirer, run: range, own: int = 0) -> None:
        """`own`: the number that it is to have; 0: any. OSError or ClerkGone when there is none."""
        self._asks, asks = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._news, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asks.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._asks.settimeout(ANSWER_SECONDS)
        self._news.setblocking(False)
        try:
            space.hire(asks, news, run, own)
        finally:
            asks.close()
            news.close()
        self.pid, self.number = self._introduced()

    def _introduced(self) -> tuple[int, int]:
        """Its pid as we see it, which the kernel tells, and its number inside."""
        try:
            packet, rights, _, _ = self._asks.recvmsg(PACKET, socket.CMSG_SPACE(_UCRED.size))
        except OSError as error:
            raise AgentGone(f"no answer: {error}") from None
        if not packet:
            raise AgentGone("the init could not fork it")
        return next(_UCRED.unpack(body)[0] for _, _, body in rights), unpacked(packet)[0]

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
            raise AgentGone(f"pid {first} cannot be chosen: {os.strerror(error)}")
        return last

    def sweep(self) -> None:
        """Look who has come: tell their names, and when they have ended, once."""
        self._ask(packed(SWEEP))

    def watch(self, numbers: Sequence[int]) -> None:
        """Look who of these, which were given elsewhere, is there: as `sweep` does."""
        for at in range(0, len(numbers), AT_ONCE):
            self._ask(packed(WATCH, *numbers[at : at + AT_ONCE]))

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
                raise AgentGone(str(error)) from None
            if not packet:
                raise AgentGone("it was killed")
            found.append(_news_of(packet))

    def close(self) -> None:
        """End it: it is waiting for a question."""
        self._asks.close()
        self._news.close()

    def _ask(self, packet: bytes) -> None:
        try:
            self._asks.send(packet)
        except OSError as error:
            raise AgentGone(str(error)) from None

    def _answer(self) -> tuple[int, ...]:
        try:
            packet = self._asks.recv(PACKET)
        except OSError as error:
            raise AgentGone(f"no answer: {error}") from None
        if not packet:
            raise AgentGone("it was killed")
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

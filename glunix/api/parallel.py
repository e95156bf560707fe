"""What a process of a parallel job asks of its node's daemon: who it is, and barriers (Table 2).

`Process` is the paper's Glib_Initialize: it connects once and knows its job from then on. It makes
no thread and no signal handler; a child made by fork(2) connects anew when it first asks.
"""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from glunix import config
from glunix.api.ask import ANSWER, connect, refusal
from glunix.errors import FrameError, GlunixError, NotRunning
from glunix.ids import CONTROL
from glunix.msg import client as wire
from glunix.msg import parallel
from glunix.msg.base import Message, encode
from glunix.msg.frame import Deframer, encode_frame

WAITS = ("adaptive", "block", "spin")
SPIN_MAX = 0.002
"""Seconds for which an adaptive waiter polls at most before it sleeps."""
SPIN_FIRST = 0.0002
_READ = 65536

_T = TypeVar("_T", bound=Message)


@dataclass(frozen=True)
class Place:
    """Of this process in its job; `nodes[vnn]` is the node of that VNN."""

    npid: int
    vnn: int
    degree: int
    home: str
    nodes: tuple[str, ...]


def wait_of(text: str | None) -> str:
    """GLUNIX_WAIT as one of WAITS; GlunixError for another word."""
    found = text or "adaptive"
    if found not in WAITS:
        raise GlunixError(f"GLUNIX_WAIT is {found!r}, not one of {', '.join(WAITS)}")
    return found


class Spin:
    """For how long a waiter polls before it sleeps (paper 10: implicit coscheduling).

    It spins for twice what the last waits took, if that is short; when waits are long, spinning
    takes the processor from those that are waited for.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        self._usual = SPIN_FIRST
        """Seconds that the last waits took, as a running mean."""

    def seconds(self) -> float:
        """To spin now."""
        if self.how == "spin":
            return float("inf")
        if self.how == "block":
            return 0.0
        return 2 * self._usual if 2 * self._usual <= SPIN_MAX else 0.0

    def took(self, seconds: float) -> None:
        """A wait has ended."""
        self._usual += (seconds - self._usual) / 8


class Process:
    """This process as its job's. NotRunning: no daemon; Refused (NO_JOB): it is of no job here."""

    def __init__(self, folder: Path | None = None, timeout: float = ANSWER) -> None:
        self._folder = folder
        self._timeout = timeout
        self._link: socket.socket | None = None
        self._pid = 0
        self._request = 0
        self._deframer = Deframer()
        self._spin = Spin(wait_of(config.variable("GLUNIX_WAIT")))
        found = self._ask(parallel.WhoAmI(self._number()), parallel.Member, timeout)
        self.place = Place(found.npid, found.vnn, found.degree, found.home, tuple(found.nodes))

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """No more questions; a process that waits at a barrier in another thread gets an error."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def barrier(self, timeout: float | None = None) -> None:
        """Return when every process of the job has called this (Glib_Barrier).

        Refused when one of them has ended or waits no more: then there are no barriers in this job
        any more. NotRunning: the daemon is gone. TimeoutError after `timeout` seconds, which breaks
        the barrier for the others, too. How it waits: GLUNIX_WAIT=block, spin or adaptive.
        """
        begun = time.monotonic()
        ask = parallel.EnterBarrier(self._number())
        self._ask(ask, parallel.Passed, timeout, self._spin.seconds())
        self._spin.took(time.monotonic() - begun)

    def _number(self) -> int:
        self._request = self._request % 0xFFFFFFFF + 1
        return self._request

    def _connected(self) -> socket.socket:
        if self._link is None or self._pid != os.getpid():
            if self._link is not None:
                self._link.close()  # the parent's: it keeps its own descriptor
            self._link = connect(self._folder, self._timeout)
            self._pid = os.getpid()
            self._deframer = Deframer()
        return self._link

    def _ask(
        self,
        question: parallel.WhoAmI | parallel.EnterBarrier,
        kind: type[_T],
        timeout: float | None,
        spin: float = 0.0,
    ) -> _T:
        link = self._connected()
        deadline = None if timeout is None else time.monotonic() + timeout
        spun = time.monotonic() + spin
        try:
            link.settimeout(timeout)
            link.sendall(encode_frame(CONTROL, encode(question)))
            while True:
                for answer in self._received(link, deadline, spun):
                    if isinstance(answer, wire.Refused) and answer.request == question.request:
                        raise refusal(answer)
                    if isinstance(answer, kind):
                        return answer
                    raise FrameError(f"unexpected answer {type(answer).__name__}")
        except TimeoutError:
            self.close()  # the daemon hears that nobody waits here any more
            raise TimeoutError(f"not all have come to the barrier within {timeout:g} s") from None
        except OSError as error:
            self.close()
            raise NotRunning(f"lost the daemon: {error.strerror or error}") from None

    def _received(self, link: socket.socket, deadline: float | None, spun: float) -> list[Message]:
        link.setblocking(False)
        while (now := time.monotonic()) < spun:
            try:
                return self._decoded(link.recv(_READ))
            except BlockingIOError:
                os.sched_yield()
                if deadline is not None and now >= deadline:
                    raise TimeoutError from None
        link.settimeout(None if deadline is None else max(deadline - now, 0.001))
        return self._decoded(link.recv(_READ))

    def _decoded(self, data: bytes) -> list[Message]:
        if not data:
            raise ConnectionResetError("the daemon closed the link")
        return [parallel.daemon_to_process.decode(body) for _, body in self._deframer.feed(data)]

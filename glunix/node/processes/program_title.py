"""What a transparent job's program is called, for its shadow at home.

Looked at some time after the program has begun or has executed another: a short one costs nothing.
"""

from collections.abc import Callable
from pathlib import Path

from glunix.msg.base import Message
from glunix.msg.job import HomePids
from glunix.msg.shadows import WORDS_MAX, ShadowNamed
from glunix.node.reactor import Reactor, Timer

SOON = 0.02
"""Seconds until it is looked at."""


class ProgramName:
    """`send` sends home."""

    def __init__(self, send: Callable[[Message], None], reactor: Reactor) -> None:
        self._send = send
        self._reactor = reactor
        self._told: ShadowNamed | None = None
        self._timer: Timer | None = None
        self._pid = self._number = 0

    def begins(self, pid: int, home: HomePids | None) -> None:
        """It has this pid on the node; its startup's numbers are home's."""
        if home is not None:
            self._pid, self._number = pid, home.pid
            self.look_later()

    def look_later(self) -> None:
        """It has executed something."""
        if self._timer is None and self._pid:
            self._timer = self._reactor.call_later(SOON, self._look, self._pid, self._number)

    def _look(self, pid: int, number: int) -> None:
        self._timer = None
        try:
            name = Path(f"/proc/{pid}/comm").read_bytes().rstrip(b"\n")
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read(WORDS_MAX)
        except OSError:
            return
        found = ShadowNamed(number, name, words)
        if words and found != self._told:  # a process that has ended has none
            self._told = found
            self._send(found)

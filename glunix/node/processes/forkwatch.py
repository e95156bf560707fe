"""Births in a transparent job as the kernel records them: nobody waits for being noticed.

Beside slic.interposers.home.forks, which catches the first call of all that begins: there a new
process sleeps for a moment before its first act, and a program that looks (proc(5), stat) takes
that for the process's own sleep. Where the kernel gives no records, that is still how it is.

Owns when the records are looked at: at once where it matters, else every few milliseconds.
"""

import os
from collections.abc import Callable
from typing import Protocol

from glunix.node.reactor import Reactor
from slic.kernel.forkevents import ForkEvents

SHORTEST, FIRST, LONGEST = 0.001, 0.003, 0.02
"""Seconds between two looks while a job forks: as long as its row of numbers surely lasts."""

FASTER = 4
"""Births may come so many times as fast as they did."""

BLIND = 0.05
"""The same while a process lives that the kernel records nothing of."""


class Row(Protocol):
    """What glunix.node.processes.pid_allocator is to the watch."""

    @property
    def spare(self) -> int:
        """How many may be born unheard."""

    def look_at_row(self) -> None:
        """Much may have begun unseen."""

    def hears_nothing(self, why: str) -> None:
        """Nothing will be told of births."""


class ForkWatch:
    """Made before the program is; does nothing until `open`."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._events: ForkEvents | None = None
        self._begun: Callable[[int, bool], None] = lambda tid, is_new: None
        self._row: Row | None = None
        self._is_resting = False
        self._born = 0
        self._blind: set[int] = set()

    def prepare(self) -> bool:
        """Whether the kernel will tell; if not, beginnings are to be caught."""
        try:
            self._events = ForkEvents()
        except OSError:
            return False
        return True

    def open(self, program: int, begun: Callable[[int, bool], None], row: Row) -> None:
        """Before the program executes. `begun` is called for each thread (pid of the node) that is
        new (True), or has executed something."""
        if self._events is None:
            return
        self._begun, self._row = begun, row
        try:
            self._events.watch(program)
        except OSError as error:  # it was let, a moment ago
            row.hears_nothing(f"no fork events: {error.strerror}")
            return
        self._listen()

    def _look(self) -> None:
        if self._row is not None:
            self._row.look_at_row()

    def _listen(self) -> None:
        self._is_resting = False
        if self._events is not None:
            for fd in self._events.filenos():
                self._reactor.add_reader(fd, self._ready)

    def _ready(self) -> None:
        self.catch_up()
        spare = 0 if self._row is None else self._row.spare
        if self._events is None or spare < FASTER * 2:
            return
        for fd in self._events.filenos():
            self._reactor.remove_reader(fd)
        self._is_resting = True
        self._rest(FIRST)

    def _rest(self, seconds: float) -> None:
        self._born = 0
        self._reactor.call_later(seconds, self._rested, seconds)

    def _rested(self, seconds: float) -> None:
        self.catch_up()
        spare = 0 if self._row is None else self._row.spare
        if self._born and (rest := spare * seconds / (self._born * FASTER)) >= SHORTEST:
            self._rest(min(rest, LONGEST))
        else:
            self._listen()

    def catch_up(self) -> None:
        """Call back for all that has begun by now."""
        if self._events is None:
            return
        for one in self._events.read():
            self._born += one.is_new
            self._begun(one.thread, one.is_new)
        if self._events.lost:
            self._events.lost = False
            self._look()

    def lives(self, pids: list[int]) -> None:
        """These are still there after a while. Of a setuid program's forks nothing is recorded."""
        if self._events is None:
            return
        was = bool(self._blind)
        self._blind.update(pid for pid in pids if _is_anothers(pid))
        if self._blind and not was:
            self._reactor.call_later(BLIND, self._feel)

    def _feel(self) -> None:
        self._blind = {pid for pid in self._blind if _is_anothers(pid)}
        if self._blind and self._events is not None:
            self._look()
            self._reactor.call_later(BLIND, self._feel)

    def close(self) -> None:
        """The job is over."""
        events, self._events = self._events, None
        if events is not None:
            for fd in [] if self._is_resting else events.filenos():
                self._reactor.remove_reader(fd)
            events.close()


def _is_anothers(pid: int) -> bool:
    """Whether this process has other rights than we: then its files are root's (proc(5))."""
    try:
        return os.getuid() != 0 == os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return False

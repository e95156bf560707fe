"""What a startup does when time is over: the time limit (-t), and a job that does not start.

Owns no clock but time.monotonic; the startup's poll loop asks `at` and calls `due`. Imported when
there is something to wait for.
"""

from __future__ import annotations

import _signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.jobview import JobView

KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL when the time limit is over."""

START_AFTER = 0.8
"""Seconds that a job may take to start, when it is to be ended by a signal first."""

ENDING = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGKILL)
"""Signals by which a process is ended that has executed no program yet."""


class TimeLimit:
    """Ends the job with SIGTERM, and then with SIGKILL, by way of `send`."""

    status = 124
    """Exit status when it ended the job, as timeout(1)."""

    def __init__(self, seconds: float, send: Callable[[int], None]) -> None:
        self.at: float | None = time.monotonic() + seconds
        self.is_over = False
        self._send = send

    def due(self) -> None:
        """The time has come."""
        if self.is_over:
            self.at = None
            self._send(_signal.SIGKILL)
            return
        self.is_over = True
        self.at = time.monotonic() + KILL_AFTER
        self._send(_signal.SIGTERM)
        self._send(_signal.SIGCONT)


HEARD_AFTER = 5.0
"""Seconds within which whoever serves a job says that a signal was delivered."""


class Unheard:
    """A signal that ends most programs was sent to a job. Whether the program ends is its own
    affair; that its supervisor or daemon does not even say that it got it means that it is
    stopped, or cut off, and then nobody else would end this startup (`give_up`)."""

    def __init__(self, number: int, streams: set[int], give_up: Callable[[int, int], None]) -> None:
        """`give_up` gets the signal and a stream that was silent."""
        self.at: float | None = time.monotonic() + HEARD_AFTER
        self._number = number
        self._streams = streams
        self._give_up = give_up

    def heard(self, stream: int) -> None:
        """This one has said so, or is over."""
        self._streams.discard(stream)
        if not self._streams:
            self.at = None

    def due(self) -> None:
        """The time has come."""
        self.at = None
        self._give_up(self._number, min(self._streams))


class Unstarted:
    """A signal came for a program that was not there yet. It was sent on: a node that still works
    ends the job, or starts it, and then the program decides. Otherwise the job is given up."""

    def __init__(self, number: int, job: JobView) -> None:
        self.at: float | None = time.monotonic() + START_AFTER
        self._number = number
        self._job = job

    def due(self) -> None:
        """The time has come."""
        self.at = None
        if not self._job.all_started():
            self._job.lost(128 + self._number, self._number)

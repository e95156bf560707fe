"""The node's part of a key that throws output away (glunix.home.terminal.keyflush).

Owns the time between home's word and the signal that the key sends: until then the stand-in takes
no output, or a program that writes without end would have filled it again before it is told.
"""

import signal
from collections.abc import Callable

from glunix.node.descriptors.standins import StandIns
from glunix.node.reactor import Reactor, Timer

KEYS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)

PATIENCE = 0.1
"""Seconds to wait for the signal: it is right behind, if it is for a process of the job."""


class KeyFlush:
    """`done` tells home that what comes from now on was written after the key."""

    def __init__(self, stand_ins: StandIns, reactor: Reactor, done: Callable[[], None]) -> None:
        self._stand_ins = stand_ins
        self._reactor = reactor
        self._done = done
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Home says that the key was pressed."""
        self.end()
        self._timer = self._reactor.call_later(PATIENCE, self.end)
        self._stand_ins.pause_output(True)
        self._stand_ins.drop_output()

    def signalled(self, number: int) -> None:
        """The program or one of its processes has got this."""
        if number in KEYS:
            self.end()

    def end(self) -> None:
        """Output counts again."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._stand_ins.drop_output()
        self._done()
        self._stand_ins.pause_output(False)

"""The pace of starts: a fork takes milliseconds, and a node must go on answering meanwhile.

A thousand starts in one turn of the loop were seconds without a heartbeat, and the node was lost.
"""

import time
from collections import deque
from collections.abc import Callable

from glunix.comm.loop import Loop

TURN = 0.05
"""Seconds of starts in one turn of the loop."""


class Pace:
    """Runs steps, the first of a turn at once; all that want to go on get their turns."""

    def __init__(self, loop: Loop, turn: float = TURN) -> None:
        self._loop = loop
        self._length = turn
        self._steps: deque[Callable[[], bool]] = deque()
        self._in_turn = False

    def add(self, step: Callable[[], bool]) -> None:
        """Call `step` until it returns False."""
        self._steps.append(step)
        if not self._in_turn:
            self._turn()

    def _turn(self) -> None:
        self._in_turn = bool(self._steps)
        if not self._in_turn:
            return
        self._loop.call_soon(self._turn)
        end = time.monotonic() + self._length
        while self._steps:
            step = self._steps.popleft()
            if step():
                self._steps.append(step)
            if time.monotonic() >= end:
                return

"""What both sides of a move share: events go into the phase's table, its effects are carried out.

Owns the phase (migration.phases.Side), its deadline and why the move fails; what an effect does is
the side's own (glunix.daemon.arriving, glunix.daemon.leaving).
"""

from collections.abc import Callable

from glunix.comm.loop import Loop
from migration.phases import Effect, Event, Phase, Side


class MoveSide:
    """One side of one move. A subclass fills `_effects` before the first event."""

    def __init__(self, loop: Loop, phase: Phase, epoch: int) -> None:
        self._loop = loop
        self._side = Side(phase, epoch)
        self._why = ""
        self._effects: dict[Effect, Callable[[], None]] = {}

    @property
    def epoch(self) -> int:
        """Of this move."""
        return self._side.epoch

    def _event(self, event: Event, why: str = "") -> None:
        """Something happened; the first reason stays."""
        self._why = self._why or why
        self._carry_out(self._side.event(event, self._side.epoch, self._loop.now()))

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        if effects and self._side.due is not None:
            delay = max(0.0, self._side.due - self._loop.now())
            self._loop.call_later(delay + 0.01, self._tick)
        for effect in effects:
            self._effects[effect]()

    def _tick(self) -> None:
        phase = self._side.phase
        effects = self._side.tick(self._loop.now())
        if effects:
            self._why = self._why or f"late while {phase.value}"
        self._carry_out(effects)

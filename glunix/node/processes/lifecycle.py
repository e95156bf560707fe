"""The life of a transparent job on its node, as a table (docs/shadows.md). Pure: no I/O, no clock.

It begins before the fork of what becomes the program and ends when nothing of the job lives. An
event moves the job by `LIFE`, and the same row says what is to be done, in order. `handle` is given
an event, a tuple of its name and fields, and returns effects of the same form;
glunix.node.processes.program performs them. The twin at home is glunix.home.processes.lifecycle.
"""

import signal
from collections.abc import Callable, Mapping
from typing import Any

Event = tuple[Any, ...]
"""Its name (the constants below) and fields."""
Effect = tuple[Any, ...]
"""Its name and arguments."""

# States.
FORKING = "forking"
"""There is no process of the job."""
FORKING_STUB = "forking stub"
"""The same, and the job runs elsewhere and is to move here (docs/migration.md)."""
STARTING = "starting"
"""The child is there, and is not yet the program: home hears nothing of it."""
ARRIVING = "arriving"
"""The stub of a job that is to move here waits for it."""
ARRIVED_STOPPED = "arrived stopped"
"""The same, and the stub has been stopped as the job is."""
STILL = "still"
"""The job has arrived. It is stopped, as home knows, but its stop here is still to be reaped."""
RUNNING = "running"
STOPPED = "stopped"
EXITED = "exited"
"""The program; whether others live on is not known yet."""
DETACHED = "detached"
"""The program has ended, and processes that it started live on."""
OVER = "over"
"""Nothing of the job lives, and home was told."""
STATES = (
    FORKING, FORKING_STUB, STARTING, ARRIVING, ARRIVED_STOPPED, STILL, RUNNING, STOPPED, EXITED,
    DETACHED, OVER,
)  # fmt: skip

# Events.
FORKED = "forked"
"""The child is there."""
NOT_FORKED = "not forked"
"""There will be none; + step, errno, text."""
BORN = "born"
"""Exec has succeeded."""
FAILED = "failed"
"""Something before exec has; + step, errno, text."""
STOPS = "stops"
"""Wait status of the child or program; + the signal."""
CONTINUES = "continues"
ENDS = "ends"
"""+ exit code, signal, whether there is a core."""
ENGINE_STOPS = "engine stops"
"""An engine that reaps says so; + the signal."""
SPACE_OVER = "space over"
"""The init of the job's PID namespace has ended, and with it everything in it."""
LIVES = "lives"
"""Something of the job does, after the program's end."""
GONE = "gone"
WRITTEN = "written"
"""What the program wrote before its end is on its way home."""
GOES_ON_HERE = "goes on here"
"""The job has arrived; + whether it is stopped."""
SIGNAL = "signal"
"""For the program alone; + the signal, whether there are processes that have no shadow."""
KILL = "kill"
"""For the program's or the foreground's group; + the signal."""

# Found in KILL.
_DOOMS = "dooms"

# Effects.
CATCH_UP = "catch up"
"""Output that was written is sent before what comes next."""
CONTINUE_CHILD = "continue child"
DELIVER = "deliver"
"""To groups; + the signal, whether the program's group may be another's by now."""
FINISH_OUTPUTS = "finish outputs"
KILL_ALL = "kill all"
KILL_ONE = "kill one"
"""The program; + the signal."""
REPORT_CONTINUED = "report continued"
REPORT_END = "report end"
"""+ exit code, signal, core, orphaned: nothing that the program did."""
REPORT_FAILED = "report failed"
"""+ step, errno, text."""
REPORT_PROGRAM_END = "report program end"
"""+ exit code, signal, core."""
REPORT_STARTED = "report started"
REPORT_STOPPED = "report stopped"
"""After what was written before it; + the signal."""
SETTLE_OUTPUTS = "settle outputs"
"""WRITTEN comes when it is done."""
STUB_BORN = "stub born"
SWEEP = "sweep"
"""The engine looks which calls were interrupted."""

Rows = dict[str, tuple[str, tuple[str, ...]]]


def _rows(states: tuple[str, ...], effects: tuple[str, ...], becomes: str = "") -> Rows:
    return {one: (becomes or one, effects) for one in states}


_FORK = (FORKING, FORKING_STUB)
_STUB = (ARRIVING, ARRIVED_STOPPED)
_HERE = (RUNNING, STOPPED)
_BEFORE_END = (STARTING, STILL, *_HERE)
_AFTER = (EXITED, DETACHED)
_ALIVE = (*_FORK, *_BEFORE_END, *_STUB, *_AFTER)
_FAILS = (REPORT_FAILED, FINISH_OUTPUTS)
_IS_OVER = (REPORT_END, FINISH_OUTPUTS)

LIFE: dict[str, Rows] = {
    FORKED: {FORKING: (STARTING, ()), FORKING_STUB: (ARRIVING, ())},
    NOT_FORKED: _rows(_FORK, (REPORT_FAILED,), OVER),
    BORN: (
        _rows((STARTING,), (REPORT_STARTED,), RUNNING)
        | _rows(_STUB, (STUB_BORN,))
        # Its end was reaped first.
        | _rows(_AFTER, (REPORT_STARTED,))
    ),
    FAILED: _rows((STARTING, *_STUB, *_AFTER), _FAILS, OVER),
    STOPS: (
        # Not the program yet, and nobody may hear of it: it goes on, and stops as the program.
        _rows((STARTING,), (CONTINUE_CHILD,))
        | _rows(_STUB, (), ARRIVED_STOPPED)
        | _rows((STILL,), (), STOPPED)
        | _rows(_HERE, (REPORT_STOPPED,), STOPPED)
    ),
    CONTINUES: _rows((STILL, *_HERE), (REPORT_CONTINUED,), RUNNING),
    ENDS: _rows(_BEFORE_END, (), EXITED),
    ENGINE_STOPS: (
        _rows((STARTING, *_STUB), (REPORT_STOPPED,))
        | _rows((STILL, *_HERE), (REPORT_STOPPED,), STOPPED)
    ),
    SPACE_OVER: _rows(_BEFORE_END, (CATCH_UP,), EXITED),
    LIVES: _rows((EXITED,), (SETTLE_OUTPUTS,), DETACHED),
    GONE: _rows(_AFTER, _IS_OVER, OVER),
    WRITTEN: _rows((DETACHED,), (REPORT_PROGRAM_END,)),
    GOES_ON_HERE: _rows(_STUB, (), RUNNING),
    SIGNAL: _rows((*_BEFORE_END, *_STUB), (KILL_ONE, SWEEP)),
    KILL: _rows(_ALIVE, (DELIVER, SWEEP)),
    _DOOMS: _rows(_ALIVE, (KILL_ALL, DELIVER, SWEEP)),
}
"""Event -> state -> what becomes of it, and what is done. No row: nothing."""


class NodeLife:
    """The life of one job: `state`, and what is to be said of it later."""

    def __init__(self, arriving: bool = False) -> None:
        """`arriving`: the job runs elsewhere, and is to move here."""
        self.state = FORKING_STUB if arriving else FORKING
        self.is_doomed = False
        """Everything of the job is to be killed, by a SIGKILL from home."""
        self._early_stop = 0
        """The signal that stopped the child before it was the program; 0: none has."""
        self._end: tuple[int, int, bool, bool] | None = None
        """How the program ended: code, signal, core, orphaned."""

    @property
    def is_forked(self) -> bool:
        """Whether there is a process of the job; before, what home says waits."""
        return self.state not in _FORK

    @property
    def is_arriving(self) -> bool:
        """Whether the job is not here yet."""
        return self.state in (FORKING_STUB, *_STUB)

    @property
    def is_starting(self) -> bool:
        """Whether there is no program yet."""
        return self.state in (*_FORK, STARTING)

    @property
    def has_ended(self) -> bool:
        """Whether the program has; and its number may be another's."""
        return self.state in _AFTER

    @property
    def is_over(self) -> bool:
        """Whether nothing of the job lives."""
        return self.state == OVER

    def handle(self, event: Event) -> list[Effect]:
        """Take one event; return what is to be done, in order."""
        name, *fields = event
        if self.state not in LIFE[name]:
            return []
        reads = READS.get(name)
        return self._move(name) if reads is None else reads(self, *fields)

    def check(self) -> None:
        """Raise AssertionError unless every invariant holds."""
        assert self.state in STATES, self.state
        assert self._early_stop >= 0
        if self.state != OVER:  # a failure is no end of a program
            assert (self._end is not None) == (self.state in _AFTER), self.state

    def _move(
        self, name: str, given: Mapping[str, tuple[object, ...]] | None = None
    ) -> list[Effect]:
        """By the table; `given` are the arguments of effects."""
        self.state, effects = LIFE[name].get(self.state, (self.state, ()))
        return [(one, *(given or {}).get(one, ())) for one in effects]

    # -- events that say more than their name --------------------------------------------------

    def _not_forked(self, step: str, error: int, text: str) -> list[Effect]:
        return self._move(NOT_FORKED, {REPORT_FAILED: (step, error, text)})

    def _born(self) -> list[Effect]:
        was_child = self.state == STARTING
        effects = self._move(BORN)
        if was_child and self._early_stop:
            effects.append((KILL_ONE, self._early_stop))
        return effects

    def _failed(self, step: str, error: int, text: str) -> list[Effect]:
        return self._move(FAILED, {REPORT_FAILED: (step, error, text)})

    def _stops(self, number: int) -> list[Effect]:
        if self.state == STARTING:
            self._early_stop = number
        return self._move(STOPS, {REPORT_STOPPED: (number,)})

    def _engine_stops(self, number: int) -> list[Effect]:
        return self._move(ENGINE_STOPS, {REPORT_STOPPED: (number,)})

    def _ends(self, code: int, number: int, core: bool) -> list[Effect]:
        self._end = code, number, core, False
        return self._move(ENDS)

    def _space_over(self) -> list[Effect]:
        # Unless we have had it killed: nothing that the program did, so home undoes its modes.
        self._end = 0, int(signal.SIGKILL), False, not self.is_doomed
        return self._move(SPACE_OVER)

    def _gone(self) -> list[Effect]:
        assert self._end is not None
        return self._move(GONE, {REPORT_END: self._end})

    def _written(self) -> list[Effect]:
        assert self._end is not None
        return self._move(WRITTEN, {REPORT_PROGRAM_END: self._end[:3]})

    def _goes_on_here(self, stopped: bool) -> list[Effect]:
        has_stopped = self.state == ARRIVED_STOPPED
        effects = self._move(GOES_ON_HERE)
        if stopped:
            self.state = STOPPED if has_stopped else STILL
        return effects

    def _signal(self, number: int, strays: bool) -> list[Effect]:
        if strays and number != signal.SIGKILL:
            return self._kill(number)
        return self._move(SIGNAL, {KILL_ONE: (number,)}) if number else []

    def _kill(self, number: int) -> list[Effect]:
        if not number:
            return []
        self.is_doomed |= number == signal.SIGKILL  # for all, whatever groups and sessions it made
        given = {DELIVER: (number, self.has_ended)}
        return self._move(_DOOMS if number == signal.SIGKILL else KILL, given)


READS: dict[str, Callable[..., list[Effect]]] = {
    BORN: NodeLife._born,
    ENDS: NodeLife._ends,
    ENGINE_STOPS: NodeLife._engine_stops,
    FAILED: NodeLife._failed,
    GOES_ON_HERE: NodeLife._goes_on_here,
    GONE: NodeLife._gone,
    KILL: NodeLife._kill,
    NOT_FORKED: NodeLife._not_forked,
    SIGNAL: NodeLife._signal,
    SPACE_OVER: NodeLife._space_over,
    STOPS: NodeLife._stops,
    WRITTEN: NodeLife._written,
}
"""What reads the fields of an event; others go by the table alone."""

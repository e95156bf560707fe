"""The life of a transparent job at home, as tables (docs/shadows.md). Pure: no I/O, no clock.

Two things live here side by side: the program, of whose stops and end the node reports, and its
shadow, which home's half stops, wakes and ends in the program's place. An event moves each by its
table, and the same row says what is to be done, in order. `STATES` names every pair that may be.

`handle` is given an event, a tuple of its name and fields, and returns effects of the same form.
Home's half (glunix.home.processes.root_shadow) and the level (glunix.home.transparentlevel) perform
them; each effect has one method. Only what a row cannot say is code: what a signal means
(`_signalled`), and whether a stopped shadow has gone on (`_looked`).
"""

from __future__ import annotations

import _signal

from glunix.home.signals import HARMLESS, STOPPING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Event = tuple[Any, ...]
    """Its name (the constants below) and fields."""
    Effect = tuple[Any, ...]
    """Its name and arguments."""

LOOK = 0.45
"""Seconds between looks whether the shadow was stopped; what waits for the next waits 0.5."""

# The program.
LAUNCHING = "launching"
RUNNING = "running"
STOPPED = "stopped"
EXITED = "exited"
"""Processes that it started live on."""
OVER = "over"
"""Nothing of the job lives; output may be left."""

# Its shadow.
RUNS = "runs"
HALTED = "halted"
"""Stopped by others (SIGSTOP): the program is sent the same."""
BOUND = "bound"
"""Stopped, or about to be, on our word."""
RESUMING = "resuming"
"""It was sent SIGCONT, because the program goes on; it has not said that it does."""
TOLD = "told"
"""It was told how to end, and waits for our own end first."""
ENDED = "ended"
"""It has ended, or will without us."""
KILLED = "killed"
"""It was killed, and the program is killed for that."""

STATES: dict[tuple[str, str], str] = {
    (LAUNCHING, RUNS): "launching",
    (RUNNING, RUNS): "running",
    (RUNNING, HALTED): "running",
    (RUNNING, RESUMING): "resuming",
    (RUNNING, KILLED): "detached",
    (STOPPED, RUNS): "stopping",
    (STOPPED, HALTED): "stopping",
    (STOPPED, BOUND): "stopped",
    (STOPPED, RESUMING): "resuming",
    (STOPPED, KILLED): "detached",
    (EXITED, RUNS): "program exited",
    (EXITED, HALTED): "program exited",
    (EXITED, BOUND): "program exited",
    (EXITED, RESUMING): "program exited",
    (EXITED, ENDED): "detached",
    (EXITED, KILLED): "detached",
    (OVER, RUNS): "over",
    (OVER, HALTED): "over",
    (OVER, BOUND): "over",
    (OVER, RESUMING): "over",
    (OVER, ENDED): "over",
    (OVER, KILLED): "over",
    **{(program, TOLD): "over" for program in (LAUNCHING, RUNNING, STOPPED, EXITED, OVER)},
}
"""Every pair of program and shadow that may be, and its name in docs/shadows.md. "Stopping": what
the program wrote before its stop is still being written, and its shadow is to be stopped then."""

# Events: of the node,
PLACED = "placed"
"""+ whether SIGCONT of the shadow's is caught (it may be ignored)."""
STOPS = "stops"
"""The program; + the signal."""
CONTINUES = "continues"
EXITS = "exits"
"""The program; others live on."""
ENDS = "ends"
"""The program and all that it started."""
ORPHANED = "orphaned"
"""The same, and what served the job was killed: it has set nothing right."""
LOST = "lost"
"""Nothing of the job lives, whatever was the reason; comes more than once."""
# of outputs,
WRITTEN = "written"
"""All that can be written now is, so a stop may be seen; + whether others have stopped the shadow
already."""
BLOCKED = "blocked"
"""The terminal takes no output from the background; + the same."""
PARTED = "parted"
"""All that came before the program's end is written; + exit status, signal that killed it."""
# of the shadow,
ANSWERED = "answered"
"""It has gone on after one of our stops."""
SEEN_HALTED = "seen halted"
SEEN_RUNNING = "seen running"
SUSPECT = "suspect"
"""It may just have been stopped: it is to be looked at soon."""
LOOKED = "looked"
"""While it is stopped; + whether it still is, + signals that it has got."""
HEARD = "heard"
"""+ signals that it has got."""
CAME = "came"
CAME_BY_HOME = "came by home"
"""It has gone on; + signals that it has got until then. By home: the program does not know yet."""
SHADOW_KILLED = "shadow killed"
KILLED_EARLY = "killed early"
"""The same, before the job was placed."""
# and of ourselves.
END = "end"
"""This process ends; + exit status, signal."""

# Found in an event by `_looked` and `_heard`.
_GOES_ON_BY_HOME = "goes on by home"
_GOES_ON_WITH_IT = "goes on with the program"
_DIES = "dies"

# Effects: home's half's,
STOP_SHADOW = "stop shadow"
"""+ the signal; 0: it is stopped already."""
WAKE_SHADOW = "wake shadow"
"""SIGCONT until it has answered, within limits."""
WAKE_AGAIN = "wake again"
"""It has stopped later than we waited."""
TELL_END = "tell end"
"""+ exit status, signal, whether we go on alone: it then ends without waiting for our end."""
GO_ALONE = "go alone"
EXIT = "exit"
"""+ status."""
# and the level's.
ASK_SHADOW = "ask shadow"
"""What has it got until now? + the event that is the answer, + signals that come before these."""
CONTINUE_JOB = "continue job"
"""SIGCONT to all of it."""
DROP_INPUT = "drop input"
"""Nothing is asked any more."""
FLUSH_LINE = "flush line"
JOB_GOES_ON = "job goes on"
KILL_PROGRAM = "kill program"
LEAVE_TERMINAL = "leave terminal"
LOOK_AGAIN = "look again"
"""Modes and input may be others than before."""
LOOK_AT_SHADOW = "look at shadow"
OUTPUTS_ALONE = "outputs alone"
RELEASE = "release"
"""Output that was blocked is tried again."""
SHOW_STATS = "show stats"
SIGNAL = "signal"
"""+ a signal for the job."""
STOP_PROGRAM = "stop program"
UNDO_MODES = "undo modes"
UNDO_MODES_LATE = "undo modes late"
"""What it did while it was being killed."""
TERMINAL_FREE = "terminal free"
"""The daemon need not set the terminal right."""

_ANY = {one: one for one in (LAUNCHING, RUNNING, STOPPED, EXITED, OVER)}
_PLACED = {one: one for one in (RUNNING, STOPPED, EXITED, OVER)}
_ENDS = dict.fromkeys((RUNNING, STOPPED, EXITED, OVER), OVER)

PROGRAM: dict[str, dict[str, str]] = {
    PLACED: {LAUNCHING: RUNNING},
    STOPS: {RUNNING: STOPPED, STOPPED: STOPPED},
    CONTINUES: _PLACED | {STOPPED: RUNNING},
    EXITS: {RUNNING: EXITED, STOPPED: EXITED, EXITED: EXITED},
    ENDS: _ENDS,
    ORPHANED: _ENDS,
    LOST: _ENDS,
    WRITTEN: {STOPPED: STOPPED},
    BLOCKED: {EXITED: EXITED, OVER: OVER},
    PARTED: {EXITED: EXITED},
    ANSWERED: _ANY,
    SEEN_HALTED: _PLACED,
    SEEN_RUNNING: _PLACED,
    SUSPECT: _PLACED,
    LOOKED: _PLACED,
    HEARD: _PLACED,
    CAME: _PLACED,
    CAME_BY_HOME: _PLACED,
    SHADOW_KILLED: _PLACED,
    KILLED_EARLY: {LAUNCHING: LAUNCHING},
    END: _ANY,
    _GOES_ON_BY_HOME: _PLACED | {STOPPED: RUNNING},
    _GOES_ON_WITH_IT: _PLACED,
    _DIES: {OVER: OVER},
}
"""Event -> what becomes of the program. Where it has no row the event has nothing to say."""

_WAKES = (WAKE_SHADOW, LOOK_AT_SHADOW, LOOK_AGAIN)
_LEAVES = (LEAVE_TERMINAL, FLUSH_LINE, SHOW_STATS, TELL_END)
_PARTS = (GO_ALONE, OUTPUTS_ALONE, LOOK_AGAIN)
_KILLS = (GO_ALONE, UNDO_MODES_LATE, TERMINAL_FREE, OUTPUTS_ALONE, KILL_PROGRAM)
_UNDONE = (UNDO_MODES_LATE, LOOK_AGAIN)

Rows = dict[str, tuple[str, tuple[str, ...]]]


def _rows(states: tuple[str, ...], effects: tuple[str, ...], becomes: str = "") -> Rows:
    return {one: (becomes or one, effects) for one in states}


_UNBOUND = (RUNS, HALTED)
_HELD = (BOUND, RESUMING)
_GONE = (ENDED, KILLED)
_ALL = (*_UNBOUND, *_HELD, TOLD, *_GONE)

SHADOW: dict[str, Rows] = {
    CONTINUES: _rows((*_UNBOUND, TOLD, *_GONE), (LOOK_AGAIN,)) | _rows(_HELD, _WAKES, RESUMING),
    EXITS: _rows((KILLED,), _UNDONE),
    ENDS: _rows(_ALL, (DROP_INPUT,)) | _rows((KILLED,), (DROP_INPUT, UNDO_MODES_LATE)),
    ORPHANED: _rows(_ALL, (DROP_INPUT, UNDO_MODES)),
    WRITTEN: _rows(_UNBOUND, (STOP_SHADOW,), BOUND),
    BLOCKED: _rows(_UNBOUND, (STOP_SHADOW,), BOUND),
    PARTED: (
        _rows(_UNBOUND, (*_LEAVES, *_PARTS), ENDED)
        | _rows(_HELD, (*_LEAVES, WAKE_SHADOW, *_PARTS), ENDED)
    ),
    SEEN_HALTED: {RUNS: (HALTED, (STOP_PROGRAM,))},
    SEEN_RUNNING: {HALTED: (RUNS, ())},
    SHADOW_KILLED: _rows((*_UNBOUND, *_HELD), _KILLS, KILLED),
    KILLED_EARLY: _rows((RUNS,), (TELL_END, EXIT), TOLD),
    END: _rows(_UNBOUND, (TELL_END,), TOLD) | _rows(_HELD, (TELL_END, WAKE_SHADOW), TOLD),
    _GOES_ON_BY_HOME: {BOUND: (RUNS, (JOB_GOES_ON, LOOK_AGAIN, ASK_SHADOW))},
    _GOES_ON_WITH_IT: {RESUMING: (RUNS, (LOOK_AGAIN, ASK_SHADOW))},
    _DIES: (
        _rows(_UNBOUND, (LEAVE_TERMINAL, TELL_END, EXIT), TOLD)
        | _rows(_HELD, (LEAVE_TERMINAL, TELL_END, WAKE_SHADOW, EXIT), TOLD)
        | _rows((TOLD, *_GONE), (LEAVE_TERMINAL, EXIT))
    ),
}
"""Event -> shadow -> what becomes of the shadow, and what is done. No row: nothing."""


class HomeLife:
    """The life of one job. `program` and `shadow` are the state; the rest is what signals mean."""

    def __init__(self) -> None:
        self.program = LAUNCHING
        self.shadow = RUNS
        self.unanswered = 0
        """Stops of ours after which the shadow has not said that it goes on."""
        self._stopped_by = 0
        """The signal that stopped the program; 0: none has."""
        self._stop_signal = 0
        """The signal by which a user asked for the next stop: the shell sees that one."""
        self._by_others = False
        """The shadow was stopped before our word, so it says later that it goes on."""
        self._catches = True
        """Whether the shadow catches SIGCONT, so that it reports ours, too."""
        self._swallows = False
        """The next SIGCONT that the shadow gets is ours, and no news to the program."""
        self._next_look = 0.0

    @property
    def state(self) -> str:
        """As docs/shadows.md names it."""
        return STATES[self.program, self.shadow]

    @property
    def is_placed(self) -> bool:
        """Whether there is a job: signals are the program's from then on."""
        return self.program != LAUNCHING

    @property
    def is_alone(self) -> bool:
        """Whether there is no shadow any more, or none that needs home's half."""
        return self.shadow in _GONE

    @property
    def is_held(self) -> bool:
        """Whether the shadow is, or is about to be, stopped on our word."""
        return self.shadow in _HELD

    @property
    def is_parting(self) -> bool:
        """Whether the shadow is to end as soon as what the program wrote is written."""
        return self.program in PROGRAM[PARTED] and self.shadow in SHADOW[PARTED]

    def may_bind(self, event: str) -> bool:
        """Whether this event (WRITTEN, BLOCKED) would stop the shadow now."""
        return self.program in PROGRAM[event] and self.shadow in SHADOW[event]

    def is_due(self, now: float) -> bool:
        """Whether the shadow is to be looked at, for a stop by others."""
        return self.is_placed and self.shadow in _UNBOUND and now >= self._next_look

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event at `now` seconds; return what is to be done, in order."""
        name, *fields = event
        if self.program not in PROGRAM[name]:
            return []
        if name in (SEEN_HALTED, SEEN_RUNNING):
            self._next_look = now + LOOK
        reads = READS.get(name)
        return self._move(name) if reads is None else reads(self, *fields)

    def check(self) -> None:
        """Raise AssertionError unless every invariant holds."""
        assert (self.program, self.shadow) in STATES, (self.program, self.shadow)
        assert self.unanswered >= 0
        assert self._catches or not self._swallows
        assert self._stop_signal in (0, *STOPPING)
        assert bool(self._stopped_by) == (self.program == STOPPED)

    def _move(self, name: str, given: dict[str, tuple[object, ...]] | None = None) -> list[Effect]:
        """Both by their tables; `given` are the arguments of effects."""
        rows = PROGRAM[name]
        if self.program not in rows:
            return []
        self.program = rows[self.program]
        if self.program != STOPPED:
            self._stopped_by = 0
        self.shadow, effects = SHADOW.get(name, {}).get(self.shadow, (self.shadow, ()))
        if WAKE_SHADOW in effects:
            self._swallows = self._catches
        return [(one, *(given or {}).get(one, ())) for one in effects]

    # -- events that say more than their name --------------------------------------------------

    def _placed(self, catches: bool) -> list[Effect]:
        self._catches = catches
        return self._move(PLACED)

    def _stops(self, number: int) -> list[Effect]:
        effects = self._move(STOPS)
        self._stopped_by = number
        return effects

    def _written(self, halted: bool) -> list[Effect]:
        by = self._stopped_by
        number = self._stop_signal or (by if by in STOPPING else int(_signal.SIGSTOP))
        effects = self._bind(WRITTEN, number, halted)
        if effects:
            self._stop_signal = 0
        return effects

    def _blocked(self, halted: bool) -> list[Effect]:
        return self._bind(BLOCKED, int(_signal.SIGTTOU), halted)

    def _bind(self, name: str, number: int, halted: bool) -> list[Effect]:
        # Stopped by others it can say when it goes on, no more.
        effects = self._move(name, {STOP_SHADOW: (0 if halted else number,)})
        if effects:
            self.unanswered += 1
            self._by_others = halted
        return effects

    def _answered(self) -> list[Effect]:
        self.unanswered -= 1
        return []

    def _suspect(self) -> list[Effect]:
        self._next_look = 0.0
        return []

    def _looked(self, halted: bool, numbers: list[int]) -> list[Effect]:
        """Whether our stop is over: the shadow has said so, which it does before it reports the
        signals that came then; or others had stopped it, and it has reported one.
        """
        if not self.is_held:
            return self._heard(numbers)
        if self.unanswered and not (numbers and self._by_others and not halted):
            late = self.shadow == RESUMING and halted
            return ([(WAKE_AGAIN,)] if late else []) + self._heard(numbers)
        by_home = self.shadow == BOUND
        asks = (CAME_BY_HOME if by_home else CAME, numbers)
        return self._move(_GOES_ON_BY_HOME if by_home else _GOES_ON_WITH_IT, {ASK_SHADOW: asks})

    def _came(self, numbers: list[int]) -> list[Effect]:
        effects = self._heard(numbers)
        self._swallows = False  # or a stop that came at once has taken ours back
        return [*effects, (RELEASE,)]

    def _came_by_home(self, numbers: list[int]) -> list[Effect]:
        # Ignored, or a stop that came at once took it back; else the program gets what came.
        lost = _signal.SIGCONT not in numbers
        return ([(CONTINUE_JOB,)] if lost else []) + self._came(numbers)

    def _heard(self, numbers: list[int]) -> list[Effect]:
        return [effect for number in numbers for effect in self._signalled(number)]

    def _signalled(self, number: int) -> list[Effect]:
        if self.program == OVER:
            if number in STOPPING:
                return []  # output is left: a stop is seen when the terminal takes none
            if number not in HARMLESS:
                return self._move(_DIES, {TELL_END: (0, number, False), EXIT: (128 + number,)})
        if number == _signal.SIGCONT and self._swallows:
            self._swallows = False
            return []
        if number in STOPPING:
            self._stop_signal = number
        if number == _signal.SIGCONT and self.is_alone:
            return [(SIGNAL, number), (RELEASE,), (LOOK_AGAIN,)]
        return [(SIGNAL, number)]

    def _parted(self, status: int, killed_by: int) -> list[Effect]:
        return self._move(PARTED, {TELL_END: (status, killed_by, True)})

    def _killed_early(self) -> list[Effect]:
        number = int(_signal.SIGKILL)  # as the shadow was
        return self._move(KILLED_EARLY, {TELL_END: (0, number, False), EXIT: (128 + number,)})

    def _end(self, status: int, killed_by: int) -> list[Effect]:
        return self._move(END, {TELL_END: (status, killed_by, False)})


READS: dict[str, Callable[..., list[Effect]]] = {
    PLACED: HomeLife._placed,
    STOPS: HomeLife._stops,
    WRITTEN: HomeLife._written,
    BLOCKED: HomeLife._blocked,
    PARTED: HomeLife._parted,
    ANSWERED: HomeLife._answered,
    SUSPECT: HomeLife._suspect,
    LOOKED: HomeLife._looked,
    HEARD: HomeLife._heard,
    CAME: HomeLife._came,
    CAME_BY_HOME: HomeLife._came_by_home,
    KILLED_EARLY: HomeLife._killed_early,
    END: HomeLife._end,
}
"""What reads the fields of an event; others go by the tables alone."""

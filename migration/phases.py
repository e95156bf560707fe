"""The phases of a move on both sides: a pure table of transitions, deadlines and the job's epoch.

Owns who may run when. The *decider* (home's daemon) is the only one that commits: it does so once
it knows that the source has left and the destination is ready, and records the new epoch first.
Everything that arrives with another epoch than the side's own is ignored: an order of an abandoned
move never meets a later one. Time is an argument; nothing here does input or output.

Why no job runs twice: the source acts on `ABORT` after it has left only if the decider says so,
and the decider says `GO` to the destination only if it will never again say `ABORT` to the source.
Why none stays frozen: every phase but the resting ones has a deadline, and a table entry for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Source(Enum):
    """Where the job is now."""

    RUNNING = "running"  # rests: no move under way
    PROBING = "probing"
    COPYING = "copying"
    QUIETING = "quieting"  # calls with effects at home are awaited
    FREEZING = "freezing"
    LEFT = "left"  # EXITKILL is armed; only the decider may resume
    GONE = "gone"  # rests: the job runs elsewhere
    KILLED = "killed"  # rests: the job is lost, and never ran twice


class Destination(Enum):
    """Where the job will be."""

    EMPTY = "empty"  # rests
    BUILDING = "building"
    FILLING = "filling"
    READY = "ready"
    LIVE = "live"  # rests: the job runs here
    KILLED = "killed"  # rests: what was built is gone


class Event(Enum):
    """What a side can meet: orders of the decider, its own progress, losses."""

    # orders of the decider
    ASK = "ask"
    PREPARE = "prepare"
    ABORT = "abort"
    GO = "go"
    GONE = "gone"
    # own progress
    MOVABLE = "movable"
    REFUSED = "refused"
    CONVERGED = "converged"
    QUIET = "quiet"
    SENT = "sent"
    BUILT = "built"
    COMPLETE = "complete"
    FAILED = "failed"
    # losses
    CUT = "cut"  # the link to the decider
    PEER_LOST = "peer lost"  # the other side, or the link to it
    LATE = "late"  # the phase's deadline has passed


class Effect(Enum):
    """What the side does on a transition; the shell carries it out."""

    PROBE = "probe"
    COPY = "copy"
    HOLD = "hold"  # answer no new call of the job
    FREEZE = "freeze"
    ARM = "arm"  # the job's own death, before anything says that it has left
    SAY_LEFT = "say left"
    SAY_REFUSED = "say refused"
    SAY_ABORTED = "say aborted"
    SAY_READY = "say ready"
    RESUME = "resume"
    END = "end"
    BUILD = "build"
    FILL = "fill"
    RUN = "run"


Phase = Source | Destination
Table = dict[tuple[Phase, Event], tuple[Phase, tuple[Effect, ...]]]

_BACK = (Source.RUNNING, (Effect.RESUME, Effect.SAY_ABORTED))
_SOURCE: Table = {
    (Source.RUNNING, Event.ASK): (Source.PROBING, (Effect.PROBE,)),
    (Source.PROBING, Event.MOVABLE): (Source.COPYING, (Effect.COPY,)),
    (Source.PROBING, Event.REFUSED): (Source.RUNNING, (Effect.SAY_REFUSED,)),
    (Source.COPYING, Event.CONVERGED): (Source.QUIETING, (Effect.HOLD,)),
    (Source.QUIETING, Event.QUIET): (Source.FREEZING, (Effect.FREEZE,)),
    (Source.FREEZING, Event.REFUSED): (Source.RUNNING, (Effect.RESUME, Effect.SAY_REFUSED)),
    (Source.FREEZING, Event.SENT): (Source.LEFT, (Effect.ARM, Effect.SAY_LEFT)),
    (Source.LEFT, Event.GONE): (Source.GONE, (Effect.END,)),
    (Source.LEFT, Event.ABORT): _BACK,
    # Whether the destination was told to go cannot be known here: better lost than twice.
    (Source.LEFT, Event.CUT): (Source.KILLED, (Effect.END,)),
    (Source.LEFT, Event.LATE): (Source.KILLED, (Effect.END,)),
    **{
        (phase, event): _BACK
        for phase in (Source.PROBING, Source.COPYING, Source.QUIETING, Source.FREEZING)
        for event in (Event.ABORT, Event.PEER_LOST, Event.LATE, Event.FAILED, Event.CUT)
    },
}
_ENDED = (Destination.KILLED, (Effect.END, Effect.SAY_ABORTED))
_DESTINATION: Table = {
    (Destination.EMPTY, Event.PREPARE): (Destination.BUILDING, (Effect.BUILD,)),
    (Destination.BUILDING, Event.BUILT): (Destination.FILLING, (Effect.FILL,)),
    (Destination.FILLING, Event.COMPLETE): (Destination.READY, (Effect.SAY_READY,)),
    (Destination.READY, Event.GO): (Destination.LIVE, (Effect.RUN,)),
    (Destination.READY, Event.ABORT): _ENDED,
    (Destination.READY, Event.CUT): _ENDED,
    (Destination.READY, Event.LATE): _ENDED,
    **{
        (phase, event): _ENDED
        for phase in (Destination.BUILDING, Destination.FILLING)
        for event in (Event.ABORT, Event.PEER_LOST, Event.LATE, Event.FAILED, Event.CUT)
    },
}
TABLE: Table = {**_SOURCE, **_DESTINATION}

# Seconds. LEFT and READY wait for the decider, whose own deadline is shorter than both.
DEADLINE: dict[Phase, float] = {
    Source.PROBING: 5.0,
    Source.COPYING: 120.0,
    Source.QUIETING: 2.0,
    Source.FREEZING: 10.0,
    Source.LEFT: 20.0,
    Destination.BUILDING: 10.0,
    Destination.FILLING: 150.0,
    Destination.READY: 20.0,
}
RESTING: frozenset[Phase] = frozenset(
    (
        *(Source.RUNNING, Source.GONE, Source.KILLED),
        *(Destination.EMPTY, Destination.LIVE, Destination.KILLED),
    )
)
DECIDE_WITHIN = 10.0
"""How long the decider waits for what is missing, once one side has said Left or Ready."""


def may_run(phase: Phase) -> bool:
    """Do the job's tasks run at this side in this phase?"""
    return phase in (
        *(Source.RUNNING, Source.PROBING, Source.COPYING, Source.QUIETING),
        Destination.LIVE,
    )


@dataclass
class Side:
    """One side of one move: its phase, the epoch it serves, and when it is late."""

    phase: Phase
    epoch: int
    due: float | None = None
    story: list[tuple[Phase, Event]] = field(default_factory=list)

    def event(self, event: Event, epoch: int, now: float) -> tuple[Effect, ...]:
        """The effects of an event; () if it is another epoch's or means nothing in this phase."""
        if epoch != self.epoch or (self.phase, event) not in TABLE:
            return ()
        self.story.append((self.phase, event))
        self.phase, effects = TABLE[self.phase, event]
        limit = DEADLINE.get(self.phase)
        self.due = None if limit is None else now + limit
        return effects

    def tick(self, now: float) -> tuple[Effect, ...]:
        """What lateness does, once the phase's deadline has passed."""
        if self.due is None or now < self.due:
            return ()
        return self.event(Event.LATE, self.epoch, now)

    def check(self) -> None:
        """The invariants, for tests after every event."""
        assert (self.due is None) == (self.phase in RESTING), f"{self.phase} and due {self.due}"
        assert self.phase in RESTING or (self.phase, Event.LATE) in TABLE


class Decision(Enum):
    """What the decider does."""

    WAIT = "wait"
    COMMIT = "commit"
    ABORT = "abort"


@dataclass
class Decider:
    """Home's half: commits when both have reported, aborts otherwise; decides once."""

    epoch: int
    left: bool = False
    ready: bool = False
    lost_source: bool = False
    lost_destination: bool = False
    decided: Decision = Decision.WAIT
    due: float | None = None

    def report(self, effect: Effect, epoch: int, now: float) -> Decision:
        """A side said something (`SAY_...`)."""
        if epoch == self.epoch and self.decided is Decision.WAIT:
            self.left |= effect is Effect.SAY_LEFT
            self.ready |= effect is Effect.SAY_READY
            if effect in (Effect.SAY_REFUSED, Effect.SAY_ABORTED):
                self.decided = Decision.ABORT
            elif self.due is None:
                self.due = now + DECIDE_WITHIN
        return self._decide(now)

    def lost(self, source: bool, now: float) -> Decision:
        """A side, or the link to it, is gone: the source's if `source`."""
        if source:
            self.lost_source = True
        else:
            self.lost_destination = True
        return self._decide(now)

    def tick(self, now: float) -> Decision:
        return self._decide(now)

    def _decide(self, now: float) -> Decision:
        if self.decided is not Decision.WAIT:
            return self.decided
        if self.lost_destination or (self.lost_source and not self.left):
            self.decided = Decision.ABORT
        elif self.left and self.ready:
            self.decided = Decision.COMMIT
        elif self.due is not None and now >= self.due:
            self.decided = Decision.ABORT
        return self.decided

    def check(self) -> None:
        """Commit only what has left and is ready."""
        assert self.decided is not Decision.COMMIT or (self.left and self.ready)

"""migration.phases: the table is whole, and no interleaving runs a job twice or freezes it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from migration.phases import (
    DEADLINE,
    DECIDE_WITHIN,
    RESTING,
    TABLE,
    Decider,
    Decision,
    Destination,
    Effect,
    Event,
    Phase,
    Side,
    Source,
    may_run,
)

ALL: tuple[Phase, ...] = (*Source, *Destination)


def test_every_phase_rests_or_has_a_deadline_and_an_entry_for_it() -> None:
    for phase in ALL:
        assert (phase in RESTING) != (phase in DEADLINE)
        assert (phase in RESTING) != ((phase, Event.LATE) in TABLE)


def test_an_entry_stays_on_its_side() -> None:
    for (phase, _), (after, _) in TABLE.items():
        assert type(phase) is type(after)


def test_the_decider_is_quicker_than_those_who_wait_for_it() -> None:
    assert DEADLINE[Source.LEFT] > DECIDE_WITHIN
    assert DEADLINE[Destination.READY] > DECIDE_WITHIN


def test_death_is_armed_before_leaving_is_said() -> None:
    _, effects = TABLE[Source.FREEZING, Event.SENT]
    assert effects.index(Effect.ARM) < effects.index(Effect.SAY_LEFT)


@pytest.mark.parametrize("phase", ALL, ids=str)
def test_another_epoch_changes_nothing(phase: Phase) -> None:
    side = Side(phase, epoch=3)
    for event in Event:
        for epoch in (2, 4):
            assert side.event(event, epoch, 0.0) == ()
    assert side.phase is phase


def test_what_is_late_ends_in_rest() -> None:
    side = Side(Source.RUNNING, 1)
    assert side.event(Event.ASK, 1, 10.0) == (Effect.PROBE,)
    side.check()
    assert side.tick(10.0 + DEADLINE[Source.PROBING] - 0.01) == ()
    assert Effect.RESUME in side.tick(10.0 + DEADLINE[Source.PROBING])
    assert side.phase is Source.RUNNING
    side.check()


def test_left_and_cut_kills_instead_of_resuming() -> None:
    side = Side(Source.LEFT, 1, due=1.0)
    assert side.event(Event.PEER_LOST, 1, 0.0) == ()
    assert side.event(Event.CUT, 1, 0.0) == (Effect.END,)
    assert side.phase is Source.KILLED


@dataclass
class World:
    """Both sides, the decider, and messages on their way; losses may strike at every moment."""

    source: Side = field(default_factory=lambda: Side(Source.RUNNING, 1))
    destination: Side = field(default_factory=lambda: Side(Destination.EMPTY, 1))
    home: Decider = field(default_factory=lambda: Decider(1))
    to_source: list[Event] = field(default_factory=lambda: [Event.ASK])
    to_destination: list[Event] = field(default_factory=lambda: [Event.PREPARE])
    to_home: list[Effect] = field(default_factory=list)
    losses: int = 1
    told: bool = False
    cut_source: bool = False
    cut_destination: bool = False

    def key(self) -> tuple[object, ...]:
        return (
            *(self.source.phase, self.destination.phase, self.home.decided),
            *(self.home.left, self.home.ready, self.home.lost_source, self.home.lost_destination),
            *(tuple(self.to_source), tuple(self.to_destination), tuple(self.to_home)),
            *(self.losses, self.told, self.cut_source, self.cut_destination),
        )

    def carry_out(self, effects: tuple[Effect, ...], source: bool) -> None:
        cut = self.cut_source if source else self.cut_destination
        self.to_home += [e for e in effects if e.value.startswith("say") and not cut]

    def decided(self, decision: Decision) -> None:
        if decision is Decision.WAIT or self.told:
            return
        self.told = True
        commit = decision is Decision.COMMIT
        if not self.cut_source:
            self.to_source.append(Event.GONE if commit else Event.ABORT)
        if not self.cut_destination:
            self.to_destination.append(Event.GO if commit else Event.ABORT)


OWN = {
    Source.PROBING: (Event.MOVABLE, Event.REFUSED),
    Source.COPYING: (Event.CONVERGED, Event.FAILED),
    Source.QUIETING: (Event.QUIET,),
    Source.FREEZING: (Event.SENT, Event.REFUSED),
    Destination.BUILDING: (Event.BUILT, Event.FAILED),
    Destination.FILLING: (Event.COMPLETE, Event.FAILED),
}


def step_of_a_side(world: World, source: bool) -> Iterator[World]:
    queue = "to_source" if source else "to_destination"
    name = "source" if source else "destination"
    side: Side = getattr(world, name)
    events = [(event, False) for event in OWN.get(side.phase, ())]
    if side.phase not in RESTING:
        events.append((Event.LATE, False))
    if getattr(world, queue):
        events.append((getattr(world, queue)[0], True))
    for event, taken in events:
        after = copy.deepcopy(world)
        if taken:
            getattr(after, queue).pop(0)
        effects = getattr(after, name).event(event, 1, 0.0)
        after.carry_out(effects, source)
        yield after


def losses(world: World) -> Iterator[World]:
    if not world.losses:
        return
    for source in (True, False):
        after = copy.deepcopy(world)
        after.losses -= 1
        if source:
            after.cut_source = True
            after.to_source = []
            after.carry_out(after.source.event(Event.CUT, 1, 0.0), True)
        else:
            after.cut_destination = True
            after.to_destination = []
            after.carry_out(after.destination.event(Event.CUT, 1, 0.0), False)
        after.decided(after.home.lost(source, 0.0))
        yield after
    after = copy.deepcopy(world)
    after.losses -= 1
    after.carry_out(after.source.event(Event.PEER_LOST, 1, 0.0), True)
    after.carry_out(after.destination.event(Event.PEER_LOST, 1, 0.0), False)
    yield after


def steps(world: World) -> Iterator[World]:
    yield from step_of_a_side(world, True)
    yield from step_of_a_side(world, False)
    if world.to_home:
        after = copy.deepcopy(world)
        after.decided(after.home.report(after.to_home.pop(0), 1, 0.0))
        yield after
    if world.home.due is not None and world.home.decided is Decision.WAIT:
        after = copy.deepcopy(world)
        after.decided(after.home.tick(DECIDE_WITHIN))
        yield after
    yield from losses(world)


def test_no_interleaving_runs_the_job_twice() -> None:
    """Every order of messages, progress, lateness and one loss, explored to the end."""
    seen: set[tuple[object, ...]] = set()
    todo = [World()]
    lived = ended = 0
    while todo:
        world = todo.pop()
        key = world.key()
        if key in seen:
            continue
        seen.add(key)
        world.home.check()
        assert not (may_run(world.source.phase) and may_run(world.destination.phase)), key
        if world.destination.phase is Destination.LIVE:
            lived += 1
            assert world.source.phase in (Source.LEFT, Source.GONE, Source.KILLED)
        following = list(steps(world))
        if not following:
            ended += 1
            assert world.source.phase in RESTING
            assert world.destination.phase in RESTING
        todo += following
    assert lived and ended and len(seen) > 500

"""The life of a transparent job at home: every pair of state and event, and what must always hold.

docs/shadows.md is what this is compared with. `EXPECTED` is written in its words; what has no line
there must change nothing.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glunix.home.processes import lifecycle as lc
from glunix.home.processes.lifecycle import SHADOW, STATES, HomeLife

TSTP, STOP, TTOU = int(signal.SIGTSTP), int(signal.SIGSTOP), int(signal.SIGTTOU)
CONT, INT, TERM, KILL = (
    int(signal.SIGCONT),
    int(signal.SIGINT),
    int(signal.SIGTERM),
    int(signal.SIGKILL),
)

EVENTS: dict[str, tuple[Any, ...]] = {
    "placed": (True,),
    "stops": (TSTP,),
    "continues": (),
    "exits": (),
    "ends": (),
    "orphaned": (),
    "lost": (),
    "written": (False,),
    "blocked": (False,),
    "parted": (3, 0),
    "answered": (),
    "seen halted": (),
    "seen running": (),
    "suspect": (),
    "looked": (False, []),
    "heard": ([INT],),
    "came": ([INT],),
    "came by home": ([INT],),
    "shadow killed": (),
    "killed early": (),
    "end": (4, 0),
}
"""Each event, with fields of the ordinary kind."""

EXPECTED = """
placed        launching/*               running/*

# The node reports stops; the shadow stops when what was written before is out.
stops         running/*                 stopped/*
written       stopped/runs halted       stopped/bound       stop shadow
blocked       exited over/runs halted   =/bound             stop shadow

# The program goes on: so does its shadow, and what waits at home is looked at anew.
continues     running/runs halted killed told       =       look again
continues     stopped/runs halted killed told       running/*       look again
continues     exited over/runs halted killed ended told     =       look again
continues     stopped/bound resuming    running/resuming    wake shadow, look at shadow, look again
continues     running/resuming          =                   wake shadow, look at shadow, look again
continues     exited over/bound resuming    =/resuming      wake shadow, look at shadow, look again

# It says so; or somebody at home has it go on, and then the program goes on, too.
looked        stopped/bound             running/runs    job goes on, look again, ask shadow
looked        exited over/bound         =/runs          job goes on, look again, ask shadow
looked        running stopped exited over/resuming  =/runs  look again, ask shadow

# The program ends while others live: the shadow ends when all is written, stopped or not.
exits         running stopped/runs halted bound ended told      exited/*
exits         running stopped/killed    exited/killed       undo modes late, look again
exits         running stopped/resuming  exited/resuming
exits         exited/killed             =                   undo modes late, look again
parted        exited/runs halted        exited/ended        leave terminal, flush line, show stats,
    tell end, go alone, outputs alone, look again
parted        exited/bound resuming     exited/ended        leave terminal, flush line, show stats,
    tell end, wake shadow, go alone, outputs alone, look again

# All of it ends.
ends          running stopped exited/runs halted bound resuming ended told  over/*  drop input
ends          running stopped exited/killed     over/killed     drop input, undo modes late
ends          over/runs halted bound resuming ended told    =   drop input
ends          over/killed               =               drop input, undo modes late
orphaned      running stopped exited/*  over/*          drop input, undo modes
orphaned      over/*                    =               drop input, undo modes
lost          running stopped exited/*  over/*

# Others stop the shadow alone, or kill it.
seen halted   running stopped exited over/runs      =/halted    stop program
seen running  running stopped exited over/halted    =/runs
shadow killed running stopped exited over/runs halted bound resuming    =/killed
    go alone, undo modes late, terminal free, outputs alone, kill program
killed early  launching/runs            launching/told      tell end, exit

# Signals.
heard         running stopped exited/*  =               signal
heard         over/runs halted          over/told       leave terminal, tell end, exit
heard         over/bound resuming       over/told       leave terminal, tell end, wake shadow, exit
heard         over/told ended killed    =               leave terminal, exit
came          running stopped exited/*  =               signal, release
came          over/runs halted          over/told       leave terminal, tell end, exit, release
came          over/bound resuming       over/told
    leave terminal, tell end, wake shadow, exit, release
came          over/told ended killed    =               leave terminal, exit, release
came by home  running stopped exited/*  =               continue job, signal, release
came by home  over/runs halted          over/told
    continue job, leave terminal, tell end, exit, release
came by home  over/bound resuming       over/told
    continue job, leave terminal, tell end, wake shadow, exit, release
came by home  over/told ended killed    =               continue job, leave terminal, exit, release

# This process ends: an ordinary end is told to a shadow that is there, and wakes it.
end           */runs halted             */told          tell end
end           */bound resuming          */told          tell end, wake shadow
"""

Pair = tuple[str, str]
Row = tuple[Pair, list[str]]


def expected() -> dict[tuple[str, Pair], Row]:
    """(event, pair) -> (pair after it, effects); `*` is any, or the same, `=` is the same."""
    lines: list[str] = []
    for line in EXPECTED.splitlines():
        if line.startswith(" "):
            lines[-1] += "  " + line.strip()
        elif line and not line.startswith("#"):
            lines.append(line)
    found: dict[tuple[str, Pair], Row] = {}
    for line in lines:
        event = next(one for one in sorted(EVENTS, key=len, reverse=True) if line.startswith(one))
        before, after, *rest = (one for one in line[len(event) :].split("  ") if one.strip())
        effects = [one.strip() for one in " ".join(rest).split(",") if one.strip()]
        programs, shadows = (side.split() for side in before.strip().split("/"))
        to_program, _, to_shadow = after.strip().partition("/")
        for pair in STATES:
            if (pair[0] in programs or programs == ["*"]) and (
                pair[1] in shadows or shadows == ["*"]
            ):
                new = (
                    pair[0] if to_program in ("*", "=") else to_program,
                    pair[1] if to_shadow in ("*", "") else to_shadow,
                )
                assert (event, pair) not in found, (event, pair)
                found[event, pair] = new, effects
    return found


TABLE = expected()


def in_state(pair: Pair) -> HomeLife:
    life = HomeLife()
    life.program, life.shadow = pair
    life._stopped_by = TSTP if pair[0] == lc.STOPPED else 0
    return life


@pytest.mark.parametrize("event", EVENTS)
def test_every_state_takes_every_event(event: str) -> None:
    for pair in STATES:
        life = in_state(pair)
        life.unanswered = event == lc.ANSWERED
        effects = life.handle((event, *EVENTS[event]), 5.0)
        wanted = TABLE.get((event, pair), (pair, []))
        assert ((life.program, life.shadow), [one for one, *_ in effects]) == wanted, pair
        life.check()


def test_the_table_names_what_exists() -> None:
    assert EVENTS.keys() == {name for name in lc.PROGRAM if name not in INNER}
    assert {event for event, _ in TABLE} <= EVENTS.keys()


INNER = (lc._GOES_ON_BY_HOME, lc._GOES_ON_WITH_IT, lc._DIES)


def happens(life: HomeLife, name: str, *fields: object, now: float = 0.0) -> list[Any]:
    effects = life.handle((name, *fields), now)
    life.check()
    return effects


def placed(catches: bool = True) -> HomeLife:
    life = HomeLife()
    happens(life, lc.PLACED, catches)
    return life


def stopped(halted: bool = False) -> HomeLife:
    life = placed()
    happens(life, lc.STOPS, TSTP)
    happens(life, lc.WRITTEN, halted)
    return life


def test_the_shell_sees_the_signal_that_the_user_sent() -> None:
    life = placed()
    assert happens(life, lc.HEARD, [TTOU]) == [("signal", TTOU)]
    happens(life, lc.STOPS, TSTP)  # the program was stopped by another one
    assert life.state == "stopping"
    assert happens(life, lc.WRITTEN, False) == [("stop shadow", TTOU)]
    assert life.state == "stopped"
    happens(life, lc.ANSWERED)
    happens(life, lc.LOOKED, False, [CONT])
    happens(life, lc.STOPS, STOP)
    assert happens(life, lc.WRITTEN, False) == [("stop shadow", STOP)]  # once


def test_what_stops_no_process_is_seen_as_sigstop() -> None:
    life = placed()
    happens(life, lc.STOPS, INT)
    assert happens(life, lc.WRITTEN, False) == [("stop shadow", STOP)]


def test_a_stop_that_is_over_before_all_is_written_is_none() -> None:
    life = placed()
    happens(life, lc.STOPS, TSTP)
    happens(life, lc.CONTINUES)
    assert life.state == "running"
    assert not life.may_bind(lc.WRITTEN)
    assert happens(life, lc.WRITTEN, False) == []


def test_fg_is_one_list_of_effects() -> None:
    life = stopped()
    happens(life, lc.ANSWERED)
    asks = happens(life, lc.LOOKED, False, [CONT])
    assert asks == [("job goes on",), ("look again",), ("ask shadow", "came by home", [CONT])]
    assert happens(life, lc.CAME_BY_HOME, [CONT, INT]) == [
        ("signal", CONT),
        ("signal", INT),
        ("release",),
    ]


def test_sigcont_that_nobody_caught_is_sent_all_the_same() -> None:
    life = stopped()
    happens(life, lc.ANSWERED)
    happens(life, lc.LOOKED, False, [])
    assert happens(life, lc.CAME_BY_HOME, []) == [("continue job",), ("release",)]


@pytest.mark.parametrize("catches", [True, False])
def test_our_own_sigcont_is_no_news_to_the_program(catches: bool) -> None:
    life = placed(catches)
    happens(life, lc.STOPS, TSTP)
    happens(life, lc.WRITTEN, False)
    happens(life, lc.CONTINUES)
    assert life.state == "resuming"
    happens(life, lc.ANSWERED)
    asks = happens(life, lc.LOOKED, False, [])
    assert asks == [("look again",), ("ask shadow", "came", [])]
    come = happens(life, lc.CAME, [CONT, CONT])
    signals = [("signal", CONT)] * (1 if catches else 2)
    assert come == [*signals, ("release",)]


def test_a_shadow_that_stops_later_than_we_waited_is_woken_again() -> None:
    life = stopped()
    happens(life, lc.CONTINUES)
    assert happens(life, lc.LOOKED, True, []) == [("wake again",)]
    assert happens(life, lc.LOOKED, False, []) == []  # it goes on, but has not said so
    happens(life, lc.ANSWERED)
    assert happens(life, lc.LOOKED, False, [])
    assert life.state == "running"


def test_signals_of_a_stopped_shadow_are_passed_on() -> None:
    life = stopped()
    assert happens(life, lc.LOOKED, True, [TERM]) == [("signal", TERM)]
    assert life.state == "stopped"


def test_a_shadow_that_others_had_stopped_goes_on_with_its_next_signal() -> None:
    life = stopped(halted=True)
    assert happens(life, lc.LOOKED, True, [TERM]) == [("signal", TERM)]
    assert happens(life, lc.LOOKED, False, []) == []
    assert happens(life, lc.LOOKED, False, [CONT])[0] == ("job goes on",)
    assert life.unanswered == 1  # its answer comes later


def test_it_is_told_no_signal_where_others_have_stopped_it() -> None:
    life = placed()
    happens(life, lc.STOPS, TSTP)
    assert happens(life, lc.WRITTEN, True) == [("stop shadow", 0)]


def test_a_stop_by_others_is_looked_for_in_time() -> None:
    life = HomeLife()
    assert not life.is_due(1.0)  # no program yet
    happens(life, lc.PLACED, True)
    assert life.is_due(1.0)
    assert happens(life, lc.SEEN_HALTED, now=1.0) == [("stop program",)]
    assert not life.is_due(1.0 + lc.LOOK / 2)
    assert happens(life, lc.SEEN_HALTED, now=2.0) == []  # the same stop
    assert not life.is_due(2.1)
    happens(life, lc.SUSPECT)
    assert life.is_due(2.1)
    happens(life, lc.SEEN_RUNNING, now=3.0)
    assert happens(life, lc.SEEN_HALTED, now=4.0) == [("stop program",)]
    happens(life, lc.STOPS, STOP)
    happens(life, lc.WRITTEN, True)
    assert not life.is_due(9.0)  # it is to be stopped


def test_the_shell_sees_the_programs_end_once() -> None:
    life = stopped()
    happens(life, lc.EXITS)
    assert life.state == "program exited"
    assert life.is_parting
    ends = happens(life, lc.PARTED, 3, 0)
    assert ("tell end", 3, 0, True) in ends
    assert ("wake shadow",) in ends
    assert life.state == "detached"
    assert not life.is_parting
    assert happens(life, lc.END, 9, 9) == []


def test_a_killed_shadow_is_not_told_of_an_end() -> None:
    life = placed()
    happens(life, lc.SHADOW_KILLED)
    happens(life, lc.EXITS)
    assert life.state == "detached"
    assert not life.is_parting
    happens(life, lc.ENDS)
    assert happens(life, lc.END, 0, KILL) == []


def test_alone_what_was_blocked_is_tried_with_sigcont() -> None:
    life = placed()
    happens(life, lc.EXITS)
    happens(life, lc.PARTED, 0, 0)
    assert happens(life, lc.HEARD, [CONT, INT]) == [
        ("signal", CONT),
        ("release",),
        ("look again",),
        ("signal", INT),
    ]


def test_where_only_output_is_left_stops_wait_and_the_rest_ends_us() -> None:
    life = placed()
    happens(life, lc.LOST)
    assert happens(life, lc.HEARD, [TSTP, int(signal.SIGWINCH)]) == [("signal", signal.SIGWINCH)]
    assert happens(life, lc.HEARD, [TERM]) == [
        ("leave terminal",),
        ("tell end", 0, TERM, False),
        ("exit", 128 + TERM),
    ]


# -- what always holds -------------------------------------------------------------------------


class Shadow:
    """The shadow as the kernel and glunix.home.processes.root_shadow._stand have it: a process that
    does one thing after the other, and is stopped meanwhile or not."""

    def __init__(self) -> None:
        self.is_stopped = self.by_word = False
        self.words: list[str] = []
        self.answers = 0
        self.got: list[int] = []
        self.end: tuple[int, int] | None = None
        self.ends = 0

    def runs(self) -> None:
        """As far as it gets."""
        while self.words and not self.is_stopped and self.end is None:
            word = self.words.pop(0)
            if word == "stop":
                self.is_stopped = self.by_word = True
                self.words.insert(0, "answer")
            elif word == "answer":
                self.answers += 1

    def continued(self) -> None:
        self.is_stopped = self.by_word = False
        self.got.append(CONT)
        self.runs()


class World:
    """A job's home's half with its shadow, and a node that reports what it likes."""

    def __init__(self) -> None:
        self.life = HomeLife()
        self.shadow = Shadow()
        self.told: list[Any] = []
        self.now = 0.0

    def happens(self, name: str, *fields: object) -> None:
        self.now += 0.1
        for effect, *arguments in self.life.handle((name, *fields), self.now):
            self.life.check()
            self.perform(effect, arguments)
        self.life.check()

    def perform(self, effect: str, arguments: list[Any]) -> None:
        shadow = self.shadow
        if effect == lc.STOP_SHADOW:
            shadow.words += ["stop"] if arguments[0] else ["answer"]
            shadow.runs()
        elif effect in (lc.WAKE_SHADOW, lc.WAKE_AGAIN):
            while shadow.is_stopped or shadow.answers:
                self.answers()
                shadow.continued()
            self.answers()
        elif effect == lc.TELL_END:
            assert shadow.end is None, "it ends once"
            shadow.end = arguments[0], arguments[1]
        elif effect == lc.ASK_SHADOW:
            self.happens(arguments[0], arguments[1] + self.take())
        self.told.append(effect)

    def answers(self) -> None:
        while self.shadow.answers:
            self.shadow.answers -= 1
            self.happens(lc.ANSWERED)

    def take(self) -> list[int]:
        got, self.shadow.got = self.shadow.got, []
        return got

    def turn(self) -> None:
        """As glunix.home.transparentlevel does one."""
        life, shadow = self.life, self.shadow
        if life.is_due(self.now):
            self.happens(lc.SEEN_HALTED if shadow.is_stopped else lc.SEEN_RUNNING)
        self.answers()
        numbers = self.take()
        if life.is_held or numbers:
            self.happens(lc.LOOKED if life.is_held else lc.HEARD, *self.looked(numbers))

    def looked(self, numbers: list[int]) -> list[Any]:
        return [self.shadow.is_stopped, numbers] if self.life.is_held else [numbers]

    def step(self, what: str) -> None:
        life, shadow = self.life, self.shadow
        gone = shadow.end is not None or life.is_alone
        if what == "turn":
            self.turn()
        elif what in (lc.WRITTEN, lc.BLOCKED):
            if life.may_bind(what):
                self.happens(what, shadow.is_stopped)
        elif what == lc.PARTED:
            if life.is_parting:
                self.happens(what, 3, 0)
        elif what == "fg" and not gone:
            shadow.continued()
        elif what == "kill -STOP" and not gone:
            shadow.is_stopped = True
        elif what == "^C" and not gone and not shadow.is_stopped:
            shadow.got.append(INT)
        elif what == "kill -9" and not gone:
            self.happens(lc.SHADOW_KILLED)
        elif what in EVENTS and what not in NOT_THE_NODES:
            self.happens(what, *EVENTS[what])


NOT_THE_NODES = {
    lc.ANSWERED, lc.LOOKED, lc.HEARD, lc.CAME, lc.CAME_BY_HOME, lc.SEEN_HALTED, lc.SEEN_RUNNING,
    lc.SHADOW_KILLED, lc.KILLED_EARLY, lc.END, lc.PLACED,
}  # fmt: skip
STEPS = (
    "turn", "fg", "kill -STOP", "^C", "kill -9", lc.STOPS, lc.CONTINUES, lc.EXITS, lc.ENDS, lc.LOST,
    lc.ORPHANED, lc.WRITTEN, lc.BLOCKED, lc.PARTED, lc.SUSPECT,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_every_run_ends_and_the_shadow_is_not_left_behind(steps: list[str]) -> None:
    world = World()
    world.happens(lc.PLACED, True)
    for step in steps:
        world.step(step)
        if lc.EXIT in world.told:
            assert world.life.state == "over"
            break
    else:
        world.happens(lc.ENDS)
        world.happens(lc.END, 3, 0)
    assert world.life.state == "over"
    assert lc.KILL_PROGRAM in world.told or world.told.count(lc.TELL_END) == 1


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_a_shadow_goes_on_with_its_program(steps: list[str]) -> None:
    """Whatever came before: once the program runs and all is quiet, its shadow runs."""
    world = World()
    world.happens(lc.PLACED, True)
    for step in steps:
        world.step(step)
    if world.life.is_alone or world.shadow.end is not None:
        return
    for _ in range(3):
        world.happens(lc.CONTINUES)
        world.turn()
    if world.shadow.end is None:
        assert world.life.shadow in (lc.RUNS, lc.HALTED), world.life.shadow
        assert not world.shadow.by_word


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(EVENTS)), st.sampled_from([TSTP, CONT, INT, KILL])),
        max_size=40,
    )
)
def test_any_events_in_any_order_keep_what_always_holds(events: list[tuple[str, int]]) -> None:
    """Also such as cannot come."""
    life = HomeLife()
    for name, number in events:
        if name == lc.ANSWERED and not life.unanswered:
            continue
        fields = EVENTS[name]
        if fields and isinstance(fields[-1], list):
            fields = (*fields[:-1], [number])
        elif name == lc.STOPS:
            fields = (number,)
        for _, *arguments in life.handle((name, *fields), 0.0):
            assert all(isinstance(one, int | str | list) for one in arguments)
        life.check()
        assert life.state


def test_every_row_leads_to_a_state() -> None:
    for name, rows in SHADOW.items():
        for before, (after, _) in rows.items():
            for program, becomes in lc.PROGRAM[name].items():
                if (program, before) in STATES:
                    assert (becomes, after) in STATES, (name, program, before)

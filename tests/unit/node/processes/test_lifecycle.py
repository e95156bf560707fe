"""The life of a transparent job on its node: every state and event, and what must always hold.

docs/shadows.md is what this is compared with. What has no line in `EXPECTED` must change nothing.
"""

import signal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glunix.node.processes import lifecycle as lc
from glunix.node.processes.lifecycle import LIFE, STATES, NodeLife

TSTP, CONT, INT, KILL = (
    int(signal.SIGTSTP),
    int(signal.SIGCONT),
    int(signal.SIGINT),
    int(signal.SIGKILL),
)

EVENTS: dict[str, tuple[Any, ...]] = {
    "forked": (),
    "not forked": ("engine", 38, "no engine"),
    "born": (),
    "failed": ("exec", 2, "no such file"),
    "stops": (TSTP,),
    "continues": (),
    "ends": (3, 0, False),
    "engine stops": (TSTP,),
    "space over": (),
    "lives": (),
    "gone": (),
    "written": (),
    "goes on here": (False,),
    "signal": (INT, False),
    "kill": (INT,),
}
"""Each event, with fields of the ordinary kind."""

EXPECTED = """
# It begins. Before the child is the program, home hears of no stop: it goes on, and stops then.
forked          forking                     starting
forked          forking stub                arriving
not forked      forking|forking stub        over            report failed
born            starting                    running         report started
born            arriving|arrived stopped    =               stub born
born            exited|detached             =               report started
failed          starting|arriving|arrived stopped|exited|detached   over
    report failed, finish outputs
stops           starting                    =               continue child

# It stops and goes on.
stops           running|stopped             stopped         report stopped
continues       running|stopped|still       running         report continued
engine stops    starting|arriving|arrived stopped   =       report stopped
engine stops    running|stopped|still       stopped         report stopped

# It comes from another node, perhaps stopped, which home knows.
stops           arriving|arrived stopped    arrived stopped
stops           still                       stopped
goes on here    arriving|arrived stopped    running

# It ends, and the job with it or later. Home hears of the program's end after what it wrote.
ends            starting|still|running|stopped      exited
space over      starting|still|running|stopped      exited  catch up
lives           exited                      detached        settle outputs
written         detached                    =               report program end
gone            exited|detached             over            report end, finish outputs

# Signals: for the program alone as long as there is one, and for its group.
signal  starting|arriving|arrived stopped|still|running|stopped     =   kill one, sweep
kill    forking|forking stub|starting|arriving|arrived stopped|still|running|stopped  =
    deliver, sweep
kill    exited|detached                     =               deliver, sweep
"""


def expected() -> dict[tuple[str, str], tuple[str, list[str]]]:
    """(event, state) -> (state after it, effects); `=` is the same."""
    lines: list[str] = []
    for line in EXPECTED.splitlines():
        if line.startswith(" "):
            lines[-1] += "  " + line.strip()
        elif line and not line.startswith("#"):
            lines.append(line)
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for line in lines:
        event = next(one for one in sorted(EVENTS, key=len, reverse=True) if line.startswith(one))
        before, after, *rest = (
            one.strip() for one in line[len(event) :].split("  ") if one.strip()
        )
        effects = [one.strip() for one in " ".join(rest).split(",") if one.strip()]
        for state in before.split("|"):
            assert state in STATES
            assert (event, state) not in found, (event, state)
            found[event, state] = state if after == "=" else after, effects
    return found


TABLE = expected()


def in_state(state: str) -> NodeLife:
    life = NodeLife()
    life.state = state
    life._end = (3, 0, False, False) if state in (lc.EXITED, lc.DETACHED, lc.OVER) else None
    return life


@pytest.mark.parametrize("event", EVENTS)
def test_every_state_takes_every_event(event: str) -> None:
    for state in STATES:
        life = in_state(state)
        effects = life.handle((event, *EVENTS[event]))
        wanted = TABLE.get((event, state), (state, []))
        assert (life.state, [one for one, *_ in effects]) == wanted, state
        life.check()


def test_the_table_names_what_exists() -> None:
    assert EVENTS.keys() == LIFE.keys() - {lc._DOOMS}
    states = {state for rows in LIFE.values() for state in rows}
    assert states | {lc.OVER} == set(STATES)


def happens(life: NodeLife, name: str, *fields: object) -> list[Any]:
    effects = life.handle((name, *fields))
    life.check()
    return effects


def running() -> NodeLife:
    life = NodeLife()
    happens(life, lc.FORKED)
    happens(life, lc.BORN)
    return life


def test_a_stop_before_the_program_is_its_own() -> None:
    life = NodeLife()
    happens(life, lc.FORKED)
    assert happens(life, lc.STOPS, TSTP) == [("continue child",)]
    assert happens(life, lc.CONTINUES) == []
    assert happens(life, lc.BORN) == [("report started",), ("kill one", TSTP)]
    assert happens(life, lc.STOPS, TSTP) == [("report stopped", TSTP)]


def test_a_child_that_ends_before_its_start_was_seen() -> None:
    life = NodeLife()
    happens(life, lc.FORKED)
    happens(life, lc.STOPS, TSTP)
    happens(life, lc.ENDS, 0, KILL, False)
    assert happens(life, lc.BORN) == [("report started",)]  # there is nothing to stop any more


def test_home_hears_how_the_program_ended_twice_if_others_live_on() -> None:
    life = running()
    happens(life, lc.ENDS, 0, INT, True)
    assert life.has_ended
    assert happens(life, lc.LIVES) == [("settle outputs",)]
    assert happens(life, lc.LIVES) == []
    assert happens(life, lc.WRITTEN) == [("report program end", 0, INT, True)]
    assert happens(life, lc.GONE) == [("report end", 0, INT, True, False), ("finish outputs",)]
    assert happens(life, lc.WRITTEN) == []
    assert life.is_over


@pytest.mark.parametrize("doomed", [True, False])
def test_a_namespace_that_is_gone_was_killed_by_us_or_by_others(doomed: bool) -> None:
    life = running()
    if doomed:
        happens(life, lc.KILL, KILL)
    assert life.is_doomed == doomed
    assert happens(life, lc.SPACE_OVER) == [("catch up",)]
    assert happens(life, lc.GONE)[0] == ("report end", 0, KILL, False, not doomed)


def test_a_namespace_that_is_gone_after_its_program_says_nothing_new() -> None:
    life = running()
    happens(life, lc.ENDS, 3, 0, False)
    assert happens(life, lc.SPACE_OVER) == []
    assert happens(life, lc.GONE)[0] == ("report end", 3, 0, False, False)


def test_sigkill_is_for_everything() -> None:
    life = running()
    assert happens(life, lc.KILL, KILL) == [("kill all",), ("deliver", KILL, False), ("sweep",)]
    happens(life, lc.ENDS, 0, KILL, False)
    assert happens(life, lc.KILL, INT) == [("deliver", INT, True), ("sweep",)]
    happens(life, lc.GONE)
    assert happens(life, lc.KILL, KILL) == []


def test_a_signal_for_the_program_is_its_groups_where_processes_have_no_shadow() -> None:
    life = running()
    assert happens(life, lc.SIGNAL, INT, False) == [("kill one", INT), ("sweep",)]
    assert happens(life, lc.SIGNAL, INT, True) == [("deliver", INT, False), ("sweep",)]
    assert happens(life, lc.SIGNAL, KILL, True) == [("kill one", KILL), ("sweep",)]
    assert not life.is_doomed
    assert happens(life, lc.SIGNAL, 0, False) == happens(life, lc.KILL, 0) == []


def test_a_job_that_arrives_keeps_its_stub_to_itself() -> None:
    life = NodeLife(arriving=True)
    assert life.is_arriving
    happens(life, lc.FORKED)
    assert happens(life, lc.BORN) == [("stub born",)]
    for event in (lc.CONTINUES, lc.ENDS, lc.SPACE_OVER):
        assert happens(life, event, *EVENTS[event]) == []
    assert life.is_arriving
    happens(life, lc.GOES_ON_HERE, False)
    assert not life.is_arriving
    assert happens(life, lc.STOPS, TSTP) == [("report stopped", TSTP)]


@pytest.mark.parametrize("before", [True, False])
def test_a_job_that_arrives_stopped_says_so_once(before: bool) -> None:
    """Its stub was stopped before it went on here, or is about to be."""
    life = NodeLife(arriving=True)
    happens(life, lc.FORKED)
    if before:
        happens(life, lc.STOPS, TSTP)
    happens(life, lc.GOES_ON_HERE, True)
    if not before:
        assert happens(life, lc.STOPS, TSTP) == []
    assert life.state == lc.STOPPED
    assert happens(life, lc.CONTINUES) == [("report continued",)]
    assert happens(life, lc.STOPS, TSTP) == [("report stopped", TSTP)]


@settings(max_examples=200, deadline=None)
@given(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(sorted(EVENTS)), st.sampled_from([TSTP, CONT, INT, KILL])),
        max_size=40,
    ),
)
def test_every_run_ends_and_home_hears_it_once(
    arriving: bool, events: list[tuple[str, int]]
) -> None:
    """Whatever comes in whatever order, also what cannot."""
    life, told = NodeLife(arriving), []

    def take(name: str, *fields: object) -> None:
        told.extend(one for one, *_ in happens(life, name, *fields))

    for name, number in events:
        fields = EVENTS[name]
        if name in (lc.STOPS, lc.KILL, lc.SIGNAL):
            fields = (number, *fields[1:])
        take(name, *fields)
    for name in (lc.FORKED, lc.BORN, lc.GOES_ON_HERE, lc.KILL, lc.SPACE_OVER, lc.LIVES, lc.GONE):
        take(name, *EVENTS[name])
    assert life.is_over
    ends = told.count(lc.REPORT_END) + told.count(lc.REPORT_FAILED)
    assert ends == 1
    assert told[-1] == lc.FINISH_OUTPUTS or lc.REPORT_FAILED in told


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([lc.STOPS, lc.CONTINUES, lc.BORN, lc.ENDS, lc.LIVES, lc.WRITTEN])))
def test_home_hears_of_the_start_first_and_of_no_stop_after_the_end(events: list[str]) -> None:
    """As the kernel's wait statuses come."""
    life, told = NodeLife(), []
    for name in (lc.FORKED, *events):
        told.extend(one for one, *_ in happens(life, name, *EVENTS[name]))
    states = [one for one in told if one in (lc.REPORT_STOPPED, lc.REPORT_CONTINUED)]
    if states:
        assert told.index(lc.REPORT_STARTED) < told.index(states[0])
    if lc.REPORT_PROGRAM_END in told:
        after = told[told.index(lc.REPORT_PROGRAM_END) :]
        assert not {lc.REPORT_STOPPED, lc.REPORT_CONTINUED} & set(after)

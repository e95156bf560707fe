"""A job's program as its supervisor has it: wait statuses and signals, with a supervisor that
records."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from glunix.msg import stream
from glunix.node.processes import lifecycle, program
from glunix.node.processes.namespace import Plain
from glunix.node.processes.program import Program
from glunix.node.processes.tree import Family
from glunix.node.spawn.exec import StepFailed

PID = 77
STOPPED = int(signal.SIGTSTP) << 8 | 0x7F
CONTINUED = 0xFFFF
KILLED = int(signal.SIGINT) | 0x80
"""With a core (wait(2))."""


class Place(Plain):
    """Where the program is: nothing is signalled."""

    program = PID

    def __init__(self, story: list[object]) -> None:
        self.story = story
        self.family = Family.LIVES

    def look(self) -> Family:  # type: ignore[override]
        return self.family

    def kill_all(self) -> None:
        self.story.append("kill all")

    def settle(self) -> None:
        self.story.append("settle")


class Birth:
    """The child executes its program when it is asked."""

    def __init__(self) -> None:
        self.failure: object = None
        self.over = False

    def fileno(self) -> int:
        return 50

    def is_over(self) -> bool:
        return self.over

    def close(self) -> None:
        pass


class Output:
    """One that is empty at once."""

    def __init__(self, story: list[object]) -> None:
        self.story = story

    def drain(self) -> bool:
        self.story.append("drain")
        return True

    def settle(self, done: Any) -> None:
        done()

    def finish(self) -> None:
        self.story.append("finish")


Made = tuple[list[object], Program, Birth, Place]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    story: list[object] = []
    note = story.append
    of = SimpleNamespace(
        _vnn=0,
        _setuid=False,
        _engine_reaps=False,
        _session=None,
        _spec=SimpleNamespace(pids=None),
        _outputs={1: Output(story)},
        _reactor=SimpleNamespace(add_reader=lambda *given: None, remove_reader=lambda fd: None),
        _stand_ins=SimpleNamespace(started=lambda: note("stand-ins"), foreground=lambda: 9),
        _pids=SimpleNamespace(
            has_strays=False, program_name=SimpleNamespace(begins=lambda *given: None)
        ),
        _reads=SimpleNamespace(drop_ahead=lambda: None),
        _migrating=SimpleNamespace(born=lambda *given: note(("stub", *given))),
        _report=note,
        _to_home=lambda message: note(("home", message)),
        _present_bill=lambda: note("bill"),
    )
    monkeypatch.setattr(program, "kill_one", lambda *given: note(("kill", *given)))
    monkeypatch.setattr(program, "deliver", lambda *given: note(("deliver", *given)))
    supervisor: Any = of
    found, birth, place = Program(supervisor, arriving=False), Birth(), Place(story)
    given: Any = (birth, place)
    found.watch(*given)
    found.forked()
    return story, found, birth, place


def born(found: Program, birth: Birth) -> None:
    birth.over = True
    found._born()


def test_every_effect_has_a_performer(made: Made) -> None:
    rows = lifecycle.LIFE.values()
    of_rows = {one for row in rows for _, effects in row.values() for one in effects}
    assert made[1]._performers.keys() == of_rows


def test_a_program_starts_stops_goes_on_and_ends(made: Made) -> None:
    story, found, birth, place = made
    born(found, birth)
    for status in (STOPPED, CONTINUED, KILLED):
        found.child_state(PID, status)
    found.look_after()
    found.look_after()
    place.family = Family.GONE
    found.look_after()
    assert story == [
        "stand-ins",
        stream.Started(0, PID, flushes=True, hears=True),
        "settle",
        "drain",
        stream.Stopped(0, signal.SIGTSTP),
        stream.Continued(0),
        "bill",
        ("home", stream.RootExited(0, 0, signal.SIGINT, True)),
        stream.Exited(0, 0, signal.SIGINT, True),
        "finish",
    ]
    assert found.life.is_over


def test_its_end_tells_of_its_start(made: Made) -> None:
    """Nobody has looked yet whether it has begun."""
    story, found, birth, place = made
    birth.over, place.family = True, Family.GONE
    found.child_state(PID, 3 << 8)
    found.look_after()
    assert story[1:] == [
        stream.Started(0, PID, flushes=True, hears=True),
        stream.Exited(0, 3, 0),
        "finish",
    ]


def test_a_child_that_fails_is_no_program(made: Made) -> None:
    story, found, birth, _ = made
    birth.failure = SimpleNamespace(step="exec", a=2, text="none")
    born(found, birth)
    assert story == [stream.Failed(0, "exec", 2, "none"), "finish"]
    found.child_state(PID, 127 << 8)
    assert len(story) == 2
    assert found.life.is_over


def test_what_cannot_be_forked_is_said() -> None:
    story: list[object] = []
    supervisor: Any = SimpleNamespace(_vnn=0, _report=story.append)
    found = Program(supervisor, arriving=False)
    found.not_forked(StepFailed("engine", 38, "none"))
    assert story == [stream.Failed(0, "engine", 38, "none")]
    assert found.life.is_over


def test_a_stopped_child_becomes_a_program_first(made: Made) -> None:
    story, found, birth, _ = made
    found.child_state(PID, STOPPED)
    found.child_state(PID, CONTINUED)
    assert story == [("kill", PID, signal.SIGCONT)]
    born(found, birth)
    assert story[-1] == ("kill", PID, signal.SIGTSTP)


def test_signals_are_the_programs_or_its_groups(made: Made) -> None:
    story, found, birth, _ = made
    born(found, birth)
    del story[:]
    found.signal(signal.SIGINT)
    found.kill(signal.SIGINT)
    found._of._pids.has_strays = True  # type: ignore[misc]
    found.signal(signal.SIGTERM)
    found.kill(signal.SIGKILL)
    assert story == [
        ("kill", PID, signal.SIGINT),
        ("deliver", signal.SIGINT, PID, 9, False, ()),
        ("deliver", signal.SIGTERM, PID, 9, False, ()),
        "kill all",
        ("deliver", signal.SIGKILL, PID, 9, False, ()),
    ]


def test_children_of_a_doomed_job_are_killed_as_they_come(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    story, found, birth, _ = made
    born(found, birth)
    found.kill(signal.SIGKILL)
    del story[:]
    statuses = iter([(99, 0), (0, 0)])
    monkeypatch.setattr(os, "waitpid", lambda pid, flags: next(statuses))
    found.collect()
    assert story == ["kill all"]

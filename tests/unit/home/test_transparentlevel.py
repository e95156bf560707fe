"""A transparent job's side of its startup: the order of what it does at stops, losses and ends."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

from glunix.errors import NotRunning
from glunix.home.jobview import JobView
from glunix.home.processes.lifecycle import (
    ANSWERED,
    CONTINUE_JOB,
    EXIT,
    GO_ALONE,
    PLACED,
    RELEASE,
    SHADOW,
    SIGNAL,
    STOP_SHADOW,
    TELL_END,
    WAKE_AGAIN,
    WAKE_SHADOW,
    HomeLife,
)
from glunix.home.transparentlevel import LOOK, Transparent

from .handlers import check


class Half:
    """Home's half with a shadow that does what it is told at once."""

    def __init__(self, story: list[object]) -> None:
        self.story = story
        self.signals = None
        self.life = HomeLife()
        self.gone = False
        self.halted = False
        self.has_got: list[int] = []

    def fileno(self) -> int:
        return 77

    def performers(self) -> dict[str, Any]:
        def tell(name: str) -> Any:
            return lambda *given: self.story.append((name, *given))

        own = (EXIT, GO_ALONE, STOP_SHADOW, TELL_END, WAKE_AGAIN, WAKE_SHADOW)
        return {name: tell(name) for name in own}

    def is_halted(self) -> bool:
        return self.halted

    def take_answers(self) -> bool:
        return True

    def settled(self) -> list[int]:
        return self.has_got

    def is_gone(self) -> bool:
        return self.gone

    def end(self, status: int, killed_by: int) -> None:
        self.story.append(("end", status, killed_by))


class Recorded:
    """In the place of a Startup."""

    def __init__(self) -> None:
        self.story: list[object] = []
        self.tty = None
        self.link = SimpleNamespace(pending=0)
        self.job = JobView(7, [(5, "node1", [0])])
        self.written = True
        self.outputs = SimpleNamespace(
            mark=dict,
            reached=lambda mark: self.written,
            release=lambda: self.story.append("release"),
            go_on_alone=lambda: self.story.append("outputs alone"),
        )

    def send(self, stream: int, message: object) -> None:
        self.story.append((stream, message))

    def pass_on(self, number: int) -> None:
        self.story.append(("signal", number))

    def signal_job(self, number: int, alone: bool = False) -> None:
        self.story.append(("signal job", number, alone))

    def must_start_or_end(self, number: int) -> None:
        self.story.append(("start or end", number))

    def complain(self, line: str) -> None:
        self.story.append(line)

    def show_stats(self) -> None:
        self.story.append("stats")

    def own_status(self) -> int:
        return self.job.status()


def make() -> tuple[Recorded, Half, Transparent]:
    startup = Recorded()
    half = Half(startup.story)
    opening = SimpleNamespace(line=None, standard=[], inherited=[], checked_writes=False)
    given: Any = (startup, opening, half)
    return startup, half, Transparent(*given)


def with_calls(level: Transparent) -> Transparent:
    calls: Any = SimpleNamespace(
        look_again=lambda: None,
        maybe_over=lambda job: None,
        wants=lambda: False,
        modes=None,
        has_shadows=True,
    )
    level._calls = calls
    level._happens(PLACED, True)
    return level


def test_events_have_the_fields_of_their_messages() -> None:
    check(make()[2].events(), left_out=1, before=1)


def test_every_effect_has_a_performer() -> None:
    of_rows = {one for rows in SHADOW.values() for _, effects in rows.values() for one in effects}
    in_code = {CONTINUE_JOB, RELEASE, SIGNAL, WAKE_AGAIN}
    assert make()[2]._performers.keys() == of_rows | in_code


def test_a_shadow_killed_before_the_job_is_placed_ends_us() -> None:
    startup, _, level = make()
    assert list(level.fds()) == [77]
    level.look({77})
    assert startup.story == [(TELL_END, 0, signal.SIGKILL, False), (EXIT, 137)]


def test_a_killed_shadow_ends_the_program_and_nothing_else() -> None:
    startup, half, level = make()
    with_calls(level)
    half.gone = True
    level.look({77})
    assert startup.story == [
        (GO_ALONE,),
        "outputs alone",
        (5, ["signal", signal.SIGKILL, 0]),
        ("start or end", signal.SIGKILL),
    ]
    assert level.fds() == {}
    assert level.waits() == []


def test_a_stop_of_the_shadow_alone_is_the_programs() -> None:
    startup, half, level = make()
    with_calls(level)
    half.halted = True
    level.look(set())
    level.look(set())
    assert startup.story == [("signal job", signal.SIGSTOP, True)]
    assert level.waits() == [LOOK]


def test_who_is_continued_at_home_is_continued_there_before_what_came_then() -> None:
    startup, half, level = make()
    with_calls(level)
    stop(startup, level, signal.SIGTSTP)
    half.life.handle((ANSWERED,), 0.0)
    half.has_got = [signal.SIGINT]
    level.hear([signal.SIGWINCH])
    assert startup.story == [
        (STOP_SHADOW, signal.SIGTSTP),
        ("signal job", signal.SIGCONT, False),
        ("signal", signal.SIGWINCH),
        ("signal", signal.SIGINT),
        "release",
    ]
    assert not startup.job.stopped_by()


def stop(startup: Recorded, level: Transparent, number: int) -> None:
    startup.job.processes[5, 0].stopped = number
    level.stopped(number)
    level.stop(number)


def test_a_shadow_freed_for_the_program_says_nothing_of_it() -> None:
    startup, half, level = make()
    with_calls(level)
    stop(startup, level, signal.SIGTSTP)
    level.continued()
    half.life.handle((ANSWERED,), 0.0)
    level.hear([signal.SIGCONT])
    assert startup.story == [(STOP_SHADOW, signal.SIGTSTP), (WAKE_SHADOW,), "release"]
    level.hear([signal.SIGCONT])  # another one is the user's
    assert startup.story[3:] == [("signal", signal.SIGCONT)]


def test_the_shadow_ends_with_the_program_when_all_is_written() -> None:
    startup, half, level = make()
    with_calls(level)
    process = startup.job.processes[5, 0]
    level.events()["rootexited"](process, 3, 0)
    startup.written = False
    level.before_turn()
    assert startup.story == []
    startup.written = True
    level.before_turn()
    assert startup.story == ["stats", (TELL_END, 3, 0, True), (GO_ALONE,), "outputs alone"]
    level.before_turn()
    assert len(startup.story) == 4
    assert half.life.is_alone


def test_a_job_that_is_given_up_ends_by_the_next_signal() -> None:
    """Nobody has said that it is over: it was lost."""
    startup, _, level = make()
    with_calls(level)
    startup.job.lost(125, 0)
    level.hear([signal.SIGTSTP, signal.SIGTERM])
    assert startup.story == [
        (TELL_END, 0, signal.SIGTERM, False),
        (EXIT, 128 + signal.SIGTERM),
    ]


def test_output_that_the_terminal_does_not_take_stops_the_shadow() -> None:
    startup, _, level = make()
    with_calls(level)
    level.blocked()
    assert startup.story == []  # the program lives, and is what is stopped
    startup.job.exited(startup.job.processes[5, 0], 0, 0)
    level.exited(orphaned=False)
    level.blocked()
    level.blocked()
    assert startup.story == [(STOP_SHADOW, signal.SIGTTOU)]


def test_a_lost_way_is_a_lost_job() -> None:
    startup, _, level = make()
    level.lost_way(NotRunning("no daemon"))
    assert startup.story == ["no daemon"]
    assert startup.job.killed_by == signal.SIGKILL

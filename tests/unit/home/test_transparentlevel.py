"""A transparent job's side of its startup: the order of what it does at stops, losses and ends."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

from glunix.errors import NotRunning
from glunix.home.jobview import JobView
from glunix.home.transparentlevel import LOOK, Transparent

from .handlers import check


class Half:
    """Home's half with a shadow that does what it is told at once."""

    def __init__(self, story: list[object]) -> None:
        self.story = story
        self.signals = None
        self.is_alone = False
        self.is_stopped = False
        self.freed = False
        self.gone = False
        self.newly_stopped = False
        self.has_got: list[int] = []

    def fileno(self) -> int:
        return 77

    def goes_on(self, heard: bool) -> bool:
        return self.is_stopped

    def take_freed(self) -> bool:
        return self.freed

    def take_newly_stopped(self) -> bool:
        return self.newly_stopped

    def settled(self) -> list[int]:
        return self.has_got

    def swallows(self) -> bool:
        return False

    def is_gone(self) -> bool:
        return self.gone

    def go_on_alone(self) -> None:
        self.is_alone = True

    def stop(self, number: int) -> bool:
        self.story.append(("stop", number))
        return True

    def die(self, number: int) -> None:
        self.story.append(("die", number))

    def end(self, status: int, killed_by: int, alone: bool) -> None:
        self.story.append(("end", status, killed_by, alone))
        self.is_alone = alone


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

    def signal(self, number: int) -> None:
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
        look_again=lambda: None, wants=lambda: False, modes=None, has_shadows=True
    )
    level._calls = calls
    return level


def test_events_have_the_fields_of_their_messages() -> None:
    check(make()[2].events(), left_out=1, before=1)


def test_a_shadow_killed_before_the_job_is_placed_ends_us() -> None:
    startup, _, level = make()
    assert list(level.fds()) == [77]
    level.look({77})
    assert startup.story == [("die", signal.SIGKILL)]


def test_a_killed_shadow_ends_the_program_and_nothing_else() -> None:
    startup, half, level = make()
    with_calls(level)
    half.gone = True
    level.look({77})
    assert startup.story == [
        "outputs alone",
        (5, ["signal", signal.SIGKILL, 0]),
        ("start or end", signal.SIGKILL),
    ]
    assert level.fds() == {}
    assert level.waits() == []


def test_a_stop_of_the_shadow_alone_is_the_programs() -> None:
    startup, half, level = make()
    with_calls(level)
    half.newly_stopped = True
    level.look(set())
    assert startup.story == [("signal job", signal.SIGSTOP, True)]
    assert level.waits() == [LOOK]


def test_who_is_continued_at_home_is_continued_there_before_what_came_then() -> None:
    startup, half, level = make()
    half.is_stopped, half.has_got = True, [signal.SIGINT]
    level.hear([signal.SIGWINCH])
    assert startup.story == [
        ("signal job", signal.SIGCONT, False),
        ("signal", signal.SIGWINCH),
        ("signal", signal.SIGINT),
        "release",
    ]


def test_a_shadow_freed_for_the_program_says_nothing_of_it() -> None:
    startup, half, level = make()
    half.is_stopped = half.freed = True
    level.continued = lambda: None  # type: ignore[method-assign]
    level.hear([])
    assert startup.story == ["release"]


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
    assert startup.story == ["stats", ("end", 3, 0, True), "outputs alone"]
    level.before_turn()
    assert len(startup.story) == 3
    assert half.is_alone


def test_a_lost_way_is_a_lost_job() -> None:
    startup, _, level = make()
    level.lost_way(NotRunning("no daemon"))
    assert startup.story == ["no daemon"]
    assert startup.job.killed_by == signal.SIGKILL

"""Every message of home's and every question of an interposer's has one part that takes it."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from glunix.msg import stream
from glunix.node.calls.files import HomeFiles
from glunix.node.calls.reads import ForwardedReads
from glunix.node.calls.router import CallRouter
from glunix.node.processes.groups import JobGroups
from glunix.node.processes.pid_allocator import PidAllocator
from glunix.node.supervisor import Supervisor
from slic.interposers.home import descriptors, groups, questions
from slic.interposers.home.descriptors import IoctlHome, ReadHome
from slic.interposers.home.ioctls import TCXONC, TIOCGPGRP
from slic.interposers.home.questions import MayStream

PARTS = (Supervisor, ForwardedReads, CallRouter, JobGroups, PidAllocator, HomeFiles)

ELSEWHERE = {stream.LineAnswer, stream.Start, stream.Restore}
"""glunix.node.home_connection; the daemon."""


def empty(part: type) -> Any:
    """One with what its tables name, and nothing else."""
    made = part.__new__(part)
    made.modes = SimpleNamespace(told=lambda message: None)
    return made


SOURCES = "".join(path.read_text() for path in Path(descriptors.__file__).parent.glob("*.py"))


def tables(name: str) -> list[Any]:
    return [getattr(empty(part), name)() for part in PARTS if hasattr(part, name)]


def test_no_message_is_taken_twice_and_none_by_nobody() -> None:
    found = [*tables("handlers"), empty(Supervisor)._own_handlers()]
    taken = [kind for table in found for kind in table]
    assert len(taken) == len(set(taken))
    daemons = {stream.InRecall, stream.InAnew}  # of input that the daemon feeds
    assert set(taken) == set(typing.get_args(stream.HomeToNode)) - ELSEWHERE - daemons


def test_no_question_is_answered_twice_and_none_by_nobody() -> None:
    answered = [kind for table in tables("questions") for kind in table]
    assert len(answered) == len(set(answered))
    asked = {
        kind
        for module in (descriptors, groups, questions)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and f"yield {name}(" in SOURCES
    }
    assert {ReadHome, MayStream} <= asked
    assert asked <= set(answered)


class World:
    """The parts of a router, which note what comes."""

    def __init__(self, drained: bool) -> None:
        self.did: list[Any] = []
        self.drained = drained
        self.terminal_fd = self.terminal_channel = 0
        self.files: dict[int, object] = {}

    def questions(self) -> dict[type, Any]:
        return {ReadHome: self.note, IoctlHome: self.note}

    def note(self, call: int, question: object, tid: int, may_write: bool = False) -> None:
        self.did.append((call, type(question).__name__, may_write))

    def answer(self, call: int, value: object) -> bool:
        self.did.append((call, value))
        return True

    def drain(self) -> bool:
        return self.drained

    def __getattr__(self, name: str) -> Any:
        return lambda *given: False


def router(drained: bool) -> tuple[World, CallRouter]:
    world = World(drained)
    parts: Any = world
    made = CallRouter(parts, parts, SimpleNamespace(questions=dict), {0: parts}, None, print)  # type: ignore[arg-type]
    made.stand_ins = parts
    return world, made


TRACEE: Any = SimpleNamespace(tid=9)


def test_a_read_of_the_terminal_waits_for_what_was_written() -> None:
    world, made = router(drained=False)
    made.ask(1, ReadHome(0, 10, False, -1), TRACEE)
    assert world.did == []
    world.drained = True
    made.handlers()[stream.Credit](stream.Credit(0, 7, 1))
    assert world.did == [(1, "ReadHome", False)]


@pytest.mark.parametrize("command", [TCXONC, TIOCGPGRP])
def test_some_ioctls_wait_for_nothing(command: int) -> None:
    world, made = router(drained=False)
    made._groups.numbers_are_homes = lambda tid: True  # type: ignore[method-assign]
    made.ask(1, IoctlHome(0, command, 0, b""), TRACEE)
    assert world.did == [(1, "IoctlHome", False)]


def test_a_write_is_counted_here() -> None:
    world, made = router(drained=True)
    made.budget = SimpleNamespace(take=lambda fd, count, tid: count)  # type: ignore[assignment]
    made.ask(1, MayStream(1, 5), TRACEE)
    assert world.did == [(1, 5)]


def test_a_question_that_nobody_knows_is_a_bug() -> None:
    _, made = router(drained=True)
    with pytest.raises(TypeError, match="nobody answers"):
        made.ask(1, object(), TRACEE)

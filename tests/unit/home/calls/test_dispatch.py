"""Home's side of what a node asks: each message has one handler, which has its fields."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from glunix.errors import FrameError
from glunix.home.calls.dispatch import TCFLSH, CallDispatch
from glunix.home.calls.files import HomeFiles
from glunix.home.calls.pages import RareCalls
from glunix.home.shapes import TRANSPARENT
from glunix.home.terminal.flow import TCXONC
from glunix.home.transparent import RARE, HomeCalls
from glunix.home.wire import USER_LEVEL

from ..handlers import check

ELSEWHERE = {"bill", "line", "lineleft", "lineover", "rootexited"}
"""glunix.home.callstats, .direct, .transparentlevel."""


def home_calls() -> HomeCalls:
    half: Any = SimpleNamespace(parent=1)
    options: Any = SimpleNamespace(home=[], allow_tiocsti=False)
    return HomeCalls(None, 1, lambda *_: None, lambda *_: None, options, [], half)


def test_every_message_of_a_transparent_job_has_a_handler_with_its_fields() -> None:
    handlers = home_calls().handlers()
    own = USER_LEVEL.keys() - {"incredit", "inclosed"}
    assert handlers.keys() == TRANSPARENT.keys() - own - ELSEWHERE
    check(handlers, left_out=0, before=0)


def test_rare_calls_have_theirs() -> None:
    files: Any = HomeFiles.__new__(HomeFiles)
    rare = RareCalls.__new__(RareCalls)
    rare.files = files
    assert rare.handlers().keys() == set(RARE)
    check(rare.handlers(), left_out=0, before=0)


def test_the_end_of_a_call_that_nobody_made_is_refused() -> None:
    with pytest.raises(FrameError, match="unwant"):
        home_calls().handlers()["unwant"](1)


class Story:
    """Calls that note what was asked, and outputs whose terminal waits or not."""

    def __init__(self) -> None:
        self.did: list[object] = []
        self.waits = False
        self.error = 0
        self.modes = self.flow = None

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.did.append((name, *given))

    def handlers(self) -> dict[str, Any]:
        return {tag: getattr(self, tag) for tag in ("want", "seek", "ioctl", "homecall")}

    @property
    def terminal_waits(self) -> bool:
        return self.waits

    def take_error(self, fd: int) -> int:
        return self.error


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def dispatch(story: Story) -> CallDispatch:
    given: Any = story
    return CallDispatch(given, given)


def test_what_acts_on_the_terminal_waits_for_what_was_written(
    story: Story, dispatch: CallDispatch
) -> None:
    story.waits = True
    assert dispatch.take("want", [1, 0, 10, False, -1])
    assert dispatch.take("seek", [2, 0, 0, 1])
    assert dispatch.take("ioctl", [3, 0, TCXONC, 0, b"", False, False])
    assert story.did == [("seek", 2, 0, 0, 1), ("ioctl", 3, 0, TCXONC, 0, b"", False, False)]
    story.waits = False
    dispatch.turn()
    assert story.did[2:] == [("want", 1, 0, 10, False, -1)]
    assert not dispatch.take("out", [0, 1, b"x"])


def test_a_flush_drops_what_waits_first(story: Story, dispatch: CallDispatch) -> None:
    dispatch.take("ioctl", [3, 0, TCFLSH, 1, b"", True])
    assert [what[0] for what in story.did if isinstance(what, tuple)] == ["drops_output", "ioctl"]


def test_a_write_hears_of_an_earlier_ones_error(story: Story, dispatch: CallDispatch) -> None:
    story.error = 28
    assert dispatch.take("homecall", [4, "write", 1, [], [], b"x", 0])
    assert story.did == [("fail", 4, 28)]

"""The startup's table of what happens to a process."""

from __future__ import annotations

from glunix.home.startup import Startup
from glunix.home.wire import USER_LEVEL

from .handlers import check


def test_events_have_the_fields_of_their_messages() -> None:
    startup = Startup.__new__(Startup)
    events = startup._own_events()
    check(events, left_out=1, before=1)  # the process, in the place of its number
    assert events.keys() | {"incredit", "inclosed"} == USER_LEVEL.keys()

"""The two tables of the supervisor: what parts of it offer to take (DESIGN 4, 5).

Each part has `handlers()`, the supervisor joins them into one; a message that no part takes is one
of a job that has not that part, and is dropped. Parts that answer interposers have `questions()`,
which glunix.node.calls.router joins. The shape of both is that of glunix.state.master.HANDLERS.
"""

from collections.abc import Callable, Mapping
from typing import Any

from glunix.msg.base import Message

Handlers = Mapping[type[Message], Callable[[Any], object]]
"""Which method takes which message of home's."""

Questions = Mapping[type, Callable[..., None]]
"""Which method takes which question of an interposer's; its arguments are the number of the call,
the question and the thread that made the call."""

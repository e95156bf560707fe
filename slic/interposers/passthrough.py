"""`passthrough`: subscribes to calls and lets each go on. Measures and tests engines.

Never answers a call. `passthrough:openat,read` catches those, `passthrough` catches every call.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from slic.interposer import EVERY, Call, Handler, Interposer, on
from slic.syscalls import BY_NAME
from slic.tracee import Tracee
from slic.verdict import Capability, Continue, Verdict

_SEEN = Continue("passed through")


class PassThrough(Interposer):
    """Every subscribed call continues; `seen` counts them by name."""

    confines = False

    def __init__(self, calls: Iterable[str] = ()) -> None:
        self.calls = tuple(calls) or (EVERY,)
        self.seen: dict[str, int] = {}

    @on(EVERY, needs=Capability.INSPECT, observes=True)
    def passed(self, tracee: Tracee, call: Call) -> Verdict:
        name = call.name
        self.seen[name] = self.seen.get(name, 0) + 1
        return _SEEN

    def declarations(self) -> Iterable[Handler]:
        return [replace(handler, calls=self.calls) for handler in type(self).handlers]

    @classmethod
    def from_argument(cls, text: str) -> Self:
        calls = [name for name in text.split(",") if name]
        if unknown := [name for name in calls if name not in BY_NAME]:
            raise ValueError(f"there is no call {', '.join(unknown)}")
        return cls(calls)

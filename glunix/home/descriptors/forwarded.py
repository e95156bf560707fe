"""Inherited descriptors that home keeps for the program, which asks for each call on them.

Owns our ends of what is open both ways, of directories and of other terminals than the job's: by
channel (glunix.home.descriptors.inherited), until nobody in the job has them. The rest is the same
as of files that the job opens here itself (glunix.home.calls.files).
"""

from __future__ import annotations

import os

from glunix.home.descriptors.inherited import AT_HOME, Inherited
from glunix.home.input.source import Source
from glunix.home.sinks import reopened, to_nowhere


class Forwarded:
    """What there is of it."""

    def __init__(self, found: list[Inherited]) -> None:
        self.descriptors: dict[int, int] = {}
        """channel -> ours. A pipe or terminal is another open file: ours does not block."""
        self._kinds: dict[int, str] = {}
        for one in found:
            if one.kind in AT_HOME:
                own = one.number
                if one.kind == "other":
                    own = reopened(one.number, one.size & os.O_ACCMODE)
                    to_nowhere(one.number)
                self.descriptors[one.channel] = own
                self._kinds[one.channel] = one.kind

    def sources(self) -> dict[int, Source]:
        """Those that can be read."""
        return {
            channel: Source(own, None)
            for channel, own in self.descriptors.items()
            if self._kinds[channel] != "dir"
        }

    def directories(self) -> list[bytes]:
        """Their names: what lies below may be spoken of."""
        return [
            os.readlink(b"/proc/self/fd/%d" % own)
            for channel, own in self.descriptors.items()
            if self._kinds[channel] == "dir"
        ]

    def close(self, channel: int) -> None:
        """Nobody in the job has it any more. Its number is not used again."""
        own = self.descriptors.pop(channel, None)
        if own is not None:
            to_nowhere(own)

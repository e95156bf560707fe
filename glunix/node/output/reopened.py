"""Outputs that begin while the job runs: files of home that it opens once more, to be written.

Owns their channels, whose numbers home gives, from their first descriptor to their last. What was
written to a younger one goes home first, as far as nothing else says (slic HomeWrites): who opens
/dev/stdout mostly writes there what he has to say, and closes it.
"""

import os
from collections.abc import Callable

from glunix.node.output.channel import Output
from glunix.node.userlevel.process import pipe
from slic.interposers.home.descriptors import FILE_OUTPUT, HomeFds, StandIn
from slic.interposers.home.questions import Opened


class Reopened:
    """`outputs` are the job's channels, `files` those of them that are files at home."""

    def __init__(
        self,
        fds: HomeFds,
        outputs: dict[int, Output],
        files: set[int],
        make: Callable[[int, int], Output],
    ) -> None:
        """make(channel, our end) begins an output."""
        self._fds = fds
        self._outputs = outputs
        self._files = files
        self._make = make
        self._own: dict[int, StandIn] = {}

    def open(self, channel: int) -> Opened:
        """A new output: the program's end of it."""
        ours, theirs = pipe()
        seen = os.fstat(theirs)
        self._own[channel] = stand_in = StandIn(channel, FILE_OUTPUT, seen.st_dev, seen.st_ino)
        self._files.add(channel)
        self._outputs[channel] = self._make(channel, ours)
        return Opened(theirs, stand_in)

    def before(self, channel: int) -> None:
        """This one is about to be read: first those that began after it."""
        for younger in [number for number in self._own if number > channel]:
            if younger in self._outputs:
                self._outputs[younger].drain()

    def ended(self, channel: int) -> None:
        """Nobody in the job has it any more, and home was told."""
        stand_in = self._own.pop(channel, None)
        if stand_in is not None:
            self._fds.remove(stand_in)
            self._files.discard(channel)
            del self._outputs[channel]

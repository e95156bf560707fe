"""The terminal that stands in for the user's: the destination has one of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from migration.engine import Reason
from migration.native.files.kind import Dumping, Making, Plain
from migration.native.model import Record
from migration.native.surroundings import CONTROLLING
from migration.native.survey import Seen, Survey, is_kind

TERMINAL = "terminal"
"""Under this name the destination's is given (`Making.standard`)."""

_MAJORS = {4, *range(136, 144)}
_REOPENED = os.O_ACCMODE | os.O_APPEND


class Terminal(Record, tag="terminal", frozen=True):
    """An open file of it. `controlling`: opened as /dev/tty, which only a process in its session
    can do: the destination's stub does it (migration.native.site)."""

    controlling: bool


class TerminalFile(Plain):
    """Kept: flags. Stays: every other terminal."""

    record = Terminal

    def is_one(self, seen: Seen) -> bool:
        if not is_kind(seen, stat.S_IFCHR):
            return False
        device = seen.stat.st_rdev
        return os.major(device) in _MAJORS or device == CONTROLLING

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        if not survey.around.is_terminal(seen.stat.st_rdev):
            yield seen.reason("a terminal of this machine")

    def dump(self, seen: Seen, dumping: Dumping) -> Terminal:
        return Terminal(controlling=seen.stat.st_rdev == CONTROLLING)

    def make(self, record: Terminal, making: Making, flags: int, position: int) -> int:
        path = f"/proc/self/fd/{making.standard(TERMINAL)}"
        return os.open(path, flags & _REOPENED | os.O_NOCTTY | os.O_NONBLOCK)

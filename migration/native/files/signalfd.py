"""signalfd(2): a set of signals. Which of them are pending is the reader's, not the file's."""

from __future__ import annotations

from migration.native.files.kind import Dumping, Making, Plain
from migration.native.model import Record, Word
from migration.native.survey import Seen
from slic.kernel import specialfds


class SignalFile(Record, tag="signalfd", frozen=True):
    """One bit a signal."""

    mask: Word


class SignalFd(Plain):
    """Kept: the set."""

    record = SignalFile

    def is_one(self, seen: Seen) -> bool:
        return seen.is_anonymous("[signalfd]")

    def dump(self, seen: Seen, dumping: Dumping) -> SignalFile:
        return SignalFile(mask=int(seen.info.values("sigmask")[0], 16))

    def make(self, record: SignalFile, making: Making, flags: int, position: int) -> int:
        return specialfds.signalfd(record.mask)

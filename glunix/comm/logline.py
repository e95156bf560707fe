"""Lines of a service's log: with the time of day, or for the journal, which has its own."""

import os
import time
from collections import Counter
from collections.abc import Callable


def to_journal() -> bool:
    """Whether standard output is the journal: systemd.exec(5), JOURNAL_STREAM."""
    told = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(1)
    except OSError:
        return False
    return told == f"{found.st_dev}:{found.st_ino}"


def plain(text: str) -> str:
    """The text without what a terminal would obey or a reader take for another entry."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def say(text: str) -> None:
    """One entry (it may have several lines), at once."""
    text = "\n".join(map(plain, text.split("\n")))
    print(text if to_journal() else f"{time.strftime('%H:%M:%S')} {text}", flush=True)


EACH = 600
"""Entries of one kind about one user, member or address in a PERIOD; the rest is a number."""

PERIOD = 60.0


class Sparse:
    """A log that nobody outside can fill: so many entries about each `what`, then only a count.

    `what` is a kind of entry about somebody, so that a flood of one kind hides no other.
    """

    def __init__(
        self,
        log: Callable[[str], None] = say,
        each: int = EACH,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._each = each
        self._now = now
        self._counts: Counter[str] = Counter()
        self._since = now()

    def __call__(self, what: str, text: str) -> None:
        """One entry about `what`, unless there were too many; then it is told by and by."""
        now = self._now()
        if now - self._since >= PERIOD:
            self.settle(now)
        self._counts[what] += 1
        if self._counts[what] <= self._each:
            self._log(plain(text))

    def settle(self, now: float) -> None:
        """Say how many were not told, and begin anew."""
        for what, count in self._counts.items():
            if count > self._each:
                seconds = now - self._since
                self._log(f"{count - self._each} more entries about {what} in {seconds:.0f} s")
        self._counts.clear()
        self._since = now

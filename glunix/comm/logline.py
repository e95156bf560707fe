"""Lines of a service's log: with the time of day, or for the journal, which has its own.

No loop waits for its log, and none ends with it: what a pipe, a socket or a terminal does not take
at once, or a full disk not at all, is left out, and how much that was is said when there is room.
"""

import os
import select
import stat
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


PIECE = 4096
"""Bytes that a pipe takes at once when it is writable at all (PIPE_BUF, pipe(7))."""

ENTRY_MAX = 16384
"""Characters of an entry; a traceback is shorter."""


class Out:
    """Standard output, never waited for."""

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._missed = 0
        """Entries that were left out since the last that was not."""
        self._half = False
        """The last one was cut off."""

    def say(self, text: str) -> None:
        """One entry; its line end is ours."""
        missed = f"({self._missed} entries are missing here)\n" if self._missed else ""
        start = "\n" if self._half else ""
        data = f"{start}{missed}{text[:ENTRY_MAX]}\n".encode("utf-8", "backslashreplace")
        sent = self._send(data)
        if sent == len(data):
            self._missed, self._half = 0, False
        else:
            self._missed += 1
            self._half = self._half or sent > 0

    def _send(self, data: bytes) -> int:
        sent = 0
        try:
            waits = not stat.S_ISREG(os.fstat(self._fd).st_mode)
            while sent < len(data):
                if waits and not self._has_room():
                    break
                sent += os.write(self._fd, data[sent : sent + PIECE] if waits else data[sent:])
        except OSError:
            pass  # ENOSPC, EROFS, EIO, EPIPE, EAGAIN: nobody could be told but by this very log
        return sent

    def _has_room(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(0))


_OUT = Out()


def say(text: str) -> None:
    """One entry (it may have several lines), at once or not at all."""
    text = "\n".join(map(plain, text.split("\n")))
    _OUT.say(text if to_journal() else f"{time.strftime('%H:%M:%S')} {text}")


ENTRY_EACH = 1000
"""Characters of an entry about somebody."""

EACH = 600
"""Entries of one kind about one user, member or address in a PERIOD; the rest is a number."""

PERIOD = 60.0

AFTER_FLOOD = 10
"""Of what was too much in one PERIOD, one in so many in the next: a day of it is some MiB."""


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
        self._floods: set[str] = set()
        """Of which there was too much in the last PERIOD."""
        self._since = now()

    def __call__(self, what: str, text: str) -> None:
        """One entry about `what`, unless there were too many; then it is told by and by."""
        now = self._now()
        if now - self._since >= PERIOD:
            self.settle(now)
        self._counts[what] += 1
        if self._counts[what] <= self._most(what):
            self._log(plain(text[:ENTRY_EACH]))

    def _most(self, what: str) -> int:
        return max(1, self._each // AFTER_FLOOD) if what in self._floods else self._each

    def settle(self, now: float) -> None:
        """Say how many were not told, and begin anew."""
        for what, count in self._counts.items():
            most = self._most(what)
            if count > most:
                seconds = now - self._since
                self._log(f"{count - most} more entries about {what} in {seconds:.0f} s")
        self._floods = {what for what, count in self._counts.items() if count > self._most(what)}
        self._counts.clear()
        self._since = now

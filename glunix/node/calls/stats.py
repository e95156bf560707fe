"""What a transparent job's forwarded calls cost (glurun -T --stats): counted where they wait.

Owns one line a kind of call. A call's time runs from when its handler asked home to when the
program got its answer: the way there and back, home's own work, and waiting for input.
"""

from collections.abc import Callable

from glunix.msg import stream
from slic.interposers.home.descriptors import IoctlHome, Native, PagesHome, ReadHome, SeekHome
from slic.interposers.home.ioctls import TERMINAL_IOCTLS
from slic.interposers.home.questions import CallHome


def name_of(question: object) -> str | None:
    """The call behind a question, ioctls with their command; None: it is no call of a program."""
    if isinstance(question, ReadHome):
        return "read"
    if isinstance(question, SeekHome):
        return "lseek"
    if isinstance(question, IoctlHome | PagesHome):
        known = TERMINAL_IOCTLS.get(question.command)
        return f"ioctl {known.name if known is not None else hex(question.command)}"
    if isinstance(question, CallHome):
        return question.call
    return None


class CallStats:
    """`now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: dict[int, tuple[str, float]] = {}
        """call -> its kind and when it asked."""
        self._lines: dict[str, list[int]] = {}
        """kind -> count, microseconds, bytes that it brought."""

    def asked(self, call: int, question: object) -> None:
        """A handler asks home."""
        name = name_of(question)
        if name is not None:
            self._open[call] = (name, self._now())

    def answered(self, call: int, value: object) -> None:
        """The program has its answer, or the call is gone (`value` None)."""
        name, since = self._open.pop(call, ("", 0.0))
        if not name or isinstance(value, Native):
            return  # not one of ours, or this node's kernel decided it
        line = self._lines.setdefault(name, [0, 0, 0])
        line[0] += 1
        line[1] += round((self._now() - since) * 1e6)
        line[2] += len(value) if isinstance(value, bytes) else 0

    def message(self) -> stream.Bill:
        """All lines, the dearest first."""
        lines = [
            stream.BillLine(name, *numbers)
            for name, numbers in sorted(self._lines.items(), key=lambda item: -item[1][1])
        ]
        return stream.Bill(lines[: stream.BILL_LINES])

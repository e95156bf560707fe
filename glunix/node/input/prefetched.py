"""Standard input that goes ahead of the program: a stand-in that is filled, and read natively.

Owns the count of what the program has really read: what came from home, less what waits here, less
what is still in the stand-in. Home keeps every byte until it is told that it was read; so whenever
somebody at home can look (the program wrote something, stopped or ended: `settle`, `recall`), the
home descriptor holds exactly what the program left.

`recall` takes back what was not read, so that a stopped or ended job keeps nothing that somebody
else may read at home. What home had under way is void until it says `anew` with the same number.
"""

import contextlib
from collections import deque
from collections.abc import Callable

from glunix.errors import FrameError
from glunix.msg.stream import INPUT_WINDOW
from glunix.node.input.feeds import Feed
from glunix.node.reactor import Reactor, Timer

LOOK_AGAIN = 0.02
LOOK_AT_LEAST = 1.0
"""Seconds between looks while the program has bytes that it has not read: the longer nothing
moves, the more."""

LOOK_BUSY = 0.001
"""The same while there is plenty."""

SMALL = 4096
"""A reader of less between two looks is not followed step by step."""

STEP = 16 * 1024
"""Nor is one of less while there is plenty."""


MakeFeed = Callable[[Callable[[], None], Callable[[], None]], Feed]


class PrefetchedInput:
    """`took(count)`: the program has read so many more; `closed()`: nobody can read any more;
    `back(number)`: what went ahead and was not told as read is void."""

    def __init__(
        self,
        reactor: Reactor,
        make: MakeFeed,
        took: Callable[[int], None],
        closed: Callable[[], None],
        back: Callable[[int], None],
    ) -> None:
        self._reactor = reactor
        self._took = took
        self._on_closed = closed
        self._back = back
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._out = 0
        """Bytes from home that home was not told of as read."""
        self._gone = 0
        """How many of those the program had read when we looked last."""
        self._ending = False
        self._is_open = True
        self._recalls = 0
        self._void = False
        self._timer: Timer | None = None
        self._pause = self._timed = LOOK_AGAIN
        self._calm = False
        """Looking by time alone is enough."""
        self._seen = 0
        self._end = make(self.look, self._close)
        self._end.watch(room=False, follow=True)

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes that are at the head of home's input after those fed before; empty: its end.

        A view is valid during this call only. FrameError: more than the window.
        """
        if self._void or not self._is_open:
            return
        self._ending = not data
        self._out += len(data)
        if self._out > INPUT_WINDOW:
            raise FrameError("input without credit")
        self._queued += len(data)
        if data and not self._queue:
            data = data[self._write_some(data) :]
        if data and self._is_open:
            self._queue.append(memoryview(bytes(data)))
        self._write()
        self._watch()

    def _write_some(self, data: bytes | memoryview) -> int:
        count = self._end.write(data)
        if count < 0:
            self._close()
            return 0
        self._queued -= count
        return count

    def _write(self) -> None:
        while self._queue:
            piece = self._queue[0]
            count = self._write_some(piece)
            if not count:
                break
            if count < len(piece):
                self._queue[0] = piece[count:]
            else:
                self._queue.popleft()
        waits = bool(self._queue)
        self._end.watch(room=waits and not self._calm, follow=not waits and not self._calm)
        last = self._end.final and self._out and self._end.unread()  # may be called back until then
        if self._ending and not waits and not last and self._is_open:
            self._ending = False
            self._end.end()

    def _close(self) -> None:
        """Nobody reads: what is in the stand-in will never be read."""
        if not self._is_open:
            return
        self.settle()
        self.end()
        self._on_closed()

    def look(self) -> None:
        """The program read something, or may have."""
        if not self._is_open:
            return
        unread = self._end.unread() + self._queued
        gone = self._out - unread
        step, self._gone = gone - self._gone, gone
        self._tell_if_due(gone, unread)
        small = 0 < gone < SMALL and not self._queue
        plenty = unread > self._end.plenty and step < STEP
        self._go_on(small or plenty, LOOK_BUSY if plenty else LOOK_AGAIN)

    def _go_on(self, calm: bool, pause: float) -> None:
        self._calm, self._pause = calm, pause
        self._write()
        self._seen = self._end.unread() + self._queued
        if not calm:  # it may have gone on before it was followed
            self._tell_if_due(self._out - self._seen, self._seen)
        self._watch()

    def _tell_if_due(self, gone: int, unread: int) -> None:
        if gone >= self._end.batch or (gone and not unread):
            self._tell(gone)

    def _tell(self, gone: int) -> None:
        self._out -= gone
        self._gone = 0
        self._took(gone)

    def _watch(self) -> None:
        if self._timer is not None and self._pause < self._timed:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and self._out and self._is_open:
            self._timed = self._pause
            self._timer = self._reactor.call_later(self._pause, self._due)

    def _due(self) -> None:
        self._timer = None
        unread = self._end.unread() + self._queued
        moved = unread != self._seen
        if moved and unread > self._end.plenty:
            self.look()
            return
        self.settle()
        self._go_on(False, LOOK_AGAIN if moved else min(self._pause * 2, LOOK_AT_LEAST))

    def settle(self) -> None:
        """Tell home exactly what was read until now."""
        if not self._out:
            return
        gone = self._out - self._end.unread() - self._queued
        if gone:
            self._tell(gone)

    def recall(self) -> None:
        """The program stopped or ended, or home asks: what was not read is home's again."""
        if self._is_open:
            left = self._end.drain() + self._queued
            gone, self._out, self._gone = self._out - left, 0, 0
            self._queue.clear()
            self._queued, self._ending = 0, False
            self._end.watch(room=False, follow=True)
            if gone:
                self._took(gone)
        self._recalls += 1
        self._void = True
        self._back(self._recalls)

    def anew(self, number: int) -> None:
        """Home heard of the recall: what comes now is at the head of its input."""
        if number == self._recalls:
            self._void = False

    @property
    def recalls(self) -> int:
        """How often what went ahead was taken back."""
        return self._recalls

    def end(self) -> None:
        """The job is over."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(OSError):
            self._end.close()
        self._queue.clear()
        self._queued = self._out = 0

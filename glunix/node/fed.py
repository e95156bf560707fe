"""Standard input that goes ahead of the program: a stand-in that is filled, and read natively.

Owns the count of what the program has really read: what came from home, less what waits here, less
what is still in the stand-in. Home keeps every byte until it is told that it was read; so whenever
somebody at home can look (the program wrote something, stopped or ended: `settle`, `recall`), the
home descriptor holds exactly what the program left.

`recall` takes back what was not read, so that a stopped or ended job keeps nothing that somebody
else may read at home. What home had under way is void until it says `anew` with the same number.
"""

import contextlib
import fcntl
import os
import signal
import termios
from collections import deque
from collections.abc import Callable
from typing import Protocol

from glunix.errors import FrameError
from glunix.msg.stream import INPUT_WINDOW
from glunix.node.reactor import Reactor, Timer

LOOK_AGAIN = 0.02
LOOK_AT_LEAST = 1.0
"""Seconds between looks while the program has bytes that it has not read: the longer nothing
moves, the more."""

LOOK_BUSY = 0.001
PLENTY = 64 * 1024
"""A program that has so much to read is looked at by time: its every read is not worth a look."""

SMALL = 4096
"""A reader of less between two looks is not followed step by step."""

BATCH = 256 * 1024
"""Bytes after which home is told even though the program has more to read."""


MOVED = signal.SIGURG
"""What the kernel sends after a read: a signal that does nothing where nobody catches it."""


class End(Protocol):
    """Our end of a stand-in. All calls are harmless once it is closed."""

    def write(self, data: bytes | memoryview) -> int:
        """How many bytes it took; 0 for none; -1 when nobody can read it any more."""

    def unread(self) -> int:
        """Bytes in it that the program has not read."""

    def drain(self) -> int:
        """Take out what was not read; returns how many bytes."""

    def end(self) -> None:
        """The program sees the end after what is in it. A later `write` undoes that."""

    def watch(self, room: bool, follow: bool) -> None:
        """room: say when there is room. follow: say when the program read something."""

    def close(self) -> None:
        """Give it up."""


class PipeEnd:
    """A pipe's write end; its read end while the program is to see the end.

    How reads are noticed: the kernel sends MOVED to the owner of the write end after each read(2)
    (pipe(7), O_ASYNC), which the owner of the signals passes to FedInput.look. After a copy inside
    the kernel (splice) it does not: the timer looks.
    """

    def __init__(
        self, reactor: Reactor, fd: int, moved: Callable[[], None], gone: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._moved = moved
        self._gone = gone
        self._fd = -1
        self._ended = False
        self._room = False
        self._take(fd)

    def _take(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETSIG, MOVED)
        self._reactor.add_reader(fd, self._gone)  # a write end is "readable" without a reader

    def _reader(self) -> int:
        return os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def write(self, data: bytes | memoryview) -> int:
        if self._fd < 0:
            return -1
        if self._ended:  # a fifo that was at its end has a new writer
            reader, self._ended = self._fd, False
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
            self._take(os.open(f"/proc/self/fd/{reader}", flags))
            os.close(reader)
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            return -1

    def unread(self) -> int:
        if self._fd < 0:
            return 0
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), "little")

    def drain(self) -> int:
        if self._fd < 0:
            return 0
        count, reader = 0, self._reader()
        try:
            while got := len(os.read(reader, BATCH)):
                count += got
        except BlockingIOError:
            pass
        finally:
            os.close(reader)
        return count

    def end(self) -> None:
        if self._fd < 0 or self._ended:
            return
        reader = self._reader()
        self.close()
        self._fd, self._ended = reader, True

    def watch(self, room: bool, follow: bool) -> None:
        if self._fd < 0 or self._ended:
            return
        if room != self._room:
            self._room = room
            if room:
                self._reactor.add_writer(self._fd, self._moved)
            else:
                self._reactor.remove_writer(self._fd)
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        wished = flags | os.O_ASYNC if follow else flags & ~os.O_ASYNC
        if wished != flags:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, wished)

    def close(self) -> None:
        if self._fd < 0:
            return
        self.watch(room=False, follow=False)
        self._reactor.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1


MakeEnd = Callable[[Callable[[], None], Callable[[], None]], End]


class FedInput:
    """`took(count)`: the program has read so many more; `closed()`: nobody can read any more;
    `back(number)`: what went ahead and was not told as read is void."""

    def __init__(
        self,
        reactor: Reactor,
        make: MakeEnd,
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
        if self._ending and not waits and self._is_open:
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
        if gone >= BATCH or (gone and not unread):
            self._tell(gone)
        small = 0 < gone < SMALL and not self._queue
        self._go_on(small or unread > PLENTY, LOOK_BUSY if unread > PLENTY else LOOK_AGAIN)

    def _go_on(self, calm: bool, pause: float) -> None:
        self._calm, self._pause = calm, pause
        self._write()
        self._seen = self._end.unread() + self._queued
        self._watch()

    def _tell(self, gone: int) -> None:
        self._out -= gone
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
        if moved and unread > PLENTY:
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
            gone, self._out = self._out - left, 0
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

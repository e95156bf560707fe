"""Job data between a process's descriptors and its stream, within credit (paper 4.3).

Owns the daemon's ends of the pipes and pseudo-terminals of one process. Non-blocking; reads only
while home has given credit, so a stopped reader at home stops the writer here and memory stays
bounded by the window.
"""

import errno
import os
from collections import deque
from collections.abc import Callable

from glunix.msg.base import Body
from glunix.msg.frame import CHUNK, bulk_buffer
from glunix.node.reactor import Reactor

VEOF = b"\x04"

_READ = bulk_buffer(CHUNK)
"""Where all outputs of this process read into, one after the other: a fresh buffer for each read
costs a page fault every 4 KiB."""


FINISH_MOST = 1024 * 1024
"""Bytes taken at the end of a channel that somebody still holds: as much as its pipe can hold."""


class Output:
    """One output channel: what is written on `fd` goes to `send`, as far as credit allows.

    `send` must have passed the bytes on, or copied them, when it returns; `send(b"")` is called
    once, at the end of the channel.
    """

    def __init__(
        self,
        reactor: Reactor,
        fd: int,
        window: int,
        send: Callable[[Body], None],
        before: Callable[[], None] | None = None,
    ) -> None:
        """`before` is called before what was written is read."""
        self._before = before
        self._reactor = reactor
        self._fd = fd
        self._credit = self._window = window
        self._send = send
        self._reading = False
        self._finishing = False
        self._last = FINISH_MOST
        self._settled: Callable[[], None] | None = None
        self._unsettled = 0
        self._closed = False
        os.set_blocking(fd, False)
        self._update()

    @property
    def closed(self) -> bool:
        """Whether the channel has ended."""
        return self._closed

    @property
    def credit_left(self) -> int:
        """Bytes that home takes yet."""
        return self._credit

    def adopt(self, credit: int) -> None:
        """Go on with the credit that another node had."""
        self._credit = min(max(credit, 0), self._window)
        self._update()

    def credit(self, count: int) -> None:
        """Home can take `count` bytes more."""
        self._credit = min(self._credit + count, self._window)  # never more than was agreed
        self._update()
        if self._finishing and not self._closed:
            self._readable()
        if self._settled is not None:
            self.drain()

    def settle(self, done: Callable[[], None]) -> None:
        """Call `done` once all that has been written by now was sent.

        A writer that never pauses cannot put it off: then it is as much as a pipe can hold.
        """
        self._settled, self._unsettled = done, FINISH_MOST
        if self.drain():
            self._is_settled()

    def _is_settled(self) -> None:
        done, self._settled = self._settled, None
        if done is not None:
            done()

    def drain(self) -> bool:
        """Send what has been written so far; False when credit may have ended before it did."""
        while self._credit > 0 and not self._closed:
            before = self._credit
            self._readable()
            if self._credit == before:
                return True
        return self._closed

    def finish(self) -> None:
        """End the channel once it is empty, even though somebody still holds the other end."""
        self._finishing = True
        if self._credit > 0 and not self._closed:
            self._readable()

    def _update(self) -> None:
        want = self._credit > 0 and not self._closed
        if want and not self._reading:
            self._reactor.add_reader(self._fd, self._readable)
        elif not want and self._reading:
            self._reactor.remove_reader(self._fd)
        self._reading = want

    def _readable(self) -> None:
        while self._read_once() and self._finishing and self._credit > 0 and not self._closed:
            pass

    def _read_once(self) -> bool:
        """One read; False when there was nothing."""
        if self._before is not None:
            self._before()
        try:
            count = self._fill(_READ[: min(CHUNK, self._credit)])
        except BlockingIOError:
            self._is_settled()
            if self._finishing:
                self.close()
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the last slave of a pty was closed, its end of file
                raise
            count = 0
        if not count:
            self.close()
            return False
        self._credit -= count
        self._send(_READ[:count])
        self._update()
        self._unsettled -= count
        if self._settled is not None and self._unsettled <= 0:
            self._is_settled()
        self._last -= count if self._finishing else 0
        if self._last <= 0:
            self.close()
        return True

    def _fill(self, room: memoryview) -> int:
        """One read(2) of what was written."""
        return os.readv(self._fd, (room,))

    def close(self) -> None:
        """End the channel now; a writer gets EPIPE (or a hang-up) from here on."""
        if self._closed:
            return
        self._closed = True
        self._update()
        os.close(self._fd)
        self._send(b"")
        self._is_settled()


class Input:
    """Standard input of one process: takes bytes at once, writes them as the process reads.

    `taken(total)` is called with the number of bytes that have reached the process so far;
    `closed()` once, when it reads no more.
    """

    def __init__(
        self,
        reactor: Reactor,
        fd: int,
        is_tty: bool,
        taken: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._fd = fd
        self._is_tty = is_tty
        self._taken = taken
        self._on_closed = closed
        self._queue: deque[memoryview] = deque()
        self._ending = False
        self._writing = False
        self._open = True
        self._held = False
        self.total = 0
        """Bytes that reached the process."""
        os.set_blocking(fd, False)

    @property
    def is_open(self) -> bool:
        """Whether the process may still read what we write."""
        return self._open

    def write(self, data: Body) -> None:
        """Take bytes, and copy what the process does not take now; empty means end of input."""
        if not self._open:
            return
        if data:
            self._queue.append(memoryview(data))
        else:
            self._ending = True
            if self._is_tty:  # a terminal has no end: the end-of-file character stands for it
                self._queue.append(memoryview(VEOF))
        self._flush()
        if data and self._queue:
            self._queue[-1] = memoryview(bytes(self._queue[-1]))

    def hold(self) -> None:
        """Write nothing until `release`."""
        self._held = True

    def release(self) -> None:
        """There is a program for it now."""
        self._held = False
        if self._open:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            return
        before = self.total
        while self._queue and self._open:
            piece = self._queue[0]
            try:
                count = os.write(self._fd, piece)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):
                    raise
                self.close()
                return
            self.total += count
            if count < len(piece):
                self._queue[0] = piece[count:]
            else:
                self._queue.popleft()
        want = bool(self._queue) and self._open
        if want != self._writing:
            self._writing = want
            if want:
                self._reactor.add_writer(self._fd, self._flush)
            else:
                self._reactor.remove_writer(self._fd)
        if self.total != before:
            self._taken()
        if self._ending and not self._queue and not self._is_tty:
            self.close()

    def close(self) -> None:
        """Stop feeding the process: it sees end of file after what it was given."""
        if not self._open:
            return
        self._open = False
        if self._writing:
            self._reactor.remove_writer(self._fd)
        self._queue.clear()
        os.close(self._fd)
        self._on_closed()

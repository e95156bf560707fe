"""Questions of interposed calls on their way home and back (DESIGN 5, "answer the read").

Owns which call waits for which ask, and bytes that were fetched for a call that then was
interrupted: they are served first to the next read, so nothing is lost, doubled or reordered.
A read is sent home at once and answered there without blocking; when home has nothing, it waits
here until home says `Ready`, so no stale read is ever left at home.
"""

import errno
import os
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from glunix.errors import FrameError
from glunix.msg import stream
from glunix.msg.base import Message
from glunix.msg.homecalls import IoctlPages, Memory, PagesDone
from glunix.node.dispatch import Handlers, Questions
from glunix.node.input.readahead import ReadAhead
from glunix.node.reactor import Reactor, Timer
from glunix.node.terminal.modes_cache import KnownModes, is_query
from slic.interposers.home.descriptors import (
    IoctlHome,
    PagesHome,
    ReadHome,
    SeekHome,
    TakeBack,
    is_within,
)

STOPPED = 85
"""ERESTART from home: it is being stopped for this call (SIGTTIN, SIGTTOU), and we will be."""

SETTLE = 0.02
"""Seconds after which home's offset follows a program that does nothing else."""

_FIONREAD = 0x541B
_TCFLSH = 0x540B


class Calls(Protocol):
    """The engine session, and what the supervisor knows of a caller."""

    def answer(self, call_id: int, value: Any) -> bool:
        """Resume the handler of a call; False when the call is gone."""

    def still_valid(self, call_id: int) -> bool:
        """Whether the call still waits."""

    def immune(self, tid: int, number: int) -> bool:
        """Whether the thread blocks or ignores this signal."""

    def unread(self, fd: int, some: bool) -> None:
        """Bytes of this home descriptor are (not) kept here: poll shall find them."""

    def changed(self, question: IoctlHome) -> None:
        """Home has made this ioctl."""


class _Read(NamedTuple):
    call: int
    question: ReadHome
    tid: int
    last: bool = False
    """Its time is over (VTIME): what is there now is its answer, if only nothing."""


def not_more(what: str, count: int, asked: int, field: int) -> None:
    """FrameError when home answers with more than it was asked for."""
    if count > asked:
        raise FrameError(
            f"bad message (home to node): {count} {what}, {asked} were asked for - at `$[{field}]`"
        )


class ForwardedReads:
    """`send` sends home."""

    def __init__(
        self,
        send: Callable[[Message], None],
        calls: Calls,
        reactor: Reactor,
        hear: Callable[[], None] | None = None,
    ) -> None:
        """`hear` takes what home has said already: needed where the program may know of it, whose
        input goes ahead without us (glunix.node.input.prefetched)."""
        self._send = send
        self._calls = calls
        self._reactor = reactor
        self._next = 1
        self._reads: dict[int, _Read] = {}
        """ask -> a read sent home and not answered."""
        self._others: dict[int, tuple[int, SeekHome | IoctlHome, int]] = {}
        self._waiting: deque[_Read] = deque()
        """Reads that home had nothing for, in order."""
        self._timers: dict[int, Timer] = {}
        """call -> when its read gives up."""
        self._settling = False
        self._seeks: list[tuple[int, SeekHome, int]] = []
        """Seeks that wait for a read which is at home."""
        self._ahead: dict[int, ReadAhead] = {}
        """home descriptor -> a file that is read ahead."""
        self._kept: dict[int, bytes] = {}
        """Bytes of each home descriptor that a dead call left over."""
        self._pages: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        """ask -> the call whose ioctl is being made at home; (address, bytes) of what was sent."""
        self.forwarded = 0
        self._hear = hear
        self.modes = KnownModes()

    def knows(self, call: int, question: object) -> bool:
        """Answer a query of the terminal's modes by what home said of them; whether that can be."""
        if type(question) is not IoctlHome or not is_query(question.command):
            return False
        if self._hear is not None:
            self._hear()
        known = self.modes.answer(question)
        if known is not None:
            self._calls.answer(call, known)
        return known is not None

    def handlers(self) -> Handlers:
        """Which method takes which answer of home's."""
        return {
            stream.Got: self.got,
            stream.IoctlDone: self.done,
            stream.Modes: self.modes.told,
            PagesDone: self.pages_done,
        }

    def questions(self) -> Questions:
        """Which method takes which question of an interposer's."""
        return {
            IoctlHome: self.ioctl,
            PagesHome: self._ioctl_on_pages,
            ReadHome: self.read,
            SeekHome: self.seek,
            TakeBack: self._given_back,
        }

    def read(self, call: int, question: ReadHome, tid: int) -> None:
        """Read of home's descriptor."""
        self._read(_Read(call, question, tid))

    def seek(self, call: int, question: SeekHome, tid: int) -> None:
        """Move home's offset."""
        self.settle()
        if self._is_read(question.fd):
            self._seeks.append((call, question, tid))  # of a read that is gone: its bytes go back
            return
        self.drop_ahead()
        ask = self._number()
        self._others[ask] = (call, question, tid)
        self._send(stream.Seek(ask, question.fd, question.offset, question.whence))

    def ioctl(self, call: int, question: IoctlHome, tid: int, may_write: bool = False) -> None:
        """Make an ioctl that a table knows. `may_write`: see msg.stream.Ioctl."""
        self.settle()
        ask = self._number()
        self._others[ask] = (call, question, tid)
        command, watch = question.command, is_query(question.command)
        more = question.argument, question.data, may_write, watch
        self._send(stream.Ioctl(ask, question.fd, command, *more))

    def _ioctl_on_pages(self, call: int, question: PagesHome, tid: int) -> None:
        self.settle()
        ask = self._number()
        self._pages[ask] = call, [(at, len(data)) for at, data in question.pages]
        pages = [Memory(address, data) for address, data in question.pages]
        self._send(IoctlPages(ask, question.fd, question.command, question.argument, pages))

    def _given_back(self, call: int, question: TakeBack, tid: int) -> None:
        self.settle()
        self._take_back(question.fd, question.data, first=True)
        self._calls.answer(call, None)

    def _is_read(self, fd: int) -> bool:
        """Whether a read that moves the offset of home's `fd` is at home."""
        return any(r.question.fd == fd and r.question.offset < 0 for r in self._reads.values())

    def _number(self) -> int:
        ask = self._next
        self._next = ask % 0xFFFFFFFF + 1
        self.forwarded += 1
        return ask

    # -- reads -------------------------------------------------------------------------------

    def _read(self, read: _Read) -> None:
        question = read.question
        ahead = self._ahead.get(question.fd)
        if question.offset < 0:
            if ahead is not None and self._serve_ahead(ahead, read):
                return
            if self._kept.get(question.fd):
                self._serve_kept(read)
                return
            if self._is_read(question.fd):
                # An earlier read of this descriptor is at home: this one must not overtake it.
                self._waiting.append(read)
                return
        self.settle()
        ask = self._number()
        self._reads[ask] = read
        self._send(
            stream.Want(
                ask,
                question.fd,
                question.count,
                question.nonblock or read.last,
                question.offset,
            )
        )

    # -- a file that is read ahead -------------------------------------------------------------

    def read_ahead(self, fd: int) -> None:
        """Home's `fd` is a file: its bytes may be fetched before they are asked for."""

        def want(offset: int, count: int) -> int:
            ask = self._number()
            self._send(stream.Want(ask, fd, count, True, offset))
            return ask

        def seek(offset: int, whence: int) -> int:
            ask = self._number()
            self._send(stream.Seek(ask, fd, offset, whence))
            return ask

        self._ahead[fd] = ReadAhead(want, seek)

    def settle(self) -> None:
        """Before home hears of anything that the program did: its offsets are the program's."""
        for ahead in self._ahead.values():
            ahead.settle()

    def _settle_later(self) -> None:
        self._settling = False
        self.settle()

    def drop_ahead(self) -> None:
        """The program stands still, or something happened that it may know of."""
        for fd, ahead in self._ahead.items():
            ahead.drop()
            self.retry(fd)

    def _serve_ahead(self, ahead: ReadAhead, read: _Read) -> bool:
        """Whether the read was answered, or waits for what is under way."""
        data = ahead.take(read.question.count)
        if data:
            if not self._answer(read, data):
                ahead.put_back(data)
            ahead.more()
            if not self._settling:
                self._settling = True
                self._reactor.call_later(SETTLE, self._settle_later)
            self.retry(read.question.fd)
            return True
        if ahead.coming:
            self._waiting.append(read)
            return True
        return False

    def _got_ahead(self, message: stream.Got) -> bool:
        for fd, ahead in self._ahead.items():
            not_more("bytes", len(message.data), ahead.wanted(message.ask), 3)
            if ahead.got(message.ask, b"" if message.error else message.data):
                self.retry(fd)
                return True
        return False

    def _take_back(self, fd: int, data: bytes, first: bool) -> None:
        """Bytes that left home were not delivered."""
        if fd in self._ahead:
            self._ahead[fd].put_back(data)
            if not first:
                self.settle()  # nobody may ask again: home's offset goes back now
            self.retry(fd)
        else:
            self._keep(fd, data, first)

    def _serve_kept(self, read: _Read) -> None:
        fd, count = read.question.fd, read.question.count
        kept = self._kept[fd]
        if self._answer(read, kept[:count]):
            self._kept[fd] = kept[count:]
            self._calls.unread(fd, bool(kept[count:]))

    def _answer(self, read: _Read, value: object) -> bool:
        self._forget_timer(read.call)
        return self._calls.answer(read.call, value)

    def got(self, message: stream.Got) -> None:
        """Home answered a read."""
        read = self._reads.pop(message.ask, None)
        if read is None:
            self._got_ahead(message)
            return
        not_more("bytes", len(message.data), read.question.count, 3)
        fd, error = read.question.fd, message.error
        if error == errno.EAGAIN and not read.question.nonblock and not read.last:
            self._waiting.appendleft(read)
            if message.wait:
                self._give_up_after(read, message.wait / 10)
            return
        if error == STOPPED:
            if self._calls.immune(read.tid, 21):  # SIGTTIN: nothing stops this caller
                self._answer(read, OSError(errno.EIO, os.strerror(errno.EIO)))
            else:
                self._waiting.appendleft(read)
            return
        value: object = message.data
        if error and not (error == errno.EAGAIN and read.last):
            value = OSError(error, os.strerror(error))
        ahead = self._ahead.get(fd) if read.question.offset < 0 else None
        if ahead is not None:
            ahead.read_at_home(read.question.count, len(message.data))
        if not self._answer(read, value) and message.data and read.question.offset < 0:
            self._take_back(fd, message.data, first=False)
        elif ahead is not None:
            ahead.more()
        if self._seeks:
            self.seek(*self._seeks.pop(0))
        self.retry(fd)

    def _give_up_after(self, read: _Read, seconds: float) -> None:
        self._forget_timer(read.call)
        self._timers[read.call] = self._reactor.call_later(seconds, self._give_up, read.call)

    def _give_up(self, call: int) -> None:
        del self._timers[call]
        for read in self._waiting:
            if read.call == call:
                self._waiting.remove(read)
                if self._calls.still_valid(call):
                    self._read(read._replace(last=True))
                return

    def _forget_timer(self, call: int) -> None:
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()

    def cancelled(self, call: int) -> None:
        """The engine says that a call is gone. What is at home for it comes back and is kept."""
        self._forget_timer(call)
        self._waiting = deque(read for read in self._waiting if read.call != call)
        for ask in [ask for ask, (other, _) in self._pages.items() if other == call]:
            del self._pages[ask]
            self._send(stream.Unwant(ask))

    def retry(self, fd: int) -> None:
        """Home may have something now: ask again for the first read that still waits."""
        for read in list(self._waiting):
            if read.question.fd == fd and read in self._waiting:
                self._waiting.remove(read)
                if self._calls.still_valid(read.call):
                    self._read(read)
                    return

    def _keep(self, fd: int, data: bytes, first: bool) -> None:
        kept = self._kept.get(fd, b"")
        self._kept[fd] = data + kept if first else kept + data
        self._calls.unread(fd, True)
        self.retry(fd)

    # -- a move to another node ---------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether home has not answered something."""
        return bool(self._reads or self._others or self._pages or self._seeks)

    @property
    def next_number(self) -> int:
        """Of the next question."""
        return self._next

    def kept(self, fd: int) -> bytes:
        """Bytes of home's `fd` that were fetched and not delivered."""
        return self._kept.get(fd, b"")

    def adopt(self, next_number: int, kept: dict[int, bytes]) -> None:
        """Go on where another node stopped."""
        self._next = max(next_number, 1)
        for fd, data in kept.items():
            if data:
                self._keep(fd, data, first=True)

    def left_over(self) -> list[tuple[int, bytes]]:
        """Bytes that nobody asked for again, by home descriptor; for `Back`."""
        return [(fd, data) for fd, data in self._kept.items() if data]

    # -- seeks and ioctls --------------------------------------------------------------------

    def done(self, message: stream.IoctlDone) -> None:
        """Home answered an ioctl or a seek."""
        entry = self._others.pop(message.ask, None)
        if entry is None:
            for fd, ahead in self._ahead.items():
                if ahead.sought(message.ask, -1 if message.error else message.value):
                    self.retry(fd)
            return
        call, question, tid = entry
        if message.error == STOPPED and isinstance(question, IoctlHome):
            # The stop that is coming interrupts the call, and it is made again after it.
            if self._calls.immune(tid, 22) and self._calls.still_valid(call):  # SIGTTOU
                self.ioctl(call, question, tid, may_write=True)
        elif message.error:
            self._calls.answer(call, OSError(message.error, os.strerror(message.error)))
        elif isinstance(question, SeekHome):
            self._calls.answer(call, message.value)
        else:
            self._calls.changed(question)
            self._calls.answer(call, (message.value, self._with_kept(question, message.data)))

    def pages_done(self, message: PagesDone) -> None:
        """Home has made an ioctl on the program's pages."""
        found = self._pages.pop(message.ask, None)
        if found is None:
            return
        call, pieces = found
        changed = [(memory.address, memory.data) for memory in message.changed]
        for at, (address, data) in enumerate(changed):
            if not is_within(pieces, address, len(data)):
                raise FrameError(
                    f"bad message (home to node): memory that was not sent - at `$[3][{at}]`"
                )
        self._calls.answer(call, (message.value, changed))

    def _with_kept(self, question: IoctlHome, data: bytes) -> bytes:
        """Kept bytes are input, too."""
        kept = self._kept.get(question.fd)
        if kept and question.command == _FIONREAD:
            there = int.from_bytes(data[:4], "little") + len(kept)
            return min(there, 2**31 - 1).to_bytes(4, "little")
        if kept and question.command == _TCFLSH and question.argument in (0, 2):
            self._kept[question.fd] = b""
            self._calls.unread(question.fd, False)
        return data

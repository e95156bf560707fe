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
from typing import Any

from glunix.msg import stream
from glunix.msg.base import Message
from slic.interposers.homefds import IoctlHome, ReadHome, SeekHome, TakeBack

Answer = Callable[[int, Any], bool]


class Asks:
    """`send` sends home; `answer(call, value)` and `valid(call)` are the engine session's."""

    def __init__(
        self, send: Callable[[Message], None], answer: Answer, valid: Callable[[int], bool]
    ) -> None:
        self._send = send
        self._answer = answer
        self._valid = valid
        self._next = 1
        self._flying: dict[int, tuple[int, object]] = {}
        """ask -> (call, question) sent home and not answered."""
        self._waiting: deque[tuple[int, ReadHome]] = deque()
        """Reads that home had nothing for, in order."""
        self._kept: dict[int, bytes] = {}
        """Bytes of each home descriptor that a dead call left over."""
        self.forwarded = 0

    def ask(self, call: int, question: object) -> None:
        """An interposer asks."""
        if isinstance(question, ReadHome):
            self._read(call, question)
        elif isinstance(question, SeekHome):
            self._fly(
                call,
                question,
                lambda a: stream.Seek(a, question.fd, question.offset, question.whence),
            )
        elif isinstance(question, IoctlHome):
            self._fly(
                call,
                question,
                lambda a: stream.Ioctl(
                    a, question.fd, question.command, question.argument, question.data
                ),
            )
        elif isinstance(question, TakeBack):
            self._keep(question.fd, question.data, first=True)
            self._answer(call, None)
        else:
            raise TypeError(f"nobody answers {question!r}")

    def _fly(self, call: int, question: object, message: Callable[[int], Message]) -> None:
        ask = self._next
        self._next = ask % 0xFFFFFFFF + 1
        self._flying[ask] = (call, question)
        self.forwarded += 1
        self._send(message(ask))

    def _read(self, call: int, question: ReadHome) -> None:
        kept = self._kept.get(question.fd, b"") if question.offset < 0 else b""
        if kept:
            if self._answer(call, kept[: question.count]):
                self._kept[question.fd] = kept[question.count :]
            return
        if question.offset < 0 and self._busy(question.fd):
            # An earlier read of this descriptor is at home: this one must not overtake it.
            self._waiting.append((call, question))
            return
        self._fly(
            call,
            question,
            lambda a: stream.Want(
                a, question.fd, question.count, question.nonblock, question.offset
            ),
        )

    def _busy(self, fd: int) -> bool:
        return any(
            isinstance(q, ReadHome) and q.fd == fd and q.offset < 0
            for _, q in self._flying.values()
        )

    def cancelled(self, call: int) -> None:
        """The engine says that a call is gone. What is at home for it comes back and is kept."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] != call)

    def got(self, message: stream.Got) -> None:
        """Home answered a read."""
        entry = self._flying.pop(message.ask, None)
        if entry is None:
            return
        call, question = entry
        assert isinstance(question, ReadHome)
        if message.error == errno.EAGAIN and not question.nonblock:
            if self._valid(call):
                self._waiting.appendleft((call, question))
            return
        value: object = message.data
        if message.error:
            value = OSError(message.error, os.strerror(message.error))
        if not self._answer(call, value) and message.data and question.offset < 0:
            self._keep(question.fd, message.data, first=False)
        self.retry(question.fd)

    def done(self, message: stream.IoctlDone) -> None:
        """Home answered an ioctl or a seek."""
        entry = self._flying.pop(message.ask, None)
        if entry is None:
            return
        call, question = entry
        if message.error:
            self._answer(call, OSError(message.error, os.strerror(message.error)))
        elif isinstance(question, SeekHome):
            self._answer(call, message.value)
        else:
            self._answer(call, (message.value, message.data))

    def retry(self, fd: int) -> None:
        """Home may have something now: ask again for the first read that still waits."""
        for _ in range(len(self._waiting)):
            call, question = self._waiting.popleft()
            if question.fd != fd or self._busy(fd):
                self._waiting.append((call, question))
            elif self._valid(call):
                self._read(call, question)

    def _keep(self, fd: int, data: bytes, first: bool) -> None:
        kept = self._kept.get(fd, b"")
        self._kept[fd] = data + kept if first else kept + data
        self.retry(fd)

    def left_over(self) -> list[tuple[int, bytes]]:
        """Bytes that nobody asked for again, by home descriptor; for `Back`."""
        return [(fd, data) for fd, data in self._kept.items() if data]

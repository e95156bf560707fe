"""Home input whose bytes go ahead to the node without leaving the home descriptor.

Owns what was sent ahead and not yet taken by the program: it is still here. Only when the node says
that the program has read bytes are they read here, too; so whoever reads the descriptor after the
job finds exactly what the job left, and yet the job reads at the node's own speed.

Limit: two readers at the same time may both get a byte. It is noticed (what is taken is compared
with what was sent), said, and what went ahead is called back, so that it does not go on.
"""

from __future__ import annotations

import _socket
import os
import posix
import select
import termios
from fcntl import F_GETPIPE_SZ, F_SETPIPE_SZ, fcntl, ioctl

from glunix.home.libcall import function
from glunix.home.sinks import reopened
from glunix.msg.frame import CHUNK, bulk_buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 1024 * 1024
"""Bytes that may be under way; glunix.msg.stream.INPUT_WINDOW."""

COMPARED = 4096
"""Bytes of each piece that are compared when they leave; a shift shows in any."""

_NONBLOCK = 2
"""SPLICE_F_NONBLOCK."""


class InputPrefetch:
    """One home descriptor; kinds differ in how they look without taking.

    `send(data)` sends ahead (empty: the end); `ask(message)` sends a message; `complain` is told
    when somebody else reads.
    """

    worth = CHUNK
    """New bytes for which a busy source is looked at again: a look costs as much as all that is
    ahead."""

    def __init__(
        self,
        fd: int,
        send: Callable[[bytes | memoryview], None],
        ask: Callable[[list[object]], None],
        complain: Callable[[str], None],
    ) -> None:
        self._fd = fd
        mine = reopened(fd, os.O_RDONLY)
        self._own = fd if mine < 0 else mine
        self._send = send
        self._ask = ask
        self._complain = complain
        self._told_mixed = False
        self._ahead: list[tuple[bytes, int]] = []
        """Pieces that the node has and the program has not taken: (first bytes, size)."""
        self._begun = 0
        """How many of the first piece have been taken."""
        self._size = 0
        self._ended = False
        self._open = True
        self._void = 0
        """The InBack that was not answered: nothing goes ahead meanwhile."""
        self._recalling = False
        self._buffer: memoryview | None = None
        self._poll = select.poll()
        self._poll.register(fd, 0)  # a fifo opened anew knows nothing of writers before
        self._prepare(fd)

    def fileno(self) -> int:
        """For epoll, edge-triggered: bytes stay here, so the level says nothing."""
        return self._fd

    def close(self) -> None:
        """The job reads no more: a writer without another reader gets SIGPIPE."""
        self._open = False
        nothing = posix.open("/", os.O_PATH | os.O_CLOEXEC)
        posix.dup2(nothing, self._fd)
        posix.close(nothing)
        if self._own != self._fd:
            posix.close(self._own)

    # -- what a kind knows -----------------------------------------------------------------------

    def _prepare(self, fd: int) -> None:
        """Make what looking needs."""
        raise NotImplementedError

    def _inside(self) -> int:
        return int.from_bytes(ioctl(self._own, termios.FIONREAD, bytes(4)), "little")

    def _copy(self) -> bool:
        """Send some of what is new; False when there was nothing to be had after all."""
        raise NotImplementedError

    def _discard(self, count: int, first: bytes) -> int:
        """Read up to `count` bytes; those at the beginning should be `first`. 0: there is none."""
        raise NotImplementedError

    # -- ahead -----------------------------------------------------------------------------------

    def look(self, end: bool = True) -> None:
        """Send ahead what is here more than was sent already, and, if so wanted, its end."""
        while self._open and not self._void and not self._recalling and self._size < WINDOW:
            more = self._inside() - self._size
            if more < 0:
                self._mixed()
            elif more == 0:
                if end and not self._ended and self._poll.poll(0) and self._inside() <= self._size:
                    self._ended = True  # nobody writes any more, and the node has everything
                    self._send(b"")
                return
            elif more < self.worth <= self._size or not self._copy():
                return
            else:
                self._ended = False  # a fifo may have a new writer

    def _sent(self, data: memoryview) -> None:
        self._ahead.append((bytes(data[:COMPARED]), len(data)))
        self._size += len(data)
        self._send(data)

    def _room(self) -> memoryview:
        if self._buffer is None:  # made once: fresh memory costs a page fault every 4 KiB
            self._buffer = bulk_buffer(CHUNK)
        return self._buffer

    def took(self, count: int) -> None:
        """The program has read `count` bytes: they leave."""
        while self._open and count > 0 and self._ahead:
            (first, size), at = self._ahead[0], self._begun
            wanted = min(count, size - at)
            while wanted:
                gone = self._discard(wanted, first[at:]) if self._inside() else 0
                if not gone:  # somebody else has had it
                    self._mixed()
                    gone = wanted
                wanted -= gone
                count -= gone
                self._size -= gone
                at += gone
            self._begun = at
            if at == size:
                del self._ahead[0]
                self._begun = 0
        self.look()

    # -- void and anew ---------------------------------------------------------------------------

    def _mixed(self) -> None:
        if not self._told_mixed:
            self._told_mixed = True
            self._complain("somebody else reads this job's standard input at the same time")
        if not self._recalling and not self._void:
            self._recalling = True
            self._ask(["inrecall"])

    def back(self, number: int) -> None:
        """Nothing is ahead any more: the job stopped or ended, or we asked for it."""
        self._size, self._ahead, self._begun, self._ended = 0, [], 0, False
        self._void = number
        if self._recalling:
            self._recalling = False
            self.anew()

    def anew(self) -> None:
        """The job goes on, with what is here now."""
        if self._void and self._open:
            self._ask(["inanew", self._void])
            self._void = 0
            self.look()


class SocketPrefetch(InputPrefetch):
    """A stream socket: MSG_PEEK looks. It stays open to the end: the job may write into it."""

    def _prepare(self, fd: int) -> None:
        self._sock = _socket.socket(fileno=posix.dup(fd))
        self._poll.register(fd, select.POLLRDHUP)
        self._peeked = bulk_buffer(WINDOW)

    def close(self) -> None:
        self._open = False
        self._sock.close()

    def _copy(self) -> bool:
        size = self._size
        try:
            got = self._sock.recv_into(self._peeked, 0, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except OSError:
            return False  # nothing, or broken, which poll says
        for at in range(size, got, CHUNK):
            self._sent(self._peeked[at : min(at + CHUNK, got)])
        if got < size:
            self._mixed()
        return got > size

    def _discard(self, count: int, first: bytes) -> int:
        room = self._room()[: min(count, CHUNK)]
        try:
            got = self._sock.recv_into(room, 0, _socket.MSG_DONTWAIT)
        except OSError:
            return 0
        if room[: min(got, len(first))] != first[:got]:
            self._mixed()
        return got


class PipePrefetch(InputPrefetch):
    """A pipe or fifo: tee(2) looks, splice(2) to /dev/null takes."""

    worth = CHUNK // 2
    """A look copies pages by reference."""

    def _prepare(self, fd: int) -> None:
        self._tee = function("tee", 4)
        self._null = posix.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self._copy_out, self._copy_in = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)

    def _copy(self) -> bool:
        room = fcntl(self._own, F_GETPIPE_SZ)
        if fcntl(self._copy_in, F_GETPIPE_SZ) < room:
            _resize(self._copy_in, room)  # else less goes ahead: what it holds
        got = self._tee(self._own, self._copy_in, min(room, WINDOW), _NONBLOCK)
        if got <= 0:
            return False
        if got >= room // 2 and room < WINDOW:
            _resize(self._own, WINDOW)  # nothing leaves it before it was taken: it must hold that
        if got < self._size:
            self._mixed()
        new = max(0, got - self._size)
        self._skip(got - new)
        left = new
        while left:
            size = posix.readv(self._copy_out, (self._room()[: min(left, CHUNK)],))
            left -= size
            self._sent(self._room()[:size])
        return new > 0

    def _skip(self, count: int) -> None:
        while count:
            count -= posix.splice(self._copy_out, self._null, count)

    def _discard(self, count: int, first: bytes) -> int:
        try:
            if not first:
                return posix.splice(self._own, self._null, count, flags=_NONBLOCK)
            data = posix.read(self._own, min(count, len(first)))
        except BlockingIOError:
            return 0
        if not first.startswith(data):
            self._mixed()
        return len(data)


def _resize(pipe: int, size: int) -> None:
    try:
        fcntl(pipe, F_SETPIPE_SZ, size)
    except OSError:
        pass  # over the user's limit (pipe(7)): only slower

"""Our ends of stand-ins that are filled ahead: how a pipe and a socket take, keep and tell.

Owns the descriptors. What goes in and what home hears of it: glunix.node.input.prefetched.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import termios
from collections.abc import Callable
from typing import Protocol

from glunix.msg.frame import CHUNK
from glunix.msg.stream import INPUT_WINDOW
from glunix.node.reactor import Reactor

MOVED = signal.SIGURG
"""What the kernel sends after a read: a signal that does nothing where nobody catches it."""


class Feed(Protocol):
    """Our end of a stand-in. All calls are harmless once it is closed."""

    def write(self, data: bytes | memoryview) -> int:
        """How many bytes it took; 0 for none; -1 when nobody can read it any more."""

    def unread(self) -> int:
        """Bytes in it that the program has not read."""

    def drain(self) -> int:
        """Take out what was not read; returns how many bytes."""

    final: bool
    """Nothing can be written after `end`."""

    plenty: int
    """A program with more to read is looked at by time: its every read is not worth a look."""

    batch: int
    """Bytes after which home is told even though the program has more to read."""

    def end(self) -> None:
        """The program sees the end after what is in it. A later `write` undoes that."""

    def watch(self, room: bool, follow: bool) -> None:
        """room: say when there is room. follow: say when the program read something."""

    def close(self) -> None:
        """Give it up."""


class SocketFeed:
    """One of a pair of stream sockets; `theirs` is the other one, the program's.

    How reads are noticed: an edge-triggered epoll tells of room whenever a piece was read whole.
    """

    final = True
    plenty = INPUT_WINDOW
    batch = 64 * 1024
    """Home's own socket holds little, and what is here is still there."""

    def __init__(
        self,
        reactor: Reactor,
        ours: socket.socket,
        theirs: socket.socket,
        moved: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._ours, self._theirs = ours, theirs
        self._moved = moved
        self._epoll = select.epoll()
        self._epoll.register(ours, select.EPOLLOUT | select.EPOLLET)
        self._watched = False

    def _told(self) -> None:
        self._epoll.poll(0)
        self._moved()

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self._ours.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:  # closed, or the program shut it down for reading
            return -1

    def unread(self) -> int:
        if self._theirs.fileno() < 0:
            return 0
        found = fcntl.ioctl(self._theirs, termios.FIONREAD, bytes(4))
        return int.from_bytes(found, "little")

    def drain(self) -> int:
        count = 0
        with contextlib.suppress(OSError):
            while got := len(self._theirs.recv(CHUNK, socket.MSG_DONTWAIT)):
                count += got
        return count

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def watch(self, room: bool, follow: bool) -> None:
        wanted = (room or follow) and not self._epoll.closed
        if wanted and not self._watched:
            self._reactor.add_reader(self._epoll.fileno(), self._told)
        elif self._watched and not wanted:
            self._reactor.remove_reader(self._epoll.fileno())
        self._watched = wanted

    def close(self) -> None:
        self.watch(room=False, follow=False)
        self._epoll.close()
        self._ours.close()
        self._theirs.close()


class PipeFeed:
    """A pipe's write end; its read end while the program is to see the end.

    How reads are noticed: the kernel sends MOVED to the owner of the write end after each read(2)
    (pipe(7), O_ASYNC), which the owner of the signals passes to PrefetchedInput.look. After a copy
    inside the kernel (splice) it does not: the timer looks.
    """

    final = False
    plenty = 64 * 1024
    batch = 128 * 1024

    def __init__(
        self, reactor: Reactor, fd: int, moved: Callable[[], None], gone: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._moved = moved
        self._gone = gone
        self._fd = -1
        self._ended = False
        self._room = False
        self._follows = False
        self._take(fd)

    def _take(self, fd: int) -> None:
        self._fd, self._follows = fd, False
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
            while got := len(os.read(reader, CHUNK)):
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
        if follow != self._follows:
            self._follows = follow
            flags = os.O_WRONLY | os.O_NONBLOCK
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_ASYNC if follow else flags)

    def close(self) -> None:
        if self._fd < 0:
            return
        self.watch(room=False, follow=False)
        self._reactor.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1

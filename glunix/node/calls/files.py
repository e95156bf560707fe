"""The node's half of calls on files of home: questions on their way, and what stands in for files.

Owns the stand-ins of what a job opens at home and their end: an unnamed file (a file or block
device: always ready), a removed directory, or a pseudo-terminal (terminals and other devices, whose
readiness is mirrored by a token byte). When no process has a stand-in any more, home is told.
"""

import errno
import fcntl
import os
import select
import socket
import tempfile
import termios
import tty
from collections.abc import Callable
from typing import Any

from glunix.errors import FrameError
from glunix.msg import stream
from glunix.msg.base import Message
from glunix.msg.homecalls import HomeCall, HomeClose, HomeDone
from glunix.msg.job import AT_HOME, Inherited
from glunix.node.calls.mounts import HomePlaces
from glunix.node.calls.reads import Calls
from glunix.node.descriptors.standins import SocketToken
from glunix.node.dispatch import Handlers, Questions
from glunix.node.output.reopened import Reopened
from glunix.node.output.write_budget import WriteBudget, size_limit
from glunix.node.reactor import Reactor
from slic.interposers.home.descriptors import HomeFds, StandIn
from slic.interposers.home.questions import CallHome, HavePlace, Opened, RaiseSignal
from slic.interposers.home.reopens import REOPEN
from slic.interposers.home.statbuf import FIELDS, STATFS_FIELDS
from slic.kernel.inotify import Watcher
from slic.kernel.pidfd import process_of, status_fields
from slic.kernel.ptrace import tgkill

SOCKETS = {
    "stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "packet": socket.SOCK_SEQPACKET,
}  # fmt: skip
FIRST, LAST = 80, 1023
"""Numbers that home gives to what the job opens there (glunix.home.calls.files)."""
KINDS = (b"dir", b"file", b"tty")
_NUMBERS = {
    "stat": len(FIELDS), "fstat": len(FIELDS), "statfs": STATFS_FIELDS,
    "fstatfs": STATFS_FIELDS, "getlk": 5, "handle": 2, "recv": 2,
}  # fmt: skip
"""How many numbers each call is answered with, where there are any."""
_TIOCGPTPEER = 0x5441
_TOKEN = b"\0"
_LIMITED = ("write", "ftruncate", "fallocate", "fallocmode")
"""Calls that are told, as the last number, how large the caller may make a file."""
_KEPT_FLAGS = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK


def _check_answer(question: CallHome, message: HomeDone) -> None:
    """FrameError when an answer is not of its call."""
    wanted = _NUMBERS.get(question.call)
    if question.call in ("write", "send") and not 0 <= message.value <= len(question.data):
        raise FrameError("bad message (home to node): more than was to be written - at `$[2]`")
    if wanted is not None and len(message.numbers) != wanted:
        raise FrameError(
            f"bad message (home to node): Expected `array` of length {wanted} - at `$[4]`"
        )


class HomeFiles:
    """`fds` learns of the stand-ins' end; `send` sends home."""

    def __init__(
        self,
        fds: HomeFds,
        places: HomePlaces,
        send: Callable[[Message], None],
        calls: Calls,
        reactor: Reactor,
        budget: WriteBudget,
        reopened: Reopened,
    ) -> None:
        self._fds = fds
        self._budget = budget
        self._reopened = reopened
        self._places = places
        self._send = send
        self._calls = calls
        self._reactor = reactor
        self._next = 1
        self._asked: dict[int, tuple[int, CallHome]] = {}
        self._watcher = Watcher()
        reactor.add_reader(self._watcher.fileno(), self._gone)
        self._watched: dict[int, StandIn] = {}
        self._pseudo: dict[int, StandIn] = {}
        """Master -> the stand-in whose slave it has."""
        self._tokens: dict[int, SocketToken] = {}
        """home's fd -> the readiness of a socket."""
        self._ends = select.poll()
        self._terminals: dict[int, tuple[int, bool]] = {}
        """home's fd -> (master, whether the token is in)."""

    # -- questions ---------------------------------------------------------------------------

    def handlers(self) -> Handlers:
        """Which method takes which answer of home's."""
        return {HomeDone: self.done}

    def questions(self) -> Questions:
        """Which method takes which question of an interposer's."""
        return {CallHome: self._call, HavePlace: self._have_place, RaiseSignal: self._raise}

    def _have_place(self, call: int, question: HavePlace, tid: int) -> None:
        failed = None
        try:
            self._places.make(question.path)
        except OSError as error:  # the node has a directory above it in which it cannot be made
            failed = error
        self._calls.answer(call, failed)

    def _call(self, call: int, question: CallHome, tid: int) -> None:
        try:
            umask = int(status_fields(tid)["Umask"], 8)
        except ProcessLookupError:
            return  # it is dead; the engine will say so
        self._closed_by_now()
        ask, self._next = self._next, self._next % 0xFFFFFFFF + 1
        self._asked[ask] = (call, question)
        self._send(
            HomeCall(
                ask,
                question.call,
                question.fd,
                list(question.paths),
                [*question.numbers, *([size_limit(tid)] if question.call in _LIMITED else [])],
                question.data,
                umask,
            )
        )

    def _raise(self, call: int, question: RaiseSignal, tid: int) -> None:
        """A handler runs when the call has failed, or the call would be made again after it; what
        has none dies in the call.
        """
        number = question.number
        try:
            caught = int(status_fields(tid)["SigCgt"], 16) >> (number - 1) & 1
            if not caught:
                tgkill(process_of(tid), tid, number)
            self._calls.answer(call, None)
            if caught:
                tgkill(process_of(tid), tid, number)
        except ProcessLookupError:
            pass  # it is dead; the engine will say so

    def done(self, message: HomeDone) -> None:
        """Home has made a call."""
        entry = self._asked.pop(message.ask, None)
        if entry is None:
            return
        call, question = entry
        if not message.error:
            _check_answer(question, message)
            if question.call in ("open", REOPEN):
                self._check_opened(message)
        answer: Any = (message.value, message.numbers, message.data)
        if message.error:
            answer = OSError(message.error, os.strerror(message.error))
        elif question.call == "open":
            answer = self._opened(message.value, message.data.decode(), question)
        elif question.call == REOPEN:
            answer = self._open_again(message.value, question.numbers[0])
        elif question.call == "write" and message.numbers:
            self._budget.told(question.fd, message.numbers[0])
        if not self._calls.answer(call, answer) and isinstance(answer, Opened):
            os.close(answer.fd)  # nobody has it: its end is noticed like any other

    def _check_opened(self, message: HomeDone) -> None:
        """FrameError: home gives a number that it does not give, or has given and not got back."""
        known = {one.fd for one in (*self._watched.values(), *self._pseudo.values())}
        if not FIRST <= message.value <= LAST or message.value in known:
            raise FrameError(f"bad message (home to node): {message.value} is not new - at `$[2]`")
        if message.data not in KINDS:
            raise FrameError("bad message (home to node): no such kind of file - at `$[5]`")

    def cancelled(self, call: int) -> None:
        """The engine says that a call is gone. An open stays known: home may have made it."""
        for ask, (asked, question) in list(self._asked.items()):
            if asked == call:
                if question.call not in ("open", REOPEN):
                    del self._asked[ask]
                self._send(stream.Unwant(ask))

    def _open_again(self, fd: int, flags: int) -> Opened | OSError:
        try:
            if flags & os.O_ACCMODE == os.O_RDWR:
                return self._made(fd, "file", flags, b"/proc/self/fd")
            if flags & os.O_ACCMODE == os.O_WRONLY:
                self._budget.told(fd, 0)  # its number may have been another's
                return self._reopened.open(fd)
            own = self._stand_in(fd, "file", flags & os.O_NONBLOCK)
        except OSError as error:
            self._send(HomeClose(fd))
            return OSError(error.errno or errno.EIO, error.strerror)
        seen = os.fstat(own)
        stand_in = StandIn(fd, "file", seen.st_dev, seen.st_ino)
        self._watched[self._watcher.watch(own)] = stand_in
        return Opened(own, stand_in)

    # -- stand-ins ---------------------------------------------------------------------------

    def _opened(self, fd: int, kind: str, question: CallHome) -> Opened | OSError:
        path, flags = question.paths[0].rstrip(b"/"), question.numbers[0]
        try:
            return self._made(fd, kind, flags, path)
        except OSError as error:
            self._send(HomeClose(fd))
            return OSError(error.errno or errno.EIO, error.strerror)

    def hold(self, one: Inherited) -> int:
        """The stand-in of an inherited descriptor, as if the job had opened it. OSError."""
        made = self._made(one.channel, AT_HOME[one.kind], one.size, one.path.rstrip(b"/") or b"/")
        self._fds.add(made.stand_in)
        return made.fd

    def _made(self, fd: int, kind: str, flags: int, path: bytes) -> Opened:
        own = self._stand_in(fd, kind, flags)
        seen = os.fstat(own)
        place = os.readlink(f"/proc/self/fd/{own}").removesuffix(" (deleted)")
        stand_in = StandIn(fd, kind, seen.st_dev, seen.st_ino, path, place if kind == "dir" else "")
        if kind in SOCKETS:
            pass  # its end is the job's
        elif kind == "tty":
            master = self._terminals[fd][0]
            self._pseudo[master] = stand_in
            self._ends.register(master, 0)  # POLLHUP is always told
            self._reactor.add_reader(master, self._hung_up, stand_in)
        else:
            self._watched[self._watcher.watch(own)] = stand_in
        return Opened(own, stand_in)

    def _stand_in(self, fd: int, kind: str, flags: int) -> int:
        if kind == "dir":
            place = tempfile.mkdtemp(prefix="glunix-home-")
            try:
                return os.open(place, flags & (os.O_DIRECTORY | os.O_NOATIME) | os.O_CLOEXEC)
            finally:
                os.rmdir(place)
        if kind == "tty":
            return self._terminal(fd, flags)
        if kind in SOCKETS:
            return self._socket(fd, kind, flags)
        made = os.memfd_create("home", os.MFD_CLOEXEC)
        try:
            return os.open(f"/proc/self/fd/{made}", flags & _KEPT_FLAGS | os.O_CLOEXEC)
        finally:
            os.close(made)

    def _socket(self, fd: int, kind: str, flags: int) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, SOCKETS[kind])
        self._tokens[fd] = SocketToken(ours, theirs)
        own = os.dup(theirs.fileno())
        if flags & os.O_NONBLOCK:
            os.set_blocking(own, False)
        return own

    def _terminal(self, fd: int, flags: int) -> int:
        master, slave = os.openpty()
        try:
            tty.setraw(slave)
            how = flags & _KEPT_FLAGS & ~os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC
            own = os.open(os.ttyname(slave), how)
        except OSError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self._terminals[fd] = (master, False)
        return own

    def set_readable(self, fd: int, readable: bool) -> None:
        """Make poll on the stand-in of home's `fd` say what poll at home says."""
        if fd in self._tokens:
            self._tokens[fd].home(readable)
        master, now = self._terminals.get(fd, (-1, readable))
        if readable == now:
            return
        self._terminals[fd] = (master, readable)
        if readable:
            os.write(master, _TOKEN)
        else:
            how = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
            slave = fcntl.ioctl(master, _TIOCGPTPEER, how)  # for a moment, or its end went unseen
            termios.tcflush(slave, termios.TCIFLUSH)
            os.close(slave)

    def _hung_up(self, stand_in: StandIn) -> None:
        """The last descriptor of a pseudo-terminal was closed (nothing is ever written to it)."""
        master, _ = self._terminals.pop(stand_in.fd)
        del self._pseudo[master]
        self._ends.unregister(master)
        self._reactor.remove_reader(master)
        os.close(master)
        self._ended(stand_in)

    def _closed_by_now(self) -> None:
        """Home hears of what the program has closed before it hears of what it does next."""
        self._gone()
        if self._pseudo:
            for master, _ in self._ends.poll(0):
                self._hung_up(self._pseudo[master])

    def _gone(self) -> None:
        for number in self._watcher.gone():
            stand_in = self._watched.pop(number, None)
            if stand_in is not None:
                self._ended(stand_in)

    def _ended(self, stand_in: StandIn) -> None:
        self._fds.remove(stand_in)
        self._send(HomeClose(stand_in.fd))

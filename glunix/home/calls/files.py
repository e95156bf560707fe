"""Home's half of opens and other calls on listed paths (`glurun -T --home PATH`).

Owns the descriptors that a transparent job has opened here, and who may ask for which path: only
what the user listed, and what links in it lead to only when that is listed, too. Every call is
made without waiting; a write that would wait is made again when there is room.
"""

from __future__ import annotations

import errno
import os
import posix
import resource
import stat
from fcntl import F_GETFL, LOCK_NB, fcntl, flock

from glunix.home.calls.filetable import (
    F_OFD_SETLK,
    F_OFD_SETLKW,
    ON_DESCRIPTOR,
    ON_NAME,
    OpenFile,
    rewind,
    struct_flock,
)
from glunix.home.calls.isolated import FCNTL, FLOCK, PAGE, BareCall, BareOpen
from glunix.home.calls.pinned import Pins, failed, open_pinned, opening
from glunix.home.descriptors.inherited import is_file
from glunix.home.descriptors.openfile import RLIMIT_FSIZE, position, room

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable

    from glunix.home.calls.filetable import Answer
    from glunix.home.wire import Bytes

    Send = Callable[[list[object]], None]

FIRST, LAST = 80, 1023
"""Numbers that descriptors of the job's own opens have in messages, after those of Inherited."""

_OPEN_FLAGS = (
    os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND | os.O_NONBLOCK | os.O_DSYNC
    | os.O_SYNC | os.O_DIRECT | os.O_LARGEFILE | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME
    | os.O_PATH | os.O_TMPFILE
)  # fmt: skip
"""Those of open(2) that a program can mean; O_CLOEXEC and O_NOCTTY are home's half's own."""

SOCKET_CALLS = frozenset(
    (
        "connect",
        "getpeername",
        "getsockname",
        "getsockopt",
        "recv",
        "send",
        "setsockopt",
        "shutdown",
    )
)
"""As glunix.home.calls.sockets has them; the others are made on a socket as on any descriptor."""

_EPOLLIN, _EPOLLOUT, _ONCE = 1, 4, 1 << 30
_LOCK_AT = 0x7F0000000000
"""Where a bare process has the lock that it waits for."""


class HomeFiles:
    """`added` and `removed` tell the startup of descriptors that can be read."""

    def __init__(
        self,
        paths: list[bytes],
        send: Send,
        epoll: select.epoll,
        added: Callable[[int, int], None],
        removed: Callable[[int], None],
        given: dict[int, int],
        streams: Callable[[int, int], None] = lambda number, fd: None,
        changed: Callable[[int], None] = lambda number: None,
    ) -> None:
        """`given`: descriptors of ours that the job may also speak of, by its numbers for them.
        `streams`: told of those that are an output; `changed`: of those that may be (not) readable
        now."""
        self._changed = changed
        self._streams = streams
        self._paths = [*paths, *(os.path.realpath(path) for path in paths)]
        self._send = send
        self._epoll = epoll
        self._added = added
        self._removed = removed
        limits = resource.getrlimit(RLIMIT_FSIZE)
        resource.setrlimit(RLIMIT_FSIZE, (limits[1], limits[1]))  # each call says its program's
        self._open = {number: OpenFile(posix.dup(fd)) for number, fd in given.items()}
        self._waiting: dict[int, tuple[int, int, Callable[[], Answer]]] = {}
        """a descriptor of its own -> (ask, events, call) of what waits for room, or input."""
        self._beside: dict[int, tuple[int, BareCall | BareOpen]] = {}
        """the same of a lock that somebody else has, or a FIFO whose other end nobody has."""

    # -- messages ----------------------------------------------------------------------------

    def call(
        self,
        ask: int,
        call: str,
        fd: int,
        paths: list[Bytes],
        numbers: list[int],
        data: Bytes,
        umask: int,
    ) -> None:
        """A HomeCall."""
        before = posix.umask(umask)
        try:
            answer = self._make(
                ask, call, fd, [bytes(path) for path in paths], numbers, bytes(data)
            )
        except OSError as error:
            self._send(["homedone", ask, 0, error.errno or errno.EIO, [], b""])
            return
        except (
            LookupError,
            ValueError,
            TypeError,
            OverflowError,
        ):  # no such call, or not its arguments
            self._send(["homedone", ask, 0, errno.EINVAL, [], b""])
            return
        finally:
            posix.umask(before)
        if answer is not None:
            value, results, content = answer
            self._send(["homedone", ask, value, 0, results, content])

    def _make(
        self, ask: int, name: str, number: int, paths: list[bytes], numbers: list[int], data: bytes
    ) -> Answer | None:
        if number >= 0:
            opened = self._open.get(number)
            if opened is None:
                raise failed(errno.EBADF)
            if name == "write":
                return self._limited(ask, number, opened.fd, numbers, data)
            if name in SOCKET_CALLS and stat.S_ISSOCK(posix.fstat(opened.fd).st_mode):
                return self._on_socket(ask, number, opened, name, numbers, data)
            if name in ("flock", "setlk", "setlkw"):
                return self._lock(ask, opened.fd, name, numbers)
            if name == "reopen":
                return self._reopen(opened.fd, numbers[0])
            if name not in ON_DESCRIPTOR:
                from glunix.home.descriptors.filefacts import CALLS

                return CALLS[name](opened.fd, numbers, data)
            return ON_DESCRIPTOR[name](opened, numbers)
        if name == "open":
            return self._do_open(ask, paths[0], *numbers)
        with Pins(self._paths) as at:
            return ON_NAME[name](at, paths, numbers, data)

    # -- opening and closing -------------------------------------------------------------------

    def _do_open(self, ask: int, path: bytes, flags: int, mode: int) -> Answer | None:
        flags, mode = flags & _OPEN_FLAGS, mode & 0o7777
        how = flags | os.O_NONBLOCK | os.O_NOCTTY
        with Pins(self._paths) as at:
            pin, made = at.for_open(path, how, mode)
            if made >= 0:
                return self._keep(made, flags)
            if not flags & (os.O_PATH | os.O_NONBLOCK) and _is_fifo(pin):
                self._make_beside(ask, BareOpen(pin, opening(flags)))
                return None
            return self._keep(open_pinned(pin, how, mode), flags)

    def _reopen(self, fd: int, flags: int) -> Answer:
        """A new open file of one of the job's (proc(5), /proc/PID/fd)."""
        flags &= _OPEN_FLAGS
        own = open_pinned(fd, flags & ~os.O_PATH)
        number, results, kind = self._keep(own, flags)
        if flags & os.O_ACCMODE == os.O_WRONLY:
            self._streams(number, own)
        return number, results, kind

    def _make_beside(self, ask: int, call: BareCall | BareOpen) -> None:
        self._beside[call.fileno()] = (ask, call)
        self._epoll.register(call.fileno(), _EPOLLIN)

    def _waited_for(self, ask: int, call: BareOpen) -> None:
        """A FIFO has its other end, or its open has failed."""
        try:
            fd = call.result()
            posix.set_blocking(fd, False)
            number, results, kind = self._keep(fd, 0)
        except OSError as error:
            self._send(["homedone", ask, 0, error.errno or errno.EIO, [], b""])
        else:
            self._send(["homedone", ask, number, 0, results, kind])
        finally:
            call.close()

    def _keep(self, fd: int, flags: int) -> Answer:
        """The job's from now on. What home's kernel refuses comes first, as at home."""
        number = next((n for n in range(FIRST, LAST + 1) if n not in self._open), -1)
        if number < 0:
            posix.close(fd)
            raise failed(errno.EMFILE)
        kind = _kind(fd)
        self._open[number] = OpenFile(fd)
        readable = fcntl(fd, F_GETFL) & os.O_ACCMODE != os.O_WRONLY
        if kind != "dir" and readable and not flags & os.O_PATH:
            self._added(number, fd)
        return number, [], kind.encode()

    def descriptor(self, number: int) -> int:
        """Our descriptor of one of the job's; OSError EBADF."""
        if number not in self._open:
            raise failed(errno.EBADF)
        return self._open[number].fd

    def seek(self, number: int, offset: int, whence: int) -> int:
        """lseek(2), also on a directory."""
        fd = self.descriptor(number)
        if stat.S_ISDIR(posix.fstat(fd).st_mode):
            return rewind(self._open[number], offset, whence)
        return posix.lseek(fd, offset, whence)

    def close(self, fd: int) -> None:
        """A HomeClose."""
        opened = self._open.pop(fd, None)
        if opened is not None:
            self._removed(fd)
            posix.close(opened.fd)

    # -- locks -------------------------------------------------------------------------------

    def _lock(self, ask: int, fd: int, name: str, numbers: list[int]) -> Answer | None:
        """What is taken waits beside us: a lock belongs to the open file, whoever asked for it."""
        try:
            if name == "flock":
                flock(fd, numbers[0] | LOCK_NB)
            else:
                fcntl(fd, F_OFD_SETLK, struct_flock(numbers))
        except BlockingIOError:
            if name == "setlk" or (name == "flock" and numbers[0] & LOCK_NB):
                raise
        else:
            return 0, [], b""
        if name == "flock":
            call = BareCall(FLOCK, fd, numbers[0], 0, [])
        else:
            page = struct_flock(numbers).ljust(PAGE, b"\0")
            call = BareCall(FCNTL, fd, F_OFD_SETLKW, _LOCK_AT, [(_LOCK_AT, page)])
        self._make_beside(ask, call)
        return None

    def _locked(self, ask: int, call: BareCall) -> None:
        value, _ = call.result()
        call.close()
        self._send(["homedone", ask, 0, -value if value < 0 else 0, [], b""])

    # -- writes ------------------------------------------------------------------------------

    def _limited(
        self, ask: int, number: int, fd: int, numbers: list[int], data: bytes
    ) -> Answer | None:
        """A write within the program's limit of size; what is left of room is told of an output."""
        where, nonblock, limit = (*numbers, -1)[:3]
        if not is_file(fd):
            return self._write(ask, fd, where, bool(nonblock), data)
        if limit >= 0:
            at = where if where >= 0 else position(fd)
            if at >= limit:
                raise failed(errno.EFBIG)
            data = data[: limit - at]
        answer = self._write(ask, fd, where, bool(nonblock), data)
        if answer is not None and number < FIRST:
            return answer[0], [room(fd, limit)], answer[2]
        return answer

    def _write(self, ask: int, fd: int, where: int, nonblock: bool, data: bytes) -> Answer | None:
        if where >= 0:
            return posix.pwrite(fd, data, where), [], b""
        try:
            return posix.write(fd, data), [], b""
        except BlockingIOError:
            if nonblock:
                raise
        self._wait(ask, fd, _EPOLLOUT, lambda: (posix.write(fd, data), [], b""))
        return None

    def _on_socket(
        self, ask: int, number: int, opened: OpenFile, name: str, numbers: list[int], data: bytes
    ) -> Answer | None:
        from glunix.home.calls.sockets import WAITS_FOR, made

        def make() -> Answer:
            try:
                return made(opened, name, numbers, data)
            finally:
                self._changed(number)

        try:
            return make()
        except BlockingIOError:
            if name not in WAITS_FOR or numbers[2]:
                raise
        self._wait(ask, opened.fd, WAITS_FOR[name], make)
        return None

    def _wait(self, ask: int, fd: int, events: int, call: Callable[[], Answer]) -> None:
        """Make this call again when there is room, or input."""
        own = posix.dup(fd)
        self._waiting[own] = (ask, events | _ONCE, call)
        self._epoll.register(own, events | _ONCE)

    def ready(self, own: int) -> bool:
        """Whether this descriptor of the epoll is a waiting call's: then it goes on."""
        if own in self._beside:
            asked, call = self._beside.pop(own)
            if isinstance(call, BareOpen):
                self._waited_for(asked, call)
            else:
                self._locked(asked, call)
            return True
        if own not in self._waiting:
            return False
        ask, events, again = self._waiting[own]
        answer: Answer = (0, [], b"")
        error = 0
        try:
            answer = again()
        except BlockingIOError:
            self._epoll.modify(own, events)
            return True
        except OSError as failed:
            error = failed.errno or errno.EIO
        self._forget(own)
        self._send(["homedone", ask, answer[0], error, answer[1], answer[2]])
        return True

    def _forget(self, own: int) -> None:
        del self._waiting[own]
        self._epoll.unregister(own)
        posix.close(own)

    def unwant(self, ask: int) -> None:
        """The call was interrupted: nothing has been written for it."""
        for own, (asked, _, _) in list(self._waiting.items()):
            if asked == ask:
                self._forget(own)
        for own, (asked, call) in list(self._beside.items()):
            if asked == ask:
                del self._beside[own]
                call.kill()
                call.close()
                if isinstance(call, BareOpen):
                    # The node waits for the end of every open: one that was made has to be closed.
                    self._send(["homedone", ask, 0, errno.EINTR, [], b""])

    def end(self) -> None:
        """The job is over."""
        waiting = [ask for ask, _, _ in self._waiting.values()]
        for ask in waiting + [ask for ask, _ in self._beside.values()]:
            self.unwant(ask)
        for number in list(self._open):
            self.close(number)


def _is_fifo(fd: int) -> bool:
    return stat.S_ISFIFO(posix.fstat(fd).st_mode)


def _kind(fd: int) -> str:
    """What the node makes of it: a file that is always ready, a directory, or a terminal."""
    mode = posix.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        return "file"
    try:
        posix.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return "tty"
    return "file"

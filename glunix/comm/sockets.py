"""Unix sockets: listen, dial, who is there (SO_PEERCRED), descriptors that come along.

Paths longer than sun_path (107 bytes, unix(7)) are reached through /proc/self/fd of the folder.
"""

import array
import asyncio
import contextlib
import errno
import os
import resource
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from glunix.comm.link import Link
from glunix.errors import NotRunning
from glunix.msg.job import Owner

SO_PEERGROUPS = 59
_GETSOCKOPT_MAX = 1024
_GROUPS_MAX = 65536
"""NGROUPS_MAX (credentials(7))."""

_SUN_PATH_MAX = 107
FIRST_BYTES = 256 * 1024
DIAL_TIMEOUT = 5.0
ACCEPT_PAUSE = 0.2
"""Seconds until the next try when there was no descriptor left for a connection."""

ACCEPT_TURN = 64
SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

SILENT_MAX = 256
"""Connections that may have said nothing yet; one more closes the oldest of them."""

RESERVE = 8
"""One in so many descriptors is kept for what is not a connection: jobs, /proc, the journal."""


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for this path that fits a socket address."""
    if len(os.fsencode(path)) <= _SUN_PATH_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listening_socket(path: Path, mode: int) -> socket.socket:
    """Bind and listen at `path`; a stale socket (nobody answers) is replaced, a live one refused.

    Raises NotRunning's sibling OSError(EADDRINUSE) when another process answers there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with reachable(path) as name:
            if path.exists() or path.is_symlink():
                _remove_stale(path, name)
            sock.bind(name)
        path.chmod(mode)
        sock.listen(1024)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path, name: str) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise OSError(errno.EEXIST, "exists and is not a socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "another daemon answers on", str(path))


def peer_owner(sock: socket.socket) -> tuple[int, Owner]:
    """Return (pid, Owner) of the process at the other end, as the kernel knows it."""
    pid, uid, gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    groups = array.array("I")
    groups.frombytes(_peer_groups(sock))
    return pid, Owner(uid=uid, gid=gid, groups=list(groups))


def _peer_groups(sock: socket.socket) -> bytes:
    """SO_PEERGROUPS (unix(7)): an array of gid_t. Whoever has no groups must not be given any."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GETSOCKOPT_MAX)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
    # More groups than Python's own getsockopt has room for. Imported when needed: it loads ctypes,
    # and every tool starts by way of this module.
    from slic.kernel.libc import getsockopt

    return getsockopt(sock.fileno(), socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_MAX * 4)


def connections_max() -> int:
    """Descriptors that this process gives to connections: all but the reserve."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 20 if soft == resource.RLIM_INFINITY else soft
    return most - most // RESERVE


def waiting_connections(
    listening: socket.socket, most: int, short: Callable[[], None]
) -> Iterator[tuple[socket.socket, Any]]:
    """Accept what waits, `most` at a time: (connection, its address). OSError what accept(2) says.

    `short()` is called when no descriptor is left for one more; the others wait in the queue.
    """
    for _ in range(most):
        try:
            sock, where = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in SHORT_OF:
                raise
            short()
            return
        # The kernel gives the lowest free number, so a high one means that few are left.
        if sock.fileno() >= connections_max():
            sock.close()
            short()
            return
        yield sock, where


class Listener:
    """Accepts on a Unix socket. For each: `accepted(sock, first bytes, passed descriptors)`.

    The first bytes are read by recvmsg, because asyncio's transports drop passed descriptors.
    The callback must return the Link that goes on with the connection, or None to refuse it.
    """

    Accepted = Callable[[socket.socket, list[int]], Link | None]

    def __init__(self, sock: socket.socket, accepted: "Listener.Accepted") -> None:
        self._sock = sock
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[socket.socket, None] = {}
        """Connections that have said nothing yet, the oldest first."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for sock, _ in waiting_connections(self._sock, ACCEPT_TURN, self._pause):
            sock.setblocking(False)
            if not self._first(sock):
                self._waiting[sock] = None
                self._loop.add_reader(sock.fileno(), self._readable, sock)
                if len(self._waiting) > SILENT_MAX:
                    self._drop_oldest()

    def _pause(self) -> None:
        """No descriptor for one more: those that said nothing go, the others wait in the queue."""
        while self._waiting:
            self._drop_oldest()
        self._loop.remove_reader(self._sock.fileno())
        self._again = self._loop.call_later(ACCEPT_PAUSE, self._listen)

    def _drop_oldest(self) -> None:
        sock = next(iter(self._waiting))
        del self._waiting[sock]
        self._loop.remove_reader(sock.fileno())
        sock.close()

    def _readable(self, sock: socket.socket) -> None:
        fd = sock.fileno()
        if self._first(sock):
            self._loop.remove_reader(fd)
            del self._waiting[sock]

    def _first(self, sock: socket.socket) -> bool:
        """Take the first bytes; False when none have come yet."""
        fds: list[int] = []
        try:
            data, fds, _, _ = socket.recv_fds(sock, FIRST_BYTES, 4)
            for fd in fds:  # recv_fds takes flags, and ignores them (Python 3.11)
                os.set_inheritable(fd, False)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        link = self._accepted(sock, fds) if data else None
        if link is None:
            for fd in fds:
                os.close(fd)
            sock.close()
            return True
        task = self._loop.create_task(self._attach(link, sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        link.begin(data)
        return True

    async def _attach(self, link: Link, sock: socket.socket) -> None:
        await self._loop.connect_accepted_socket(lambda: link, sock)

    def close(self) -> None:
        """Stop accepting; connections that said nothing yet are closed."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        while self._waiting:
            self._drop_oldest()


async def dial_unix(path: Path, link: Link) -> None:
    """Connect `link` to the socket at `path`; NotRunning (one line) when nobody answers in time."""
    loop = asyncio.get_running_loop()
    try:
        with reachable(path) as name:
            async with asyncio.timeout(DIAL_TIMEOUT):
                await loop.create_unix_connection(lambda: link, name)
    except (OSError, TimeoutError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
        raise NotRunning(f"cannot reach {path.name}: {text}") from None

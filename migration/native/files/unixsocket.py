"""unix(7) sockets within the job: pairs without a name, and what is unread in them."""

from __future__ import annotations

import array
import os
import socket
import stat
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from migration.engine import Reason
from migration.native.files.kind import Dumping, Making, Plain, closing
from migration.native.model import Count, Record
from migration.native.survey import Seen, Survey, is_kind
from slic.kernel import specialfds

_SO_PEEK_OFF = 42
_LARGEST = 1 << 22
_OPTIONS = (
    socket.SO_SNDBUF,
    socket.SO_RCVBUF,
    socket.SO_PASSCRED,
)
Bytes = Annotated[bytes, Meta(max_length=1 << 24)]


class UnixSocketEnd(Record, tag="unix", frozen=True):
    """`own` and `peer` number sockets (inodes where it came from); 0: the peer is closed.

    `unread` are bytes (of a stream, one piece) or messages.
    """

    own: Count
    peer: Count
    style: Literal[1, 2, 5]  # SOCK_STREAM and its like
    unread: Annotated[list[Bytes], Meta(max_length=1 << 16)]
    options: Annotated[list[tuple[Count, Count]], Meta(max_length=16)]


class UnixSocketFile(Plain):
    """Kept: type, queue, buffer sizes. Stays: names, listeners, ends outside, descriptors in
    flight."""

    record = UnixSocketEnd

    def is_one(self, seen: Seen) -> bool:
        if not is_kind(seen, stat.S_IFSOCK):
            return False
        with closing(seen.dup()) as fd, socket.socket(fileno=os.dup(fd)) as found:
            return found.family == socket.AF_UNIX

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        try:
            known = specialfds.unix_sockets().get(seen.stat.st_ino)
        except OSError as error:
            yield seen.reason(f"a unix socket, and the kernel does not tell its peer: {error}")
            return
        if why := survey.outside(seen):
            yield seen.reason(f"a unix socket that leads out of the job: {why}")
        if known is None:
            yield seen.reason("a unix socket that the kernel does not name")
            return
        if known.state == specialfds.LISTEN:
            yield seen.reason("a unix socket that listens")
        elif known.name:
            yield seen.reason("a unix socket with a name")
        elif known.peer and not _peer_within(known.peer, survey):
            yield seen.reason("a unix socket whose other end is outside the job")
        elif not known.peer:
            yield seen.reason("a unix socket without another end")
        elif _carries_descriptors(seen):
            yield seen.reason("descriptors on their way through a unix socket")

    def dump(self, seen: Seen, dumping: Dumping) -> UnixSocketEnd:
        known = specialfds.unix_sockets()[seen.stat.st_ino]
        with closing(seen.dup()) as fd, socket.socket(fileno=os.dup(fd)) as found:
            options = [(name, found.getsockopt(socket.SOL_SOCKET, name)) for name in _OPTIONS]
            unread = _unread(found)
        return UnixSocketEnd(
            own=known.inode,
            peer=known.peer,
            style=known.type,  # type: ignore[arg-type]
            unread=unread,
            options=options,
        )

    def make(self, record: UnixSocketEnd, making: Making, flags: int, position: int) -> int:
        fd = making.socket(record.own, record.peer, record.style)
        with socket.socket(fileno=os.dup(fd)) as made:
            for name, value in record.options:
                if name in _OPTIONS:
                    halved = name in (socket.SO_SNDBUF, socket.SO_RCVBUF)
                    made.setsockopt(socket.SOL_SOCKET, name, value // 2 if halved else value)
        return fd


def _peer_within(peer: int, survey: Survey) -> bool:
    return any(
        is_kind(one.first, stat.S_IFSOCK) and one.first.stat.st_ino == peer for one in survey.files
    )


def _unread(found: socket.socket) -> list[bytes]:
    """The queue, peeked at: nothing is consumed."""
    before = found.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF)
    parts: list[bytes] = []
    found.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    try:
        while True:
            part = found.recv(_LARGEST, socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_TRUNC)
            if not part and found.type == socket.SOCK_STREAM:
                break
            parts.append(part)
            if len(parts) >= 1 << 16:
                break
    except BlockingIOError:
        pass
    finally:
        found.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, before)
    return parts


def _carries_descriptors(seen: Seen) -> bool:
    room = socket.CMSG_SPACE(array.array("i").itemsize * 253)
    with closing(seen.dup()) as fd, socket.socket(fileno=os.dup(fd)) as found:
        try:
            _, others, _, _ = found.recvmsg(
                _LARGEST, room, socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            return False
        carried = False
        for level, kind, data in others:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                carried = True
                numbers = array.array("i")
                numbers.frombytes(data[: len(data) // 4 * 4])
                for number in numbers:
                    os.close(number)
        return carried


class SocketFile(Plain):
    """Every other socket stays, by its family's name."""

    record = UnixSocketEnd

    def is_one(self, seen: Seen) -> bool:
        return is_kind(seen, stat.S_IFSOCK)

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        with closing(seen.dup()) as fd, socket.socket(fileno=os.dup(fd)) as found:
            try:
                name = socket.AddressFamily(found.family).name
            except ValueError:
                name = f"family {found.family}"
        yield seen.reason(f"a socket of {name}")

    def dump(self, seen: Seen, dumping: Dumping) -> UnixSocketEnd:
        raise AssertionError("refused before")

    def make(self, record: UnixSocketEnd, making: Making, flags: int, position: int) -> int:
        raise AssertionError("never in an image")

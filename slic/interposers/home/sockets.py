"""`HomeSockets`: what a program does with sockets of home that it has inherited.

The stand-in is one of a pair of sockets of the same type, so dup, fork, poll, select and epoll are
native; what is sent, received, asked and set is home's. Bytes of a stream are read as any other of
home's (`HomeFds`), so that none is lost when a read is interrupted.

Limits: connections cannot be accepted, and only datagram sockets connected; no control messages
(descriptors, credentials) and no urgent data; recvmmsg and sendmmsg fail with ENOSYS, on which
programs use the simple calls; poll says that there is always room, and does not see a hang-up;
timeouts (SO_RCVTIMEO) are not kept; MSG_TRUNC is told but not asked for; a datagram that arrives in
the moment in which its receiver is interrupted is lost.
"""

import errno
import os
import struct
from collections.abc import Generator
from signal import SIGPIPE
from typing import Any

from slic.interposer import on
from slic.interposers.home.descriptors import (
    READ_MAX,
    Asking,
    ReadHome,
    StandIn,
    StandInCalls,
    TakeBack,
)
from slic.interposers.home.questions import CallHome, RaiseSignal
from slic.interposers.support.callers import gathered
from slic.tracee import BadAddress, Tracee
from slic.verdict import PASS, Fail, Return, Verdict

STREAM, DATAGRAM, PACKET = "stream", "dgram", "packet"
SOCKETS = (STREAM, DATAGRAM, PACKET)
"""Kinds of stand-ins: SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET."""

MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL = 2, 0x40, 0x100, 0x4000
_PLAIN = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | 0x40000000  # MSG_CMSG_CLOEXEC
"""Flags with which receiving from a stream is reading."""
_ADDRESS_MAX, _OPTION_MAX = 128, 4096
_REFUSED_OPTIONS = {(1, 26), (1, 50), (1, 51), (1, 52)}
"""SO_ATTACH_FILTER and its relatives: what they are given is no plain memory."""

_MSGHDR = struct.Struct("=QI4xQQQQi4x")
_FLAGS_AT, _NAMELEN_AT, _CONTROLLEN_AT = 48, 8, 40

Vector = list[tuple[int, int]]
Reading = Generator[object, Any, bytes]


class HomeSockets(StandInCalls):
    """See the module."""

    def _socket(self, tracee: Tracee, fd: int) -> StandIn | None:
        return self._of_kind(tracee, fd, *SOCKETS)

    # -- receiving ---------------------------------------------------------------------------

    @on("read", about="fd")
    def read(self, tracee: Tracee, fd: int, buf: int, count: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None or stand_in.kind == STREAM:
            return PASS  # HomeFds's
        return self._receive(tracee, stand_in, fd, [(buf, count)], 0, 0, 0)

    @on("readv", about="fd")
    def readv(self, tracee: Tracee, fd: int, vec: int, vlen: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None or stand_in.kind == STREAM:
            return PASS
        return self._receive(tracee, stand_in, fd, tracee.iovec(vec, vlen), 0, 0, 0)

    @on("recvfrom", about="sockfd")
    def recvfrom(
        self, tracee: Tracee, sockfd: int, buf: int, len: int, flags: int, src_addr: int,
        addrlen: int,
    ) -> Verdict | Asking:  # fmt: skip
        stand_in = self._socket(tracee, sockfd)
        if stand_in is None:
            return PASS
        return self._receive(tracee, stand_in, sockfd, [(buf, len)], flags, src_addr, addrlen)

    @on("recvmsg", about="fd")
    def recvmsg(self, tracee: Tracee, fd: int, msg: int, flags: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None:
            return PASS
        name, _, vec, vlen, _, _, _ = _MSGHDR.unpack(tracee.read(msg, _MSGHDR.size))
        vector = tracee.iovec(vec, vlen)
        length = msg + _NAMELEN_AT
        return self._receive(tracee, stand_in, fd, vector, flags, name, length, msg)

    def _receive(
        self,
        tracee: Tracee,
        stand_in: StandIn,
        fd: int,
        vector: Vector,
        flags: int,
        name: int,
        length: int,
        header: int = 0,
    ) -> Asking:
        """`name` and `length`: where an address and its size go; `header`: a msghdr to fill."""
        nonblock = bool(flags & MSG_DONTWAIT or tracee.fd_flags(fd) & os.O_NONBLOCK)
        wanted = min(sum(size for _, size in vector), READ_MAX)
        if stand_in.kind == STREAM and not flags & ~_PLAIN and wanted:
            data = yield from self._read(stand_in, wanted, nonblock, bool(flags & MSG_WAITALL))
            told, address = 0, b""
        else:
            told, size, data, address = 0, 0, b"", b""
            given = (wanted, flags & ~MSG_WAITALL, int(nonblock))
            _, numbers, data = yield CallHome("recv", stand_in.fd, (), given)
            told, size = numbers
            address, data = data[:size], data[size:]
            told &= 0xFFFFFFFF
            if len(data) > wanted or len(address) > _ADDRESS_MAX:
                return Fail(errno.EIO)
        try:
            done = tracee.scatter(vector, data)
        except BadAddress:
            if stand_in.kind == STREAM and not flags & MSG_PEEK:
                yield TakeBack(stand_in.fd, data)
            return Fail(errno.EFAULT)
        _tell_address(tracee, name, length, address)
        if header:
            tracee.write(header + _CONTROLLEN_AT, bytes(8))
            tracee.write(header + _FLAGS_AT, told.to_bytes(4, "little"))
        return Return(done)

    def _read(self, stand_in: StandIn, wanted: int, nonblock: bool, whole: bool) -> Reading:
        data = yield ReadHome(stand_in.fd, wanted, nonblock, -1)
        while whole and not nonblock and data and len(data) < wanted:
            more = yield ReadHome(stand_in.fd, wanted - len(data), False, -1)
            if not more:
                break
            data += more
        return bytes(data)

    # -- sending -----------------------------------------------------------------------------

    @on("sendto", about="sockfd")
    def sendto(
        self, tracee: Tracee, sockfd: int, buf: int, len: int, flags: int, dest_addr: int,
        addrlen: int,
    ) -> Verdict | Asking:  # fmt: skip
        stand_in = self._socket(tracee, sockfd)
        if stand_in is None:
            return PASS
        address = _address(tracee, dest_addr, addrlen)
        return self._send(tracee, stand_in, sockfd, [(buf, len)], flags, address)

    @on("sendmsg", about="fd")
    def sendmsg(self, tracee: Tracee, fd: int, msg: int, flags: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None:
            return PASS
        name, size, vec, vlen, _, controls, _ = _MSGHDR.unpack(tracee.read(msg, _MSGHDR.size))
        if controls:
            return Fail(errno.EOPNOTSUPP)
        vector = tracee.iovec(vec, vlen)
        return self._send(tracee, stand_in, fd, vector, flags, _address(tracee, name, size))

    @on("write", about="fd")
    def write(self, tracee: Tracee, fd: int, buf: int, count: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None:
            return PASS
        return self._send(tracee, stand_in, fd, [(buf, count)], 0, b"")

    @on("writev", about="fd")
    def writev(self, tracee: Tracee, fd: int, vec: int, vlen: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None:
            return PASS
        return self._send(tracee, stand_in, fd, tracee.iovec(vec, vlen), 0, b"")

    def _send(
        self,
        tracee: Tracee,
        stand_in: StandIn,
        fd: int,
        vector: Vector,
        flags: int,
        address: bytes,
    ) -> Asking:
        nonblock = bool(flags & MSG_DONTWAIT or tracee.fd_flags(fd) & os.O_NONBLOCK)
        data, done = gathered(tracee, vector), 0
        if stand_in.kind != STREAM and len(data) > READ_MAX:
            return Fail(errno.EMSGSIZE)
        while True:
            piece = address + data[done : done + READ_MAX]
            given = (len(address), flags, int(nonblock))
            try:
                count, _, _ = yield CallHome("send", stand_in.fd, (), given, piece)
            except OSError as error:
                if done:
                    return Return(done)
                if error.errno == errno.EPIPE and not flags & MSG_NOSIGNAL:
                    yield RaiseSignal(SIGPIPE)
                raise
            done += count
            if done >= len(data) or (nonblock and count < len(piece)):
                return Return(done)

    # -- the rest ----------------------------------------------------------------------------

    @on("shutdown", about="sockfd")
    def shutdown(self, tracee: Tracee, sockfd: int, how: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, sockfd)
        return PASS if stand_in is None else self._did("shutdown", stand_in, (how,))

    @on("connect", about="sockfd")
    def connect(self, tracee: Tracee, sockfd: int, addr: int, addrlen: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, sockfd)
        if stand_in is None:
            return PASS
        if stand_in.kind != DATAGRAM:
            return Fail(errno.EISCONN)
        return self._did("connect", stand_in, (), _address(tracee, addr, addrlen))

    @on("setsockopt", about="fd")
    def setsockopt(
        self, tracee: Tracee, fd: int, level: int, optname: int, optval: int, optlen: int
    ) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None:
            return PASS
        if not 0 <= optlen <= _OPTION_MAX:
            return Fail(errno.EINVAL)
        if (level, optname) in _REFUSED_OPTIONS:
            return Fail(errno.ENOPROTOOPT)
        data = tracee.read(optval, optlen) if optlen else b""
        return self._did("setsockopt", stand_in, (level, optname), data)

    def _did(
        self, call: str, stand_in: StandIn, numbers: tuple[int, ...], data: bytes = b""
    ) -> Asking:
        yield CallHome(call, stand_in.fd, (), numbers, data)
        return Return(0)

    @on("getsockopt", about="fd")
    def getsockopt(
        self, tracee: Tracee, fd: int, level: int, optname: int, optval: int, optlen: int
    ) -> Verdict | Asking:
        stand_in = self._socket(tracee, fd)
        if stand_in is None:
            return PASS
        room = int.from_bytes(tracee.read(optlen, 4), "little", signed=True)
        if room < 0:
            return Fail(errno.EINVAL)
        return self._get(tracee, stand_in, (level, optname, min(room, _OPTION_MAX)), optval, optlen)

    def _get(
        self, tracee: Tracee, stand_in: StandIn, numbers: tuple[int, ...], value: int, size: int
    ) -> Asking:
        _, _, data = yield CallHome("getsockopt", stand_in.fd, (), numbers)
        if len(data) > numbers[-1]:
            return Fail(errno.EIO)
        tracee.write(value, data)
        tracee.write(size, len(data).to_bytes(4, "little"))
        return Return(0)

    @on("getpeername", about="sockfd")
    def getpeername(self, tracee: Tracee, sockfd: int, addr: int, addrlen: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, sockfd)
        return PASS if stand_in is None else self._name(tracee, stand_in, "peer", addr, addrlen)

    @on("getsockname", about="sockfd")
    def getsockname(self, tracee: Tracee, sockfd: int, addr: int, addrlen: int) -> Verdict | Asking:
        stand_in = self._socket(tracee, sockfd)
        return PASS if stand_in is None else self._name(tracee, stand_in, "sock", addr, addrlen)

    def _name(
        self, tracee: Tracee, stand_in: StandIn, which: str, addr: int, addrlen: int
    ) -> Asking:
        _, _, data = yield CallHome(f"get{which}name", stand_in.fd)
        _tell_address(tracee, addr, addrlen, data)
        return Return(0)

    @on("recvmmsg", "sendmmsg", about="fd")
    def many(self, tracee: Tracee, fd: int) -> Verdict:
        return PASS if self._socket(tracee, fd) is None else Fail(errno.ENOSYS)

    @on("listen", "accept", "accept4", about="sockfd")
    def accept(self, tracee: Tracee, sockfd: int) -> Verdict:
        stand_in = self._socket(tracee, sockfd)
        if stand_in is None:
            return PASS
        return Fail(errno.EOPNOTSUPP if stand_in.kind == DATAGRAM else errno.EINVAL)

    @on("bind", about="sockfd")
    def bind(self, tracee: Tracee, sockfd: int) -> Verdict:
        return PASS if self._socket(tracee, sockfd) is None else Fail(errno.EINVAL)


def _address(tracee: Tracee, at: int, size: int) -> bytes:
    """A struct sockaddr that is given; EINVAL."""
    if not at:
        return b""
    if not 0 <= size <= _ADDRESS_MAX:
        raise OSError(errno.EINVAL, "addrlen")
    return tracee.read(at, size)


def _tell_address(tracee: Tracee, at: int, size_at: int, address: bytes) -> None:
    """A struct sockaddr that is asked for, cut to the room there is (recvfrom(2))."""
    if not at or not size_at:
        return
    room = int.from_bytes(tracee.read(size_at, 4), "little", signed=True)
    if room < 0:
        raise OSError(errno.EINVAL, "addrlen")
    tracee.write(at, address[:room])
    tracee.write(size_at, len(address).to_bytes(4, "little"))

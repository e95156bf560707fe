"""Calls on sockets of home for a job that has inherited them: one entry each, by name.

None of them waits: EAGAIN is for who calls. Addresses are the kernel's struct sockaddr (ip(7),
ipv6(7), unix(7)).
"""

from __future__ import annotations

import _socket
import errno
import os
import posix

from glunix.home.calls.filetable import OpenFile
from glunix.home.calls.pinned import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.calls.filetable import Answer

_PEEK, _DONTWAIT, _NOSIGNAL = _socket.MSG_PEEK, _socket.MSG_DONTWAIT, _socket.MSG_NOSIGNAL
_KNOWN_TO_RECEIVE = _PEEK | _socket.MSG_DONTROUTE | _socket.MSG_OOB | _socket.MSG_ERRQUEUE
_RECEIVE_MAX = 256 * 1024


def carried(fd: int) -> int:
    """The type of a socket that can be passed on (SOCK_STREAM, ...), 0 for one that cannot."""
    sock = _socket.socket(fileno=posix.dup(fd))
    try:
        if sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            return 0
        known = (_socket.AF_UNIX, _socket.AF_INET, _socket.AF_INET6)
        kinds = (_socket.SOCK_STREAM, _socket.SOCK_DGRAM, _socket.SOCK_SEQPACKET)
        return sock.type if sock.family in known and sock.type in kinds else 0
    finally:
        sock.close()


def encoded(family: int, address: object) -> bytes:
    """As struct sockaddr; empty for no address."""
    if address is None:
        return b""
    head = family.to_bytes(2, "little")
    if family == _socket.AF_UNIX:
        name = address if isinstance(address, bytes) else os.fsencode(str(address)) + b"\0"
        return head + (b"" if name == b"\0" else name)
    assert isinstance(address, tuple)
    host, port, *more = address
    head += int(port).to_bytes(2, "big")
    if family == _socket.AF_INET:
        return head + _socket.inet_aton(host) + bytes(8)
    own = _socket.inet_pton(family, host.partition("%")[0])
    return head + int(more[0]).to_bytes(4, "big") + own + int(more[1]).to_bytes(4, "little")


def decoded(raw: bytes) -> bytes | tuple[str, int] | tuple[str, int, int, int] | None:
    """As Python has it; None for no address. EAFNOSUPPORT, EINVAL."""
    if not raw:
        return None
    family, rest = int.from_bytes(raw[:2], "little"), raw[2:]
    if family == _socket.AF_UNIX:
        return rest if rest[:1] == b"\0" else rest.partition(b"\0")[0]
    port = int.from_bytes(rest[:2], "big")
    if family == _socket.AF_INET and len(raw) >= 8:
        return _socket.inet_ntoa(rest[2:6]), port
    if family == _socket.AF_INET6 and len(raw) >= 28:
        host = _socket.inet_ntop(family, rest[6:22])
        flow, scope = int.from_bytes(rest[2:6], "big"), int.from_bytes(rest[22:26], "little")
        return host, port, flow, scope
    raise failed(errno.EAFNOSUPPORT)


def _receive(sock: _socket.socket, numbers: list[int], data: bytes) -> Answer:
    count, flags = min(numbers[0], _RECEIVE_MAX), numbers[1] & _KNOWN_TO_RECEIVE
    got, _, told, address = sock.recvmsg(count, 0, flags | _DONTWAIT)
    raw = encoded(sock.family, address)
    return len(got), [told, len(raw)], raw + got


def _send(sock: _socket.socket, numbers: list[int], data: bytes) -> Answer:
    size, flags = numbers[0], numbers[1] | _DONTWAIT | _NOSIGNAL
    address = decoded(data[:size])
    if address is None:
        return sock.send(data[size:], flags), [], b""
    return sock.sendto(data[size:], flags, address), [], b""


def _did(call: Callable[..., object], *args: object) -> Answer:
    call(*args)
    return 0, [], b""


_SOL_SOCKET, _IP, _TCP, _IPV6 = 1, 0, 6, 41
_OPTIONS = {
    _SOL_SOCKET: frozenset((*range(1, 26), *range(28, 44), *range(45, 50), 55, 56, 57, 59, 63, 66,
                            67, 72, 73)),
    _IP: frozenset((*range(1, 25), *range(32, 37), 49, 50)),
    _TCP: frozenset((*range(1, 14), 15, 16, 17, 18, 23, 24, 25, 26, 28, 33, 36, 37)),
    _IPV6: frozenset((*range(1, 33), *range(49, 63), 66, 67, 70, 72, 73, 74, 75, 76, 78)),
}  # fmt: skip
"""socket(7), ip(7), tcp(7), ipv6(7): options whose value is a number, a time, an address or a name.
No filters, whose value points into memory (SO_ATTACH_FILTER, TCP_ZEROCOPY_RECEIVE): that would be
ours; none that makes a descriptor (SO_PEERPIDFD), and none of the firewall's."""
_VALUE_MAX = 256


def _known_option(level: int, name: int) -> None:
    if name not in _OPTIONS.get(level, ()):
        raise failed(errno.ENOPROTOOPT)


def _set_option(sock: _socket.socket, numbers: list[int], data: bytes) -> Answer:
    level, name = numbers
    _known_option(level, name)
    if len(data) > _VALUE_MAX:
        raise failed(errno.EINVAL)
    return _did(sock.setsockopt, level, name, data)


def _option(sock: _socket.socket, numbers: list[int], data: bytes) -> Answer:
    level, name, room = numbers
    _known_option(level, name)
    if not 0 < room <= 1024:  # what the interpreter allows
        room = min(max(room, 1), 1024)
    return 0, [], bytes(sock.getsockopt(level, name, room))


ON_SOCKET: dict[str, Callable[[_socket.socket, list[int], bytes], Answer]] = {
    "connect": lambda s, n, d: _did(s.connect, decoded(d)),
    "getpeername": lambda s, n, d: (0, [], encoded(s.family, s.getpeername())),
    "getsockname": lambda s, n, d: (0, [], encoded(s.family, s.getsockname())),
    "getsockopt": _option,
    "recv": _receive,
    "send": _send,
    "setsockopt": _set_option,
    "shutdown": lambda s, n, d: _did(s.shutdown, n[0]),
}

WAITS_FOR = {"recv": 1, "send": 4}
"""EPOLLIN, EPOLLOUT: what a call that may wait waits for."""


def made(opened: OpenFile, name: str, numbers: list[int], data: bytes) -> Answer:
    """Make a call. OSError, EAGAIN of one that would wait."""
    sock = _socket.socket(fileno=opened.fd)
    try:
        return ON_SOCKET[name](sock, numbers, data)
    finally:
        sock.detach()

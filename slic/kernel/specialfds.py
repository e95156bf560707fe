"""Descriptors that Python does not make: timerfd, signalfd, inotify, files by handle, sock_diag.

Bindings only; OSError on failure. All are close-on-exec.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slic.kernel.libc import LIBC, syscall

_CLOEXEC = os.O_CLOEXEC
_SYS_OPEN_BY_HANDLE_AT = 304
_SYS_SIGNALFD4 = 289
_AT_O_PATH = os.O_PATH | os.O_CLOEXEC


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def timerfd_create(clock: int) -> int:
    """timerfd_create(2)."""
    return _checked(LIBC.timerfd_create(clock, _CLOEXEC))


def timerfd_settime(fd: int, setting: tuple[int, int, int, int]) -> None:
    """A relative setting: it_interval and it_value, each seconds and nanoseconds."""
    _checked(LIBC.timerfd_settime(fd, 0, struct.pack("=4q", *setting), None))


def signalfd(mask: int) -> int:
    """A signalfd of these signals, one bit each."""
    return syscall(_SYS_SIGNALFD4, -1, struct.pack("=Q", mask), 8, _CLOEXEC)


def inotify() -> int:
    """inotify_init1(2)."""
    return _checked(LIBC.inotify_init1(_CLOEXEC))


def inotify_add(fd: int, path: bytes, mask: int) -> int:
    """inotify_add_watch(2): the watch's number."""
    return _checked(LIBC.inotify_add_watch(fd, path, ctypes.c_uint32(mask)))


def inotify_remove(fd: int, number: int) -> None:
    """inotify_rm_watch(2); the kernel then says IN_IGNORED."""
    _checked(LIBC.inotify_rm_watch(fd, number))


def path_of_handle(device: tuple[int, int], kind: int, handle: bytes) -> str | None:
    """The path of a file by its file handle (open_by_handle_at(2)); None: it has none here."""
    packed = struct.pack("=Ii", len(handle), kind) + handle
    for point in _mount_points(device):
        try:
            base = os.open(point, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            buffer = ctypes.create_string_buffer(packed, len(packed))
            fd = syscall(_SYS_OPEN_BY_HANDLE_AT, base, buffer, _AT_O_PATH)
        except OSError:
            continue
        finally:
            os.close(base)
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        return None if path.endswith(" (deleted)") or not path.startswith("/") else path
    return None


def _mount_points(device: tuple[int, int]) -> Iterator[str]:
    wanted = f"{device[0]}:{device[1]}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        if words[2] == wanted:
            yield words[4].replace("\\040", " ")


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A unix socket as sock_diag tells it: inode, type, state, peer's inode (0: none), name."""

    inode: int
    type: int
    state: int
    peer: int
    name: bytes


ESTABLISHED, CLOSED, LISTEN = 1, 7, 10
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP = 0x301
_SHOW_NAME, _SHOW_PEER = 1, 4
_NAME, _PEER = 0, 2


def unix_sockets() -> dict[int, UnixSocket]:
    """Every unix socket of this network namespace by inode (sock_diag(7))."""
    found: dict[int, UnixSocket] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        body = struct.pack(
            "=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_NAME | _SHOW_PEER, 0, 0
        )
        head = struct.pack("=IHHII", 16 + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
        link.send(head + body)
        while True:
            data = link.recv(1 << 16)
            while data:
                size, kind = struct.unpack_from("=IH", data)
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", data, 16)
                    raise OSError(-code, os.strerror(-code))
                one = _unix_socket(data[16:size])
                found[one.inode] = one
                data = data[(size + 3) & ~3 :]


def _unix_socket(data: bytes) -> UnixSocket:
    _, kind, state, _, inode, *_ = struct.unpack_from("=BBBBI2I", data)
    peer, name, at = 0, b"", 16
    while at + 4 <= len(data):
        size, attribute = struct.unpack_from("=HH", data, at)
        value = data[at + 4 : at + size]
        if attribute == _PEER:
            (peer,) = struct.unpack("=I", value[:4])
        elif attribute == _NAME:
            name = value
        at += (max(size, 4) + 3) & ~3
    return UnixSocket(inode, kind, state, peer, name)

"""What fds 0-2 of home are, in the words of glunix.msg.job.JobSpec: `stdin`, `sockets`, `outputs`.

Those that are open in another way than shells open them are glunix.home.descriptors.inherited's.
"""

from __future__ import annotations

import _socket
import os
import posix
import stat
from fcntl import F_GETFL, fcntl

from glunix.home.descriptors.inherited import memory_device
from glunix.home.options import is_open


def stdin_kind(fd: int, is_tty: bool) -> tuple[str, int]:
    """(kind, size) of home's fd 0, as glunix.msg.job.JobSpec.stdin has it."""
    if not is_open(fd):
        return "closed", 0
    found = posix.fstat(fd)
    if is_tty:
        return "tty", 0
    only_read = fcntl(fd, F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    if stat.S_ISREG(found.st_mode) and only_read:
        return "file", found.st_size
    if stat.S_ISSOCK(found.st_mode):
        return ("socket" if _is_stream(fd) else "packets"), 0
    if stat.S_ISFIFO(found.st_mode) and only_read:
        return "pipe", 0
    return memory_device(found) or "other", 0


def _is_stream(fd: int) -> bool:
    """Whether this is a socket that carries bytes: neither packets nor connections."""
    sock = _socket.socket(fileno=posix.dup(fd))
    try:
        accepts = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        return sock.type == _socket.SOCK_STREAM and not accepts
    finally:
        sock.close()


def same_sockets() -> list[int]:
    """Which of fds 0-2 are the socket that fd 0 is."""
    own = posix.fstat(0)
    found = []
    for fd in (0, 1, 2):
        try:
            seen = posix.fstat(fd)
        except OSError:
            continue
        if (seen.st_dev, seen.st_ino) == (own.st_dev, own.st_ino):
            found.append(fd)
    return found


def output_kind(fd: int) -> str:
    """What fd 1 or 2 is, as glunix.msg.job.JobSpec.outputs has it."""
    try:
        found, flags = posix.fstat(fd), fcntl(fd, F_GETFL)
    except OSError:
        return ""  # closed
    if flags & os.O_PATH:
        return ""
    if stat.S_ISREG(found.st_mode):
        return "" if flags & os.O_ACCMODE == os.O_RDONLY else "file"
    if stat.S_ISSOCK(found.st_mode) and _carries_bytes(fd):
        return "socket"
    name = memory_device(found)
    return f"{name}+" if name and flags & os.O_ACCMODE == os.O_RDWR else name


def _carries_bytes(fd: int) -> bool:
    sock = _socket.socket(fileno=posix.dup(fd))
    try:
        return bool(sock.type == _socket.SOCK_STREAM)
    finally:
        sock.close()

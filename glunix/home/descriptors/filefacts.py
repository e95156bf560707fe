"""What tells an open file of home from the pipe or memory file that stands for it on the node.

One entry for each call that slic.interposers.home.kind asks for; loaded when the first one comes.
Each is made on a descriptor that the user gave the job: what it answers is the user's to know.
"""

from __future__ import annotations

import errno
import fcntl
import os
import posix
import select
import stat

from glunix.home.calls.pinned import failed
from glunix.home.libcall import call, handle_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.calls.filetable import Answer

COMMANDS = (1025, 1031, 1032, 1033, 1034)
"""F_GETLEASE, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS: what takes and gives numbers
and leaves nothing behind that would signal our process."""


def _can_poll(fd: int) -> Answer:
    """EPERM where epoll_ctl(2) says so: of what is always ready."""
    with select.epoll() as probe:
        probe.register(fd, 0)
    return 0, [], b""


def _command(fd: int, numbers: list[int]) -> Answer:
    command, argument = numbers
    if command not in COMMANDS:
        raise failed(errno.EINVAL)
    return fcntl.fcntl(fd, command, argument), [], b""


def _lease(fd: int) -> Answer:
    """Nobody gets one: its end would be signalled to us. EAGAIN: somebody else has the file open
    (fcntl(2)), which is so."""
    raise failed(errno.EAGAIN if stat.S_ISREG(posix.fstat(fd).st_mode) else errno.EINVAL)


def _sync_range(fd: int, numbers: list[int]) -> Answer:
    offset, count, flags = numbers
    call("sync_file_range", fd, offset, count, flags)
    return 0, [], b""


def _read_ahead(fd: int, numbers: list[int]) -> Answer:
    call("readahead", fd, *numbers)
    return 0, [], b""


def _set_attribute(fd: int, data: bytes, flags: int) -> Answer:
    """`data`: name, NUL, value. Only what any owner may set (xattr(7)): others give files rights,
    and it is a node that asks."""
    name, _, value = data.partition(b"\0")
    if not name.startswith(b"user."):
        raise failed(errno.EPERM)
    posix.setxattr(fd, name, value, flags)
    return 0, [], b""


def _remove_attribute(fd: int, name: bytes) -> Answer:
    if not name.startswith(b"user."):
        raise failed(errno.EPERM)
    posix.removexattr(fd, name)
    return 0, [], b""


def _advise(fd: int, numbers: list[int]) -> Answer:
    posix.posix_fadvise(fd, *numbers)
    return 0, [], b""


def _handle(fd: int) -> Answer:
    kind, mount, handle = handle_of(fd)
    return 0, [kind, mount], handle


def _names(fd: int) -> Answer:
    names = posix.listxattr(fd)
    return 0, [], b"".join(os.fsencode(name) + b"\0" for name in names)


CALLS: dict[str, Callable[[int, list[int], bytes], Answer]] = {
    "command": lambda fd, n, d: _command(fd, n),
    "fadvise": lambda fd, n, d: _advise(fd, n),
    "getxattr": lambda fd, n, d: (0, [], posix.getxattr(fd, d)),
    "handle": lambda fd, n, d: _handle(fd),
    "lease": lambda fd, n, d: _lease(fd),
    "listxattr": lambda fd, n, d: _names(fd),
    "poll": lambda fd, n, d: _can_poll(fd),
    "readahead": lambda fd, n, d: _read_ahead(fd, n[:2]),
    "removexattr": lambda fd, n, d: _remove_attribute(fd, d),
    "setxattr": lambda fd, n, d: _set_attribute(fd, d, n[0]),
    "syncrange": lambda fd, n, d: _sync_range(fd, n),
}

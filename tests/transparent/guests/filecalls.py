"""A table of calls on the open file behind a descriptor: each line is a call and its answer.

argv: descriptors. Answers go to descriptor 9, so that 0, 1 and 2 can be anything.
"""

import ctypes
import errno
import fcntl
import os
import select
import sys
from collections.abc import Callable
from functools import partial

LIBC = ctypes.CDLL(None, use_errno=True)
ROOM = ctypes.create_string_buffer(256)
NUMBERS = {
    "F_GETFD": 1, "F_GETFL": 3, "F_GETOWN": 9, "F_GETSIG": 11, "F_GETLEASE": 1025,
    "F_NOTIFY": 1026, "F_SETPIPE_SZ": 1031, "F_GETPIPE_SZ": 1032, "F_GET_SEALS": 1034,
}  # fmt: skip
ARGUMENTS = {"F_NOTIFY": 1, "F_SETPIPE_SZ": 65536}
READAHEAD, SYNC_FILE_RANGE, NAME_TO_HANDLE_AT, OPENAT2 = 187, 277, 303, 437


def raw(number: int, *arguments: object) -> int:
    value = LIBC.syscall(number, *arguments)
    if value < 0:
        raise OSError(ctypes.get_errno(), "")
    return int(value)


def say(name: str, call: Callable[[], object]) -> None:
    try:
        answer = call()
    except OSError as error:
        answer = errno.errorcode.get(error.errno or 0, error.errno)
    os.write(9, f"{name}: {answer}\n".encode())


def flagged(fd: int, flag: int) -> list[int]:
    """F_GETFL with the flag and without it again."""
    before = fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, before | flag)
        return [fcntl.fcntl(fd, fcntl.F_GETFL)]
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, before)


def poll(fd: int, op: int) -> None:
    with select.epoll() as epoll:
        if op == 1:
            epoll.register(fd, select.EPOLLOUT)
        elif op == 2:
            epoll.unregister(fd)
        else:
            epoll.modify(fd, select.EPOLLIN)


def file_system(fd: int) -> list[object]:
    words = (ctypes.c_long * 15)()
    if LIBC.fstatfs(fd, words) < 0:
        raise OSError(ctypes.get_errno(), "")
    return [hex(words[0]), words[1], words[7] != 0, *words[8:11]]


def handle(fd: int, room: int) -> list[object]:
    given = ctypes.create_string_buffer(room.to_bytes(4, "little"), 256)
    mount = ctypes.c_int()
    name = b""
    try:
        raw(NAME_TO_HANDLE_AT, fd, name, given, ctypes.byref(mount), 0x1000)
    except OSError as error:
        return [errno.errorcode[error.errno or 0], int.from_bytes(given.raw[:4], "little")]
    return [mount.value > 0, int.from_bytes(given.raw[:4], "little")]


def attributes(fd: int) -> list[object]:
    os.setxattr(fd, "user.tried", b"value")
    found: list[object] = [os.getxattr(fd, "user.tried"), os.listxattr(fd)]
    try:
        os.setxattr(fd, "user.tried", b"", os.XATTR_CREATE)
    except OSError as error:
        found.append(errno.errorcode[error.errno or 0])
    os.removexattr(fd, "user.tried")
    return [*found, os.listxattr(fd)]


Row = tuple[str, Callable[[], object]]


def fcntl_rows(fd: int) -> list[Row]:
    rows: list[Row] = [
        (name, partial(fcntl.fcntl, fd, number, ARGUMENTS.get(name, 0)))
        for name, number in NUMBERS.items()
    ]
    for kind in (0, 2, 7):  # a lease, its end, and what is none
        rows.append((f"F_SETLEASE {kind}", partial(fcntl.fcntl, fd, fcntl.F_SETLEASE, kind)))
    for flag in ("O_APPEND", "O_DIRECT", "O_NONBLOCK", "O_NOATIME"):
        rows.append((flag, partial(flagged, fd, getattr(os, flag))))
    return rows


def rows_of(fd: int) -> list[Row]:
    return [
        *fcntl_rows(fd),
        *((f"epoll_ctl {op}", partial(poll, fd, op)) for op in (1, 2, 3)),
        *((f"fadvise {n}", partial(os.posix_fadvise, fd, 0, 10, n)) for n in (0, 3, 4, 9)),
        *((f"sync {n}", partial(raw, SYNC_FILE_RANGE, fd, 0, 0, n)) for n in (0, 2, 7, 8)),
        ("readahead", partial(raw, READAHEAD, fd, ctypes.c_long(0), 10)),
        ("fstatfs", partial(file_system, fd)),
        ("name_max", partial(os.fpathconf, fd, "PC_NAME_MAX")),
        ("attributes", partial(attributes, fd)),
        ("no such attribute", partial(os.getxattr, fd, "user.none")),
        ("names", partial(os.listxattr, fd)),
        ("handle", partial(handle, fd, 0)),
        ("too large a handle", partial(handle, fd, 129)),
    ]


for number in map(int, sys.argv[1:]):
    for name, call in rows_of(number):
        say(f"{number} {name}", call)
for size in (0, 8, 4097, 1 << 30):
    say(f"openat2 {size}", partial(raw, OPENAT2, 0, None, None, ctypes.c_long(size)))

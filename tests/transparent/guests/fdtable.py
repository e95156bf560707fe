"""Every fcntl command and every call on a descriptor, a line each: what the kernel answers.

argv: the descriptor, and `w` where a read of it would wait. Answers go to descriptor 9.
Numbers that differ from run to run (inodes, times) are told as being there.
"""

import ctypes
import errno
import fcntl
import os
import select
import signal
import stat
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from functools import partial

LIBC = ctypes.CDLL(None, use_errno=True)
FD, READS = int(sys.argv[1]), "w" not in sys.argv[2:]
Row = tuple[str, Callable[[], object]]


def raw(number: int, *arguments: object) -> int:
    """A system call; what is no object of ctypes is a long."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    LIBC.syscall.restype = ctypes.c_long
    value = LIBC.syscall(ctypes.c_long(number), *given)
    if value < 0:
        raise OSError(ctypes.get_errno(), "")
    return int(value)


def room(size: int = 4096) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(size)


def command(number: int, argument: object = 0) -> object:
    found = fcntl.fcntl(FD, number, argument)  # type: ignore[call-overload]
    return found.hex() if isinstance(found, bytes) else found


def lock(kind: int, length: int) -> bytes:
    return struct.pack("hhqqi", kind, 0, 0, length, 0)


COMMANDS: dict[str, tuple[int, object]] = {
    "F_GETFD": (1, 0), "F_GETFL": (3, 0), "F_GETLK": (5, lock(0, 0)), "F_GETLK w": (5, lock(1, 5)),
    "F_SETLK": (6, lock(0, 1)), "F_SETLK w": (6, lock(1, 1)), "F_UNLCK": (6, lock(2, 0)),
    "F_SETLK bad": (6, lock(7, 0)),
    "F_GETOWN": (9, 0), "F_SETSIG": (10, 34), "F_GETSIG": (11, 0), "F_SETSIG 0": (10, 0),
    "F_SETSIG bad": (10, 65),
    "F_GETOWN_EX": (16, bytes(8)), "F_SETOWN_EX bad": (15, struct.pack("ii", 9, 1)),
    "F_GETOWNER_UIDS": (17, bytes(8)),
    "F_OFD_GETLK": (36, lock(0, 0)), "F_OFD_SETLK": (37, lock(0, 1)),
    "F_OFD_UNLCK": (37, lock(2, 0)),
    "F_SETLEASE r": (1024, 0), "F_SETLEASE w": (1024, 1), "F_GETLEASE": (1025, 0),
    "F_SETLEASE u": (1024, 2),
    "F_SETLEASE bad": (1024, 9), "F_NOTIFY": (1026, 2), "F_NOTIFY 0": (1026, 0),
    "F_DUPFD_QUERY": (1027, FD),
    "F_CREATED_QUERY": (1028, 0), "F_CANCELLK": (1029, 0), "F_SETPIPE_SZ": (1031, 8192),
    "F_GETPIPE_SZ": (1032, 0),
    "F_ADD_SEALS": (1033, 0), "F_GET_SEALS": (1034, 0),
    "F_GET_RW_HINT": (1035, bytes(8)),
    "F_GET_FILE_RW_HINT": (1037, bytes(8)), "no such command": (77, 0),
}  # fmt: skip


def flag(name: str, value: int) -> object:
    before = fcntl.fcntl(FD, fcntl.F_GETFL)
    try:
        fcntl.fcntl(FD, fcntl.F_SETFL, before | value)
        return oct(fcntl.fcntl(FD, fcntl.F_GETFL))
    finally:
        fcntl.fcntl(FD, fcntl.F_SETFL, before)


def fcntls() -> Iterator[Row]:
    for name, (number, argument) in COMMANDS.items():
        yield name, partial(command, number, argument)
    for name, value in (
        ("O_APPEND", 0o2000), ("O_NONBLOCK", 0o4000), ("O_ASYNC", 0o20000), ("O_DIRECT", 0o40000),
        ("O_NOATIME", 0o1000000), ("O_SYNC", 0o4010000),
    ):  # fmt: skip
        yield f"F_SETFL {name}", partial(flag, name, value)


def attributes() -> object:
    s = os.fstat(FD)
    size = s.st_size if stat.S_ISREG(s.st_mode) else s.st_size > 0
    return [oct(s.st_mode), s.st_uid, s.st_gid, size, s.st_blksize, s.st_nlink, s.st_rdev != 0]


def file_system() -> object:
    words = (ctypes.c_long * 15)()
    raw(138, FD, words)
    return [hex(words[0]), words[1], words[8], words[9]]


def polled(call: str) -> object:
    if call == "poll":
        poll = select.poll()
        poll.register(FD, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
        return [hex(events) for _, events in poll.poll(0)]
    found = select.select([FD], [FD], [FD], 0)
    return [len(part) for part in found]


def epolled(op: int) -> object:
    with select.epoll() as epoll:
        if op == 1:
            epoll.register(FD, select.EPOLLIN | select.EPOLLOUT)
            return [hex(events) for _, events in epoll.poll(0)]
        epoll.unregister(FD) if op == 2 else epoll.modify(FD, 1)
        return None


def handle(size: int) -> object:
    given = ctypes.create_string_buffer(size.to_bytes(4, "little"), 256)
    mount = ctypes.c_int()
    try:
        raw(303, FD, b"", given, ctypes.byref(mount), 0x1000)
    except OSError as error:
        return [errno.errorcode[error.errno or 0], int.from_bytes(given.raw[:4], "little")]
    return [mount.value > 0, int.from_bytes(given.raw[:4], "little")]


def mapped(prot: int, flags: int) -> object:
    at = raw(9, 0, 4096, prot, flags, FD, 0)
    raw(11, at, 4096)
    return "mapped"


def own_file() -> int:
    """A file of one's own, at its beginning."""
    own = os.open("own", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(own, b"from a file")
    os.lseek(own, 0, 0)
    OWN.append(own)
    return own


OWN: list[int] = []
MASKS = {"basic": 0x7FF, "mount": 0x1000, "direct": 0x2000}
"""statx(2)."""


def extended(mask: int) -> object:
    found = room(256)
    raw(332, FD, b"", 0x1000, mask, found)
    told, size, _, links, _, _, mode = struct.unpack_from("=IIQIIIH", found.raw)
    return [told & 0x71F, size, links, oct(mode)]  # multigrain times are told when asked for


def waits() -> Iterator[Row]:
    """Readiness by each of the calls that tell it."""
    for events in (1, 2, 4, 8, 0x2000):
        yield f"poll {events}", partial(polled_for, events)
    yield "ppoll", lambda: raw(271, struct.pack("ihh", FD, 7, 0), 1, bytes(16), 0, 0)
    for at in range(3):
        yield f"select {at}", partial(selected, at)


def polled_for(events: int) -> object:
    poll = select.poll()
    poll.register(FD, events)
    return [hex(found) for _, found in poll.poll(0)]


def selected(at: int) -> object:
    sets: list[list[int]] = [[], [], []]
    sets[at] = [FD]
    return [len(found) for found in select.select(*sets, 0)]


SOL = {"SOCKET": 1, "IP": 0, "TCP": 6}
OPTIONS = [("SOCKET", n) for n in (2, 3, 4, 7, 8, 9, 10, 13, 15, 18, 20, 30, 38, 39)]
OPTIONS += [("IP", n) for n in (1, 2)] + [("TCP", n) for n in (1, 2)]


def option(level: int, name: int, size: int) -> object:
    value, length = room(64), ctypes.c_int(size)
    raw(55, FD, level, name, value, ctypes.byref(length))
    return [length.value, value.raw[: length.value].hex()]


def address(number: int, size: int) -> object:
    value, length = room(128), ctypes.c_int(size)
    raw(number, FD, value, ctypes.byref(length))
    return [length.value, value.raw[:2].hex()]


def sockets() -> Iterator[Row]:
    for level, name in OPTIONS:
        yield f"getsockopt {level} {name}", partial(option, SOL[level], name, 16)
    yield "getsockopt short", partial(option, 1, 3, 2)
    yield "getsockopt -1", partial(option, 1, 3, -1)
    yield "getsockopt none", partial(option, 1, 999, 4)
    for name, value in ((2, 1), (9, 1), (8, 8192), (999, 1)):
        given = struct.pack("i", value)
        yield f"setsockopt {name}", partial(raw, 54, FD, 1, name, given, 4)
    yield "setsockopt short", lambda: raw(54, FD, 1, 9, b"a", 1)
    for size in (100, 1, -1):
        yield f"getsockname {size}", partial(address, 51, size)
        yield f"getpeername {size}", partial(address, 52, size)
    yield "accept", lambda: raw(288, FD, 0, 0, 0x800) if "listening" not in sys.argv else None
    yield "recvmmsg", lambda: raw(299, FD, 0, 0, 0x40, 0)
    for flags in (0x42, 0x60, 0x41, 0x2040):
        yield f"recv {flags:#x}", partial(raw, 45, FD, room(), 3, flags, 0, 0)
    for flags in (0x4040, 0x4041, 0xC040):
        yield f"send {flags:#x}", partial(raw, 44, FD, b"sent", 4, flags, 0, 0)
    yield "sendmsg bad", lambda: raw(46, FD, 1, 0x4040)
    yield "recvmsg bad", lambda: raw(47, FD, 1, 0x40)


def more() -> Iterator[Row]:
    """Of the kinds that are asked for less often."""
    for name, mask in MASKS.items():
        yield f"statx {name}", partial(extended, mask)
    yield "statx bad", lambda: raw(332, FD, b"", 0x1000, 0x80000000, room())
    yield "newfstatat", lambda: raw(262, FD, b"", room(), 0x1000)
    for prot, flags in ((0, 2), (1, 1), (2, 1), (3, 2), (5, 2), (1, 3), (1, 0)):
        yield f"mmap {prot} {flags}", partial(mapped, prot, flags)
    for command, size in (
        (0x80086601, 8), (0x801C581F, 28), (0x1260, 8), (0x541B, 4), (0x5411, 4), (0x5429, 4),
        (0x540F, 4), (0x5424, 4), (0x5401, 60), (0x80045430, 4), (0x8905, 4),
    ):  # fmt: skip
        yield f"ioctl {command:#x}", partial(answered, command, size)
    yield "FIOCLEX", lambda: [fcntl.ioctl(FD, 0x5451, 0), fcntl.fcntl(FD, 1)]
    yield "FIONCLEX", lambda: [fcntl.ioctl(FD, 0x5450, 0), fcntl.fcntl(FD, 1)]
    yield "F_SETOWN", lambda: [fcntl.fcntl(FD, 8, os.getpid()), fcntl.fcntl(FD, 9) == os.getpid()]
    yield "F_SETOWN 0", lambda: [fcntl.fcntl(FD, 8, 0), fcntl.fcntl(FD, 9)]
    yield "dup2", lambda: os.close(os.dup2(FD, 30))
    yield "dup3", lambda: os.close(raw(292, FD, 30, 0o2000000))
    yield "dup3 same", lambda: raw(292, FD, FD, 0)
    yield "kcmp", lambda: raw(312, os.getpid(), os.getpid(), 0, FD, FD)
    yield "fchmodat", lambda: raw(268, FD, b"nothing", 0o600)
    yield "unlinkat", lambda: raw(263, FD, b"nothing", 0)
    yield "faccessat2", lambda: raw(439, FD, b"", 4, 0x1000)
    yield "ttyname", lambda: bool(os.ttyname(FD))
    yield "tcgetpgrp", lambda: os.tcgetpgrp(FD) > 0
    yield "name", lambda: os.readlink(f"/proc/self/fd/{FD}").partition(":")[0][:5]
    yield "inotify_rm", lambda: raw(255, FD, 1)
    yield "epoll_ctl on", lambda: raw(233, FD, 1, 9, bytes(12))
    yield "epoll_wait", lambda: raw(232, FD, room(), 1, 0)
    yield "timerfd_settime", lambda: raw(286, FD, 0, bytes(32), 0)
    yield "cachestat", lambda: raw(451, FD, bytes(16), room(), 0)


def answered(command: int, size: int) -> object:
    found = fcntl.ioctl(FD, command, bytes(size) if size else 0)
    return len(found) if isinstance(found, bytes) else found


def calls() -> Iterator[Row]:
    yield "fstat", attributes
    yield "statx", lambda: raw(332, FD, b"", 0x1000, 0x7FF, room())
    yield "fstatfs", file_system
    for name in (
        "PC_NAME_MAX",
        "PC_PATH_MAX",
        "PC_PIPE_BUF",
        "PC_MAX_CANON",
        "PC_VDISABLE",
        "PC_2_SYMLINKS",
    ):
        yield f"fpathconf {name}", partial(os.fpathconf, FD, name)
    for whence in range(6):
        yield f"lseek {whence}", partial(raw, 8, FD, 0, whence)
    yield "lseek -1", partial(raw, 8, FD, -1, 0)
    yield "poll", partial(polled, "poll")
    yield "select", partial(polled, "select")
    for op in (1, 2, 3):
        yield f"epoll_ctl {op}", partial(epolled, op)
    for advice in (0, 2, 3, 4, 9):
        yield f"fadvise {advice}", partial(raw, 221, FD, 0, 10, advice)
    yield "fadvise -1", partial(raw, 221, FD, 0, -1, 0)
    yield "readahead", partial(raw, 187, FD, 0, 10)
    for flags in (0, 2, 7, 8):
        yield f"sync_file_range {flags}", partial(raw, 277, FD, 0, 0, flags)
    yield "fsync", partial(raw, 74, FD)
    yield "fdatasync", partial(raw, 75, FD)
    yield "syncfs", partial(raw, 306, FD)
    for op in (1 | 4, 2 | 4, 8, 99):
        yield f"flock {op}", partial(raw, 73, FD, op)
    yield "names", lambda: raw(196, FD, room(), 4096)
    yield "attribute", lambda: raw(193, FD, b"user.none", room(), 100)
    yield "set attribute", lambda: raw(190, FD, b"user.tried", b"v", 1, 0)
    yield "get attribute", lambda: raw(193, FD, b"user.tried", room(), 100)
    yield "remove attribute", lambda: raw(199, FD, b"user.tried")
    yield "handle", partial(handle, 0)
    yield "large handle", partial(handle, 200)
    yield "isatty", lambda: os.isatty(FD)
    yield "FIONREAD", lambda: len(fcntl.ioctl(FD, termios.FIONREAD, bytes(4)))
    yield "TIOCGWINSZ", lambda: len(fcntl.ioctl(FD, termios.TIOCGWINSZ, bytes(8)))
    yield "FIONBIO", lambda: fcntl.ioctl(FD, termios.FIONBIO, struct.pack("i", 0)).hex()
    yield "FIOASYNC", lambda: fcntl.ioctl(FD, termios.FIOASYNC, struct.pack("i", 0)).hex()
    yield "FIGETBSZ", lambda: fcntl.ioctl(FD, 2, bytes(4)).hex()
    yield "FIQSIZE", lambda: len(fcntl.ioctl(FD, 0x5460, bytes(8)))
    yield "no ioctl", lambda: fcntl.ioctl(FD, 0x7777, 0)
    yield "getsockopt", lambda: raw(55, FD, 1, 3, room(), ctypes.byref(ctypes.c_int(4)))
    yield "getsockname", lambda: raw(51, FD, room(), ctypes.byref(ctypes.c_int(100)))
    yield "getpeername", lambda: raw(52, FD, room(), ctypes.byref(ctypes.c_int(100)))
    yield "listen", lambda: raw(50, FD, 1) if not stat.S_ISSOCK(os.fstat(FD).st_mode) else None
    yield "shutdown 9", lambda: raw(48, FD, 9)
    yield "fchdir", lambda: raw(81, FD)
    yield "getdents", lambda: raw(217, FD, room(), 4096) > 0
    yield "openat", lambda: os.close(raw(257, FD, b"nothing", 0))
    yield "mmap r", partial(mapped, 1, 2)
    yield "mmap rw shared", partial(mapped, 3, 1)
    yield "recv", lambda: raw(45, FD, room(), 1, 0x40, 0, 0)
    if READS:
        yield "eventfd like", lambda: raw(0, FD, room(), 0)
    yield "inotify", lambda: raw(254, FD, b".", 1)
    yield "timerfd", lambda: raw(287, FD, room())
    yield "signalfd", lambda: raw(289, FD, room(8), 8, 0)
    yield "pidfd", lambda: raw(424, FD, 0, 0, 0)
    yield "bind mount", lambda: raw(429, FD, b"nothing", -100, b"nothing", 4)
    own_in, own_out = os.pipe()
    yield "copy_file_range", lambda: raw(326, FD, ctypes.byref(ctypes.c_long(0)), own_out, 0, 0, 0)
    if READS:
        yield "splice", lambda: raw(275, FD, 0, own_out, 0, 1, 2)
        yield "tee", lambda: raw(276, FD, own_out, 1, 2)
    yield "spliced", lambda: raw(275, own_in, 0, FD, 0, 1, 2)
    yield "vmsplice", lambda: raw(278, FD, 0, 0, 2)
    if READS:
        yield "sendfile from", lambda: raw(40, own_out, FD, 0, 1)
    yield "sendfile to", lambda: raw(40, FD, own_file(), 0, 0)
    yield "copy_file_range to", lambda: raw(326, own_file(), 0, FD, 0, 0, 0)
    yield "tee to", lambda: raw(276, own_in, FD, 1, 2)
    yield "dup", lambda: os.close(os.dup(FD))
    yield "fcntl dup", lambda: os.close(fcntl.fcntl(FD, fcntl.F_DUPFD_CLOEXEC, 20))
    yield "fchmod", lambda: raw(91, FD, stat.S_IMODE(os.fstat(FD).st_mode))
    yield "fchown", lambda: raw(93, FD, -1, -1)
    yield "futimens", lambda: raw(280, FD, 0, 0, 0)


def transfers() -> Iterator[Row]:
    if READS:
        yield "read 0", lambda: raw(0, FD, room(), 0)
        yield "read 2", lambda: os.read(FD, 2)
        yield "readv", lambda: os.readv(FD, [bytearray(1), bytearray(1)])
        yield "pread", lambda: os.pread(FD, 2, 1)
        yield "preadv2", lambda: os.preadv(FD, [bytearray(2)], 1, os.RWF_NOWAIT)
        yield "pread -1", lambda: raw(17, FD, room(), 1, -1)
        yield "read EFAULT", lambda: raw(0, FD, 1, 2)
    yield "write 0", lambda: raw(1, FD, b"", 0)
    yield "write", lambda: os.write(FD, b"ab")
    yield "writev", lambda: os.writev(FD, [b"c", b"d"])
    yield "pwrite", lambda: os.pwrite(FD, b"e", 1)
    yield "pwritev2", lambda: os.pwritev(FD, [b"f"], 2, 0)
    yield "write EFAULT", lambda: raw(1, FD, 1, 2)
    yield "pwrite -1", lambda: raw(18, FD, b"x", 1, -1)
    yield "lseek end", lambda: raw(8, FD, 0, 2)
    yield "ftruncate", lambda: raw(77, FD, 20)
    yield "ftruncate -1", lambda: raw(77, FD, -1)
    yield "fallocate", lambda: raw(285, FD, 0, 0, 30)
    yield "fallocate keep", lambda: raw(285, FD, 1, 0, 30)
    yield "fallocate bad", lambda: raw(285, FD, 0, 0, 0)
    yield "size", attributes


def say(name: str, call: Callable[[], object]) -> None:
    try:
        answer = call()
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", 0)
        answer = errno.errorcode.get(number or 0, repr(error))
    os.write(9, f"{FD} {name}: {answer}\n".encode())


signal.signal(signal.SIGIO, signal.SIG_IGN)  # F_NOTIFY's
for rows in (fcntls, waits, sockets, more, calls, transfers):
    for row in rows():
        say(*row)

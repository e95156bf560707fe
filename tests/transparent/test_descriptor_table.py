"""Every fcntl command and every call on fds 0-2 of each kind: native beside -T, line by line."""

from __future__ import annotations

import re
import shutil
from itertools import zip_longest
from pathlib import Path

import pytest
from e2e.cluster import users_own

from .compare import NATIVE, TRANSPARENT, Both

GUEST = Path(__file__).parent / "guests" / "fdtable.py"
STARTER = GUEST.with_name("fdstart.py")

OUTPUT = {"F_SETLEASE w", "F_GETLEASE", "F_SETLEASE u", "poll", "select", "spliced"}
OUTPUT |= {*(f"poll {events}" for events in (1, 2, 4, 8, 8192)), "ppoll", "select 0", "select 1"}
OUTPUT |= {"name", "sendfile to", "copy_file_range to", "tee to", "faccessat2"}
"""A file that is written streams through a pipe: nobody gets a lease (its end would be signalled to
home's half), and poll does not say that what is never empty could be read."""

BOTH = {"mmap rw shared", "mmap 2 1", "splice", "spliced", "name"}
BOTH |= {"sendfile to", "sendfile from", "copy_file_range to"}
"""Asked for call by call: a map that is shared and written is of no use, and programs fall back."""

READ_OUTPUT = {"F_SETLK", "F_OFD_SETLK", "mmap r", "mmap rw shared", "splice", "sendfile from"}
READ_OUTPUT |= {f"mmap {how}" for how in ("0 2", "1 1", "1 3", "2 1", "3 2", "5 2")}
"""`1<>f` streams, too: the stand-in cannot be mapped, nor locked for reading."""

KINDS: list[tuple[str, str, set[str]]] = [
    ("0", "<f", {"name"}),
    ("0", "<>f", BOTH),
    ("0", "0>>f", OUTPUT),
    ("1 w", ">f", OUTPUT),
    ("1 w", ">>f", OUTPUT),
    ("2 w", "2>f", OUTPUT),
    ("1", "1<>f", OUTPUT | READ_OUTPUT),
    ("0", "< <(printf 'some text')", set()),
    ("1 w", "> >(cat)", set()),
    ("0 w", "</dev/null", set()),
    ("0", "<>/dev/null", set()),
    ("1 w", ">/dev/null", set()),
    ("0", "</dev/zero", set()),
    ("1 w", ">/dev/full", set()),
]


IN_KERNEL = {"sendfile to", "sendfile from", "splice", "spliced", "copy_file_range to"}
"""Copies inside the kernel are refused with EINVAL, on which programs read and write."""

SOCKET = IN_KERNEL | {"recvmmsg", "recv 0x60"}
"""recvmmsg: ENOSYS, on which programs call recvmsg. MSG_TRUNC's own length is not asked for."""

TCP = SOCKET | {f"mmap {how}" for how in ("0 2", "1 1", "1 3", "2 1", "3 2", "r", "rw shared")}
"""Only the kernel that has the connection maps what has come (tcp_mmap)."""

TCP |= {"read 2", "readv"}
"""How much of the text is left once some of it was not spliced."""

TERMINAL = {"F_GETFL", "mmap 5 2", *(f"F_SETFL O_{how}" for how in
            ("APPEND", "ASYNC", "NOATIME", "NONBLOCK", "SYNC", "DIRECT"))}  # fmt: skip
"""O_LARGEFILE says whether a terminal was opened by its name or by TIOCGPTPEER: the stand-in is by
its name. Executable maps are EPERM before they are ENODEV where devpts is mounted noexec."""

DIRECTORY = IN_KERNEL | {"copy_file_range", "getdents", "write EFAULT", "statx bad"}
DIRECTORY |= {"mmap 1 0", "mmap 2 1", "mmap rw shared"}
"""Its entries are listed by home's half, so that its end (lseek 2) is not known to getdents; where
two errors are true, the other is said."""

STARTED: list[tuple[str, str, set[str]]] = [
    ("stream", "", IN_KERNEL),
    ("dgram", "w", SOCKET),
    ("packet", "w", SOCKET),
    ("tcp", "", TCP),
    ("udp", "w", SOCKET),
    ("udp apart", "w", SOCKET | {"write EFAULT"}),
    ("terminal", "w", TERMINAL),
    ("controlling", "w", TERMINAL),
    ("directory", "w", DIRECTORY),
]
"""Sockets that listen, and what is no file (eventfd, epoll, timerfd, signalfd, inotify, pidfd,
O_PATH) are not passed on: docs/inherited.md."""


def told(both: Both, level: str, line: str, known: set[str]) -> list[str]:
    found = both.run(line, level, 40)
    lines = found.out.decode().splitlines()
    assert len(lines) > 100, found
    return [one for one in lines if re.sub(r"^\d (.*?):.*", r"\1", one) not in known]


def differences(both: Both, line: str, known: set[str]) -> list[tuple[str | None, str | None]]:
    """(native, -T) of each line that is not the same."""
    native, ours = (told(both, level, line, known) for level in (NATIVE, TRANSPARENT))
    return [pair for pair in zip_longest(native, ours) if len(set(pair)) > 1]


@pytest.mark.parametrize(("fd", "how", "known"), KINDS, ids=[how for _, how, _ in KINDS])
def test_every_call(both: Both, place: Path, fd: str, how: str, known: set[str]) -> None:
    users_own(Path(shutil.copy(GUEST, place / "fdtable.py")))
    line = (
        "printf 'some text of a file\\n' >f; mkfifo p; exec 8<>p; printf %50s x >&8\n"
        f"$G $PYTHON -I -S {place}/fdtable.py {fd} {how} 9>told 8>&-; cat told; od -c f"
    )
    assert differences(both, line, known) == []


@pytest.mark.parametrize(("kind", "how", "known"), STARTED, ids=[row[0] for row in STARTED])
def test_what_no_shell_opens(both: Both, place: Path, kind: str, how: str, known: set[str]) -> None:
    for guest in (GUEST, STARTER):
        users_own(Path(shutil.copy(guest, place / guest.name)))
    # Python itself does not start with a directory on fd 0: there it is a copy.
    move, fd = ("exec 5<&0 0</dev/null;", 5) if kind == "directory" else ("", 0)
    inner = f"{move} exec $PYTHON -I -S {place}/fdtable.py {fd} {how}"
    line = f"$PYTHON -I -S {place}/fdstart.py '{kind}' 0 $G sh -c '{inner}' 9>told; cat told"
    assert differences(both, line, known) == []


def test_a_memory_file(both: Both, place: Path) -> None:
    users_own(Path(shutil.copy(GUEST, place / "fdtable.py")))
    start = "import os, sys; a = os.memfd_create('m'); os.write(a, b'text'); os.dup2(a, 0)"
    line = (
        f'cat >start.py <<"E"\n{start}\nos.execvp(sys.argv[1], sys.argv[1:])\nE\n'
        f"$PYTHON start.py $G $PYTHON -I -S {place}/fdtable.py 0 9>told; cat told"
    )
    known = (
        BOTH
        | {f"F_SETLEASE {how}" for how in "rwu"}
        | {"F_GETLEASE", "F_ADD_SEALS", "F_SETFL O_DIRECT", "F_GET_SEALS", "preadv2"}
        | IN_KERNEL
        | {"mmap 2 1"}
    )
    assert differences(both, line, known) == []

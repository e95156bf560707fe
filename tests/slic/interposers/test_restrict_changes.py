"""restrict without an engine: every call that changes a file."""

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from restrict_room import CWD, REFUSED, Room

from slic.verdict import Fail, Return


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


CHANGES: list[tuple[str, Callable[[Path], tuple[Any, ...]], Callable[[Path], bool]]] = [
    ("mkdir", lambda d: (d / "n", 0o755), lambda d: (d / "n").is_dir()),
    ("mkdirat", lambda d: (CWD, f"{d}/n/", 0o755), lambda d: (d / "n").is_dir()),
    ("mknod", lambda d: (d / "n", stat.S_IFIFO | 0o600, 0), lambda d: (d / "n").is_fifo()),
    ("mknodat", lambda d: (CWD, d / "n", 0o600, 0), lambda d: (d / "n").is_file()),
    ("unlink", lambda d: (d / "file",), lambda d: not (d / "file").exists()),
    ("unlinkat", lambda d: (CWD, d / "file", 0), lambda d: not (d / "file").exists()),
    ("unlinkat", lambda d: (CWD, d / "dir", 0x200), lambda d: not (d / "dir").exists()),
    ("rmdir", lambda d: (d / "dir",), lambda d: not (d / "dir").exists()),
    ("rename", lambda d: (d / "file", d / "n"), lambda d: (d / "n").read_text() == d.name),
    ("renameat", lambda d: (CWD, d / "file", CWD, d / "n"), lambda d: (d / "n").is_file()),
    ("renameat2", lambda d: (CWD, d / "dir", CWD, d / "n", 0), lambda d: (d / "n").is_dir()),
    ("link", lambda d: (d / "file", d / "n"), lambda d: (d / "n").samefile(d / "file")),
    ("linkat", lambda d: (CWD, d / "link", CWD, d / "n", 0), lambda d: (d / "n").is_symlink()),
    ("linkat", lambda d: (CWD, d / "link", CWD, d / "n", 0x400), lambda d: (d / "n").is_file()),
    ("symlink", lambda d: ("/etc", d / "n"), lambda d: os.readlink(d / "n") == "/etc"),
    ("symlinkat", lambda d: ("x", CWD, d / "n"), lambda d: os.readlink(d / "n") == "x"),
    ("chmod", lambda d: (d / "link", 0o611), lambda d: mode_of(d) == 0o611),
    ("fchmodat", lambda d: (CWD, d / "file", 0o611), lambda d: mode_of(d) == 0o611),
    ("fchmodat2", lambda d: (CWD, d / "file", 0o611, 0), lambda d: mode_of(d) == 0o611),
    ("chown", lambda d: (d / "file", os.getuid(), -1), lambda d: True),
    ("lchown", lambda d: (d / "link", -1, os.getgid()), lambda d: True),
    ("fchownat", lambda d: (CWD, d / "file", -1, -1, 0x100), lambda d: True),
    ("truncate", lambda d: (d / "file", 2), lambda d: (d / "file").stat().st_size == 2),
    ("utime", lambda d: (d / "file", struct.pack("=2q", 5, 6)), lambda d: times_of(d) == (5, 6)),
    (
        "utimes",
        lambda d: (d / "file", struct.pack("=4q", 5, 0, 6, 500000)),
        lambda d: times_of(d) == (5, 6.5),
    ),
    (
        "futimesat",
        lambda d: (CWD, d / "file", struct.pack("=4q", 5, 0, 6, 0)),
        lambda d: times_of(d) == (5, 6),
    ),
    (
        "utimensat",
        lambda d: (CWD, d / "file", struct.pack("=4q", 7, 0, 0, (1 << 30) - 2), 0),
        lambda d: times_of(d)[0] == 7 and times_of(d)[1] > 1e9,
    ),
    (
        "utimensat",
        lambda d: (CWD, d / "file", struct.pack("=4q", 0, (1 << 30) - 1, 8, 0), 0),
        lambda d: times_of(d)[0] > 1e9 and times_of(d)[1] == 8,
    ),
]


def mode_of(folder: Path) -> int:
    return stat.S_IMODE((folder / "file").stat().st_mode)


def times_of(folder: Path) -> tuple[float, float]:
    status = (folder / "file").stat()
    return status.st_atime, status.st_mtime


def picture(folder: Path) -> list[tuple[str, int, int, int, int, int]]:
    return sorted(
        (
            p.name,
            s.st_mode,
            s.st_uid,
            s.st_size,
            s.st_mtime_ns,
            0 if p.is_symlink() else s.st_atime_ns,
        )
        for p in folder.iterdir()
        for s in [p.lstat()]
    )


@pytest.mark.parametrize(("call", "args", "happened"), CHANGES, ids=lambda v: str(v)[:20])
def test_changes(
    room: Room,
    call: str,
    args: Callable[[Path], tuple[Any, ...]],
    happened: Callable[[Path], bool],
) -> None:
    for folder in (room.write, room.other, room.read):
        (folder / "dir").mkdir()
        (folder / "link").symlink_to("file")
    assert room.ask(call, *args(room.write)) == Return(0)
    assert happened(room.write)
    for folder in (room.other, room.read):
        before = picture(folder)
        assert room.ask(call, *args(folder)) == REFUSED
        assert picture(folder) == before


def test_changes_across_the_border(room: Room) -> None:
    inside, outside = room.write / "file", room.other / "file"
    assert room.ask("rename", inside, room.other / "n") == REFUSED
    assert room.ask("rename", outside, room.write / "n") == REFUSED
    assert room.ask("link", room.read / "file", room.write / "n") == REFUSED
    (room.write / "out").symlink_to(room.other)
    assert room.ask("unlink", room.write / "out/file") == REFUSED
    assert room.ask("chmod", room.write / "out/file", 0o777) == REFUSED
    assert room.ask("unlink", room.write / "out") == Return(0)  # the link itself is inside
    assert outside.exists()


def test_errors_are_the_kernels(room: Room) -> None:
    assert room.ask("mkdir", room.write / "file", 0o755) == Fail(errno.EEXIST)
    assert room.ask("rmdir", room.write / "file") == Fail(errno.ENOTDIR)
    assert room.ask("unlink", room.write / "none") == Fail(errno.ENOENT)
    assert room.ask("unlink", "") == Fail(errno.ENOENT)
    assert room.ask("unlink", 0) == Fail(errno.EFAULT)
    assert room.ask("rmdir", f"{room.write}/.") == Fail(errno.EINVAL)
    flagged = room.ask("renameat2", CWD, room.write / "file", CWD, room.write / "n", 1)
    assert flagged == Fail(errno.EINVAL)
    device = room.ask("mknod", room.write / "n", stat.S_IFBLK | 0o600, 0x800)
    assert device == Fail(errno.EPERM)
    bad = struct.pack("=4q", 0, 10**9, 0, 0)
    assert room.ask("utimensat", CWD, room.write / "file", bad, 0) == Fail(errno.EINVAL)


def test_changes_through_descriptors(room: Room) -> None:
    readable = os.open(room.read / "file", os.O_RDONLY)
    writable = os.open(room.write / "file", os.O_RDONLY)
    pipe = os.pipe()
    try:
        assert room.ask("fchmod", readable, 0o777) == REFUSED
        assert room.ask("fchmod", writable, 0o604) == Return(0)
        assert mode_of(room.write) == 0o604
        assert room.ask("utimensat", readable, 0, 0, 0) == REFUSED
        assert room.ask("utimensat", writable, 0, 0, 0) == Return(0)
        assert room.ask("fchmod", pipe[0], 0o600) == Return(0)
    finally:
        for fd in (readable, writable, *pipe):
            os.close(fd)

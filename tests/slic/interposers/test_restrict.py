"""restrict without an engine: rules, what is refused, every change, and every way around."""

import errno
import os
import re
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_tracee import OwnTracee, content, taken

from slic.interposer import Interposer, on
from slic.interposers.confined import Use
from slic.interposers.identity import Identity
from slic.interposers.pathcalls import NOT_A_PATH, PATH_CALLS, Fate
from slic.interposers.restrict import AROUND, Image, Restrict, Rules
from slic.interposers.targets import target
from slic.policy import Policy
from slic.syscalls import BY_NAME
from slic.tracee import Tracee
from slic.verdict import Blocking, Continue, Fail, Return, ReturnFd, Verdict

CWD = -100
REFUSED = Fail(errno.EACCES)


class Room:
    """A directory to read, one to write, one that is not named, and a caller."""

    def __init__(self, base: Path) -> None:
        self.read, self.write, self.other = (base / n for n in ("read", "write", "other"))
        for folder in (self.read, self.write, self.other):
            folder.mkdir()
            (folder / "file").write_text(folder.name)
        self.tracee = OwnTracee()
        self.rules = Rules.load(f"""
            [files]
            read = ["{self.read}"]
            write = ["{self.write}"]
            execute = ["{self.read}"]
            [network]
            connect = ["127.0.0.1:80", "10.1.0.0/16:1000-2000", "[::1]:*", "unix:{self.read}"]
            """)
        self.restrict = Restrict(self.rules, image=lambda pid: Image((0, pid), f"{self.read}/x"))

    def ask(self, name: str, *args: Any) -> Verdict:
        words = [os.fspath(a) if isinstance(a, Path) else a for a in args]
        return self.tracee.ask([self.restrict], name, *words)

    def open(self, path: Path | str | bytes, flags: int = os.O_RDONLY, mode: int = 0) -> Verdict:
        return self.ask("openat", CWD, path, flags, mode)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


# -- rules -------------------------------------------------------------------------------------
def test_rules_are_prefixes_of_whole_names(room: Room) -> None:
    assert room.rules.may(f"{room.read}/a/b", Use.READ)
    assert room.rules.may(str(room.write), Use.READ)  # write includes read
    assert not room.rules.may(f"{room.read}x", Use.READ)
    assert not room.rules.may(f"{room.read}/a", Use.WRITE)
    assert not room.rules.may("/", Use.READ)
    assert Rules.load('files.read = ["/"]').may("/etc", Use.READ)


@pytest.mark.parametrize(
    "wrong",
    ['files.read = ["here"]', "files.raed = []", "netwrok = {}", "network.udpp = true", "files ="]
    + [f'network.connect = ["{t}"]' for t in ("80", "host.name:80", "1.2.3.4:http", "unix:x")],
)
def test_a_wrong_policy_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        Rules.load(wrong)


@pytest.mark.parametrize(
    ("text", "family", "host", "port", "covered"),
    [
        ("127.0.0.1:80", socket.AF_INET, "127.0.0.1", 80, True),
        ("127.0.0.1:80", socket.AF_INET, "127.0.0.1", 81, False),
        ("127.0.0.1:80", socket.AF_INET, "127.0.0.2", 80, False),
        ("10.0.0.0/8:*", socket.AF_INET, "10.9.8.7", 65535, True),
        ("10.0.0.0/8:5-7", socket.AF_INET, "10.9.8.7", 8, False),
        ("[::1]:443", socket.AF_INET6, "::1", 443, True),
        ("[fe80::]/16:1", socket.AF_INET6, "::1", 1, False),
        ("127.0.0.1:80", socket.AF_INET6, "::ffff:127.0.0.1", 80, True),
        ("0.0.0.0/0:*", socket.AF_INET6, "::1", 80, False),
    ],
)
def test_targets(text: str, family: int, host: str, port: int, covered: bool) -> None:
    assert target(text).covers(address(family, host, port)) is covered


@pytest.mark.parametrize(
    ("text", "name", "covered"),
    [
        ("unix:@bus", b"\0bus", True),
        ("unix:@bus", b"\0buses", False),
        ("unix:@bus*", b"\0buses", True),
        ("unix:@*", b"\0\xff\n", True),
        ("unix:@*", b"/path", False),
        ("unix:/", b"\0bus", False),
    ],
)
def test_abstract_targets(text: str, name: bytes, covered: bool) -> None:
    assert target(text).covers(struct.pack("=H", 1) + name) is covered


def test_path_targets() -> None:
    assert target("unix:/").covers_path("/run/x")
    assert target("unix:/run").covers_path("/run/x")
    assert target("unix:/run").covers_path("/run")
    assert not target("unix:/run").covers_path("/runner")
    assert not target("unix:@run").covers_path("/run")


def address(family: int, host: str, port: int) -> bytes:
    raw = socket.inet_pton(family, host)
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H", port) + raw + bytes(8)
    return struct.pack("=H", family) + struct.pack("!HI", port, 0) + raw + bytes(4)


# -- the table ---------------------------------------------------------------------------------
def test_every_call_with_a_path_is_listed() -> None:
    """A `char *` argument whose name speaks of a path, or any structure that holds one."""
    named = re.compile(r"path|file|name|library|special|^old$|^new$|put_old|new_root")
    for call in BY_NAME.values():
        texts = [a for a in call.arguments if "char" in a.ctype and named.search(a.name)]
        if texts:
            assert call.name in PATH_CALLS or call.name in NOT_A_PATH, call


def test_the_table_names_arguments_that_exist() -> None:
    for name, (_, paths) in PATH_CALLS.items():
        arguments = {a.name for a in BY_NAME[name].arguments}
        assert {word for pair in paths for word in pair if word} <= arguments, name


def test_every_fate_is_carried_out() -> None:
    caught = {c for h in Restrict.handlers for c in h.calls}
    for name, (fate, _) in PATH_CALLS.items():
        assert (name in caught) is (fate is not Fate.HARMLESS), name


@pytest.mark.parametrize(
    "call", [n for n, (fate, _) in PATH_CALLS.items() if fate is Fate.REFUSED] + list(AROUND)
)
def test_ways_around_are_refused(room: Room, call: str) -> None:
    assert room.ask(call, 0, 0, 0, 0, 0) == Fail(errno.EPERM)


@pytest.mark.parametrize(
    ("call", "args", "expected"),
    [
        ("unshare", (0x20000,), Fail(errno.EPERM)),
        ("unshare", (0x10000000,), Fail(errno.EPERM)),
        ("unshare", (0x200,), Continue()),
        ("clone", (0x20000 | 17,), Fail(errno.EPERM)),
        ("clone", (0x800000 | 17,), Fail(errno.EPERM)),
        ("clone", (17,), Continue()),
        ("clone3", (0, 88), Fail(errno.ENOSYS)),
        ("seccomp", (1, 8, 0), Fail(errno.EBUSY)),
        ("seccomp", (1, 0, 0), Continue()),
        ("sendto", (3, 0, 0, 0x20000000, 0, 0), Fail(errno.EOPNOTSUPP)),
        ("sendmsg", (3, 0, 0), Continue()),
        ("ioctl", (0, 0x5412, 0), Fail(errno.EPERM)),
        ("ioctl", (0, 0x40086602, 0), Fail(errno.EPERM)),  # FS_IOC_SETFLAGS: chattr
        ("ioctl", (0, 0x5401, 0), Continue()),
        ("bind", (3, 0, 16), REFUSED),
        ("listen", (3, 5), REFUSED),
        ("socket", (1, 1 | 0o2000000, 0), Continue()),
        ("socket", (1, 2, 0), REFUSED),
        ("socketpair", (1, 2, 0, 0), REFUSED),
        ("socket", (2, 1, 6), Continue()),
        ("socket", (2, 1, 132), REFUSED),
        ("socket", (2, 2, 0), REFUSED),
        ("socket", (10, 3, 0), REFUSED),
        ("socket", (17, 3, 0), Fail(errno.EAFNOSUPPORT)),
        ("socket", (16, 3, 0), Continue()),
        ("socket", (16, 3, 15), REFUSED),
    ],
)
def test_calls_judged_by_their_registers(
    room: Room, call: str, args: tuple[int, ...], expected: Verdict
) -> None:
    verdict = room.ask(call, *args)
    assert verdict == expected or (type(verdict) is type(expected) is Continue)


# -- opens -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("folder", "flags", "allowed"),
    [
        ("read", os.O_RDONLY, True),
        ("read", os.O_PATH, True),
        ("read", os.O_WRONLY, False),
        ("read", os.O_RDWR, False),
        ("read", os.O_RDONLY | os.O_TRUNC, False),
        ("write", os.O_RDWR | os.O_TRUNC, True),
        ("write", os.O_RDONLY, True),
        ("other", os.O_RDONLY, False),
        ("other", os.O_PATH, False),
        ("other", os.O_WRONLY, False),
    ],
)
def test_opens(room: Room, folder: str, flags: int, allowed: bool) -> None:
    verdict = room.open(getattr(room, folder) / "file", flags)
    if allowed and flags & os.O_PATH:
        assert isinstance(verdict, Continue)
    elif allowed:
        os.close(taken(verdict))
    else:
        assert verdict == REFUSED
        assert (getattr(room, folder) / "file").read_text() == folder


def test_the_opened_file_is_handed_in(room: Room) -> None:
    verdict = room.open(room.read / "file", os.O_RDONLY | os.O_CLOEXEC)
    assert isinstance(verdict, ReturnFd)
    assert verdict.cloexec
    assert content(verdict) == b"read"


def test_links_count_where_they_lead(room: Room) -> None:
    (room.write / "out").symlink_to(room.other / "file")
    (room.write / "up").symlink_to("..")
    (room.other / "in").symlink_to(room.read / "file")
    assert room.open(room.write / "out") == REFUSED
    assert room.open(room.write / "up/other/file") == REFUSED
    assert room.open(f"{room.write}/../other/file") == REFUSED
    assert content(room.open(room.other / "in")) == b"read"
    assert room.open(room.write / "out", os.O_RDONLY | os.O_NOFOLLOW) == Fail(errno.ELOOP)


def test_magic_links_count_where_they_lead(room: Room) -> None:
    secret = os.open(room.other / "file", os.O_RDONLY)
    folder = os.open(room.other, os.O_PATH)
    try:
        assert room.open(f"/proc/self/fd/{folder}/file") == REFUSED
        assert room.open("/proc/self/exe") == REFUSED
        assert room.open("/proc/self/root/etc/passwd") == REFUSED
        # What the caller has, it may open again, but for no more.
        assert content(room.open(f"/proc/self/fd/{secret}")) == b"other"
        assert room.open(f"/proc/self/fd/{secret}", os.O_RDWR) == REFUSED
        assert room.open(f"/dev/fd/{secret}", os.O_RDONLY | os.O_TRUNC) == REFUSED
        how = struct.pack("=QQQ", os.O_RDONLY, 0, 0x02)  # RESOLVE_NO_MAGICLINKS
        magic = room.ask("openat2", CWD, f"/proc/self/fd/{secret}", how, 24)
        assert magic == Fail(errno.ELOOP)
    finally:
        os.close(secret)
        os.close(folder)


def test_relative_opens_and_openat2(room: Room) -> None:
    folder = os.open(room.read, os.O_RDONLY)
    try:
        assert content(room.ask("openat", folder, "file", 0, 0)) == b"read"
        assert room.ask("openat", folder, "../other/file", 0, 0) == REFUSED
        how = struct.pack("=QQQ", os.O_RDONLY, 0, 0x08)  # RESOLVE_BENEATH
        assert content(room.ask("openat2", folder, "file", how, 24)) == b"read"
        escaping = room.ask("openat2", folder, "../write/file", how, 24)
        assert escaping == Fail(errno.EXDEV)
    finally:
        os.close(folder)


def test_creating(room: Room) -> None:
    os.close(taken(room.ask("creat", room.write / "new", 0o640)))
    assert stat.S_IMODE((room.write / "new").stat().st_mode) == 0o640
    exclusive = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    assert room.open(room.write / "new", exclusive, 0o600) == Fail(errno.EEXIST)
    assert room.open(room.other / "new", os.O_CREAT | os.O_WRONLY, 0o600) == REFUSED
    assert room.open(room.read / "new", os.O_CREAT, 0o600) == REFUSED
    assert content(room.open(room.read / "file", os.O_CREAT)) == b"read"
    assert not (room.other / "new").exists()
    assert room.open(room.write / "a/b", os.O_CREAT | os.O_WRONLY) == Fail(errno.ENOENT)
    assert room.open(room.write / "missing") == Fail(errno.ENOENT)
    assert room.open(f"{room.write}/new/", os.O_CREAT | os.O_WRONLY) == Fail(errno.ENOTDIR)


def test_creating_through_dangling_links(room: Room) -> None:
    (room.write / "in").symlink_to("made")
    (room.write / "out").symlink_to(room.other / "made")
    os.close(taken(room.open(room.write / "in", os.O_CREAT | os.O_WRONLY, 0o600)))
    assert (room.write / "made").exists()
    assert room.open(room.write / "out", os.O_CREAT | os.O_WRONLY, 0o600) == REFUSED
    assert not (room.other / "made").exists()
    (room.write / "loop").symlink_to("loop")
    assert room.open(room.write / "loop", os.O_CREAT | os.O_WRONLY) == Fail(errno.ELOOP)


def test_unnamed_files(room: Room) -> None:
    fd = taken(room.open(room.write, os.O_TMPFILE | os.O_RDWR, 0o600))
    try:
        linked = room.ask("linkat", CWD, f"/proc/self/fd/{fd}", CWD, room.write / "kept", 0x400)
        assert linked == Return(0)
        escape = room.ask("linkat", CWD, f"/proc/self/fd/{fd}", CWD, room.other / "kept", 0x400)
        assert escape == REFUSED
    finally:
        os.close(fd)
    assert (room.write / "kept").exists()
    assert room.open(room.other, os.O_TMPFILE | os.O_RDWR, 0o600) == REFUSED


@pytest.mark.parametrize("moment", [1, 2])
def test_an_exchange_during_the_open_changes_nothing(room: Room, moment: int) -> None:
    """A racing thread exchanges the link at any of the supervisor's opens: never the secret."""
    link = room.write / "link"
    link.symlink_to(room.read / "file")
    opens = 0

    def exchange() -> None:
        nonlocal opens
        opens += 1
        if opens == moment:
            link.unlink()
            link.symlink_to(room.other / "file")

    room.tracee.during_open = exchange
    verdict = room.open(link)
    assert verdict == REFUSED or content(verdict) == b"read"
    assert opens >= 1


def test_an_exchange_in_memory_changes_nothing(room: Room) -> None:
    """The name is overwritten while the supervisor works: the layer below sees a confined open."""

    class Opens(Interposer):
        @on("openat")
        def opened(self, tracee: Tracee, filename: int) -> Verdict:
            os.close(tracee.open(CWD, tracee.cstring(filename), os.O_RDONLY))
            return Fail(errno.EDOM)

    tracee = room.tracee
    name = tracee.put(os.fsencode(room.read / "file") + bytes(100))

    def overwrite() -> None:
        tracee.write(name, os.fsencode(room.other / "file") + b"\0")

    stack = [room.restrict, Opens()]
    assert tracee.ask(stack, "openat", CWD, name, 0, 0) == Fail(errno.EDOM)
    tracee.during_open = overwrite
    assert tracee.ask(stack, "openat", CWD, name, 0, 0) == REFUSED


def test_the_supervisor_is_not_reached_through_proc(room: Room, tmp_path: Path) -> None:
    """A link to /proc/self/... leads to the caller, not to the supervisor that resolves it."""
    child = os.fork()
    if child == 0:
        os.read(os.eventfd(0), 8)  # waits to be killed
        os._exit(0)
    try:
        restrict = Restrict(Rules.load('files.read = ["/proc"]'), image=room.restrict._image)
        restrict._vouched.add((0, child))
        room.tracee.pid = room.tracee.tid = child
        link = tmp_path / "status"
        link.symlink_to("/proc/self/status")
        for name in (str(link), "/proc/self/status", f"/proc/{os.getpid()}/status"):
            seen = content(room.tracee.ask([restrict], "openat", CWD, name, 0, 0))
            assert f"\nPid:\t{child}\n".encode() in seen, name
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_fifo_is_opened_in_a_thread(room: Room) -> None:
    os.mkfifo(room.write / "fifo")
    other = os.open(room.write / "fifo", os.O_RDWR)
    try:
        deciding: Any = Policy([room.restrict]).decide(
            room.tracee.call("open", str(room.write / "fifo"), os.O_RDONLY), room.tracee
        )
        question = deciding.send(None)
        assert isinstance(question, Blocking)
        with pytest.raises(StopIteration) as stop:
            deciding.send(question.work())
        os.close(taken(stop.value.value.verdict))
    finally:
        os.close(other)


def test_an_abandoned_open_leaves_nothing(room: Room) -> None:
    os.mkfifo(room.write / "fifo")
    other = os.open(room.write / "fifo", os.O_RDWR)
    before = os.listdir("/proc/self/fd")
    deciding: Any = Policy([room.restrict]).decide(
        room.tracee.call("open", str(room.write / "fifo"), os.O_RDONLY), room.tracee
    )
    question = deciding.send(None)
    deciding.close()  # interrupted; the thread goes on, the engine gives its result to `undo`
    question.undo(question.work())
    assert os.listdir("/proc/self/fd") == before
    os.close(other)


# -- changes -----------------------------------------------------------------------------------
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


# -- programs and targets ----------------------------------------------------------------------
def test_execution_is_checked_on_the_object_and_its_interpreter(room: Room) -> None:
    (room.read / "script").write_text(f"#! {room.read}/file -x\n")
    (room.read / "bad").write_text("#!/bin/sh\n")
    (room.write / "out").symlink_to(room.read / "script")
    assert isinstance(room.ask("execve", room.write / "out", 0, 0), Continue)
    assert isinstance(room.ask("execveat", CWD, room.read / "script", 0, 0, 0), Continue)
    assert room.ask("execve", room.read / "bad", 0, 0) == REFUSED
    assert room.ask("execve", room.write / "file", 0, 0) == REFUSED
    assert room.ask("execve", room.read / "none", 0, 0) == Fail(errno.ENOENT)
    memory = os.memfd_create("x")
    try:
        assert room.ask("execveat", memory, "", 0, 0, 0x1000) == REFUSED
        assert room.ask("execve", f"/proc/self/fd/{memory}", 0, 0) == REFUSED
    finally:
        os.close(memory)


def test_an_exchanged_program_is_killed_at_its_next_open(room: Room) -> None:
    child = os.fork()
    if child == 0:
        os.read(os.eventfd(0), 8)
        os._exit(0)
    restrict = Restrict(room.rules, image=lambda pid: Image((9, 9), f"{room.other}/evil"))
    room.tracee.pid = room.tracee.tid = child
    file = str(room.read / "file")
    assert room.tracee.ask([restrict], "openat", CWD, file, 0, 0) == REFUSED
    assert os.waitpid(child, 0)[1] == 9


def test_connect_is_done_by_the_supervisor_with_its_own_copy(room: Room) -> None:
    good = address(socket.AF_INET, "10.1.2.3", 1500)
    assert room.ask("connect", 7, good, 16) == Return(0)
    assert room.tracee.connected == [(7, good)]
    for host, port in (("10.1.2.3", 2001), ("10.2.0.0", 1500), ("127.0.0.1", 22)):
        assert room.ask("connect", 7, address(socket.AF_INET, host, port), 16) == REFUSED
    assert room.ask("connect", 7, bytes(200), 129) == Fail(errno.EINVAL)
    assert room.ask("connect", 7, bytes(16), 16) == Return(0)  # AF_UNSPEC: disconnect
    assert len(room.tracee.connected) == 2


@pytest.fixture
def listening(room: Room) -> Iterator[Room]:
    with socket.socket(socket.AF_UNIX) as a, socket.socket(socket.AF_UNIX) as b:
        a.bind(str(room.read / "sock"))
        b.bind(str(room.other / "sock"))
        yield room


def test_unix_sockets_are_reached_through_their_object(listening: Room) -> None:
    def unix(path: object) -> bytes:
        return struct.pack("=H", 1) + str(path).encode()

    room = listening
    (room.write / "s").symlink_to(room.read / "sock")
    (room.write / "t").symlink_to(room.other / "sock")
    path = unix(room.write / "s")
    assert room.ask("connect", 7, path + b"\0", len(path) + 1) == Return(0)
    assert room.tracee.connected[0][1].startswith(struct.pack("=H", 1) + b"/proc/self/fd/")
    for wrong in (unix(room.write / "t"), unix("\0abstract"), unix("\0")):
        assert room.ask("connect", 7, wrong, len(wrong)) == REFUSED
    room.tracee.uid += 1
    assert room.ask("connect", 7, path, len(path)) == REFUSED


# -- layers below ------------------------------------------------------------------------------
def test_identity_below_answers_what_the_policy_allows() -> None:
    tracee = OwnTracee()
    rules = Rules.load('files.read = ["/proc/sys/kernel"]')
    identity = Identity(b"home", b"lab")
    allowed = Restrict(rules, image=lambda pid: Image((0, 0), ""))
    allowed._vouched.add((0, 0))
    name = "/proc/sys/kernel/hostname"
    assert content(tracee.ask([allowed, identity], "open", name, 0, 0)) == b"home\n"
    assert (
        content(tracee.ask([allowed], "open", name, 0, 0))
        == os.fsencode(os.uname().nodename) + b"\n"
    )
    nothing = Restrict(Rules.load(""), image=allowed._image)
    nothing._vouched.add((0, 0))
    assert tracee.ask([nothing, identity], "open", name, 0, 0) == REFUSED


def test_attributes_through_the_calls_of_newer_kernels(room: Room) -> None:
    """setxattrat and removexattrat are what setxattr and removexattr are."""
    value = room.tracee.put(b"v")
    args = room.tracee.put(struct.pack("=QII", value, 1, 0))
    for folder in (room.read, room.other):
        file = folder / "file"
        assert room.ask("setxattrat", CWD, file, 0, "user.a", args, 16) == REFUSED
        assert room.ask("removexattrat", CWD, file, 0, "user.a") == REFUSED
        assert os.listxattr(file) == []
    file = room.write / "file"
    assert room.ask("setxattrat", CWD, file, 0, "user.a", args, 8) == Fail(errno.EINVAL)
    assert room.ask("setxattrat", CWD, 0, 0, "user.a", args, 16) == Fail(errno.EFAULT)
    assert room.ask("file_setattr", CWD, file, 0, 0, 0) == Fail(errno.EPERM)
    if room.ask("setxattrat", CWD, file, 0, "user.a", args, 16) == Fail(errno.EOPNOTSUPP):
        pytest.skip("the file system has no user attributes")
    assert os.getxattr(file, "user.a") == b"v"
    fd = os.open(file, os.O_RDONLY)
    try:  # the descriptor itself: an empty name, or none
        assert room.ask("removexattrat", fd, 0, 0x1000, "user.a") == Return(0)
        assert room.ask("setxattrat", fd, "", 0x1000, "user.b", args, 16) == Return(0)
    finally:
        os.close(fd)
    assert os.listxattr(file) == ["user.b"]

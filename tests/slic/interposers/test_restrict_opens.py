"""restrict without an engine: what may be opened, and where names lead meanwhile."""

import errno
import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest
from own_tracee import content, taken
from restrict_room import CWD, REFUSED, Room

from slic.interposer import Interposer, on
from slic.interposers.restrict import Restrict, Rules
from slic.policy import Policy
from slic.tracee import Tracee
from slic.verdict import Blocking, Continue, Fail, Return, ReturnFd, Verdict


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


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

"""Which names are home's, what is asked of home for each call, and what the program gets."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

import pytest
from slic_fake import FakeTracee, call

from slic.interposers.home.descriptors import HomeFds, ReadHome, SeekHome, StandIn
from slic.interposers.home.files import NOW, OMIT, HomeFiles
from slic.interposers.home.names import CALLS
from slic.interposers.home.paths import HomePaths
from slic.interposers.home.questions import CallHome, Opened
from slic.interposers.home.statbuf import FIELDS
from slic.interposers.support.opens import OPENS
from slic.interposers.support.pathcalls import PATH_CALLS, Fate
from slic.policy import Decision, Policy
from slic.verdict import Continue, Fail, Return, ReturnFd, Verdict

CWD = -100
AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = 0x1000, 0x100
FACTS = [5, 77, 1, 0o100640, 1000, 1001, 0, 123456, 4096, 248, 10**18 + 7, 2 * 10**9, 3]
FILE = StandIn(20, "file", 5, 7, b"/h/file")
BUFFER = 0x1800


class World:
    """A caller with descriptor 3 on FILE, 4 on a directory of home, 5 on one of the node."""

    def __init__(self) -> None:
        self.tracee = FakeTracee(bytes(16384))
        self.fds = HomeFds([], opens=True)
        paths = HomePaths(self.fds, [b"/h", b"/x/y"], [b"/h/native"])
        self.policy = Policy([paths, HomeFiles(self.fds), self.fds])
        for fd, stand_in in ((3, FILE), (4, StandIn(21, "dir", 5, 8, b"/h/dir", "/tmp/stand-in"))):
            self.fds.add(stand_in)
            self.tracee.stats[fd] = stat_of(stand_in.device, stand_in.inode)
            self.tracee.flags[fd] = os.O_RDWR
            self.tracee.links[fd] = stand_in.place or "/memfd:home"
        self.tracee.stats[5] = stat_of(5, 99)
        self.tracee.links[5] = "/usr"
        self._free = 0x1000

    def put(self, data: bytes) -> int:
        address, self._free = self._free, self._free + 256
        self.tracee.write(address, data)
        return address

    def name(self, text: bytes) -> int:
        return self.put(text + b"\0")

    def asked(self, name: str, *args: int) -> tuple[Any, Any]:
        """(generator, its first question), or (None, verdict)."""
        decided = self.policy.decide(call(name, *args), self.tracee)
        if isinstance(decided, Decision):
            return None, decided.verdict
        try:
            return decided, next(decided)
        except StopIteration as stop:
            return None, stop.value.verdict


def stat_of(device: int, inode: int) -> os.stat_result:
    return os.stat_result((0o100600, inode, device, 1, 0, 0, 0, 0, 0, 0))


def answer(asking: Any, value: object) -> Verdict:
    try:
        question = asking.throw(value) if isinstance(value, OSError) else asking.send(value)
    except StopIteration as stop:
        verdict: Verdict = stop.value.verdict
        return verdict
    raise AssertionError(f"it asks again: {question}")


@pytest.mark.parametrize(
    ("dirfd", "name", "path"),
    [
        (CWD, b"/h", b"/h"),
        (CWD, b"/h/", b"/h"),
        (CWD, b"//h/./a/../b", b"/h/b"),
        (CWD, b"/h/b/", b"/h/b/"),
        (CWD, b"/hh", None),
        (CWD, b"/h/../etc/passwd", None),
        (CWD, b"/h/native", None),
        (CWD, b"/x", None),
        (CWD, b"/x/y/z", b"/x/y/z"),
        (CWD, b"h/b", b"/h/b"),
        (CWD, b"", None),
        (4, b"b", b"/h/dir/b"),
        (4, b"../..", None),
        (5, b"../h/b", b"/h/b"),
        (5, b"b", None),
        (9, b"b", None),
        (9, b"/h/b", b"/h/b"),
    ],
)
def test_which_names_are_homes(dirfd: int, name: bytes, path: bytes | None) -> None:
    world = World()
    _, question = world.asked("openat", dirfd, world.name(name), os.O_RDONLY, 0)
    if path is None:
        assert isinstance(question, Continue)
    else:
        assert question == CallHome("open", -1, (path,), (0, 0))


def test_an_open_is_handed_in_and_known_from_then_on() -> None:
    world = World()
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    asking, question = world.asked("openat", CWD, world.name(b"/h/new"), flags, 0o640)
    assert question == CallHome("open", -1, (b"/h/new",), (os.O_RDWR | os.O_CREAT, 0o640))
    stand_in = StandIn(22, "file", 5, 500, b"/h/new")
    assert answer(asking, Opened(60, stand_in)) == ReturnFd(60, cloexec=True)
    world.tracee.stats[6] = stat_of(5, 500)
    assert world.fds.find(world.tracee, 6) == stand_in  # type: ignore[arg-type]
    world.fds.remove(stand_in)
    assert world.fds.find(world.tracee, 6) is None  # type: ignore[arg-type]


def test_an_error_of_home_is_the_programs() -> None:
    world = World()
    asking, _ = world.asked("open", world.name(b"/h/none"), os.O_RDONLY, 0)
    assert answer(asking, OSError(errno.ENOENT, "")) == Fail(errno.ENOENT)


def test_every_call_with_a_path_is_either_asked_or_documented() -> None:
    """What `restrict` must confine changes something: here it must go home."""
    left = PATH_CALLS.keys() - CALLS.keys() - set(OPENS)
    assert {name for name in left if PATH_CALLS[name][0] is not Fate.REFUSED} == {
        "chdir", "execve", "execveat", "inotify_add_watch", "name_to_handle_at",
    }  # fmt: skip


def fields(raw: bytes, layout: str, *places: int) -> list[int]:
    found = struct.unpack_from(layout, raw)
    return [found[place] for place in places]


def test_stat_is_homes() -> None:
    world = World()
    path = world.name(b"/h/a")
    for name, args in (
        ("stat", (path, BUFFER)),
        ("newfstatat", (CWD, path, BUFFER, 0)),
        ("newfstatat", (3, world.name(b""), BUFFER, AT_EMPTY_PATH)),
        ("fstat", (3, BUFFER)),
    ):
        asking, question = world.asked(name, *args)
        assert question in (CallHome("stat", -1, (b"/h/a",), (1,)), CallHome("fstat", 20))
        assert answer(asking, (0, FACTS, b"")) == Return(0)
        found = fields(world.tracee.read(BUFFER, 144), "=3Q4IQ3q6q", 0, 1, 2, 3, 4, 5, 8, 11, 12)
        assert found == [5, 77, 1, 0o100640, 1000, 1001, 123456, 10**9, 7]
    assert len(FACTS) == len(FIELDS)


def test_links_are_followed_as_asked() -> None:
    world = World()
    path = world.name(b"/h/a")
    assert world.asked("lstat", path, BUFFER)[1].numbers == (0,)
    assert world.asked("newfstatat", CWD, path, BUFFER, AT_SYMLINK_NOFOLLOW)[1].numbers == (0,)
    asking, question = world.asked("statx", CWD, path, 0, 0x7FF, BUFFER)
    assert question.numbers == (1,)
    assert answer(asking, (0, FACTS, b"")) == Return(0)
    found = fields(world.tracee.read(BUFFER, 256), "=IIQIIIHHQQ", 0, 3, 4, 5, 6, 8, 9)
    assert found == [0x7FF, 1, 1000, 1001, 0o100640, 77, 123456]


def test_two_names_are_on_one_side() -> None:
    world = World()
    here, there = world.name(b"/h/a"), world.name(b"/elsewhere")
    assert world.asked("rename", here, there)[1] == Fail(errno.EXDEV)
    assert world.asked("link", there, here)[1] == Fail(errno.EXDEV)
    assert isinstance(world.asked("rename", there, there)[1], Continue)
    assert world.asked("rename", here, here)[1] == CallHome("rename", -1, (b"/h/a", b"/h/a"))
    assert world.asked("renameat2", CWD, here, CWD, here, 1)[1] == Fail(errno.EINVAL)


def test_a_descriptors_own_link_is_homes_name() -> None:
    world = World()
    link = world.name(b"/proc/self/fd/3")
    assert world.asked("readlink", link, BUFFER, 99)[1] == Return(len(b"/h/file"))
    assert world.tracee.read(BUFFER, 7) == b"/h/file"
    assert world.asked("readlink", link, BUFFER, 2)[1] == Return(2)
    assert isinstance(
        world.asked("readlink", world.name(b"/proc/self/fd/5"), BUFFER, 9)[1], Continue
    )


def test_times() -> None:
    world = World()
    now, omit = (1 << 30) - 1, (1 << 30) - 2
    when = world.put(struct.pack("4q", 5, 6, 0, omit))
    path = world.name(b"/h/a")
    assert world.asked("utimensat", CWD, path, when, 0)[1].numbers == (5 * 10**9 + 6, OMIT, 1)
    assert world.asked("utimensat", 3, 0, 0, 0)[1] == CallHome("futimens", 20, (), (NOW, NOW, 1))
    when = world.put(struct.pack("4q", 0, now, 1, 10**9))
    assert world.asked("utimensat", CWD, path, when, 0)[1] == Fail(errno.EINVAL)
    when = world.put(struct.pack("4q", 1, 2, 3, 4))
    assert world.asked("utimes", path, when)[1].numbers == (10**9 + 2000, 3 * 10**9 + 4000, 1)
    assert world.asked("utime", path, when)[1].numbers == (10**9, 2 * 10**9, 1)


def test_writes_go_in_pieces_and_stop_at_a_short_one() -> None:
    world = World()
    data = world.put(b"abc")
    asking, question = world.asked("write", 3, data, 3)
    assert question == CallHome("write", 20, (), (-1, 0), b"abc")
    assert answer(asking, (2, [], b"")) == Return(2)
    asking, question = world.asked("pwrite64", 3, data, 2, 9)
    assert question == CallHome("write", 20, (), (9, 0), b"ab")
    assert answer(asking, OSError(errno.ENOSPC, "")) == Fail(errno.ENOSPC)
    assert world.asked("pwrite64", 3, data, 2, -9)[1] == Fail(errno.EINVAL)
    assert isinstance(world.asked("write", 5, data, 2)[1], Continue)
    assert world.asked("write", 3, 8, 2)[1] == Fail(errno.EFAULT)


def test_a_wrong_buffer_leaves_a_files_offset() -> None:
    world = World()
    asking, _ = world.asked("read", 3, 8, 5)
    assert asking.send(b"12345") == SeekHome(20, -5, os.SEEK_CUR)
    assert answer(asking, 0) == Fail(errno.EFAULT)


def test_what_cannot_be_is_refused_and_only_for_homes() -> None:
    world = World()
    refused = {
        ("mmap", 0, 4096, 3, 1, 3, 0): errno.ENODEV,
        ("fgetxattr", 3, 0, 0, 0): errno.EOPNOTSUPP,
        ("copy_file_range", 5, 0, 3, 0, 9, 0): errno.EINVAL,
        ("sendfile", 3, 5, 0, 9): errno.EINVAL,
    }
    for (name, *args), number in refused.items():
        assert world.asked(name, *args)[1] == Fail(number), name
        elsewhere = [5 if value == 3 else value for value in args]
        assert isinstance(world.asked(name, *elsewhere)[1], Continue), name


def test_a_mode_of_fallocate_is_homes_to_refuse() -> None:
    asked = World().asked("fallocate", 3, 1, 0, 9)[1]
    assert (asked.call, asked.numbers) == ("fallocmode", (0, 9, 1))


def test_being_in_a_directory_of_home() -> None:
    world = World()
    world.tracee.directory = "/tmp/stand-in (deleted)"
    assert world.asked("getcwd", BUFFER, 99)[1] == Return(len(b"/h/dir") + 1)
    assert world.tracee.read(BUFFER, 7) == b"/h/dir\0"
    assert world.asked("getcwd", BUFFER, 6)[1] == Fail(errno.ERANGE)
    assert world.asked("open", world.name(b"b"), 0, 0)[1].paths == (b"/h/dir/b",)


def test_a_map_is_filled_with_what_home_has(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    own = os.memfd_create("stand-in")
    monkeypatch.setattr(world.tracee, "fd_dup", lambda fd: os.dup(own))
    monkeypatch.setattr(world.fds, "leading", lambda seen: FILE)
    asking, question = world.asked("mmap", 0, 4096, 1, 2, 3, 0)
    assert question == CallHome("fstat", 20)
    facts = [*FACTS]
    facts[FIELDS.index("size")] = 6
    assert asking.send((0, facts, b"")) == ReadHome(20, 6, False, 0)
    assert asking.send(b"abc") == ReadHome(20, 3, False, 3)
    assert isinstance(answer(asking, b"def"), Continue)
    assert os.pread(own, 99, 0) == b"abcdef"
    asking, _ = world.asked("mmap", 0, 4096, 1, 1, 3, 0)
    facts[FIELDS.index("size")] = 1 << 40
    assert answer(asking, (0, facts, b"")) == Fail(errno.ENODEV)
    os.close(own)


def test_locks() -> None:
    world = World()
    asking, question = world.asked("flock", 3, 2)
    assert question == CallHome("flock", 20, (), (2,))
    assert answer(asking, OSError(errno.EAGAIN, "")) == Fail(errno.EAGAIN)
    lock = world.put(struct.pack("=hh4xqqi4x", 1, 0, 5, 7, 99))
    asking, question = world.asked("fcntl", 3, 7, lock)
    assert question == CallHome("setlkw", 20, (), (1, 0, 5, 7))
    assert answer(asking, (0, [], b"")) == Return(0)
    asking, question = world.asked("fcntl", 3, 5, lock)
    assert answer(asking, (0, [2, 0, 0, 0, -1], b"")) == Return(0)
    assert struct.unpack("=hh4xqqi4x", world.tracee.read(lock, 32)) == (2, 0, 0, 0, -1)
    assert isinstance(world.asked("flock", 5, 2)[1], Continue)

"""Home's half of calls on listed paths: who may speak of what, and what is given back."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glunix.home.calls.files import FIRST, HomeFiles

Sent = list[list[object]]


class Home:
    """A HomeFiles for one directory; `ask` makes one call and returns its answer."""

    def __init__(self, place: Path) -> None:
        self.sent: Sent = []
        self.added: list[int] = []
        self.removed: list[int] = []
        self.epoll = select.epoll()
        self.place = place
        self.files = HomeFiles(
            [os.fsencode(place)],
            self.sent.append,
            self.epoll,
            lambda number, fd: self.added.append(number),
            self.removed.append,
            {},
        )

    def path(self, name: str) -> bytes:
        return os.fsencode(self.place) + b"/" + name.encode()

    def ask(self, call: str, fd: int = -1, *names: bytes, numbers: tuple[int, ...] = (),
            data: bytes = b"", umask: int = 0o22) -> list[object]:  # fmt: skip
        self.files.call(1, call, fd, list(names), list(numbers), data, umask)
        return self.sent.pop() if self.sent else []

    def later(self) -> list[object]:
        """The answer to a call that had to wait."""
        ((own, _),) = self.epoll.poll(10)
        assert self.files.ready(own)
        return self.sent.pop()

    def open(self, name: str, flags: int, mode: int = 0o666, umask: int = 0o22) -> int:
        answer = self.ask("open", -1, self.path(name), numbers=(flags, mode), umask=umask)
        assert answer[3] == 0, os.strerror(int(str(answer[3])))
        return int(str(answer[2]))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    before = set(os.listdir("/proc/self/fd"))
    (tmp_path / "h").mkdir()
    (tmp_path / "outside").write_text("secret")
    made = Home(tmp_path / "h")
    yield made
    made.files.end()
    made.epoll.close()
    assert set(os.listdir("/proc/self/fd")) == before


def error_of(answer: list[object]) -> str:
    return errno.errorcode.get(int(str(answer[3])), "")


def test_files_are_made_with_the_callers_umask(home: Home) -> None:
    own = os.umask(0o77)
    try:
        assert home.open("a", os.O_WRONLY | os.O_CREAT, 0o666, umask=0o2) == FIRST
        assert os.stat(home.path("a")).st_mode & 0o777 == 0o664
        assert os.umask(0o77) == 0o77
    finally:
        os.umask(own)


@pytest.mark.parametrize("call", ["open", "stat", "unlink", "readlink", "truncate", "mkdir"])
def test_only_what_is_listed(home: Home, call: str) -> None:
    outside = os.fsencode(home.place.parent) + b"/outside"
    numbers = (0, 0)
    for path in (outside, b"/etc/passwd", home.path("../outside"), home.path("") + b"../outside"):
        assert error_of(home.ask(call, -1, path, numbers=numbers)) == "EACCES", path
    assert os.stat(outside).st_size == len("secret")


def test_links_that_lead_out_are_not_followed(home: Home) -> None:
    os.symlink("../outside", home.path("link"))
    os.symlink("..", home.path("up"))
    os.symlink("a", home.path("in"))
    Path(os.fsdecode(home.path("a"))).write_text("a")
    assert error_of(home.ask("open", -1, home.path("link"), numbers=(0, 0))) == "EACCES"
    assert error_of(home.ask("open", -1, home.path("up/outside"), numbers=(0, 0))) == "EACCES"
    assert error_of(home.ask("stat", -1, home.path("link"), numbers=(1,))) == "EACCES"
    assert error_of(home.ask("unlink", -1, home.path("up/outside"))) == "EACCES"
    assert error_of(home.ask("rename", -1, home.path("a"), home.path("up/stolen"))) == "EACCES"
    assert home.ask("stat", -1, home.path("link"), numbers=(0,))[3] == 0
    assert home.ask("readlink", -1, home.path("link"))[5] == b"../outside"
    assert home.ask("stat", -1, home.path("in"), numbers=(1,))[3] == 0


def test_numbers_are_given_again(home: Home) -> None:
    first, second = (home.open("a", os.O_RDWR | os.O_CREAT) for _ in range(2))
    home.files.close(first)
    assert home.removed == [first]
    assert home.open("a", os.O_RDONLY) == first != second
    home.files.close(first)
    home.files.close(first)  # told twice: nothing
    assert error_of(home.ask("fstat", first)) == "EBADF"


def test_words_nobody_knows_are_errors(home: Home) -> None:
    fd = home.open("a", os.O_RDWR | os.O_CREAT)
    assert error_of(home.ask("no-such-call", -1, home.path("a"))) == "EINVAL"
    assert error_of(home.ask("no-such-call", fd)) == "EINVAL"
    assert error_of(home.ask("stat", -1)) == "EINVAL"
    assert error_of(home.ask("ftruncate", fd)) == "EINVAL"
    assert error_of(home.ask("ftruncate", fd, numbers=(1 << 70,))) == "EINVAL"
    assert error_of(home.ask("stat", -1, b"/h\0x", numbers=(1,))) in ("EINVAL", "EACCES")


def test_a_fifo_does_not_hold_up_the_job(home: Home) -> None:
    assert home.ask("mknod", -1, home.path("p"), numbers=(0o010600,))[3] == 0
    answer = home.ask("open", -1, home.path("p"), numbers=(os.O_WRONLY | os.O_NONBLOCK, 0))
    assert error_of(answer) == "ENXIO"
    assert home.ask("open", -1, home.path("p"), numbers=(os.O_RDONLY, 0)) == []
    os.close(os.open(home.path("p"), os.O_WRONLY))
    assert home.later()[3:] == [0, [], b"tty"]
    assert home.ask("open", -1, home.path("p"), numbers=(os.O_RDONLY, 0)) == []
    home.files.unwant(1)
    assert error_of(home.sent.pop()) == "EINTR"


def test_a_directory_in_pieces(home: Home) -> None:
    for number in range(40):
        Path(os.fsdecode(home.path(f"entry{number}"))).touch()
    answer = home.ask("open", -1, os.fsencode(home.place), numbers=(os.O_DIRECTORY, 0))
    assert answer[5] == b"dir" and home.added == []
    fd, names = int(str(answer[2])), []
    while data := home.ask("getdents", fd, numbers=(100,))[5]:
        assert isinstance(data, bytes)
        while data:
            size = int.from_bytes(data[16:18], "little")
            names.append(data[19:size].rstrip(b"\0").decode())
            data = data[size:]
    assert sorted(names) == sorted([".", "..", *os.listdir(home.place)])
    assert error_of(home.ask("getdents", fd, numbers=(5,))) == ""
    assert home.files.seek(fd, 0, os.SEEK_SET) == 0
    assert error_of(home.ask("getdents", fd, numbers=(5,))) == "EINVAL"


def test_a_write_that_waits_is_made_when_there_is_room_or_given_up(home: Home) -> None:
    master, slave = os.openpty()
    name = os.ttyname(slave)
    other = HomeFiles([name.encode()], home.sent.append, home.epoll, lambda *_: None, print, {})
    other.call(1, "open", -1, [name.encode()], [os.O_RDWR, 0], b"", 0)
    fd = home.sent.pop()[2]
    write: Any = [2, "write", fd, [], [-1, 0], b"x" * 4096, 0]
    count = -1
    while len(home.sent) > count:  # until one waits
        count = len(home.sent)
        other.call(*write)
    home.sent.clear()
    os.set_blocking(master, False)
    for _ in range(1000):
        with contextlib.suppress(BlockingIOError):
            os.read(master, 65536)
        for own, _events in home.epoll.poll(0.01):
            assert other.ready(own)
        if home.sent:
            break
    assert home.sent[0][1] == 2 and int(str(home.sent[0][2])) > 0
    other.end()
    os.close(master)
    os.close(slave)

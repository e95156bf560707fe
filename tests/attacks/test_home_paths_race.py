"""Names under --home that are exchanged while home's half is at them: what is outside stays so.

Two kinds of attack: an exchange exactly between the check and the act (the place where a careful
attacker waits), and one that goes on all the time in a process of its own, as a real one would.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glunix.home.calls import files, pinned
from glunix.home.calls.files import HomeFiles

SECRET = b"the private key"


class Home:
    """A HomeFiles for `listed`; beside it `outside` with what nobody may reach."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.listed = place / "listed"
        self.outside = place / "outside"
        for folder in (self.listed, self.outside, self.listed / "d"):
            folder.mkdir()
        (self.outside / "key").write_bytes(SECRET)
        (self.outside / "key").chmod(0o600)
        self.sent: list[list[object]] = []
        self.epoll = select.epoll()
        self.files = HomeFiles(
            [os.fsencode(self.listed)],
            self.sent.append,
            self.epoll,
            lambda number, fd: None,
            lambda number: None,
            {},
        )

    def ask(self, call: str, *names: str, numbers: tuple[int, ...] = (), data: bytes = b"",
            fd: int = -1) -> list[object]:  # fmt: skip
        paths = [os.fsencode(self.listed / name) for name in names]
        self.files.call(1, call, fd, paths, list(numbers), data, 0o22)
        return self.sent.pop() if self.sent else []

    def facts(self) -> tuple[object, ...]:
        """All that an attack could have changed."""
        seen = (self.outside / "key").stat()
        entries = sorted(os.listdir(self.outside))
        times = seen.st_mtime_ns, seen.st_nlink, seen.st_mode, seen.st_uid
        return entries, (self.outside / "key").read_bytes(), times, os.stat(self.outside).st_mode

    def close(self) -> None:
        self.files.end()
        self.epoll.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    before = set(os.listdir("/proc/self/fd"))
    made = Home(tmp_path)
    yield made
    made.close()
    assert set(os.listdir("/proc/self/fd")) == before


def read(home: Home, answer: list[object]) -> bytes:
    """What an open file that was got holds."""
    if not answer or answer[3]:
        return b""
    try:
        return os.pread(home.files.descriptor(int(str(answer[2]))), 100, 0)
    except OSError:
        return b""  # it is open for writing


# -- exactly between the check and the act -----------------------------------------------------
def exchanged(path: Path, target: Path) -> None:
    """What is at `path` is a link to `target` now."""
    path.rename(path.with_name("was"))
    path.symlink_to(target)


def test_a_fifo_that_is_exchanged_for_a_link_to_a_key(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The open waits in a process of its own, which must not look the name up again."""
    os.mkfifo(home.listed / "p")

    class Late(files.BareOpen):
        def __init__(self, *how: object) -> None:
            exchanged(home.listed / "p", home.outside / "key")
            super().__init__(*how)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "BareOpen", Late)
    assert home.ask("open", "p", numbers=(os.O_RDONLY, 0)) == []
    writer = os.open(home.listed / "was", os.O_WRONLY)
    os.write(writer, b"through the fifo")
    ((own, _),) = home.epoll.poll(10)
    assert home.files.ready(own)
    answer = home.sent.pop()
    assert os.read(home.files.descriptor(int(str(answer[2]))), 100) == b"through the fifo"
    os.close(writer)


ON_A_FILE: dict[str, tuple[str, tuple[int, ...]]] = {
    "open": ("open", (os.O_RDONLY, 0)),
    "open and truncate": ("open", (os.O_WRONLY | os.O_TRUNC, 0)),
    "open or make": ("open", (os.O_RDWR | os.O_CREAT, 0o666)),
    "truncate": ("truncate", (0,)),
    "chmod": ("chmod", (0o777, 1)),
    "chmod of a link": ("chmod", (0o777, 0)),
    "chown": ("chown", (12345, 12345, 1)),
    "chown of a link": ("chown", (12345, 12345, 0)),
    "utime": ("utime", (1, 1, 1)),
    "utime of a link": ("utime", (1, 1, 0)),
    "stat": ("stat", (1,)),
    "access": ("access", (os.R_OK, 1)),
    "link": ("link", (1,)),
}


@pytest.mark.parametrize("what", ON_A_FILE)
def test_a_file_that_is_exchanged_after_the_check(
    home: Home, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    call, numbers = ON_A_FILE[what]
    (home.listed / "f").write_bytes(b"")
    before, done = home.facts(), []
    real = pinned.place_of

    def late(fd: int) -> bytes:
        found = real(fd)
        if not done and found.endswith(b"/f"):
            done.append(exchanged(home.listed / "f", home.outside / "key"))
        return found

    monkeypatch.setattr(pinned, "place_of", late)
    answer = home.ask(call, *(("f", "new") if call == "link" else ("f",)), numbers=numbers)
    assert home.facts() == before
    assert SECRET not in (read(home, answer) if call == "open" else b"")
    if call == "stat":
        assert (home.outside / "key").stat().st_ino not in answer[4]  # type: ignore[operator]
    if call == "link":
        assert (home.listed / "new").read_bytes() == b""


IN_A_FOLDER: dict[str, tuple[str, tuple[str, ...], tuple[int, ...], bytes]] = {
    "make": ("open", ("d/new",), (os.O_WRONLY | os.O_CREAT, 0o666), b""),
    "make anew": ("open", ("d/new",), (os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), b""),
    "mkdir": ("mkdir", ("d/new",), (0o777,), b""),
    "mknod": ("mknod", ("d/new",), (0o100666,), b""),
    "symlink": ("symlink", ("d/new",), (), b"/etc"),
    "unlink": ("unlink", ("d/key",), (), b""),
    "rmdir": ("rmdir", ("d/sub",), (), b""),
    "rename out": ("rename", ("d/key", "stolen"), (), b""),
    "rename in": ("rename", ("f", "d/key"), (), b""),
    "link": ("link", ("d/key", "stolen"), (0,), b""),
    "link in": ("link", ("f", "d/new"), (0,), b""),
    "readlink": ("readlink", ("d/link",), (), b""),
    "chown": ("chown", ("d/key",), (12345, 12345, 0), b""),
    "utime": ("utime", ("d/key",), (1, 1, 0), b""),
    "access": ("access", ("d/key",), (os.R_OK, 0), b""),
}


@pytest.mark.parametrize("what", IN_A_FOLDER)
def test_a_folder_that_is_exchanged_after_the_check(
    home: Home, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    call, names, numbers, data = IN_A_FOLDER[what]
    (home.listed / "f").write_bytes(b"")
    (home.outside / "sub").mkdir()
    (home.outside / "link").symlink_to("/a/secret/place")
    before, done = home.facts(), []
    real = pinned.place_of

    def late(fd: int) -> bytes:
        found = real(fd)
        if not done and found.endswith(b"/d"):
            done.append(exchanged(home.listed / "d", home.outside))
        return found

    monkeypatch.setattr(pinned, "place_of", late)
    answer = home.ask(call, *names, numbers=numbers, data=data)
    assert done, "the exchange was not made: this attack has shown nothing"
    assert home.facts() == before
    assert not os.path.lexists(home.listed / "stolen")
    assert b"secret" not in bytes(answer[5])  # type: ignore[call-overload]


def test_a_link_that_leads_to_nothing_outside_makes_nothing_there(home: Home) -> None:
    (home.listed / "l").symlink_to(home.outside / "new")
    (home.listed / "in").symlink_to("d/new")
    answer = home.ask("open", "l", numbers=(os.O_WRONLY | os.O_CREAT, 0o666))
    assert answer[3] == errno.EACCES and not (home.outside / "new").exists()
    answer = home.ask("open", "in", numbers=(os.O_WRONLY | os.O_CREAT, 0o666))
    assert answer[3] == 0 and (home.listed / "d" / "new").exists()


def test_flags_that_no_program_means_are_not_passed_on(home: Home) -> None:
    (home.listed / "f").write_bytes(b"")
    answer = home.ask("open", "f", numbers=(os.O_RDWR | os.O_ASYNC | 1 << 40, -1))
    assert answer[3] == 0


# -- all the time ----------------------------------------------------------------------------
EXCHANGE = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
a, b = (os.fsencode(word) for word in sys.argv[1:3])
print("begins", flush=True)
while os.getppid() == int(sys.argv[3]):
    for _ in range(1000):
        libc.renameat2(-100, a, -100, b, 2)
"""
"""Exchanges two names for ever (renameat2(2), RENAME_EXCHANGE)."""

SECONDS = 1.0


@contextlib.contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    words = [sys.executable, "-c", EXCHANGE, str(one), str(other), str(os.getpid())]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as attacker:
        assert attacker.stdout is not None and attacker.stdout.readline() == b"begins\n"
        try:
            yield
        finally:
            attacker.kill()


RACES: dict[str, Callable[[Home], object]] = {
    "read": lambda home: home.ask("open", "f", numbers=(os.O_RDONLY, 0)),
    "write": lambda home: home.ask("open", "f", numbers=(os.O_WRONLY | os.O_TRUNC, 0)),
    "truncate": lambda home: home.ask("truncate", "f", numbers=(0,)),
    "chmod": lambda home: home.ask("chmod", "f", numbers=(0o666, 1)),
    "read in a folder": lambda home: home.ask("open", "d/key", numbers=(os.O_RDONLY, 0)),
    "make in a folder": lambda home: home.ask("open", "d/n", numbers=(os.O_CREAT, 0o666)),
    "unlink in a folder": lambda home: home.ask("unlink", "d/key"),
    "rename out of a folder": lambda home: home.ask("rename", "d/key", "stolen"),
}


@pytest.mark.parametrize("what", RACES)
def test_names_that_are_exchanged_all_the_time(home: Home, what: str) -> None:
    (home.listed / "f").write_bytes(b"mine")
    (home.listed / "link").symlink_to(home.outside / "key")
    (home.listed / "out").symlink_to(home.outside)
    before = home.facts()
    pair = ("d", "out") if "folder" in what else ("f", "link")
    refused = served = 0
    with exchanging(home.listed / pair[0], home.listed / pair[1]):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            answer = RACES[what](home)
            assert isinstance(answer, list)
            if what.startswith("read"):
                assert SECRET not in read(home, answer)
            if answer[3] == 0 and answer[2]:
                home.files.close(int(str(answer[2])))
            refused += answer[3] == errno.EACCES
            served += answer[3] != errno.EACCES
    assert refused and served, "one of both was never there: the race has shown nothing"
    assert home.facts() == before
    assert not (home.listed / "stolen").exists()

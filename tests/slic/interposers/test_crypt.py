"""crypt without an engine: every caught call against a plain file, keys, borders, memory."""

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_tracee import OwnTracee, taken

pytest.importorskip("cryptography", reason="the package `cryptography` is missing")

from slic.interposers.crypt import Crypt
from slic.interposers.restrict import Image, Restrict, Rules
from slic.interposers.support.cipherheader import FIRST_MAGIC, MAGIC, secret
from slic.interposers.support.plaintext import KEPT
from slic.interposers.support.statbuf import pack_stat, pack_statx
from slic.verdict import Continue, Fail, Return, Verdict

CWD = -100
KEY = bytes(range(32))


class Room:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "secret"
        self.folder.mkdir()
        self.tracee = OwnTracee()
        self.crypt = Crypt(str(self.folder), KEY)
        self.fds: list[int] = []

    def ask(self, name: str, *args: Any) -> Verdict:
        words = [os.fspath(a) if isinstance(a, Path) else a for a in args]
        return self.tracee.ask([self.crypt], name, *words)

    def open(self, name: str, flags: int = os.O_RDWR | os.O_CREAT) -> int:
        fd = taken(self.ask("openat", CWD, self.folder / name, flags, 0o640))
        self.fds.append(fd)
        return fd

    def make(self, name: str, text: bytes) -> int:
        fd = self.open(name)
        assert self.ask("write", fd, text, len(text)) == Return(len(text))
        return fd

    def raw(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    for fd in made.fds:
        os.close(fd)
    made.crypt.finished()


def test_what_is_written_is_stored_encrypted_and_read_plain(room: Room) -> None:
    fd = room.make("f", b"attack at dawn")
    assert room.raw("f").startswith(MAGIC)
    assert b"attack" not in room.raw("f")
    assert os.lseek(fd, 0, os.SEEK_CUR) == 14  # the descriptor's own offset moved
    assert os.pread(fd, 100, 0) == b"attack at dawn"
    other = room.open("f", os.O_RDONLY)
    assert os.read(other, 6) == b"attack"
    assert stat.S_IMODE((room.folder / "f").stat().st_mode) == 0o640 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_another_supervisor_reads_it_and_a_wrong_key_does_not(room: Room) -> None:
    room.make("f", b"x" * 10000)
    for key, expected in ((KEY, b"x" * 10000), (bytes(32), errno.EACCES)):
        other = Crypt(str(room.folder), key)
        verdict = room.tracee.ask([other], "open", str(room.folder / "f"), 0, 0)
        if isinstance(expected, int):
            assert verdict == Fail(expected)
        else:
            fd = taken(verdict)
            assert os.read(fd, 20000) == expected
            os.close(fd)
        other.finished()


def test_every_writing_call(room: Room) -> None:
    fd = room.make("f", b"0123456789")
    vector = b"".join(
        struct.pack("=QQ", room.tracee.put(part), len(part)) for part in (b"AB", b"", b"CDE")
    )
    assert room.ask("pwrite64", fd, b"xy", 2, 3) == Return(2)
    assert os.pread(fd, 99, 0) == b"012xy56789"
    os.lseek(fd, 1, os.SEEK_SET)
    assert room.ask("writev", fd, vector, 3) == Return(5)
    assert os.pread(fd, 99, 0) == b"0ABCDE6789"
    assert os.lseek(fd, 0, os.SEEK_CUR) == 6
    assert room.ask("pwritev", fd, vector, 3, 8, 0) == Return(5)
    assert room.ask("pwritev2", fd, vector, 1, -1, -1, 0) == Return(2)
    assert room.ask("pwritev2", fd, vector, 1, 0, 0, 0x10) == Return(2)  # RWF_APPEND
    assert os.pread(fd, 99, 0) == b"0ABCDEAB" + b"ABCDE" + b"AB"
    assert os.lseek(fd, 0, os.SEEK_CUR) == 8
    os.lseek(fd, 20, os.SEEK_SET)
    assert room.ask("write", fd, b"z", 1) == Return(1)
    assert os.pread(fd, 99, 14) == b"B" + bytes(5) + b"z"
    again = Crypt(str(room.folder), KEY)
    copy = taken(room.tracee.ask([again], "open", str(room.folder / "f"), 0, 0))
    assert os.read(copy, 99) == os.pread(fd, 99, 0)
    os.close(copy)
    again.finished()


def test_errors_of_writing(room: Room) -> None:
    room.make("f", b"text")
    reader = room.open("f", os.O_RDONLY)
    assert room.ask("write", reader, b"x", 1) == Fail(errno.EBADF)
    assert room.ask("ftruncate", reader, 0) == Fail(errno.EINVAL)
    writer = room.open("f", os.O_WRONLY)
    assert room.ask("pwrite64", writer, b"x", 1, -5) == Fail(errno.EINVAL)
    assert room.ask("write", writer, 3, 5) == Fail(errno.EFAULT)
    assert room.ask("pwritev2", writer, b"", 0, 0, 0, 0x40) == Fail(errno.EOPNOTSUPP)
    assert isinstance(room.ask("write", 1, b"x", 1), Continue)
    assert isinstance(room.ask("write", 999, b"x", 1), Continue)
    assert os.pread(reader, 9, 0) == b"text"


def test_appending_ignores_the_offset(room: Room) -> None:
    room.make("f", b"first ")
    fd = room.open("f", os.O_WRONLY | os.O_APPEND)
    assert room.ask("write", fd, b"second", 6) == Return(6)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 12
    os.lseek(fd, 0, os.SEEK_SET)
    assert room.ask("write", fd, b"!", 1) == Return(1)
    assert os.read(room.open("f", os.O_RDONLY), 99) == b"first second!"


def test_descriptors_share_their_offset(room: Room) -> None:
    fd = room.open("f")
    twin = os.dup(fd)
    room.fds.append(twin)
    room.ask("write", fd, b"one", 3)
    room.ask("write", twin, b"two", 3)
    assert os.pread(fd, 99, 0) == b"onetwo"


def test_truncating(room: Room) -> None:
    fd = room.make("f", b"0123456789")
    assert room.ask("ftruncate", fd, 4) == Return(0)
    assert os.pread(fd, 99, 0) == b"0123"
    assert room.ask("ftruncate", fd, 6) == Return(0)
    assert os.pread(fd, 99, 0) == b"0123\0\0"
    assert room.ask("ftruncate", fd, -1) == Fail(errno.EINVAL)
    assert room.ask("truncate", room.folder / "f", 2) == Return(0)
    assert os.fstat(fd).st_size == 2
    assert room.ask("fallocate", fd, 0, 5, 5) == Return(0)
    assert os.fstat(fd).st_size == 10
    assert room.ask("fallocate", fd, 1, 50, 5) == Return(0)
    assert room.ask("fallocate", fd, 3, 0, 5) == Fail(errno.EOPNOTSUPP)
    assert os.fstat(fd).st_size == 10
    again = room.open("f", os.O_RDWR | os.O_TRUNC)
    assert os.fstat(again).st_size == os.fstat(fd).st_size == 0
    assert room.ask("write", again, b"new", 3) == Return(3)
    assert os.pread(fd, 9, 0) == b"new"


def test_truncating_through_dev_fd(room: Room) -> None:
    fd = room.make("f", b"0123456789")
    verdict = room.ask("open", f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_TRUNC, 0)
    assert isinstance(verdict, Continue)
    assert (room.folder / "f").stat().st_size == os.fstat(fd).st_size == 0


def size_told(room: Room, call: str, *args: Any) -> int:
    answer = room.tracee.put(bytes(256))
    spread = [answer if a == "out" else a for a in args]
    verdict = room.ask(call, *spread)
    assert verdict == Return(0), verdict
    raw = room.tracee.read(answer, 256)
    at = 40 if call == "statx" else 48
    return int.from_bytes(raw[at : at + 8], "little")


def test_sizes_told(room: Room) -> None:
    fd = room.make("f", b"x" * 5000)
    path = room.folder / "f"
    (room.folder / "link").symlink_to("f")
    asked: list[tuple[Any, ...]] = [
        ("fstat", fd, "out"),
        ("stat", path, "out"),
        ("lstat", path, "out"),
        ("stat", room.folder / "link", "out"),
        ("newfstatat", CWD, path, "out", 0),
        ("newfstatat", fd, "", "out", 0x1000),
        ("statx", CWD, path, 0, 0x7FF, "out"),
        ("statx", fd, "", 0x1000, 0x7FF, "out"),
    ]
    words = [[os.fspath(a) if isinstance(a, Path) else a for a in row] for row in asked]
    for row in words:
        # "out" is a word of this test only, and never a path here
        assert size_told(room, *row) == 5000, row
    link = str(room.folder / "link")
    assert isinstance(room.ask("lstat", link, room.tracee.put(bytes(256))), Continue)
    assert isinstance(room.ask("stat", "/etc/passwd", 0x1000), Continue)
    assert isinstance(room.ask("stat", "/nowhere", 0x1000), Continue)
    unopened = os.open(room.folder / "f", os.O_PATH)
    room.fds.append(unopened)
    assert size_told(room, "newfstatat", unopened, "", "out", 0x1000) == 5000


def test_the_status_told_is_the_real_files(room: Room) -> None:
    fd = room.make("f", b"x")
    real = (room.folder / "f").stat()
    answer = room.tracee.put(bytes(256))
    assert room.ask("fstat", fd, answer) == Return(0)
    assert room.tracee.read(answer, 144) == pack_stat(real, 1)


def test_packed_structures_have_the_kernels_layout() -> None:
    """Compared with what the kernel itself writes, through libc."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    raw = ctypes.create_string_buffer(256)
    status = os.stat("/etc/passwd")
    assert libc.syscall(4, b"/etc/passwd", raw) == 0
    assert raw.raw[:144] == pack_stat(status, status.st_size)
    assert libc.syscall(332, -100, b"/etc/passwd", 0, 0x7FF, raw) == 0
    ours = pack_statx(status, status.st_size)
    assert len(ours) == 256
    for at, size in ((16, 12), (28, 2), (32, 24), (64, 12), (96, 12), (112, 12), (128, 16)):
        assert raw.raw[at : at + size] == ours[at : at + size], at


def test_attributes_go_to_the_real_file(room: Room) -> None:
    fd = room.make("f", b"x")
    assert room.ask("fchmod", fd, 0o600) == Return(0)
    times = struct.pack("=4q", 5, 0, 6, 0)
    assert room.ask("utimensat", fd, 0, times, 0) == Return(0)
    status = (room.folder / "f").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_atime, status.st_mtime) == (0o600, 5, 6)
    assert room.ask("fsync", fd) == Return(0)
    value, out = b"v", room.tracee.put(bytes(100))
    if room.ask("fsetxattr", fd, "user.a", value, 1, 0) == Fail(errno.EOPNOTSUPP):
        return  # this file system has no such attributes
    assert os.getxattr(room.folder / "f", "user.a") == b"v"
    assert room.ask("fgetxattr", fd, "user.a", out, 100) == Return(1)
    assert room.ask("flistxattr", fd, out, 0) == Return(7)
    assert room.ask("flistxattr", fd, out, 3) == Fail(errno.ERANGE)
    assert room.ask("fremovexattr", fd, "user.a") == Return(0)


def test_calls_that_could_go_past_us(room: Room) -> None:
    fd = room.make("f", b"x" * 100)
    plain = os.open("/etc/passwd", os.O_RDONLY)
    room.fds.append(plain)
    assert room.ask("sendfile", fd, plain, 0, 10) == Fail(errno.EINVAL)
    assert room.ask("splice", plain, 0, fd, 0, 10, 0) == Fail(errno.EINVAL)
    assert room.ask("copy_file_range", plain, 0, fd, 0, 10, 0) == Fail(errno.EXDEV)
    assert isinstance(room.ask("sendfile", 1, fd, 0, 10), Continue)
    assert room.ask("mmap", 0, 10, 3, 1, fd, 0) == Fail(errno.ENODEV)
    assert isinstance(room.ask("mmap", 0, 10, 1, 1, fd, 0), Continue)
    assert isinstance(room.ask("mmap", 0, 10, 3, 2, fd, 0), Continue)
    assert isinstance(room.ask("mmap", 0, 10, 3, 0x21, fd, 0), Continue)
    assert room.ask("io_setup", 5, 0) == Fail(errno.ENOSYS)
    assert room.ask("open", room.folder, os.O_TMPFILE | os.O_RDWR, 0) == Fail(errno.EOPNOTSUPP)


def test_the_border(room: Room) -> None:
    room.make("f", b"x")
    outside = room.base / "outside"
    outside.write_text("plain")
    for call in ("rename", "link"):
        assert room.ask(call, room.folder / "f", outside) == Fail(errno.EXDEV)
        assert room.ask(call, outside, room.folder / "g") == Fail(errno.EXDEV)
        assert isinstance(room.ask(call, room.folder / "f", room.folder / "g"), Continue)
        assert isinstance(room.ask(call, outside, room.base / "o"), Continue)
    assert isinstance(room.ask("open", outside, 0, 0), Continue)
    assert isinstance(room.ask("open", room.folder, os.O_RDONLY, 0), Continue)


def test_names_lead_into_the_directory_however_they_are_written(room: Room) -> None:
    room.make("f", b"text")
    (room.base / "in").symlink_to(room.folder / "f")
    (room.folder / "out").symlink_to("/etc/passwd")
    base = os.open(room.base, os.O_PATH)
    room.fds.append(base)
    for name in (f"{room.base}/in", f"{room.folder}/../secret//f"):
        room.fds.append(taken(room.ask("open", name, 0, 0)))
        assert os.read(room.fds[-1], 9) == b"text"
    room.fds.append(taken(room.ask("openat", base, "secret/f", 0, 0)))
    assert os.read(room.fds[-1], 9) == b"text"
    assert isinstance(room.ask("open", room.folder / "out", 0, 0), Continue)


def test_a_file_created_through_a_dangling_link_is_encrypted(room: Room) -> None:
    (room.base / "in").symlink_to(room.folder / "new")
    fd = taken(room.ask("open", room.base / "in", os.O_CREAT | os.O_WRONLY, 0o600))
    room.fds.append(fd)
    assert room.ask("write", fd, b"secret", 6) == Return(6)
    assert room.raw("new").startswith(MAGIC)


def test_a_file_created_elsewhere_is_a_plain_one(room: Room) -> None:
    fd = taken(room.ask("open", room.base / "new", os.O_CREAT | os.O_WRONLY, 0o600))
    room.fds.append(fd)
    assert isinstance(room.ask("write", fd, b"x", 1), Continue)
    assert os.get_blocking(fd)


def test_damaged_and_plain_files_are_errors(room: Room) -> None:
    (room.folder / "plain").write_text("not encrypted")
    assert room.ask("open", room.folder / "plain", 0, 0) == Fail(errno.EIO)
    assert size_told(room, "stat", str(room.folder / "plain"), "out") == 13
    os.close(room.make("f", b"x" * 9000))
    room.fds.clear()
    raw = bytearray(room.raw("f"))
    raw[5000] ^= 1
    (room.folder / "f").write_bytes(raw)
    assert room.ask("open", room.folder / "f", 0, 0) == Fail(errno.EIO)


def test_changes_by_others_are_seen_at_the_next_open(room: Room) -> None:
    fd = room.make("f", b"old")
    other = Crypt(str(room.folder), KEY)
    theirs = taken(room.tracee.ask([other], "open", str(room.folder / "f"), os.O_RDWR, 0))
    assert room.tracee.ask([other], "write", theirs, b"newer", 5) == Return(5)
    os.close(theirs)
    other.finished()
    again = room.open("f", os.O_RDONLY)
    assert os.read(again, 9) == os.pread(fd, 9, 0) == b"newer"


def own_links() -> list[str]:
    paths = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    return [os.readlink(path) for path in paths if os.path.lexists(path)]


def test_memory_of_files_nobody_has_open_is_given_back(room: Room) -> None:
    kept = room.make("kept", b"still open")
    for n in range(3 * KEPT):
        fd = taken(room.ask("creat", room.folder / str(n), 0o600))
        room.ask("write", fd, b"x", 1)
        os.close(fd)
    links = own_links()
    assert sum("slic-crypt" in link for link in links) <= 2 * (KEPT + 1) + 1
    assert room.ask("pwrite64", kept, b"S", 1, 0) == Return(1)
    assert os.pread(kept, 99, 0) == b"Still open"


@pytest.mark.parametrize("call", ["unlink", "unlinkat", "rename", "renameat2"])
def test_the_space_of_a_removed_file_is_given_back(room: Room, call: str) -> None:
    """Nothing of it stays open here: at once if nobody has it open, else when that is closed."""

    def remove(name: str) -> None:
        path, other = room.folder / name, room.folder / "other"
        other.touch()
        arguments: tuple[Any, ...] = (path,)
        if call == "unlinkat":
            arguments = (CWD, path, 0)
        elif call == "rename":
            arguments = (other, path)
        elif call == "renameat2":
            arguments = (CWD, other, CWD, path, 0)
        assert isinstance(room.ask(call, *arguments), Continue)
        os.rename(other, path) if call.startswith("rename") else path.unlink()

    def held() -> int:
        gone = (link for link in own_links() if link.endswith(" (deleted)"))
        return sum(link.startswith(f"{room.folder}/") for link in gone)

    os.close(room.make("closed", b"x" * 9999))
    room.fds.clear()
    remove("closed")
    assert held() == 0
    for told in (
        lambda: room.ask("statfs", room.folder, 0),
        lambda: room.open("new", os.O_WRONLY | os.O_CREAT),
        lambda: room.ask("execve", "/bin/true", 0, 0),
        lambda: room.ask("unlink", room.folder / "nothing"),
    ):
        fd = room.make("opened", b"x" * 9999)
        remove("opened")
        assert held() >= 1
        assert os.pread(fd, 3, 0) == b"xxx"
        assert room.ask("pwrite64", fd, b"y", 1, 0) == Return(1)
        os.close(fd)
        room.fds.remove(fd)
        told()
        assert held() == 0


def test_a_write_without_room_takes_that_of_removed_files(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, removed = room.make("f", b"first"), room.make("removed", b"x" * 9999)
    room.ask("unlink", room.folder / "removed")
    (room.folder / "removed").unlink()
    os.close(removed)
    room.fds.remove(removed)
    real = os.pwrite

    def full_while_it_is_held(to: int, data: Any, at: int) -> int:
        if any("removed (deleted)" in link for link in own_links()):
            raise OSError(errno.ENOSPC, "full")
        return real(to, data, at)

    monkeypatch.setattr(os, "pwrite", full_while_it_is_held)
    assert room.ask("write", fd, b" second", 7) == Return(7)
    assert os.pread(fd, 99, 0) == b"first second"


def test_a_write_that_is_cut_short_moves_the_offset_as_far(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, real = room.make("f", b"begin "), os.pwrite
    held = (room.folder / "f").stat().st_size + 5000

    def short(to: int, data: Any, at: int) -> int:
        if at >= held:
            raise OSError(errno.ENOSPC, "full")
        return real(to, memoryview(data)[: held - at], at)

    monkeypatch.setattr(os, "pwrite", short)
    verdict = room.ask("write", fd, b"x" * 9000, 9000)
    assert isinstance(verdict, Return)
    assert 4096 <= verdict.value < 5000
    assert os.lseek(fd, 0, os.SEEK_CUR) == os.fstat(fd).st_size == 6 + verdict.value
    assert room.ask("write", fd, b"x" * 9000, 9000) == Fail(errno.ENOSPC)
    monkeypatch.undo()
    again = Crypt(str(room.folder), KEY)
    copy = taken(room.tracee.ask([again], "open", str(room.folder / "f"), 0, 0))
    assert os.read(copy, 10000) == b"begin " + b"x" * verdict.value
    os.close(copy)
    again.finished()


def test_a_file_of_the_first_format_is_explained(
    room: Room, capfd: pytest.CaptureFixture[str]
) -> None:
    own = secret(KEY, bytes(16), FIRST_MAGIC)
    sealed = own.cipher.encrypt(bytes(12), b"old", bytes(8))
    (room.folder / "f").write_bytes(FIRST_MAGIC + own.file_id + own.check + bytes(12) + sealed)
    fd = room.open("f")
    assert os.pread(fd, 9, 0) == b"old"
    assert size_told(room, "stat", str(room.folder / "f"), "out") == 3
    for call, *arguments in (("write", b"x", 1), ("ftruncate", 1), ("ftruncate", 9)):
        assert room.ask(str(call), fd, *arguments) == Fail(errno.EROFS)
    told = capfd.readouterr().err
    assert told == f"slic: crypt: {room.folder}/f is of the first format: copy it to change it\n"
    copy = room.open("g")
    assert room.ask("write", copy, b"old", 3) == Return(3)


def test_the_key_file(tmp_path: Path) -> None:
    key, folder = tmp_path / "key", tmp_path / "d"
    folder.mkdir()
    key.write_bytes(KEY)
    argument = f"dir={folder},key={key}"
    for mode in (0o644, 0o640, 0o602):
        key.chmod(mode)
        with pytest.raises(ValueError, match="chmod 600"):
            Crypt.from_argument(argument)
    key.chmod(0o600)
    assert Crypt.from_argument(argument).directory == str(folder)
    for data in (KEY[:31], KEY + b"x", b""):
        key.write_bytes(data)
        with pytest.raises(ValueError, match="32 bytes"):
            Crypt.from_argument(argument)
    for wrong in ("", f"dir={folder}", f"dir={key},key={key}", f"dir={folder},key=/dev/zero"):
        with pytest.raises(ValueError):
            Crypt.from_argument(wrong)


def test_under_restrict_opens_are_confined(room: Room) -> None:
    room.make("f", b"text")
    (room.base / "other").mkdir()
    restrict = Restrict(
        Rules.load(f'files.read = ["{room.folder}"]'), image=lambda pid: Image((1, 1), "/")
    )
    restrict._vouched.add((1, 1))
    stack = [restrict, room.crypt]
    path = str(room.folder / "f")
    fd = taken(room.tracee.ask(stack, "open", path, 0, 0))
    room.fds.append(fd)
    assert os.read(fd, 9) == b"text"
    refused = Fail(errno.EACCES)
    assert room.tracee.ask(stack, "open", path, os.O_RDWR, 0) == refused
    assert room.tracee.ask(stack, "truncate", path, 0) == refused
    assert room.tracee.ask(stack, "open", str(room.folder / "n"), os.O_CREAT, 0o600) == refused
    assert room.tracee.ask(stack, "open", str(room.base / "n"), os.O_CREAT, 0o600) == refused
    assert sorted(p.name for p in room.base.iterdir()) == ["other", "secret"]

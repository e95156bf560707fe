"""The encrypted file against a plain one: the same operations, the same bytes."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="the package `cryptography` is missing")

from slic.interposers.support.cipherfile import (
    BLOCK,
    EXTRA,
    STORED,
    CipherFile,
    FirstFormat,
    plain_size,
    stored_size,
)
from slic.interposers.support.cipherheader import (
    FIRST_MAGIC,
    HEADER,
    MAGIC,
    MOST_HOLES,
    WrongKey,
    secret,
)

MASTER = bytes(range(32))


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 10**12 + 7])
def test_sizes_are_each_others_inverse(size: int) -> None:
    assert plain_size(stored_size(size)) == size


def test_no_stored_length_is_an_error() -> None:
    for stored in range(HEADER + 2 * STORED + 40):
        assert plain_size(stored) >= 0
    assert plain_size(0) == plain_size(HEADER) == plain_size(HEADER + 5) == 0


positions = st.integers(0, 3 * BLOCK + 100) | st.sampled_from([BLOCK - 1, BLOCK, 2 * BLOCK])
operations = st.lists(
    st.tuples(st.just("write"), positions, st.integers(0, 2 * BLOCK + 50))
    | st.tuples(st.just("truncate"), positions, st.just(0))
    | st.tuples(st.just("read"), positions, st.integers(0, 2 * BLOCK)),
    max_size=8,
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations)
def test_it_behaves_as_a_plain_file(fd: int, script: list[tuple[str, int, int]]) -> None:
    os.ftruncate(fd, 0)
    plain = bytearray()
    for step, (what, at, size) in enumerate(script):
        file = CipherFile(fd, MASTER)  # nothing is remembered from one operation to the next
        if what == "write":
            data = bytes([step + 1]) * size
            file.write(at, data)
            if size:
                plain.extend(bytes(max(0, at - len(plain))))
                plain[at : at + size] = data
        elif what == "truncate":
            file.truncate(at)
            plain = plain[:at] + bytes(max(0, at - len(plain)))
        else:
            assert file.read(at, size) == plain[at : at + size]
        assert file.size() == len(plain)
    assert CipherFile(fd, MASTER).read(0, 10**6) == plain


def test_the_text_does_not_show(fd: int) -> None:
    CipherFile(fd, MASTER).write(0, b"attack at dawn " * 1000)
    stored = os.pread(fd, 10**6, 0)
    assert b"attack" not in stored
    assert len(set(stored)) == 256
    assert len(stored) == stored_size(15000)


def test_the_same_text_is_never_stored_alike(fd: int) -> None:
    file = CipherFile(fd, MASTER)
    file.write(0, bytes(10))
    first = os.pread(fd, 1000, HEADER)
    file.write(0, bytes(10))
    assert os.pread(fd, 1000, HEADER) != first


def test_holes_stay_holes(fd: int) -> None:
    file = CipherFile(fd, MASTER)
    file.write(1 << 30, b"end")
    assert os.fstat(fd).st_blocks * 512 < 1 << 16
    assert file.read((1 << 30) - 5, 100) == bytes(5) + b"end"


def refused(file: CipherFile, expected: int) -> None:
    def checked_and_read() -> bytes:
        file.check()
        return file.read(0, 10**6)

    with pytest.raises(OSError) as error:
        checked_and_read()
    assert error.value.errno == expected


def test_damage_is_noticed(fd: int) -> None:
    CipherFile(fd, MASTER).write(0, b"x" * (2 * BLOCK))
    good = os.pread(fd, 10**6, 0)
    first, second = good[HEADER : HEADER + STORED], good[HEADER + STORED :]
    for at in (0, 10, 31, 32, 59, 60, 68, 69, HEADER, HEADER + 100, HEADER + STORED - 1):
        os.pwrite(fd, bytes([good[at] ^ 1]), at)
        expected = errno.EACCES if 8 <= at < 32 else errno.EIO
        refused(CipherFile(fd, MASTER), expected)
        os.pwrite(fd, good, 0)
    os.pwrite(fd, second + first, HEADER)  # blocks exchanged
    refused(CipherFile(fd, MASTER), errno.EIO)
    os.pwrite(fd, good, 0)
    os.ftruncate(fd, len(good) - 1)
    refused(CipherFile(fd, MASTER), errno.EIO)


def test_a_zeroed_block_and_a_cut_at_a_blocks_end_are_noticed(fd: int) -> None:
    """What the first format took for a hole, and for a shorter text."""
    CipherFile(fd, MASTER).write(0, b"x" * (3 * BLOCK))
    good = os.pread(fd, 10**6, 0)
    for block in range(3):
        os.pwrite(fd, bytes(STORED), HEADER + block * STORED)
        refused(CipherFile(fd, MASTER), errno.EIO)
        os.pwrite(fd, good, 0)
        os.ftruncate(fd, HEADER + block * STORED)
        refused(CipherFile(fd, MASTER), errno.EIO)
        os.pwrite(fd, good, 0)
    for cut in (HEADER - 1, 100, 70, 69, 33, 1):
        os.ftruncate(fd, cut)
        refused(CipherFile(fd, MASTER), errno.EIO)
        os.pwrite(fd, good, 0)
    assert CipherFile(fd, MASTER).read(0, 10**6) == b"x" * (3 * BLOCK)


def test_a_hole_is_one_only_where_the_program_made_it(fd: int) -> None:
    file = CipherFile(fd, MASTER)
    file.write(0, b"a" * BLOCK)
    file.truncate(3 * BLOCK)
    file.write(3 * BLOCK, b"b" * BLOCK)
    text = b"a" * BLOCK + bytes(2 * BLOCK) + b"b" * BLOCK
    assert CipherFile(fd, MASTER).read(0, 10**6) == text
    os.pwrite(fd, b"garbage", HEADER + STORED + 50)  # a hole is read nowhere
    assert CipherFile(fd, MASTER).read(0, 10**6) == text
    file.write(BLOCK, b"c" * BLOCK)
    os.pwrite(fd, bytes(STORED), HEADER + STORED)
    refused(CipherFile(fd, MASTER), errno.EIO)


def test_more_holes_than_the_header_lists(fd: int) -> None:
    """Every second block, so that there is a hole beside each; then text in all of them."""
    file, blocks = CipherFile(fd, MASTER), 2 * MOST_HOLES + 40
    file.truncate(blocks * BLOCK)
    plain = bytearray(blocks * BLOCK)
    for block in range(1, blocks, 2):
        assert file.write(block * BLOCK, b"x") == 1
        plain[block * BLOCK] = ord("x")
    assert CipherFile(fd, MASTER).read(0, 10**7) == plain
    file.truncate((blocks + 5) * BLOCK)
    assert CipherFile(fd, MASTER).read(0, 10**7) == plain + bytes(5 * BLOCK)
    file.write(0, b"y" * len(plain))
    assert CipherFile(fd, MASTER).read(0, len(plain)) == b"y" * len(plain)


class Disk:
    """pwrite on a disk where a file may have `room` bytes and no more, as tmpfs answers."""

    def __init__(self, why: int) -> None:
        self.room, self.why, self.real = 1 << 60, why, os.pwrite

    def pwrite(self, fd: int, data: Any, at: int) -> int:
        size = os.fstat(fd).st_size
        allowed = max(size, self.room) - at  # what is there already can be written again
        if allowed <= 0:
            raise OSError(self.why, os.strerror(self.why))
        return self.real(fd, memoryview(data)[:allowed], at)


def taken_of(file: CipherFile, at: int, data: bytes, why: int) -> int:
    try:
        return file.write(at, data)
    except OSError as error:
        if error.errno != why:
            raise
        return 0


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("first", [0, 100, BLOCK - 1, BLOCK, BLOCK + 7])
def test_a_write_that_fails_half_way(
    fd: int, why: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every kind of place: the file holds what was there and what was taken, nothing else."""
    disk = Disk(why)
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    data = bytes(range(256)) * 40
    for room in [*range(0, 60, 7), *range(BLOCK - 40, BLOCK + 80, 9), 2 * STORED - 1, 2 * STORED]:
        os.ftruncate(fd, 0)
        disk.room = 1 << 60
        file = CipherFile(fd, MASTER)
        file.write(0, b"x" * first)
        disk.room = os.fstat(fd).st_size + room
        taken = taken_of(file, first, data, why)
        assert taken >= min(len(data), room - 2 * EXTRA - HEADER)
        disk.room = 1 << 60
        assert CipherFile(fd, MASTER).read(0, 10**6) == b"x" * first + data[:taken]
        file.write(first + taken, data[taken:])  # there is room again
        assert CipherFile(fd, MASTER).read(0, 10**6) == b"x" * first + data


def test_lengthening_that_fails_leaves_the_file(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(errno.ENOSPC)
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    file = CipherFile(fd, MASTER)
    file.write(0, b"text")
    disk.room = 0
    with pytest.raises(OSError):
        file.truncate(10 * BLOCK)
    with pytest.raises(OSError):
        file.write(10 * BLOCK, b"far")
    assert CipherFile(fd, MASTER).read(0, 100) == b"text"


def test_a_disk_that_fails_for_good_leaves_the_file_up_to_there(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real = CipherFile(fd, MASTER), os.pwrite
    file.write(0, b"x" * (BLOCK + 10))
    torn = HEADER + STORED + 20

    def failing(fd: int, data: Any, at: int) -> int:
        if at >= torn:
            raise OSError(errno.EIO, "a bad sector")
        return real(fd, memoryview(data)[: max(0, torn - at)], at)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(OSError):
        file.write(BLOCK + 10, b"y" * 100)
    assert CipherFile(fd, MASTER).read(0, 10**6) == b"x" * BLOCK


def first_format(text: bytes) -> bytes:
    """A file as version 1 of the format had it."""
    own = secret(MASTER, bytes(range(16)), FIRST_MAGIC)
    stored = [FIRST_MAGIC, own.file_id, own.check]
    for block in range(0, len(text), BLOCK):
        number = (block // BLOCK).to_bytes(8, "little")
        nonce = os.urandom(12)
        stored += [nonce, own.cipher.encrypt(nonce, text[block : block + BLOCK], number)]
    return b"".join(stored)


def test_the_first_format_is_read_and_not_changed(fd: int) -> None:
    text = b"old text " * 1000
    os.write(fd, first_format(text))
    file = CipherFile(fd, MASTER)
    assert file.size() == len(text)
    assert file.read(0, 10**6) == text
    for change in (lambda: file.write(0, b"x"), lambda: file.truncate(5)):
        with pytest.raises(FirstFormat) as error:
            change()
        assert error.value.errno == errno.EROFS
    file.truncate(0)
    file.write(0, b"new")
    assert os.pread(fd, 8, 0) == MAGIC
    assert CipherFile(fd, MASTER).read(0, 9) == b"new"


def test_no_file_can_be_passed_off_as_one_of_the_first_format(fd: int) -> None:
    CipherFile(fd, MASTER).write(0, b"x" * BLOCK)
    os.pwrite(fd, FIRST_MAGIC, 0)
    refused(CipherFile(fd, MASTER), errno.EACCES)


def test_a_wrong_key_is_told_from_damage(fd: int) -> None:
    CipherFile(fd, MASTER).write(0, b"text")
    with pytest.raises(WrongKey):
        CipherFile(fd, bytes(32)).check()
    with pytest.raises(WrongKey):
        CipherFile(fd, bytes(32)).write(0, b"other")
    assert CipherFile(fd, MASTER).read(0, 9) == b"text"


def test_a_plain_file_is_none_of_ours(fd: int) -> None:
    os.write(fd, b"plain text")
    file = CipherFile(fd, MASTER)
    assert file.size() == 10
    refused(file, errno.EIO)

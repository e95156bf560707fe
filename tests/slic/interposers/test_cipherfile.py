"""The encrypted file against a plain one: the same operations, the same bytes."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="the package `cryptography` is missing")

from slic.interposers.cipherfile import (
    BLOCK,
    HEADER,
    STORED,
    CipherFile,
    WrongKey,
    plain_size,
    stored_size,
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
    for at in (0, 10, HEADER - 1, HEADER, HEADER + 100, HEADER + STORED - 1):
        os.pwrite(fd, bytes([good[at] ^ 1]), at)
        expected = errno.EACCES if 8 <= at < HEADER else errno.EIO
        refused(CipherFile(fd, MASTER), expected)
        os.pwrite(fd, good, 0)
    os.pwrite(fd, second + first, HEADER)  # blocks exchanged
    refused(CipherFile(fd, MASTER), errno.EIO)
    os.pwrite(fd, good, 0)
    os.ftruncate(fd, len(good) - 1)
    refused(CipherFile(fd, MASTER), errno.EIO)


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

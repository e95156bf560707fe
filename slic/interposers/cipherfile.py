"""The encrypted file of `crypt`: format, and random access to it.

    header   magic 8 · file id 16 · check 8
    block i  nonce 12 · AES-256-GCM of at most 4096 bytes · tag 16      (the last may be shorter)

Each file has its own key: HKDF-SHA256 of the master key, salted with the random file id; `check`
comes from the same derivation and tells a wrong key from a damaged file. The block's number is
authenticated with it, so a block moved, changed or cut is an error. A stored block of only zero
bytes is a hole and reads as zeros, which keeps sparse files sparse and lengthening cheap.

Why GCM by block and not XTS or CTR: XTS does not notice changes, CTR must never see a key stream
twice and so needs a nonce for every rewrite anyway; a nonce and a tag are 28 bytes for 4096
(0.7 %). Nonces are random: 2^32 written blocks (16 TiB) a file are within the usual bound.

Not protected: names, lengths, times; a whole block or file put back to an older state; blocks cut
from the end; a block replaced by a hole. A crash in the middle of a write can tear a block, which
then reads as an error (EIO): there is no journal.
"""

import errno
import os
import stat
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"slicAES1"
ID, CHECK = 16, 8
HEADER = len(MAGIC) + ID + CHECK
BLOCK, NONCE, TAG = 4096, 12, 16
EXTRA = NONCE + TAG
STORED = BLOCK + EXTRA
KEY = 32
_HOLE = bytes(STORED)


class WrongKey(OSError):
    """The file was written with another key: EACCES."""


def plain_size(stored: int) -> int:
    """Bytes of plain text in a file of `stored` bytes."""
    blocks, rest = divmod(max(0, stored - HEADER), STORED)
    return blocks * BLOCK + max(0, rest - EXTRA)


def stored_size(plain: int) -> int:
    """Bytes of the file for `plain` bytes of text."""
    blocks, rest = divmod(plain, BLOCK)
    return HEADER + blocks * STORED + (rest + EXTRA if rest else 0)


def read_key(path: str) -> bytes:
    """The key of a file that nobody else can read. ValueError says what is wrong with it."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise ValueError(f"the key {path} must be a regular file of yours")
        if status.st_mode & 0o077:
            raise ValueError(f"others can get at the key {path}: chmod 600 it")
        key = os.read(fd, KEY + 1)
    finally:
        os.close(fd)
    if len(key) != KEY:
        raise ValueError(f"the key {path} must have {KEY} bytes")
    return key


class _Secret(NamedTuple):
    cipher: AESGCM
    check: bytes


def _secret(master: bytes, file_id: bytes) -> _Secret:
    derived = HKDF(SHA256(), KEY + CHECK, file_id, b"slic crypt 1").derive(master)
    return _Secret(AESGCM(derived[:KEY]), derived[KEY:])


class CipherFile:
    """Plain text at any offset of an encrypted file. `fd` belongs to the caller of this class.

    An empty file is an empty text. OSError EIO: damaged, or not one of ours.
    """

    def __init__(self, fd: int, master: bytes) -> None:
        self.fd = fd
        self._master = master
        self._secret: _Secret | None = None

    def size(self) -> int:
        """Bytes of plain text. A file that is not ours tells its own length."""
        stored = os.fstat(self.fd).st_size
        if stored and os.pread(self.fd, len(MAGIC), 0) != MAGIC:
            return stored
        return plain_size(stored)

    def check(self) -> None:
        """EIO or WrongKey if the file cannot be read with this key; an empty one can."""
        self._secret = None
        if not (header := os.pread(self.fd, HEADER, 0)):
            return
        if len(header) < HEADER or not header.startswith(MAGIC):
            raise OSError(errno.EIO, "not an encrypted file")
        secret = _secret(self._master, header[len(MAGIC) : -CHECK])
        if secret.check != header[-CHECK:]:
            raise WrongKey(errno.EACCES, "written with another key")
        self._secret = secret

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`: fewer at the end."""
        size = min(size, self.size() - offset)
        if size <= 0:
            return b""
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        stored = os.pread(self.fd, (last - first + 1) * STORED, HEADER + first * STORED)
        parts = [
            self._opened(first + n, stored[n * STORED : (n + 1) * STORED])
            for n in range(last - first + 1)
        ]
        return b"".join(parts)[offset - first * BLOCK :][:size]

    def write(self, offset: int, data: bytes) -> None:
        """Write all of it, lengthening the file if need be; the gap reads as zeros."""
        if not data:
            return
        size, end = self.size(), offset + len(data)
        if offset > size:
            self.truncate(offset)
            size = offset
        start, stop = offset // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK
        head = self.read(start, offset - start)
        tail = self.read(end, min(stop, size) - end)
        self._store(start // BLOCK, head + data + tail)

    def truncate(self, size: int) -> None:
        """Cut or lengthen (with zeros) to `size` bytes."""
        before = self.size()
        last = min(before, size) // BLOCK  # the block that changes its length
        start = last * BLOCK
        kept = self.read(start, min(before, size) - start)
        if size < before:
            os.ftruncate(self.fd, stored_size(start) if start else 0)
            self._secret = self._secret if start else None
        elif kept:
            kept = kept.ljust(min(size - start, BLOCK), b"\0")
        if kept:
            self._store(last, kept)
        if size > before:
            self._keyed()
            os.ftruncate(self.fd, stored_size(size))

    # -- blocks ------------------------------------------------------------------------------
    def _keyed(self) -> AESGCM:
        """The file's cipher; an empty file gets its header now."""
        if self._secret is None:
            self.check()
        if self._secret is None:
            file_id = os.urandom(ID)
            self._secret = _secret(self._master, file_id)
            _write_all(self.fd, MAGIC + file_id + self._secret.check, 0)
        return self._secret.cipher

    def _opened(self, number: int, stored: bytes) -> bytes:
        if len(stored) <= EXTRA:
            raise OSError(errno.EIO, f"block {number} is cut")
        if stored == _HOLE[: len(stored)]:
            return bytes(len(stored) - EXTRA)
        try:
            return self._keyed().decrypt(stored[:NONCE], stored[NONCE:], _number(number))
        except InvalidTag:
            raise OSError(errno.EIO, f"block {number} was changed") from None

    def _store(self, first: int, text: bytes) -> None:
        """Encrypt whole blocks (the last may be short) from block `first` on, in one write."""
        cipher = self._keyed()
        nonces = os.urandom(NONCE * -(-len(text) // BLOCK))
        stored = []
        for n, at in enumerate(range(0, len(text), BLOCK)):
            nonce = nonces[n * NONCE : (n + 1) * NONCE]
            sealed = cipher.encrypt(nonce, text[at : at + BLOCK], _number(first + n))
            stored += [nonce, sealed]
        _write_all(self.fd, b"".join(stored), HEADER + first * STORED)


def _number(block: int) -> bytes:
    return block.to_bytes(8, "little")


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done

"""The header of an encrypted file of `crypt`: whose key, how long the text is, where its holes are.

    magic 8 · file id 16 · check 8 · nonce 12 · tag 16
    length 8 · number of holes 2 · holes: first block 8, blocks 8

in HEADER bytes, little-endian; lengths are of the text, holes are runs of blocks. Each file has its
own key: HKDF-SHA256 of the master key, salted with the random file id; `check` comes from the same
derivation and tells a wrong key from a damaged file. The tag (AES-256-GCM of nothing, with length
and holes as associated data) authenticates the rest: only who has the key can make a text shorter
or put a hole in it. A header of a text without holes lies in one sector and is replaced at once.

Pure but for `read_key`.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC, FIRST_MAGIC = b"slicAES2", b"slicAES1"
ID, CHECK, KEY = 16, 8, 32
NONCE, TAG = 12, 16
HEADER = 2048
FIRST_HEADER = len(FIRST_MAGIC) + ID + CHECK  # all that a file of the first format had
_KEYED = FIRST_HEADER
_SEALED = struct.Struct("<QH")
_HOLE = struct.Struct("<QQ")
MOST_HOLES = (HEADER - _KEYED - NONCE - TAG - _SEALED.size) // _HOLE.size
LENGTH_AT = _KEYED + NONCE + TAG  # where the length stands; as Plains.size_of finds it


class WrongKey(OSError):
    """The file was written with another key: EACCES."""


class Secret(NamedTuple):
    """What the master key gives for one file: its cipher, and the check that tells so."""

    file_id: bytes
    cipher: AESGCM
    check: bytes


def secret(master: bytes, file_id: bytes, magic: bytes = MAGIC) -> Secret:
    """The key of the file with this id, in the format of this magic."""
    info = b"slic crypt 1" if magic == FIRST_MAGIC else b"slic crypt 2"
    derived = HKDF(SHA256(), KEY + CHECK, file_id, info).derive(master)
    return Secret(file_id, AESGCM(derived[:KEY]), derived[KEY:])


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


class Hole(NamedTuple):
    """Blocks from `first` to before `end` that are stored nowhere and read as zeros."""

    first: int
    end: int


Holes = tuple[Hole, ...]  # in order, none touching the next


def without(holes: Holes, first: int, end: int) -> Holes:
    """The holes when blocks `first` to before `end` are stored."""
    left: list[Hole] = []
    for hole in holes:
        parts = Hole(hole.first, min(hole.end, first)), Hole(max(hole.first, end), hole.end)
        left += [part for part in parts if part.first < part.end]
    return tuple(left)


def with_hole(holes: Holes, first: int, end: int) -> Holes:
    """The holes when the text is lengthened by blocks `first` to before `end`."""
    if first >= end:
        return holes
    if holes and holes[-1].end == first:
        return (*holes[:-1], Hole(holes[-1].first, end))
    return (*holes, Hole(first, end))


class Shape(NamedTuple):
    """What is authenticated of a text as a whole. `length` in bytes."""

    length: int
    holes: Holes = ()

    def is_hole(self, block: int) -> bool:
        return any(hole.first <= block < hole.end for hole in self.holes)


def _sealed(length: int, holes: Iterable[Hole]) -> bytes:
    runs = [_HOLE.pack(hole.first, hole.end - hole.first) for hole in holes]
    return _SEALED.pack(length, len(runs)) + b"".join(runs)


def packed(own: Secret, shape: Shape) -> bytes:
    """The header as it is stored, without the unused rest of HEADER bytes."""
    sealed = _sealed(*shape)
    nonce = os.urandom(NONCE)
    tag = own.cipher.encrypt(nonce, b"", sealed)
    return MAGIC + own.file_id + own.check + nonce + tag + sealed


def parsed(header: bytes, master: bytes) -> tuple[Secret, Shape | None]:
    """Key and shape of a stored header; no shape: the file is of the first format.

    OSError EIO (damaged, or none of ours), WrongKey.
    """
    magic = header[: len(MAGIC)]
    if len(header) < _KEYED or magic not in (MAGIC, FIRST_MAGIC):
        raise OSError(errno.EIO, "not an encrypted file")
    own = secret(master, header[len(MAGIC) : len(MAGIC) + ID], magic)
    if own.check != header[len(MAGIC) + ID : _KEYED]:
        raise WrongKey(errno.EACCES, "written with another key")
    if magic == FIRST_MAGIC:
        return own, None
    nonce, tag = header[_KEYED : _KEYED + NONCE], header[_KEYED + NONCE : LENGTH_AT]
    if len(header) < LENGTH_AT + _SEALED.size:
        raise OSError(errno.EIO, "the header is cut")
    length, count = _SEALED.unpack_from(header, LENGTH_AT)
    sealed = header[LENGTH_AT : LENGTH_AT + _SEALED.size + count * _HOLE.size]
    try:
        own.cipher.decrypt(nonce, tag, sealed)
    except InvalidTag:
        raise OSError(errno.EIO, "the header was changed") from None
    runs = _HOLE.iter_unpack(sealed[_SEALED.size :])
    return own, Shape(length, tuple(Hole(first, first + blocks) for first, blocks in runs))

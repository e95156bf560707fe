"""An image's folder: two files, `job` (typed, versioned) and `pages` (bytes), private to its owner.

Owns how they are written and what is checked before a byte of them is believed: kinds of files,
owner, modes, sizes, version, checksum. What the job's record means is the engine's to check.

`job`: magic (8 bytes), version, length of the engine's name (4 bytes each), the name, length of the
record (8 bytes), its SHA-256, the record (msgpack). Numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MAGIC = b"GLUMIGR\0"
VERSION = 1
JOB, PAGES = "job", "pages"
_LARGEST_JOB = 1 << 30
_HEAD = struct.Struct("<8sII")
_BODY = struct.Struct("<Q32s")
_LONGEST_NAME = 32


class BadImage(Exception):
    """The image is damaged, of another version, or not one to be trusted; the message says what."""


@dataclass(frozen=True)
class Opened:
    """What was read: the engine's name, its record, the open file of pages and its size, and the
    user to whom the image belongs."""

    engine: str
    record: bytes
    pages: int
    pages_size: int
    owner: int


def make_folder(path: str) -> None:
    """A new private folder; FileExistsError if there is something."""
    os.mkdir(path, 0o700)
    os.chmod(path, 0o700)


def create(folder: str, name: str) -> int:
    """A new private file in the folder, for writing and reading."""
    fd = os.open(
        f"{folder}/{name}",
        os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
    )
    os.fchmod(fd, 0o600)
    return fd


def write_job(folder: str, engine: str, record: bytes) -> None:
    """Last of all: an image without its `job` is none. It appears whole or not at all."""
    name = engine.encode("ascii")
    digest = hashlib.sha256(record).digest()
    fd = create(folder, f"{JOB}.new")
    try:
        data = _HEAD.pack(MAGIC, VERSION, len(name)) + name + _BODY.pack(len(record), digest)
        for part in (data, record):
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(f"{folder}/{JOB}.new", f"{folder}/{JOB}")


@contextmanager
def opened(folder: str, user: int | None = None) -> Iterator[Opened]:
    """Read an image; BadImage on everything that is wrong with it.

    `user`: the uid it must belong to; None: whoever calls.
    """
    try:
        base = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BadImage(f"{folder}: {error.strerror}") from None
    try:
        owner = _check_private(base, folder, stat.S_IFDIR, 0o077)
        if user is not None and owner != user:
            raise BadImage(f"{folder}: belongs to uid {owner}, not to {user}")
        with _file(base, folder, JOB, owner) as job, _file(base, folder, PAGES, owner) as pages:
            engine, record = _parse(job, f"{folder}/{JOB}")
            yield Opened(engine, record, pages, os.fstat(pages).st_size, owner)
    finally:
        os.close(base)


@contextmanager
def _file(base: int, folder: str, name: str, owner: int) -> Iterator[int]:
    path = f"{folder}/{name}"
    try:
        # O_NONBLOCK: a fifo in its place must not be waited for.
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=base)
    except OSError as error:
        raise BadImage(f"{path}: {error.strerror}") from None
    try:
        if _check_private(fd, path, stat.S_IFREG, 0o077) != owner:
            raise BadImage(f"{path}: belongs to another user than its folder")
        yield fd
    finally:
        os.close(fd)


def _check_private(fd: int, path: str, kind: int, forbidden: int) -> int:
    found = os.fstat(fd)
    if stat.S_IFMT(found.st_mode) != kind:
        raise BadImage(f"{path}: not a {'folder' if kind == stat.S_IFDIR else 'regular file'}")
    if found.st_mode & forbidden:
        raise BadImage(f"{path}: others may use it (mode {stat.S_IMODE(found.st_mode):o})")
    return found.st_uid


def _parse(fd: int, path: str) -> tuple[str, bytes]:
    size = os.fstat(fd).st_size
    if size > _LARGEST_JOB:
        raise BadImage(f"{path}: {size} bytes are too many")
    data = _read(fd, size)
    if len(data) < _HEAD.size:
        raise BadImage(f"{path}: cut off after {len(data)} bytes")
    magic, version, name_size = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise BadImage(f"{path}: not the image of a job")
    if version != VERSION:
        raise BadImage(f"{path}: version {version}, and this is version {VERSION}")
    if name_size > _LONGEST_NAME or len(data) < _HEAD.size + name_size + _BODY.size:
        raise BadImage(f"{path}: cut off after {len(data)} bytes")
    name = data[_HEAD.size : _HEAD.size + name_size]
    at = _HEAD.size + name_size
    length, digest = _BODY.unpack_from(data, at)
    record = data[at + _BODY.size :]
    if len(record) != length:
        raise BadImage(f"{path}: {len(record)} bytes of {length}")
    if hashlib.sha256(record).digest() != digest:
        raise BadImage(f"{path}: damaged (its checksum differs)")
    if not name.isalnum():
        raise BadImage(f"{path}: an engine without a name")
    return name.decode("ascii"), record


def _read(fd: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

"""The node's half of --stage: a directory with the files that came along, gone after the job.

The daemon makes the directory itself and gives it to the owner; a process of the owner's fills it,
and empties it (`fill`, `empty`: glunix.daemon.chores): what is unpacked and what is removed can be
vast, deep or slow. Removing follows no link, and goes up only where it came down.
"""

import contextlib
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from glunix.errors import Refused
from glunix.ids import Why
from glunix.msg.job import STAGED_MAX, Owner, StagedFile
from glunix.msg.stream import Start

NAMES_MAX = 16384
"""Files and directories of one job, all parts of all names counted."""

PIECE = 1 << 20
"""Bytes that are unpacked at a time."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Stage:
    """One job's directory on this node. Refused when it cannot be had."""

    def __init__(self, folder: Path, start: Start, prefix: str = "") -> None:
        self._files = start.spec.staged
        self.owner: Owner = start.owner
        self.size = sum(file.size for file in self._files)
        """Bytes of all files."""
        if self.size > STAGED_MAX:
            raise Refused(Why.BAD_REQUEST, "the staged files are too large")
        if sum(len(_parts(file)) for file in self._files) > NAMES_MAX:
            raise Refused(Why.BAD_REQUEST, f"over {NAMES_MAX} staged files and directories")
        try:
            folder.mkdir(mode=0o711, exist_ok=True)
            self.path = Path(tempfile.mkdtemp(prefix=f"{prefix}{start.npid}-", dir=folder))
            if os.geteuid() == 0:
                os.chown(self.path, self.owner.uid, self.owner.gid, follow_symlinks=False)
        except OSError as error:
            raise Refused(Why.INTERNAL, f"cannot stage files: {error.strerror}") from None

    def fill(self) -> None:
        """As the owner: unpack. ValueError or OSError says what is wrong."""
        for file in self._files:
            target = self.path.joinpath(*map(os.fsdecode, _parts(file)))
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(target, flags, 0o600)
            with os.fdopen(fd, "wb") as out:
                _unpack(file, out.write)
                os.fchmod(fd, file.mode)

    def start(self, start: Start) -> Start:
        """The Start with this directory in place of the files."""
        spec = msgspec.structs.replace(
            start.spec, cwd=os.fsencode(self.path), removed=False, staged=[]
        )
        return msgspec.structs.replace(start, spec=spec)

    def empty(self) -> None:
        """As the owner: the job is over. OSError when something stays."""
        empty(self.path)

    def remove(self) -> bool:
        """As the daemon: the empty directory. False when it is not."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


def _parts(file: StagedFile) -> list[bytes]:
    parts = file.name.split(b"/")
    if b"\0" in file.name or any(part in (b"", b".", b"..") for part in parts):
        raise Refused(Why.BAD_REQUEST, "a staged file whose name leads elsewhere")
    return parts


def _unpack(file: StagedFile, write: Callable[[bytes], object]) -> None:
    unpacker = zlib.decompressobj()
    left, data = file.size, file.data
    try:
        while not unpacker.eof:
            piece = unpacker.decompress(data, min(PIECE, left + 1))
            data = unpacker.unconsumed_tail
            left -= len(piece)
            if left < 0 or not (piece or data or unpacker.eof):
                break
            write(piece)
    except zlib.error as error:
        raise ValueError(f"a staged file is damaged: {error}") from None
    if left or not unpacker.eof:
        raise ValueError("a staged file is not of the size it says")


# -- removing --------------------------------------------------------------------------------


def empty(path: Path) -> None:
    """Remove all that is in a directory, however deep; OSError names how much could not be.

    One descriptor at a time: a tree can be deeper than a process has descriptors, or Python frames.
    """
    fd = os.open(path, _FOLDER)
    way: list[tuple[int, int]] = []
    """The directories above: device and inode."""
    stuck: set[tuple[int, int]] = set()
    failed = 0
    try:
        while True:
            with contextlib.suppress(OSError):
                os.fchmod(fd, 0o700)
            name, count = _first_full(fd, stuck)
            failed += count
            if name is not None:
                below = _into(fd, name)
                way.append(_identity(fd))
                os.close(fd)
                fd = below
                continue
            if count:
                stuck.add(_identity(fd))
            if not way:
                break
            above = os.open("..", _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = above
            if _identity(fd) != way.pop():
                raise OSError("a directory was moved away meanwhile")
    finally:
        os.close(fd)
    if failed:
        raise OSError(f"{failed} files or directories could not be removed")


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _into(fd: int, name: str) -> int:
    """A directory below; its owner may read it again, whatever its mode was."""
    pin = os.open(name, _PIN, dir_fd=fd)
    try:
        with contextlib.suppress(OSError):
            os.chmod(f"/proc/self/fd/{pin}", 0o700)
        return os.open(f"/proc/self/fd/{pin}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(pin)


def _first_full(fd: int, stuck: set[tuple[int, int]]) -> tuple[str | None, int]:
    """Remove what can be removed from this directory; the first one to go into, and how many others
    cannot be removed."""
    failed = 0
    with os.scandir(fd) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            try:
                (os.rmdir if is_folder else os.unlink)(entry.name, dir_fd=fd)
            except FileNotFoundError:
                pass
            except OSError:
                here = entry.stat(follow_symlinks=False)
                if is_folder and (here.st_dev, here.st_ino) not in stuck:
                    if _can_enter(fd, entry.name):
                        return entry.name, 0
                    stuck.add((here.st_dev, here.st_ino))
                failed += 1
    return None, failed


def _can_enter(fd: int, name: str) -> bool:
    try:
        os.close(_into(fd, name))
    except OSError:
        return False
    return True

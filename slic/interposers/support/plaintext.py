"""The memory files of `crypt`: the plain text of every encrypted file that is open.

One memory file (memfd_create(2)) for each real file, shared by all who have it open, so that they
see each other's writes and locks. A change is written encrypted first, then here. The kernel
tells when nobody has one any more (a write lease can be had, fcntl(2)): then it can go.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from slic.interposers.support.cipherfile import CipherFile, plain_size
from slic.interposers.support.opens import Opening
from slic.tracee import Tracee

CHUNK = 1 << 20
KEPT = 16  # memory files that stay although nobody has them open, for the next open


class FileId(NamedTuple):
    """What tells one file from all others: device and inode."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileId":
        return cls(status.st_dev, status.st_ino)


class Plain:
    """One file: `real` is the encrypted file, `memory` its text. Owns its descriptors.

    The encrypted file is held for writing only while a program holds the text for writing: an
    executable file that somebody holds for writing cannot be executed (ETXTBSY).
    """

    def __init__(self, real: int, master: bytes) -> None:
        """Reads the file `real` leads to (which stays the caller's). OSError EIO, EACCES."""
        self._descriptors = ExitStack()
        with ExitStack() as undo:
            undo.callback(self._descriptors.close)
            self.real = self._keep(_readable(real))
            self._writer = -1
            self._file = CipherFile(self.real, master)
            self.memory = self._keep(os.memfd_create("slic-crypt", os.MFD_CLOEXEC))
            self._reader = self._keep(self.descriptor(os.O_RDONLY))
            self._load()
            undo.pop_all()

    def _keep(self, fd: int) -> int:
        self._descriptors.callback(os.close, fd)
        return fd

    def close(self) -> None:
        self._descriptors.close()
        if self._writer >= 0:
            os.close(self._writer)

    def size(self) -> int:
        return os.fstat(self.memory).st_size

    def descriptor(self, flags: int) -> int:
        """A new descriptor of the text, with these access and status flags."""
        return os.open(f"/proc/self/fd/{self.memory}", flags | os.O_CLOEXEC)

    def unused(self, by_writers: bool = False) -> bool:
        """Does nobody else have the memory file open or mapped (`by_writers`: for writing)?"""
        try:
            kind = fcntl.F_RDLCK if by_writers else fcntl.F_WRLCK
            fcntl.fcntl(self._reader, fcntl.F_SETLEASE, kind)
        except BlockingIOError:
            return False
        fcntl.fcntl(self._reader, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return True

    def refresh(self, real: int) -> None:
        """Take in what others did to the file; `real` may bring the right to write it."""
        if self._writer < 0 and fcntl.fcntl(real, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            self._writer = self._file.fd = _writable(real)
        if self._stamp != _stamp(self.real):
            self._load()

    def release(self) -> None:
        """Let go of the right to write if no program can use it."""
        if self._writer >= 0 and self.unused(by_writers=True):
            os.close(self._writer)
            self._writer = -1
            self._file.fd = self.real

    def write(self, at: int, data: bytes) -> int:
        """Bytes taken, fewer than given if there is no room for more; OSError if for none."""
        with self._changing():
            taken = self._file.write(at, data)
            _write_all(self.memory, data[:taken], at)
        return taken

    def truncate(self, size: int) -> None:
        with self._changing():
            self._file.truncate(size)
            os.ftruncate(self.memory, size)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._stamp = _stamp(self.real)
            if (length := self._file.length()) != self.size():
                os.ftruncate(self.memory, length)  # a fault of the disk took what stood there

    def removed(self) -> bool:
        """Has the file no name any more?"""
        return os.fstat(self.real).st_nlink == 0

    def _load(self) -> None:
        self._file.check()
        size = self._file.length()
        os.ftruncate(self.memory, 0)
        os.ftruncate(self.memory, size)
        for at in range(0, size, CHUNK):
            chunk = self._file.read(at, CHUNK)
            if any(chunk):  # a hole stays one
                _write_all(self.memory, chunk, at)
        self._stamp = _stamp(self.real)


class Plains:
    """All of them, by the real file and by the memory file."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._by_real: dict[FileId, Plain] = {}
        self._by_memory: dict[FileId, Plain] = {}
        self._removed: set[FileId] = set()  # by their real file; perhaps not yet removed

    def of(self, status: os.stat_result) -> Plain | None:
        """The one whose memory file this is the status of."""
        return self._by_memory.get(FileId.of(status))

    def open(self, real: int) -> Plain:
        """The one of an encrypted file; read now if nobody has it open."""
        key = FileId.of(os.fstat(real))
        if (known := self._by_real.pop(key, None)) is None:
            self._tidy()
            known = Plain(real, self._master)
            self._by_memory[FileId.of(os.fstat(known.memory))] = known
        self._by_real[key] = known  # the last opened goes last
        known.refresh(real)
        return known

    def release(self) -> None:
        """See `Plain.release`."""
        for plain in self._by_real.values():
            plain.release()

    def size_of(self, path: str, status: os.stat_result) -> int:
        """The length of the text of a file that nobody may have open."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return plain_size(status.st_size)
        try:
            return CipherFile(fd, self._master).size()
        finally:
            os.close(fd)

    def close(self) -> None:
        for plain in self._by_real.values():
            plain.close()
        self._by_real.clear()
        self._by_memory.clear()

    def leave(self, status: os.stat_result) -> None:
        """The file of this status is about to lose its name: its space must not wait for us."""
        key = FileId.of(status)
        if (plain := self._by_real.get(key)) is not None:
            self._removed.add(key)
            if plain.unused():
                self._drop(key)

    def give_back(self) -> bool:
        """Close the removed files that no program has open any more; True if there were some."""
        dropped = False
        for key in list(self._removed):
            plain = self._by_real.get(key)
            if plain is None or not plain.removed():
                self._removed.discard(key)
            elif plain.unused():
                self._drop(key)
                dropped = True
        return dropped

    def _tidy(self) -> None:
        surplus = len(self._by_real) - KEPT
        for key, plain in list(self._by_real.items()) if surplus > 0 else ():
            if surplus and plain.unused():
                self._drop(key)
                surplus -= 1

    def _drop(self, key: FileId) -> None:
        plain = self._by_real.pop(key)
        self._removed.discard(key)
        del self._by_memory[FileId.of(os.fstat(plain.memory))]
        plain.close()


def both_ways(tracee: Tracee, asked: Opening) -> int:
    """Open as the caller; for reading too where it may, because blocks are changed, not bytes."""
    if asked.flags & os.O_ACCMODE == os.O_WRONLY:
        try:
            return tracee.open(*asked._replace(flags=asked.flags ^ os.O_WRONLY ^ os.O_RDWR))
        except PermissionError:
            pass
    return tracee.open(*asked)


def _readable(real: int) -> int:
    """A descriptor of our own for reading; where the file's mode forbids that, the same one."""
    try:
        return os.open(f"/proc/self/fd/{real}", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return fcntl.fcntl(real, fcntl.F_DUPFD_CLOEXEC, 0)


def _writable(real: int) -> int:
    """A descriptor of our own for writing, and for reading where that may be."""
    own = fcntl.fcntl(real, fcntl.F_DUPFD_CLOEXEC, 0)
    fcntl.fcntl(own, fcntl.F_SETFL, 0)  # pwrite would append under O_APPEND
    if fcntl.fcntl(own, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
        return own
    try:  # created through a link that dangled, or `both_ways` was refused
        both = os.open(f"/proc/self/fd/{own}", os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return own
    os.close(own)
    return both


def _stamp(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_mtime_ns, status.st_size


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done

"""The files of an image made again in the mover: with their owner's credentials, never the mover's.

Everything is opened before a process is born, so that what is missing is known then.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from migration.native.files import Standard, kind_of_record
from migration.native.files.pipe import make_pipe
from migration.native.files.standard import make_standard
from migration.native.job import File, Job
from migration.native.model import Backing, Credentials, Memory, Process
from slic.kernel.asuser import acting_as

_SETTABLE = os.O_APPEND | os.O_NONBLOCK | os.O_DIRECT | os.O_NOATIME
_F_ADD_SEALS = 1033
_SEAL_WRITE = 0x8
_MFD_ALLOW_SEALING = 2


class RestoreFailed(RuntimeError):
    """The job cannot be built here; the message says what is missing. Nothing of it remains."""


class Making:
    """All open files, backings, memories and folders of an image, as descriptors of the mover."""

    def __init__(
        self, job: Job, pages: int, standard: Mapping[str, int], resident: int = 0
    ) -> None:
        """`pages`: the file of pages; `standard`: what `stdin`, `stdout`, `stderr` are to be;
        `resident`: a process at the site, whose /proc the job is to find; 0: none."""
        self._job = job
        self._pages = pages
        self.given = standard
        self._resident = resident
        self._stack = ExitStack()
        self._owner = job.processes[0].threads[0].credentials
        self._memories: dict[int, int] = {}
        self._pipes: dict[int, tuple[int, int]] = {}
        self._sockets: dict[int, int] = {}
        self.files: list[int] = []
        self.backings: list[int] = []
        self.memories: list[int] = []
        self.folders: list[int] = []

    def __enter__(self) -> Self:
        try:
            self._make_all()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _make_all(self) -> None:
        job = self._job
        owners = self._owners()
        for index, file in enumerate(job.files):
            self._owner = owners.get(index, self._owner)
            with _named(file):
                self.files.append(self._keep(self._file(file)))
        mapped = {
            **{a.file: p for p in job.processes for a in p.areas},
            **{p.executable: p for p in job.processes},
        }
        for index, backing in enumerate(job.backings):
            if index in mapped:
                self._owner = mapped[index].threads[0].credentials
            self.backings.append(self._keep(self._backing(backing)))
        for index in range(len(job.memories)):
            self.memories.append(self.memory(index))
        for process in job.processes:
            self._owner = process.threads[0].credentials
            self.folders.append(self._keep(self._folder(process)))
        self._seal()

    def _owners(self) -> dict[int, Credentials]:
        found: dict[int, Credentials] = {}
        for process in self._job.processes:
            for descriptor in process.descriptors:
                found.setdefault(descriptor.file, process.threads[0].credentials)
        return found

    def _keep(self, fd: int) -> int:
        self._stack.callback(os.close, fd)
        return fd

    def _file(self, file: File) -> int:
        if isinstance(file.what, Standard):
            return make_standard(file.what, self)
        fd = kind_of_record(file.what).make(file.what, self, file.flags, file.position)
        if not file.flags & os.O_PATH:
            try:
                fcntl.fcntl(fd, fcntl.F_SETFL, file.flags & _SETTABLE)
            except OSError:
                os.close(fd)
                raise
        return fd

    def path(self, path: bytes) -> bytes:
        if self._resident and path.startswith(b"/proc/"):
            return b"/proc/%d/root" % self._resident + path
        return path

    @contextmanager
    def as_owner(self) -> Iterator[None]:
        owner = self._owner
        status = {
            "Uid": " ".join(map(str, owner.uids)),
            "Gid": " ".join(map(str, owner.gids)),
            "Groups": " ".join(map(str, owner.groups)),
        }
        with acting_as(status, False):
            yield

    def standard(self, name: str) -> int:
        if name not in self.given:
            raise RestoreFailed(f"its {name} led outside the job, and no new one was given")
        return self.given[name]

    def pipe(self, index: int) -> tuple[int, int]:
        if index not in self._pipes:
            ends = make_pipe(self._job.pipes[index])
            self._pipes[index] = self._keep(ends[0]), self._keep(ends[1])
        return self._pipes[index]

    def socket(self, own: int, peer: int, kind: int) -> int:
        if own in self._sockets:
            return self._sockets.pop(own)
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        one.setblocking(True)
        other.setblocking(True)
        mine, theirs = os.dup(one.fileno()), other.detach()
        one.close()
        self._sockets[peer] = theirs
        self._queue(own, theirs, kind)
        self._queue(peer, mine, kind)
        return mine

    def _queue(self, into: int, sender: int, kind: int) -> None:
        """What was unread in the socket numbered `into`, sent by its other end."""
        record = next(f.what for f in self._job.files if getattr(f.what, "own", None) == into)
        with socket.socket(fileno=os.dup(sender)) as end:
            before = end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
            for part in record.unread:  # type: ignore[union-attr]
                view = memoryview(part)
                sent = end.send(view, socket.MSG_DONTWAIT)
                while sent < len(view) and kind == socket.SOCK_STREAM:
                    view = view[sent:]
                    sent = end.send(view, socket.MSG_DONTWAIT)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, before // 2)

    def memory(self, index: int) -> int:
        if index not in self._memories:
            one = self._job.memories[index]
            fd = self._deleted(one) if one.deleted else self._memfd(one)
            self._memories[index] = self._keep(fd)
            os.ftruncate(fd, one.size)
            for run in one.pages:
                at, where = run.at, run.start
                while where < run.end:
                    data = os.pread(self._pages, min(1 << 20, run.end - where), at)
                    if not data:
                        raise RestoreFailed("the file of pages is too short")
                    done = os.pwrite(fd, data, where)
                    at, where = at + done, where + done
        return self._memories[index]

    def _memfd(self, one: Memory) -> int:
        flags = os.MFD_CLOEXEC | (_MFD_ALLOW_SEALING if one.seals >= 0 and one.seals != 1 else 0)
        fd = os.memfd_create(os.fsdecode(one.name) or "shared", flags)
        owner = self._owner
        os.fchown(fd, owner.uids[3], owner.gids[3])
        os.fchmod(fd, one.mode)
        return fd

    def _deleted(self, one: Memory) -> int:
        folder = os.path.dirname(one.deleted) or b"/"
        try:
            with self.as_owner():
                fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            name = os.fsdecode(one.deleted)
            raise RestoreFailed(
                f"the deleted file {name}: none can be made in its folder: {error.strerror}"
            ) from None
        os.fchmod(fd, one.mode)
        return fd

    def _seal(self) -> None:
        """Last: what is sealed takes no bytes."""
        for index, one in enumerate(self._job.memories):
            if one.seals > 0 and one.seals != 1:
                fcntl.fcntl(self._memories[index], _F_ADD_SEALS, one.seals)

    def _backing(self, one: Backing) -> int:
        path = os.fsdecode(one.path)
        flags = (os.O_RDWR if one.writable else os.O_RDONLY) | os.O_NOCTTY | os.O_NONBLOCK
        try:
            with self.as_owner():
                fd = os.open(one.path, flags | os.O_CLOEXEC)
        except OSError as error:
            raise RestoreFailed(f"{path}: {error.strerror}") from None
        found = os.fstat(fd)
        same = one.writable or (found.st_size, found.st_mtime_ns) == (one.size, one.mtime)
        if not same:
            os.close(fd)
            raise RestoreFailed(f"{path}: not the file it was (size or time differ)")
        return fd

    def _folder(self, process: Process) -> int:
        try:
            with self.as_owner():
                return os.open(process.cwd, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            name = os.fsdecode(process.cwd)
            raise RestoreFailed(f"the working folder {name}: {error.strerror}") from None


@contextmanager
def _named(file: File) -> Iterator[None]:
    """An OSError as RestoreFailed that names the file."""
    try:
        yield
    except OSError as error:
        path = getattr(file.what, "path", b"")
        name = os.fsdecode(path) if path else type(file.what).__name__
        raise RestoreFailed(f"{name}: {error.strerror or error}") from None

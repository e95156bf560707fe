"""The Tracee every engine hands out: a task seen through /proc, process_vm_* and pidfds.

Owns nothing of an engine's protocol but the check that the caller still waits (`still_valid`),
made after every look and before and after every change: a task id alone can be reused. Who still
waits after a look has waited all the time.
"""

import errno
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fcntl import F_GETFL, fcntl
from typing import TypeVar

from slic.kernel import libc, memory, pidfd, undumpable
from slic.kernel.asuser import acting_as, open_as, uname_of
from slic.tracee import AT_FDCWD, BadAddress, CallGone

IOV_MAX = 1024
UNSEEN: dict[str, str] = {}  # one for all: a tracee is made for every caught call
_Seen = TypeVar("_Seen")


def _leads_to(path: str) -> str:
    return os.readlink(path)


def _flags_shown(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, 256)  # proc_pid_fdinfo(5): pos and flags come first
    finally:
        os.close(fd)
    return int(text.split(b"flags:", 1)[1].split(b"\n", 1)[0], 8)


class TaskTracee:
    """A caught task. Subclasses say how an engine knows that its call still waits."""

    __slots__ = ("_seen", "tid")

    is_held = False
    """Whether the engine traces it: its number stays its own until the engine lets it go."""

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self._seen = UNSEEN

    def still_valid(self) -> bool:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        return int(self._status()["Tgid"])

    def _check(self) -> None:
        if not self.still_valid():
            raise CallGone

    @property
    def uid(self) -> int:
        return int(self._status()["Uid"].split()[1])

    @property
    def filters(self) -> int:
        return int(self._status().get("Seccomp_filters", -1))

    def _status(self) -> dict[str, str]:
        """Read once: a thread in a call does not change its credentials (another thread of its
        process can change the umask, as it could at any moment of the real call)."""
        if not self._seen:
            try:
                self._seen = pidfd.status_fields(self.tid)
            except ProcessLookupError:
                raise CallGone from None
            self._check()
        return self._seen

    # -- memory ------------------------------------------------------------------------------
    def read_some(self, address: int, size: int) -> bytes:
        try:
            data = self._read(address, size)
        except OSError as error:
            raise self._memory_error(error, address) from None
        self._check()
        return data

    def _read(self, address: int, size: int) -> bytes:
        return self._looking(lambda: memory.read(self.tid, address, size))

    def read(self, address: int, size: int) -> bytes:
        data = self.read_some(address, size)
        if len(data) != size:
            raise BadAddress(f"{address:#x}: {len(data)} of {size} bytes are readable")
        return data

    def cstring(self, address: int, limit: int = 4096) -> bytes:
        try:
            found = memory.cstring(self._read, address, limit)
        except OSError as error:
            raise self._memory_error(error, address) from None
        self._check()
        if found is None:
            raise OSError(errno.ENAMETOOLONG, f"string at {address:#x}")
        return found

    def write(self, address: int, data: bytes) -> None:
        self._check()
        try:
            done = self._write(address, data)
        except OSError as error:
            raise self._memory_error(error, address) from None
        self._check()
        if done != len(data):
            raise BadAddress(f"{address:#x}: {done} of {len(data)} bytes are writable")

    def _write(self, address: int, data: bytes) -> int:
        try:
            return memory.write(self.tid, address, data)
        except PermissionError:
            if not undumpable.can_look(self.tid):
                raise
        if self.is_held:
            return self._looking(lambda: memory.write(self.tid, address, data))
        change = lambda: memory.write(self.tid, address, data)  # noqa: E731
        return undumpable.held(self.tid, self._check, change)

    def scatter(self, vector: Sequence[tuple[int, int]], data: bytes) -> int:
        done = 0
        for address, size in vector:
            if done == len(data):
                break
            part = data[done : done + size]
            self.write(address, part)
            done += len(part)
        return done

    def iovec(self, address: int, count: int) -> list[tuple[int, int]]:
        if not 0 <= count <= IOV_MAX:
            raise OSError(errno.EINVAL, "iovec count")
        words = struct.unpack(f"={2 * count}Q", self.read(address, 16 * count))
        return list(zip(words[::2], words[1::2], strict=True))

    def _memory_error(self, error: OSError, address: int) -> Exception:
        self._check()
        if error.errno == errno.EFAULT:
            return BadAddress(hex(address))
        return CallGone() if error.errno == errno.ESRCH else error

    # -- descriptors and place ---------------------------------------------------------------
    def _proc(self, look: Callable[[str], _Seen], name: str) -> _Seen:
        """`look` at /proc/TID/NAME; a missing entry is EBADF."""
        try:
            return self._looking(lambda: look(f"/proc/{self.tid}/{name}"))
        except (FileNotFoundError, ProcessLookupError):
            raise OSError(errno.EBADF, name) from None
        finally:
            self._check()

    def _looking(self, look: Callable[[], _Seen]) -> _Seen:
        """`look`, once more where the kernel shows the task to a privileged supervisor only."""
        try:
            return look()
        except PermissionError:
            if not undumpable.can_look(self.tid):
                raise
        with undumpable.looking():
            self._check()
            return look()

    def _of_fd(
        self, look: Callable[[str], _Seen], folder: str, fd: int, at: Callable[[int], _Seen]
    ) -> _Seen:
        """`look` at the entry of a descriptor; `at` a copy of it where nobody may enter there."""
        try:
            return self._proc(look, f"{folder}/{fd}")
        except PermissionError:
            if not undumpable.can_look(self.tid):
                raise
        own = self.fd_dup(fd)
        try:
            return at(own)
        finally:
            os.close(own)

    def fd_stat(self, fd: int) -> os.stat_result:
        return self._of_fd(os.stat, "fd", fd, os.fstat)

    def fd_link(self, fd: int) -> str:
        return self._of_fd(_leads_to, "fd", fd, lambda own: _leads_to(f"/proc/self/fd/{own}"))

    def fd_flags(self, fd: int) -> int:
        return self._of_fd(_flags_shown, "fdinfo", fd, lambda own: fcntl(own, F_GETFL))

    def fd_dup(self, fd: int) -> int:
        self._check()
        try:
            task = pidfd.open_task(self.tid)
        except ProcessLookupError:
            raise CallGone from None
        try:
            self._check()
            return self._looking(lambda: pidfd.getfd(task, fd))
        finally:
            os.close(task)

    def cwd(self) -> str:
        return self._proc(os.readlink, "cwd")

    def path(self, dirfd: int, name: bytes) -> str:
        text = os.fsdecode(name)
        if text.startswith("/"):
            return os.path.normpath(text)
        base = self.cwd() if dirfd == AT_FDCWD else self.fd_link(dirfd)
        return os.path.normpath(f"{base}/{text}") if text else base

    def open(self, dirfd: int, name: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
        self._check()
        try:
            status = self._status()
            return self._looking(
                lambda: open_as(self.tid, dirfd, name, flags, mode, resolve, status, self._check)
            )
        except ProcessLookupError:
            raise CallGone from None

    def connect(self, sockfd: int, address: bytes) -> None:
        own = self.fd_dup(sockfd)
        try:
            libc.connect(own, address)
        finally:
            os.close(own)

    @contextmanager
    def acting(self, creating: bool = False) -> Iterator[None]:
        with acting_as(self._status(), creating):
            yield

    # -- the rest of the machine -------------------------------------------------------------
    def native_uname(self) -> os.uname_result:
        self._check()
        return uname_of(self.tid)

    def now(self) -> int:
        return time.monotonic_ns()


def in_thread(work: Callable[[], object], done: Callable[[object], None]) -> None:
    """Run a `Blocking` question's work in a thread; `done` gets its result or its exception."""

    def run() -> None:
        result: object
        try:
            result = work()
        except BaseException as error:  # raised again at the yield: a call must not wait for ever
            result = error
        done(result)

    threading.Thread(target=run, name="slic-blocking", daemon=True).start()

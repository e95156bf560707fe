"""The caller of a caught call, as an interposer sees it. A contract only; engines implement it.

Every method acts on the thread that made the call, at the moment of the call. Methods raise
`BadAddress` (the program gave a wrong pointer; unless the handler catches it the call fails with
EFAULT, as the kernel would answer), `CallGone` (the call was interrupted or its process died: let
it fly, the engine drops the call) or OSError with the errno the call itself would have had.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NewType, Protocol

Address = NewType("Address", int)

AT_FDCWD = -100


class BadAddress(Exception):
    """The program's pointer does not lead to readable (writable) memory."""


class CallGone(Exception):
    """The call no longer waits for an answer: interrupted by a signal, or its process is dead."""


class Tracee(Protocol):
    """One calling thread. Valid until the call is answered; do not keep it longer."""

    @property
    def pid(self) -> int:
        """Process id (thread group), in the supervisor's PID namespace."""

    @property
    def tid(self) -> int:
        """Thread id, in the supervisor's PID namespace."""

    @property
    def uid(self) -> int:
        """The caller's effective user id."""

    @property
    def filters(self) -> int:
        """How many seccomp filters the caller has, the engine's too; -1: unknown (before 5.9)."""

    def still_valid(self) -> bool:
        """Is the call still waiting for an answer?"""

    # -- memory ------------------------------------------------------------------------------
    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes of the caller's memory; BadAddress if any of them is missing."""

    def read_some(self, address: int, size: int) -> bytes:
        """Up to `size` bytes: what is readable from `address` on; BadAddress if nothing is."""

    def cstring(self, address: int, limit: int = 4096) -> bytes:
        """The NUL-terminated string at `address`, without NUL; ENAMETOOLONG beyond `limit`."""

    def write(self, address: int, data: bytes) -> None:
        """Write all of `data` (read-only pages are refused as the kernel would refuse them)."""

    def scatter(self, vector: Sequence[tuple[int, int]], data: bytes) -> int:
        """Write `data` into an iovec of (address, size) pairs, in order; bytes written."""

    def iovec(self, address: int, count: int) -> list[tuple[int, int]]:
        """Read a `struct iovec[count]`; EINVAL when `count` is above IOV_MAX (1024)."""

    # -- descriptors and place ---------------------------------------------------------------
    def fd_stat(self, fd: int) -> os.stat_result:
        """fstat of a descriptor of the caller; OSError EBADF if it has none such."""

    def fd_link(self, fd: int) -> str:
        """Where a descriptor leads, as /proc/PID/fd shows it (`/path`, `pipe:[ino]`, ...)."""

    def fd_flags(self, fd: int) -> int:
        """File status flags (O_NONBLOCK, access mode, ...) and O_CLOEXEC of a descriptor."""

    def fd_dup(self, fd: int) -> int:
        """The caller's descriptor duplicated into the supervisor (pidfd_getfd); close it."""

    def cwd(self) -> str:
        """The caller's working directory, as the supervisor would name it."""

    def path(self, dirfd: int, name: bytes) -> str:
        """The absolute path a (dirfd, name) pair speaks of; symbolic links are not followed."""

    def open(self, dirfd: int, name: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
        """Open as the caller would (its root, cwd, credentials, umask); a supervisor's fd.

        `resolve` are openat2's RESOLVE_ flags. May block on a FIFO: see `Blocking`.
        """

    def connect(self, sockfd: int, address: bytes) -> None:
        """connect(2) on the caller's socket with a raw sockaddr. May block: see `Blocking`."""

    def acting(self, creating: bool = False) -> AbstractContextManager[None]:
        """Within the block this thread's file calls have the caller's fsuid, fsgid and groups.

        With `creating` also its umask, which stops every other thread that wants one: not around
        a call that may block. Names still mean what they mean to the supervisor: use `open` to
        get at a place, then act in it.
        """

    # -- the rest of the machine -------------------------------------------------------------
    def native_uname(self) -> os.uname_result:
        """What uname(2) would tell the caller (its own UTS namespace)."""

    def now(self) -> int:
        """The engine's monotonic clock, nanoseconds."""

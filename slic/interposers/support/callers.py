"""Ways of looking at a caller that interposers share: where its names lead, what it writes."""

import errno
import os
from typing import Any

from slic.tracee import AT_FDCWD, BadAddress, Tracee

WRITE_MAX = 1 << 26  # bytes taken from one call; more is answered as a short write
# Names whose meaning depends on who asks: only the contract's open resolves them right.
BY_CALLER = (b"/proc/", b"/dev/fd", b"/dev/std")


def seen(
    tracee: Tracee, dirfd: int, name: bytes, itself: bool = False
) -> tuple[os.stat_result, str]:
    """Status and real path of what a name leads to (`itself`: of the link). OSError.

    Looked at with the supervisor's rights, which is ten times as quick as with the caller's:
    what matters to an interposer is done with `Tracee.open` afterwards.
    """
    flags = os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if itself else 0)
    if name.startswith(BY_CALLER):
        fd = tracee.open(dirfd, name, flags)
    elif name.startswith(b"/"):
        fd = os.open(name, flags)
    elif not name:
        raise FileNotFoundError(errno.ENOENT, "empty path")
    else:
        base = "cwd" if dirfd == AT_FDCWD else f"fd/{dirfd}"
        fd = os.open(b"/proc/%d/%b/%b" % (tracee.tid, base.encode(), name), flags)
    try:
        return os.fstat(fd), os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


class Instead:
    """The caller, but its descriptors lead to a file of the supervisor."""

    def __init__(self, tracee: Tracee, fd: int) -> None:
        self._tracee = tracee
        self._fd = fd

    def fd_dup(self, fd: int) -> int:
        return os.dup(self._fd)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracee, name)


def signed(value: int) -> int:
    """A 64-bit register as a signed number; a signed one stays as it is."""
    return value - (1 << 64) if value > 0 and value >> 63 else value


def gathered(tracee: Tracee, vector: list[tuple[int, int]]) -> bytes:
    """What a write is given: up to WRITE_MAX bytes, up to the first that cannot be read."""
    parts: list[bytes] = []
    left = WRITE_MAX
    for address, size in vector:
        if not (wanted := min(size, left)):
            continue
        try:
            part = tracee.read_some(address, wanted)
        except BadAddress:
            if parts:
                break
            raise
        parts.append(part)
        left -= len(part)
        if len(part) < wanted:
            break
    return b"".join(parts)

"""The terminal of a startup, for the day it dies raw: found by the kernel's word, opened by us.

A descriptor that a client sends could be of anything, and already to close it may last as long as
he likes (see slic.kernel.rights). So the daemon takes none: it looks which terminal controls the
startup (proc(5), /proc/PID/stat) and opens that. Pseudo-terminals and consoles only: their close
waits for nothing. Only one's own: another instance of devpts has the same numbers.
"""

import os
import stat

CONSOLE = 4
PTS = range(136, 144)
"""Major numbers (Documentation/admin-guide/devices.txt)."""

PTS_EACH = 256


def uids_of(pid: int) -> tuple[int, int]:
    """(real, effective) uid of a process; OSError when it is gone. Reads none of its memory."""
    with open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Uid:"):
                real, effective = line.split()[1:3]
                return int(real), int(effective)
    raise ProcessLookupError(3, "no uid")


def _number(pid: int) -> tuple[int, int]:
    """(major, minor) of its controlling terminal; (0, 0): it has none."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        device = int(file.read().rpartition(b")")[2].split()[4])
    return device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00


def open_terminal_of(pid: int, uid: int) -> int:
    """A descriptor of the controlling terminal of a process of `uid`; -1: none that we may have."""
    try:
        if pid <= 0 or uids_of(pid)[1] != uid:
            return -1
        major, minor = _number(pid)
        if major in PTS:
            path = f"/dev/pts/{(major - PTS[0]) * PTS_EACH + minor}"
        elif major == CONSOLE and 0 < minor < 64:
            path = f"/dev/tty{minor}"
        else:
            return -1
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags)
    except (OSError, ValueError):
        return -1
    found = os.fstat(fd)
    is_it = stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(major, minor)
    if is_it and uid in (0, found.st_uid):
        return fd
    os.close(fd)
    return -1

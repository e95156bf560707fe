"""What a process runs: its image, and the interpreter a script names (execve(2), proc(5))."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from slic.interposers.support.confined import Pin


class Image(NamedTuple):
    """The program a process runs: its file and where that is."""

    key: tuple[int, int]
    path: str


def image_of(pid: int) -> Image:
    """OSError if the process is gone."""
    link = f"/proc/{pid}/exe"
    status = os.stat(link)
    return Image((status.st_dev, status.st_ino), os.readlink(link))


def interpreter_of(pin: Pin) -> bytes | None:
    """The interpreter a script names; None if it is no script, or one nobody may read."""
    if not stat.S_ISREG(os.fstat(pin.fd).st_mode):
        return None
    try:
        fd = os.open(pin.link, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return None
    try:
        head = os.read(fd, 256)
    finally:
        os.close(fd)
    words = head[2:].split(b"\n")[0].split() if head.startswith(b"#!") else []
    return words[0] if words else None


def is_our_fork(pid: int) -> bool:
    """Is this a child of the supervisor that has not executed its program yet?"""
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        same = Path(f"/proc/{pid}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return same and parent == os.getpid()

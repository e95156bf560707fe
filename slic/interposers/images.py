"""What a process runs: its image, and the interpreter a script names (execve(2), proc(5))."""

import os
import stat
from typing import NamedTuple

from slic.interposers.confined import Pin


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

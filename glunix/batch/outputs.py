"""The files that a batch job writes: their names, opened once for a whole job.

Patterns in a name: `%j` the job's NPID as its user knows it, `%a` an array's index, `%v` the VNN,
`%N` the node, `%x` the job's name, `%u` the user's, `%%` a per cent sign. With `%v` or `%N` each
process has a file of its own, else all share one. Runs as the user; nothing of it is root's.
"""

import errno
import os
import stat

from glunix.errors import GlunixError

PER_PROCESS = (b"%v", b"%N")


class OutputError(GlunixError):
    """A file cannot be opened; one line with its name."""


def is_per_process(name: bytes) -> bool:
    """Whether each process has a file of its own."""
    plain = name.replace(b"%%", b"")
    return any(pattern in plain for pattern in PER_PROCESS)


def expand(name: bytes, words: dict[bytes, bytes]) -> bytes:
    """The name with its patterns filled in; what is no pattern stays as it is."""
    found = bytearray()
    at = 0
    while at < len(name):
        char = name[at : at + 1]
        if char == b"%" and at + 1 < len(name):
            letter = name[at + 1 : at + 2]
            if letter == b"%":
                found += b"%"
            elif letter in words:
                found += words[letter].replace(b"/", b"_")
            else:
                found += char + letter
            at += 2
        else:
            found += char
            at += 1
    return bytes(found)


def open_output(name: bytes, is_appended: bool, umask: int) -> int:
    """A descriptor to write to; OutputError. Regular files and /dev/null only: others can block."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    flags |= os.O_APPEND if is_appended else 0
    shown = os.fsdecode(name)
    before = os.umask(umask)
    try:
        fd = os.open(name or b"/dev/null", flags, 0o666)
    except OSError as error:
        raise OutputError(f"cannot write {shown}: {error.strerror}") from None
    finally:
        os.umask(before)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        if not is_appended:
            os.ftruncate(fd, 0)
        return fd
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3):
        return fd
    os.close(fd)
    raise OutputError(f"cannot write {shown}: not a regular file")


def write_all(fd: int, data: bytes) -> str:
    """Write it all; the reason when that is not possible (a full disk), else nothing."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError as error:
            return error.strerror or errno.errorcode.get(error.errno or 0, "error")
    return ""

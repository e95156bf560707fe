"""Files and directories with a name, and deleted files, whose bytes travel."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from migration.engine import Reason
from migration.native.files.kind import Dumping, Making, Plain
from migration.native.model import Count, Path, Record, Size
from migration.native.proc import DELETED
from migration.native.survey import Seen, Survey, is_kind

_REOPENED = os.O_ACCMODE | os.O_DIRECTORY | os.O_PATH | os.O_APPEND | os.O_NOFOLLOW
_LARGEST_DELETED = 1 << 34


class Named(Record, tag="file", frozen=True):
    """A file or directory by path. `size` it had at least, where it was open for reading."""

    path: Path
    size: Size
    directory: bool


class Nameless(Record, tag="nameless", frozen=True):
    """A memfd or deleted file; `memory` counts the image's memories."""

    memory: Count


class RegularFile(Plain):
    """Kept: path, flags, position; of a deleted one the bytes."""

    record = Named

    def is_one(self, seen: Seen) -> bool:
        regular = is_kind(seen, stat.S_IFREG) or is_kind(seen, stat.S_IFDIR)
        return regular and seen.link.startswith("/") and not self._nameless(seen)

    @staticmethod
    def _nameless(seen: Seen) -> bool:
        return seen.stat.st_nlink == 0 and seen.link.endswith(DELETED)

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        yield from refuse_locks(seen)
        if (why := same_by_name(survey.path(seen), seen.stat)) != "":
            yield seen.reason(why)
        if in_proc_of_a_process(seen.link):
            yield seen.reason("a file of /proc that names a process")

    def dump(self, seen: Seen, dumping: Dumping) -> Named:
        directory = is_kind(seen, stat.S_IFDIR)
        return Named(
            path=os.fsencode(seen.link),
            size=0 if directory else seen.stat.st_size,
            directory=directory,
        )

    def make(self, record: Named, making: Making, flags: int, position: int) -> int:
        with making.as_owner():
            fd = os.open(making.path(record.path), flags & _REOPENED | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            wanted = stat.S_IFDIR if record.directory else stat.S_IFREG
            if stat.S_IFMT(found.st_mode) != wanted:
                raise FileNotFoundError(2, "it is of another kind now", os.fsdecode(record.path))
            if found.st_size < record.size and not record.directory:
                raise FileNotFoundError(2, "it has become shorter", os.fsdecode(record.path))
            if position and not flags & os.O_PATH:
                os.lseek(fd, position, os.SEEK_SET)
        except BaseException:
            os.close(fd)
            raise
        return fd


class NamelessFile(Plain):
    """memfd_create(2), shared memory and deleted files: bytes, size, seals, position."""

    record = Nameless

    def is_one(self, seen: Seen) -> bool:
        return is_kind(seen, stat.S_IFREG) and RegularFile._nameless(seen)

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        yield from refuse_locks(seen)
        if seen.stat.st_size > _LARGEST_DELETED:
            yield seen.reason(f"a deleted file of {seen.stat.st_size >> 30} GiB")
        if seen.link.startswith("/memfd:") and seen.stat.st_blksize > 4096 * 16:
            yield seen.reason("memory of huge pages")

    def dump(self, seen: Seen, dumping: Dumping) -> Nameless:
        is_memory = seen.link.startswith(("/memfd:", "/dev/zero", "/SYSV"))
        deleted = "" if is_memory else seen.link.removesuffix(DELETED)
        return Nameless(memory=dumping.memory(seen, deleted))

    def make(self, record: Nameless, making: Making, flags: int, position: int) -> int:
        source = making.memory(record.memory)
        fd = os.open(f"/proc/self/fd/{source}", flags & (os.O_ACCMODE | os.O_APPEND))
        if position:
            os.lseek(fd, position, os.SEEK_SET)
        return fd


def refuse_locks(seen: Seen) -> Iterator[Reason]:
    """flock(2), fcntl(2) locks and leases: not moved yet."""
    for line in seen.info.values("lock"):
        words = line.split()
        yield seen.reason(f"holds a lock ({words[1]} {words[3]})" if len(words) > 3 else "a lock")


def same_by_name(path: str, found: os.stat_result) -> str:
    """Why the file would not be found again by its path; "": it would."""
    try:
        named = os.stat(path)
    except OSError:
        if path.endswith(DELETED):
            return "deleted, but it has another name"
        return "it is not found under this name"
    if (named.st_dev, named.st_ino) != (found.st_dev, found.st_ino):
        return "another file has its name now"
    return ""


def in_proc_of_a_process(path: str) -> bool:
    """Is it below /proc/PID?"""
    words = path.split("/")
    return len(words) > 2 and words[1] == "proc" and words[2].isdigit()

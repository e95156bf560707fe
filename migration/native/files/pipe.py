"""pipe(2): two ends, and bytes written and not read."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from migration.engine import Reason
from migration.native.files.kind import Dumping, Making, Plain, closing
from migration.native.model import Count, Id, Record
from migration.native.survey import Seen, Survey, is_kind
from slic.kernel.libc import syscall

_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032
_SYS_TEE = 276
_NONBLOCK = 2
Bytes = Annotated[bytes, Meta(max_length=1 << 31)]


class Pipe(Record, frozen=True):
    """A pipe itself: what is in it, how much it holds, whose it is."""

    data: Bytes
    capacity: Annotated[int, Meta(ge=0, le=1 << 31)]
    owner: tuple[Id, Id]
    mode: Annotated[int, Meta(ge=0, le=0o7777)]


class PipeEnd(Record, tag="pipe", frozen=True):
    """An open file of a pipe; `pipe` counts the image's pipes."""

    pipe: Count


def read_pipe(seen: Seen) -> Pipe:
    """A pipe's state by any of its ends. The bytes are copied by tee(2) and stay where they are."""
    with closing(seen.dup()) as end:
        capacity = fcntl.fcntl(end, _F_GETPIPE_SZ)
        data = _contents(end, capacity)
    where = seen.stat
    return Pipe(
        data=data,
        capacity=capacity,
        owner=(where.st_uid, where.st_gid),
        mode=stat.S_IMODE(where.st_mode),
    )


def _contents(end: int, capacity: int) -> bytes:
    with (
        closing(os.open(f"/proc/self/fd/{end}", os.O_RDONLY | os.O_NONBLOCK)) as source,
        closing_pair() as (out, into),
    ):
        fcntl.fcntl(into, _F_SETPIPE_SZ, max(capacity, 4096))
        try:
            count = syscall(_SYS_TEE, source, into, 1 << 30, _NONBLOCK)
        except BlockingIOError:
            return b""
        parts = []
        while count > 0:
            parts.append(os.read(out, count))
            count -= len(parts[-1])
        return b"".join(parts)


class closing_pair:
    """A new pipe, both ends closed afterwards."""

    def __enter__(self) -> tuple[int, int]:
        self.ends = os.pipe()
        return self.ends

    def __exit__(self, *_: object) -> None:
        for end in self.ends:
            os.close(end)


def make_pipe(pipe: Pipe) -> tuple[int, int]:
    """Both ends of a new pipe with the same bytes in it."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, _F_SETPIPE_SZ, max(pipe.capacity, 4096))
    os.set_blocking(writing, False)
    data = pipe.data
    while data:
        data = data[os.write(writing, data) :]
    os.set_blocking(writing, True)
    os.fchown(writing, *pipe.owner)
    os.fchmod(writing, pipe.mode)
    return reading, writing


class PipeFile(Plain):
    """Kept: the bytes, the size. Stays: a pipe that leads out of the job."""

    record = PipeEnd

    def is_one(self, seen: Seen) -> bool:
        return is_kind(seen, stat.S_IFIFO)

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        if not seen.link.startswith("pipe:"):
            yield seen.reason("a named pipe")
            return
        if why := survey.outside(seen):
            yield seen.reason(f"a pipe that leads out of the job: {why}")
        if seen.info.flags & os.O_DIRECT:
            yield seen.reason("a pipe of packets (O_DIRECT)")

    def dump(self, seen: Seen, dumping: Dumping) -> PipeEnd:
        return PipeEnd(pipe=dumping.pipe(seen))

    def make(self, record: PipeEnd, making: Making, flags: int, position: int) -> int:
        ends = making.pipe(record.pipe)
        # Opened anew: each open file of an end has flags of its own.
        reading = flags & os.O_ACCMODE != os.O_WRONLY
        return os.open(
            f"/proc/self/fd/{ends[0] if reading else ends[1]}", flags & os.O_ACCMODE | os.O_NONBLOCK
        )

"""What a kind of open file must offer. CRIU's habit: one resource, one file, one registration.

A kind owns: how it is recognised, why it may have to stay, how it is written down and made again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from migration.engine import Reason
from migration.native.inject import Batch
from migration.native.model import Record
from migration.native.survey import Seen, Survey


class Dumping(Protocol):
    """What kinds may use while a frozen job is written down."""

    survey: Survey

    def memory(self, seen: Seen, deleted: str) -> int:
        """The place of a nameless file among the image's memories; its bytes are kept once."""

    def pipe(self, seen: Seen) -> int:
        """The place of a pipe among the image's pipes; its bytes are kept once."""

    def own_number(self, pid: int) -> int:
        """A process's number inside the job's namespace."""


class Making(Protocol):
    """What kinds may use while files are made again, in the mover."""

    def path(self, path: bytes) -> bytes:
        """The name by which the mover finds what the job finds under this one."""

    def memory(self, index: int) -> int:
        """A descriptor of a nameless file, open for reading and writing; not the caller's."""

    def pipe(self, index: int) -> tuple[int, int]:
        """Both ends of a pipe that holds what was unread in it; not the caller's."""

    def standard(self, name: str) -> int:
        """What `stdin`, `stdout` or `stderr` are from now on; not the caller's."""

    def socket(self, own: int, peer: int, kind: int) -> int:
        """The socket numbered `own`, connected to `peer`; the caller's."""

    def as_owner(self) -> Any:
        """A block with the credentials of the process whose file it is."""


class Kind(Protocol):
    """One kind of open file."""

    @property
    def record(self) -> type[Record]: ...
    def is_one(self, seen: Seen) -> bool: ...
    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        """Every reason why this one must stay."""

    def dump(self, seen: Seen, dumping: Dumping) -> Record: ...
    def make(self, record: Any, making: Making, flags: int, position: int) -> int:
        """An open file of the mover; `flags` are open(2)'s, without O_CLOEXEC."""

    def finish(self, record: Any, batch: Batch, fd: int, pid: int) -> None:
        """Calls for process `pid`, once all its descriptors are in their places."""


class Plain:
    """Defaults of kinds: nothing to refuse, nothing to finish."""

    def refuse(self, seen: Seen, survey: Survey) -> Iterator[Reason]:
        return iter(())

    def finish(self, record: Any, batch: Batch, fd: int, pid: int) -> None:
        return


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """The descriptor, closed afterwards."""
    try:
        yield fd
    finally:
        os.close(fd)

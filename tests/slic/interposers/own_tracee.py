"""A Tracee whose files and descriptors are this process's own; its memory is a bytearray.

For tests of interposers that open and change files: no engine, no second process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slic_fake import FakeTracee

from slic.interposer import Call, Interposer
from slic.kernel.asuser import open_as
from slic.policy import Deciding, Decision, Policy
from slic.syscalls import BY_NAME
from slic.verdict import Blocking, Verdict


class OwnTracee(FakeTracee):
    def __init__(self) -> None:
        super().__init__(bytes(1 << 20))
        self.pid = self.tid = os.getpid()
        self.uid = os.geteuid()
        self._free = self.base
        self.during_open: Any = lambda: None  # what a racing thread does before every open
        self.connected: list[tuple[int, bytes]] = []

    def put(self, data: bytes) -> int:
        """Place data in the caller's memory; its address."""
        address = self._free
        self._free += len(data) + 16
        self.write(address, data)
        return address

    def cwd(self) -> str:
        return str(Path.cwd())

    def fd_link(self, fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}")

    def fd_stat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def fd_flags(self, fd: int) -> int:
        return fcntl.fcntl(fd, fcntl.F_GETFL)

    def fd_dup(self, fd: int) -> int:
        return os.dup(fd)

    def open(self, dirfd: int, name: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
        self.during_open()
        return open_as(self.tid, dirfd, name, flags, mode, resolve)

    @contextmanager
    def acting(self, creating: bool = False) -> Iterator[None]:
        yield

    def connect(self, sockfd: int, address: bytes) -> None:
        self.connected.append((sockfd, address))

    # -- making calls ------------------------------------------------------------------------
    def call(self, name: str, *args: int | str | bytes) -> Call:
        """A call whose texts are put into memory."""
        raw = []
        for argument in args:
            if isinstance(argument, str):
                argument = os.fsencode(argument)
            if isinstance(argument, bytes):
                argument = self.put(argument + b"\0")
            raw.append(argument & (1 << 64) - 1)
        return Call(BY_NAME[name], (*raw, *([0] * (6 - len(raw)))), 1)

    def ask(self, stack: list[Interposer], name: str, *args: int | str | bytes) -> Verdict:
        """The verdict of a stack; `Blocking` questions are answered by doing their work."""
        decided = Policy(stack).decide(self.call(name, *args), self)
        if isinstance(decided, Decision):
            return decided.verdict
        return finish(decided)


def finish(deciding: Deciding) -> Verdict:
    answer: Any = None
    while True:
        try:
            if isinstance(answer, OSError):
                question = deciding.throw(answer)
            else:
                question = deciding.send(answer)
        except StopIteration as stop:
            verdict: Verdict = stop.value.verdict
            return verdict
        assert isinstance(question, Blocking)
        try:
            answer = question.work()
        except OSError as error:
            answer = error


def taken(verdict: Verdict) -> int:
    """The descriptor of a ReturnFd; the caller closes it."""
    fd: int = verdict.fd  # type: ignore[union-attr]
    return fd


def content(verdict: Verdict, size: int = 1000) -> bytes:
    fd = taken(verdict)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)

"""A Tracee over plain dictionaries, for tests of policies and interposers without I/O."""

import errno
import os
from collections.abc import Sequence
from typing import Any

from slic.interposer import Call
from slic.syscalls import BY_NAME
from slic.tracee import BadAddress


def call(name: str, *args: int, id: int = 1) -> Call:
    padded = tuple(a & (1 << 64) - 1 for a in args) + (0,) * (6 - len(args))
    return Call(BY_NAME[name], padded, id)


class FakeTracee:
    """Memory is one bytearray at `base`; everything else is what the test sets."""

    def __init__(self, memory: bytes = bytes(4096), base: int = 0x1000) -> None:
        self.memory = bytearray(memory)
        self.base = base
        self.pid = self.tid = 100
        self.links: dict[int, str] = {}
        self.stats: dict[int, os.stat_result] = {}
        self.flags: dict[int, int] = {}
        self.files: dict[str, Any] = {}
        self.directory = "/"
        self.clock = 0

    def still_valid(self) -> bool:
        return True

    def _offset(self, address: int, size: int) -> int:
        if not self.base <= address <= address + size <= self.base + len(self.memory):
            raise BadAddress(hex(address))
        return address - self.base

    def read(self, address: int, size: int) -> bytes:
        offset = self._offset(address, size)
        return bytes(self.memory[offset : offset + size])

    def read_some(self, address: int, size: int) -> bytes:
        offset = self._offset(address, 1)
        return bytes(self.memory[offset : offset + size])

    def cstring(self, address: int, limit: int = 4096) -> bytes:
        return self.read_some(address, limit).split(b"\0")[0]

    def write(self, address: int, data: bytes) -> None:
        offset = self._offset(address, len(data))
        self.memory[offset : offset + len(data)] = data

    def scatter(self, vector: Sequence[tuple[int, int]], data: bytes) -> int:
        done = 0
        for address, size in vector:
            self.write(address, data[done : done + size])
            done += len(data[done : done + size])
        return done

    def iovec(self, address: int, count: int) -> list[tuple[int, int]]:
        raw = self.read(address, 16 * count)
        words = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
        return list(zip(words[::2], words[1::2], strict=True))

    def fd_stat(self, fd: int) -> os.stat_result:
        if fd not in self.stats:
            raise OSError(errno.EBADF, "fd")
        return self.stats[fd]

    def fd_link(self, fd: int) -> str:
        if fd not in self.links:
            raise OSError(errno.EBADF, "fd")
        return self.links[fd]

    def fd_flags(self, fd: int) -> int:
        return self.flags[fd]

    def fd_dup(self, fd: int) -> int:
        raise NotImplementedError

    def cwd(self) -> str:
        return self.directory

    def path(self, dirfd: int, name: bytes) -> str:
        base = self.directory if dirfd == -100 else self.fd_link(dirfd)
        return os.path.normpath(os.path.join(base, os.fsdecode(name)))

    def open(self, dirfd: int, name: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
        opened: int = self.files[self.path(dirfd, name)]
        return opened

    def connect(self, sockfd: int, address: bytes) -> None:
        raise NotImplementedError

    def native_uname(self) -> os.uname_result:
        return os.uname_result(("Linux", "node", "6.1", "#1", "x86_64"))

    def now(self) -> int:
        self.clock += 1000
        return self.clock

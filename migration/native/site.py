"""A place for a job that somebody else has made: a stub that waits there with a door.

`Space` makes a namespace of its own; a `Site` is in one that stands, with a parent, a session, a
terminal and a filter that the job is to have. The stub waits there (migration.native.place), and
gets descriptors through a socket, its door (unix(7), SCM_RIGHTS).
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
from collections.abc import Sequence

from migration.native import inject, proc
from migration.native.inject import Batch, Place
from slic.kernel import memory

_RECVMSG, _OPENAT, _DUP3, _CLOSE_RANGE, _IOCTL = 47, 257, 292, 436, 16
_PRLIMIT = 302
_AT_FDCWD = -100
_TIOCSPGRP = 0x5410
_AT_ONCE = 200
_CMSG = struct.Struct("=QII")


class Site:
    """`root`: the stub, by the mover's number; `door`: its descriptor, `ours` the other end."""

    def __init__(self, root: int, ours: socket.socket, door: int) -> None:
        self.root = root
        self._door = door
        self._ours = ours

    @property
    def standing(self) -> frozenset[int]:
        """Groups, by the job's own numbers, that are there without the job."""
        found = set()
        for pid in (self.root, int(proc.status(self.root)["PPid"])):
            found.add(proc.own_number(proc.status(pid)["NSpgid"]))
        return frozenset(found)

    @property
    def leads(self) -> bool:
        """Has the stub begun a session already?"""
        found = proc.status(self.root)
        return proc.own_number(found["NSsid"]) == proc.own_number(found["NSpid"])

    def make_room(self, place: Place, most: int) -> None:
        """Let it have descriptors with numbers below `most`: it asks by itself, since only a
        mover with CAP_SYS_RESOURCE could do it for another user's process (prlimit(2))."""
        hard = _hard_limit(self.root)
        if hard < most:
            raise OSError(24, f"descriptors up to {most} are needed, {hard} are allowed")
        batch = Batch(place)
        wanted = batch.bytes_at(struct.pack("=QQ", hard, hard))
        batch.add("prlimit", _PRLIMIT, 0, resource.RLIMIT_NOFILE, wanted, 0)
        batch.run(self.root)

    def send(self, place: Place, first: int, fds: Sequence[int]) -> None:
        """The stub has these from `first` on, and nothing else any more."""
        for at in range(0, len(fds), _AT_ONCE):
            some = fds[at : at + _AT_ONCE]
            socket.send_fds(self._ours, [b"f"], some)
            got = self._receive(place, len(some))
            batch = Batch(place)
            for number, fd in enumerate(got):
                batch.add("dup3", _DUP3, fd, first + at + number, 0)
            batch.run(self.root)
            _close(place, self.root, [fd for fd in got if fd < first], self._door)
        batch = Batch(place)
        batch.add("close_range", _CLOSE_RANGE, 0, first - 1, 0)
        batch.run(self.root)
        self._ours.close()

    def _receive(self, place: Place, count: int) -> tuple[int, ...]:
        batch = Batch(place)
        size = _CMSG.size + 4 * count
        control = batch.bytes_at(bytes(size + 8))
        byte = batch.bytes_at(bytes(16))
        vector = batch.bytes_at(struct.pack("=QQ", byte, 1))
        head = struct.pack("=QI4xQQQQi4x", 0, 0, vector, 1, control, size, 0)
        batch.add("recvmsg", _RECVMSG, self._door, batch.bytes_at(head), 0)
        batch.run(self.root)
        data = memory.read(place.pid, control, size)
        length, _, _ = _CMSG.unpack_from(data)
        if length != size:
            raise OSError(24, "the stub did not get all descriptors")
        return struct.unpack_from(f"={count}i", data, _CMSG.size)

    def open_controlling(self, place: Place, number: int, flags: int) -> None:
        """/dev/tty, as the stub's session finds it, becomes this descriptor of it."""
        batch = Batch(place)
        path = batch.bytes_at(b"/dev/tty\0")
        at = batch.add("/dev/tty", _OPENAT, _AT_FDCWD, path, flags | os.O_NOCTTY, 0)
        fd = batch.run(self.root)[at]
        batch.add("dup3", _DUP3, fd, number, 0)
        batch.run(self.root)
        _close(place, self.root, [fd], -1)

    def set_foreground(self, place: Place, terminal: int, group: int) -> None:
        """The group of that number (the job's own) is in the terminal's foreground. The stub
        blocks SIGTTOU."""
        batch = Batch(place)
        data = batch.bytes_at(struct.pack("=i", group))
        batch.add("tcsetpgrp", _IOCTL, terminal, _TIOCSPGRP, data)
        batch.run(self.root, tolerant=True)

    def detach(self) -> None:
        """Whose it is, makes sure of its end."""

    def wait(self) -> int:
        raise NotImplementedError("the parent of a job at a site waits for it")

    def close(self, traced: tuple[int, ...] = ()) -> None:
        """End everybody that was made; the namespace is not ours to end."""
        self._ours.close()
        for tid in (*traced, self.root):
            _kill(tid)
        for tid in (*traced, self.root):
            inject.await_end(tid)


def _hard_limit(pid: int) -> int:
    for line in proc.text(pid, "limits").splitlines():
        if line.startswith("Max open files"):
            word = line[26:].split()[1]
            return 1 << 20 if word == "unlimited" else int(word)
    return 0


def _kill(tid: int) -> None:
    try:
        os.kill(tid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _close(place: Place, pid: int, fds: list[int], keep: int) -> None:
    batch = Batch(place)
    for fd in fds:
        if fd != keep:
            batch.add("close", 3, fd)
    batch.run(pid, tolerant=True)

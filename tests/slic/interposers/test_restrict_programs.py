"""restrict without an engine: programs, sockets, and the layers below it."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_tracee import OwnTracee, content
from restrict_room import CWD, REFUSED, Room, address

from slic.interposers.identity import Identity
from slic.interposers.restrict import Image, Restrict, Rules
from slic.verdict import Continue, Fail, Return


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_execution_is_checked_on_the_object_and_its_interpreter(room: Room) -> None:
    (room.read / "script").write_text(f"#! {room.read}/file -x\n")
    (room.read / "bad").write_text("#!/bin/sh\n")
    (room.write / "out").symlink_to(room.read / "script")
    assert isinstance(room.ask("execve", room.write / "out", 0, 0), Continue)
    assert isinstance(room.ask("execveat", CWD, room.read / "script", 0, 0, 0), Continue)
    assert room.ask("execve", room.read / "bad", 0, 0) == REFUSED
    assert room.ask("execve", room.write / "file", 0, 0) == REFUSED
    assert room.ask("execve", room.read / "none", 0, 0) == Fail(errno.ENOENT)
    memory = os.memfd_create("x")
    try:
        assert room.ask("execveat", memory, "", 0, 0, 0x1000) == REFUSED
        assert room.ask("execve", f"/proc/self/fd/{memory}", 0, 0) == REFUSED
    finally:
        os.close(memory)


def test_an_exchanged_program_is_killed_at_its_next_open(room: Room) -> None:
    child = os.fork()
    if child == 0:
        os.read(os.eventfd(0), 8)
        os._exit(0)
    restrict = Restrict(room.rules, image=lambda pid: Image((9, 9), f"{room.other}/evil"))
    room.tracee.pid = room.tracee.tid = child
    file = str(room.read / "file")
    assert room.tracee.ask([restrict], "openat", CWD, file, 0, 0) == REFUSED
    assert os.waitpid(child, 0)[1] == 9


def test_connect_is_done_by_the_supervisor_with_its_own_copy(room: Room) -> None:
    good = address(socket.AF_INET, "10.1.2.3", 1500)
    assert room.ask("connect", 7, good, 16) == Return(0)
    assert room.tracee.connected == [(7, good)]
    for host, port in (("10.1.2.3", 2001), ("10.2.0.0", 1500), ("127.0.0.1", 22)):
        assert room.ask("connect", 7, address(socket.AF_INET, host, port), 16) == REFUSED
    assert room.ask("connect", 7, bytes(200), 129) == Fail(errno.EINVAL)
    assert room.ask("connect", 7, bytes(16), 16) == Return(0)  # AF_UNSPEC: disconnect
    assert len(room.tracee.connected) == 2


@pytest.fixture
def listening(room: Room) -> Iterator[Room]:
    with socket.socket(socket.AF_UNIX) as a, socket.socket(socket.AF_UNIX) as b:
        a.bind(str(room.read / "sock"))
        b.bind(str(room.other / "sock"))
        yield room


def test_unix_sockets_are_reached_through_their_object(listening: Room) -> None:
    def unix(path: object) -> bytes:
        return struct.pack("=H", 1) + str(path).encode()

    room = listening
    (room.write / "s").symlink_to(room.read / "sock")
    (room.write / "t").symlink_to(room.other / "sock")
    path = unix(room.write / "s")
    assert room.ask("connect", 7, path + b"\0", len(path) + 1) == Return(0)
    assert room.tracee.connected[0][1].startswith(struct.pack("=H", 1) + b"/proc/self/fd/")
    for wrong in (unix(room.write / "t"), unix("\0abstract"), unix("\0")):
        assert room.ask("connect", 7, wrong, len(wrong)) == REFUSED
    room.tracee.uid += 1
    assert room.ask("connect", 7, path, len(path)) == REFUSED


def test_identity_below_answers_what_the_policy_allows() -> None:
    tracee = OwnTracee()
    rules = Rules.load('files.read = ["/proc/sys/kernel"]')
    identity = Identity(b"home", b"lab")
    allowed = Restrict(rules, image=lambda pid: Image((0, 0), ""))
    allowed._vouched.add((0, 0))
    name = "/proc/sys/kernel/hostname"
    assert content(tracee.ask([allowed, identity], "open", name, 0, 0)) == b"home\n"
    assert (
        content(tracee.ask([allowed], "open", name, 0, 0))
        == os.fsencode(os.uname().nodename) + b"\n"
    )
    nothing = Restrict(Rules.load(""), image=allowed._image)
    nothing._vouched.add((0, 0))
    assert tracee.ask([nothing, identity], "open", name, 0, 0) == REFUSED


def test_attributes_through_the_calls_of_newer_kernels(room: Room) -> None:
    """setxattrat and removexattrat are what setxattr and removexattr are."""
    value = room.tracee.put(b"v")
    args = room.tracee.put(struct.pack("=QII", value, 1, 0))
    for folder in (room.read, room.other):
        file = folder / "file"
        assert room.ask("setxattrat", CWD, file, 0, "user.a", args, 16) == REFUSED
        assert room.ask("removexattrat", CWD, file, 0, "user.a") == REFUSED
        assert os.listxattr(file) == []
    file = room.write / "file"
    assert room.ask("setxattrat", CWD, file, 0, "user.a", args, 8) == Fail(errno.EINVAL)
    assert room.ask("setxattrat", CWD, 0, 0, "user.a", args, 16) == Fail(errno.EFAULT)
    assert room.ask("file_setattr", CWD, file, 0, 0, 0) == Fail(errno.EPERM)
    if room.ask("setxattrat", CWD, file, 0, "user.a", args, 16) == Fail(errno.EOPNOTSUPP):
        pytest.skip("the file system has no user attributes")
    assert os.getxattr(file, "user.a") == b"v"
    fd = os.open(file, os.O_RDONLY)
    try:  # the descriptor itself: an empty name, or none
        assert room.ask("removexattrat", fd, 0, 0x1000, "user.a") == Return(0)
        assert room.ask("setxattrat", fd, "", 0x1000, "user.b", args, 16) == Return(0)
    finally:
        os.close(fd)
    assert os.listxattr(file) == ["user.b"]

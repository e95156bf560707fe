"""Home's half of calls that tell a file from its stand-in: what it says, and what it refuses."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from glunix.home.calls.filetable import ON_DESCRIPTOR, OpenFile
from glunix.home.descriptors.filefacts import CALLS


@pytest.fixture
def fd(tmp_path: Path) -> int:
    return os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)


def error_of(call: str, fd: int, numbers: list[int], data: bytes = b"") -> str:
    with pytest.raises(OSError) as error:
        CALLS[call](fd, numbers, data)
    return errno.errorcode[error.value.errno or 0]


def test_errors_are_the_kernels(fd: int) -> None:
    assert error_of("syncrange", fd, [0, 0, 8]) == "EINVAL"
    assert error_of("poll", fd, []) == "EPERM"
    assert error_of("command", fd, [1032, 0]) == "EBADF"
    assert error_of("handle", 999, []) == "EBADF"
    with pytest.raises(OSError, match="Bad file descriptor"):
        ON_DESCRIPTOR["fstatfs"](OpenFile(999), [])
    os.close(fd)


def test_a_node_gets_no_more_than_was_meant(fd: int) -> None:
    for command in (0, 2, 4, 8, 10, 1024, 1026):  # F_DUPFD, F_SETFD, F_SETFL, F_SETOWN, ...
        assert error_of("command", fd, [command, 0]) == "EINVAL"
    for kind in (0, 1, 2):
        assert error_of("lease", fd, [kind]) == "EAGAIN"
    for name in (b"security.capability", b"trusted.x", b"system.posix_acl_access"):
        assert error_of("setxattr", fd, [0], name + b"\0value") == "EPERM"
        assert error_of("removexattr", fd, [], name) == "EPERM"
    assert stat.S_IMODE(os.fstat(fd).st_mode) & 0o7000 == 0
    os.close(fd)


def test_the_type_of_a_file_system(fd: int) -> None:
    _, numbers, _ = ON_DESCRIPTOR["fstatfs"](OpenFile(fd), [])
    name = os.readlink(f"/proc/self/fd/{fd}")
    told = subprocess.run(
        ["stat", "-f", "-c", "%t %s %l %i", name], capture_output=True, text=True, check=True
    ).stdout.split()
    identity = f"{numbers[7] & 0xFFFFFFFF:x}{numbers[8] & 0xFFFFFFFF:08x}"
    assert [f"{numbers[0]:x}", str(numbers[1]), str(numbers[9]), identity] == told
    os.close(fd)

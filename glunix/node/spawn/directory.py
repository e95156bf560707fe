"""The working directory of a job's process: home's, by name or as home's half hands it over.

Runs in the process itself, as the owner (glunix.node.spawn.exec); but `empty_directory`.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator

from glunix.msg.job import LINE_SECRET, PATH_MAX, JobSpec

_UCRED = struct.Struct("3i")
_PATIENCE = 10.0
"""Seconds for home's half, which answers at once unless it is stopped."""

_SPARE = ("/tmp", "/var/tmp", "/dev/shm")
"""Where one can be made that is then removed."""


def enter(spec: JobSpec) -> None:
    """Make home's working directory this process's; OSError.

    Whoever is started in a directory that was removed finds one that was: on another machine it is
    another, as empty. What is only forbidden, or lost, is an error there.
    """
    try:
        if spec.removed:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        _descend(spec.cwd)
    except OSError:
        given = _ask(spec.directory)
        if given is not None:
            os.fchdir(given)
            os.close(given)
        elif spec.removed:
            _enter_removed()
        else:
            raise


def _descend(path: bytes) -> None:
    """chdir(2), also to where a name is too long for one call."""
    try:
        os.chdir(path)
        return
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG or len(path) < PATH_MAX:
            raise
    os.chdir(b"/")
    for part in _parts(path):
        os.chdir(part)


def _parts(path: bytes) -> Iterator[bytes]:
    """Relative names, each short enough for a call, that lead there one after the other."""
    part = b""
    for name in path.split(b"/"):
        if len(part) + len(name) + 2 > PATH_MAX:
            yield part
            part = b""
        part += name + b"/" if name else b""
    if part:
        yield part


def _ask(directory: bytes) -> int | None:
    """A descriptor of the directory, from the process of this user's that has it; None."""
    secret, name = directory[:LINE_SECRET], directory[LINE_SECRET:]
    if not name.startswith(b"\0"):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(name)
            cred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            if _UCRED.unpack(cred)[1] != os.geteuid():
                return None  # a stranger's
            sock.sendall(secret)
            fds = socket.recv_fds(sock, 1, 1)[1]
        except OSError:
            return None  # not this machine, or not this network namespace
    for fd in fds[:1]:
        os.set_inheritable(fd, False)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    return None


def empty_directory() -> int:
    """What stands in for a directory of home's on fds 0-2: reads, writes and seeks say the same of
    it, and nobody finds a file of this node in it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    for place in _SPARE:
        with contextlib.suppress(OSError):
            made = tempfile.mkdtemp(prefix="glunix-", dir=place)
            try:
                return os.open(made, flags)
            finally:
                os.rmdir(made)
    return os.open("/proc/self/fdinfo", flags)


def _enter_removed() -> None:
    for place in _SPARE:
        with contextlib.suppress(OSError):
            made = tempfile.mkdtemp(prefix="glunix-", dir=place)
            try:
                os.chdir(made)
            finally:
                os.rmdir(made)
            return
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

"""What a submitting process may not have, and so neither may its job: the kernel says, not it.

Owns reading no_new_privs and the bounding set (proc_pid_status(5)) of the process behind a
connection. Both only ever become stricter, so what is found when the connection is accepted is no
looser than what held when it was made. Threads may differ; the first one is looked at.

The process is held by a pidfd (SO_PEERPIDFD, Linux 6.5), so that another process which got its
number later is not taken for it. Older kernels: by one opened at once, of the same user. A
submitter that is gone, is in another PID namespace or in another user namespace (whose bounding set
begins full again, user_namespaces(7)) gets the strictest.

Not carried, because no other process can be given them: seccomp filters, Landlock rules, labels of
security modules.
"""

import contextlib
import errno
import functools
import os
import signal
import socket
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from glunix.msg.job import CAPS_ALL, JobSpec, Owner
from glunix.node.spawn.carried import UNKNOWN, io_priority
from slic.kernel import capabilities

SO_PEERPIDFD = 77


class Restrictions(NamedTuple):
    """As the fields of Owner."""

    no_new_privs: bool
    bounding: int


STRICTEST = Restrictions(True, 0)


def restricted(connection: socket.socket, pid: int, owner: Owner) -> Owner:
    """The owner, with what the process `pid` at the other end may not have."""
    no_new_privs, bounding = _restrictions(connection, pid, owner.uid)
    return msgspec.structs.replace(owner, no_new_privs=no_new_privs, bounding=bounding)


def with_io_priority(spec: JobSpec, pid: int) -> JobSpec:
    """The I/O priority of the process `pid`, where it says what it has but that (home/carried)."""
    carried = spec.carried
    if carried is None or pid <= 0 or carried.io_priority != UNKNOWN:
        return spec
    found = msgspec.structs.replace(carried, io_priority=io_priority(pid))
    return msgspec.structs.replace(spec, carried=found)


def parse_status(text: str, known: int) -> tuple[set[int], Restrictions]:
    """(its uids, restrictions) from a /proc/PID/status; ValueError when a line is missing.

    `known`: capabilities that this kernel knows; another one may know more, of which nothing was
    taken away here.
    """
    found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        uids = {int(word) for word in found["Uid"].split()}
        bounding = int(found["CapBnd"], 16)
        no_new_privs = found["NoNewPrivs"].strip() != "0"
    except KeyError as missing:
        raise ValueError(f"no {missing} in status") from None
    return uids, Restrictions(no_new_privs, (bounding | ~known) & CAPS_ALL)


def _restrictions(connection: socket.socket, pid: int, uid: int) -> Restrictions:
    try:
        with _held(connection, pid) as (pidfd, is_exact):
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
                text = file.read()
            is_here = _user_namespace(f"/proc/{pid}") == _own_user_namespace()
            signal.pidfd_send_signal(pidfd, 0)  # alive until here: all that was read is its own
        uids, found = parse_status(text, capabilities.known())
    except (OSError, ValueError):
        return STRICTEST
    return found if is_here and (is_exact or uid in uids) else STRICTEST


@contextlib.contextmanager
def _held(connection: socket.socket, pid: int) -> Iterator[tuple[int, bool]]:
    """A pidfd of the process, and whether it is certainly of that one; OSError if there is none."""
    if pid <= 0 or not _proc_is_ours():
        raise ProcessLookupError
    is_exact = True
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # ESRCH, EINVAL: it was reaped
            raise
        pidfd, is_exact = os.pidfd_open(pid), False
    try:
        yield pidfd, is_exact
    finally:
        os.close(pidfd)


@functools.cache
def _proc_is_ours() -> bool:
    """Whether /proc is of our PID namespace: its numbers would else be those of others."""
    return os.readlink("/proc/self") == str(os.getpid())


def _user_namespace(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(f"{folder}/ns/user")
    except FileNotFoundError:
        if os.path.exists(f"{folder}/ns"):
            return None  # this kernel has none
        raise
    return found.st_dev, found.st_ino


@functools.cache
def _own_user_namespace() -> tuple[int, int] | None:
    return _user_namespace("/proc/self")

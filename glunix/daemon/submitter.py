"""What a submitting process may not have, and so neither may its job: the kernel says, not it.

Also its limits and its priority (prlimit(2), getpriority(2)): what a client says of them can only
lower them. Nobody can raise a hard limit of his; where it cannot be read, no job is taken.

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
import resource
import signal
import socket
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from glunix.msg.job import CAPS_ALL, JobSpec, Owner, Rlimit
from glunix.node.spawn.carried import UNKNOWN, io_priority
from slic.kernel import capabilities

SO_PEERPIDFD = 77

RESOURCES = 16
"""RLIM_NLIMITS of Linux, which the resource module leaves out."""


class Restrictions(NamedTuple):
    """As the fields of Owner."""

    no_new_privs: bool
    bounding: int


STRICTEST = Restrictions(True, 0)


_NAME = 26
"""Characters of a row of /proc/PID/limits before its numbers."""


class Limits(NamedTuple):
    """`each`: what a process may have of each resource, (soft, hard) by number."""

    each: dict[int, tuple[int, int]]
    nice: int


def limits_of(connection: socket.socket, pid: int) -> Limits | None:
    """The limits and priority of the process `pid` at the other end; None: they cannot be known."""
    if pid <= 0:
        return None
    try:
        with _held(connection, pid) as (pidfd, _):
            each = _limits(pid)
            nice = os.getpriority(os.PRIO_PROCESS, pid)
            signal.pidfd_send_signal(pidfd, 0)  # alive until here: all that was read is its own
    except (OSError, ValueError):
        return None
    return Limits(each, nice)


def _limits(pid: int) -> dict[int, tuple[int, int]]:
    try:
        return {number: resource.prlimit(pid, number) for number in range(RESOURCES)}
    except PermissionError:  # of another user, and root is without CAP_SYS_RESOURCE
        if not _proc_is_ours():
            raise
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            return parse_limits(file.read())


def parse_limits(text: str) -> dict[int, tuple[int, int]]:
    """(soft, hard) by number of a /proc/PID/limits (proc_pid_limits(5)), whose rows are in order;
    ValueError when it is none."""
    rows = [line[_NAME:].split()[:2] for line in text.splitlines()[1:]]
    values = [[-1 if word == "unlimited" else int(word) for word in row] for row in rows]
    return {number: (soft, hard) for number, (soft, hard) in enumerate(values)}


def within(spec: JobSpec, limits: Limits) -> JobSpec:
    """The job with no more than its submitter has. A soft limit may be as high as its hard one."""
    said = {limit.resource: limit for limit in spec.rlimits}
    found = []
    for number, (soft, hard) in limits.each.items():
        one = said.pop(number, None)
        if one is not None:
            hard = _least(one.hard, hard)
            soft = _least(one.soft, hard)
        found.append(Rlimit(number, soft, hard))
    nice = max(spec.nice, limits.nice)
    return msgspec.structs.replace(spec, rlimits=[*found, *said.values()], nice=nice)


def _least(one: int, other: int) -> int:
    if one == resource.RLIM_INFINITY:
        return other
    return one if other == resource.RLIM_INFINITY else min(one, other)


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
    if pid <= 0 or not _proc_is_ours():
        return STRICTEST
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

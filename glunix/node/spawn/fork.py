"""Starting one process of a job on this node, with or without a keeper.

A job without a terminal is a direct child of its user's session server (glunix.node.spawn.sessions)
or, for the daemon's own user, of the daemon, in a process group of its own inside the parent's
session: its group is then not orphaned (setpgid(2)), so that SIGTSTP stops it. A job with a
terminal needs a session of its own, and a parent inside that session for the same reason: that
parent is its keeper (glunix.node.userlevel.session_leader).

Reports come as packets on `status`: see `Report`.
"""

import contextlib
import dataclasses
import errno
import os
import signal
import socket
import struct
import traceback
from collections.abc import Callable

from glunix.msg.job import JobSpec, Owner
from glunix.node.spawn.exec import (
    StepFailed,
    become,
    enter_groups,
    leave_terminal,
    own_group,
    place_fds,
)
from slic.kernel.clone import fork_into
from slic.kernel.prctl import set_parent_death_signal


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Everything a new process needs. Descriptors belong to the caller, who closes them after."""

    spec: JobSpec
    owner: Owner
    env: dict[bytes, bytes]
    stdin: int
    stdout: int
    stderr: int
    enter: Callable[[], None] | None = None
    """Moves the calling process into the job's control group; None: the job has none."""
    groups: tuple[int, ...] = ()
    """cgroup.procs files, opened with the daemon's rights, that the process writes itself into."""
    into: int = -1
    """The folder of a control group, in which the process begins; -1: where its parent is."""
    line: int = -1
    """What becomes its descriptor LINE, to the daemon's PMI server; -1: it gets none."""

    def enter_group(self) -> None:
        """In the child, as root still: what it forks belongs to the job for good."""
        if self.enter is None:
            return
        try:
            self.enter()
        except OSError as error:
            text = f"cannot enter the job's control group: {error.strerror}"
            raise StepFailed("session", error.errno or errno.EIO, text) from None


@dataclasses.dataclass(frozen=True)
class Report:
    """What a child, keeper or session server says.

    Kinds: "forked" and "started" (a=pid), "wait" (a=wait status), "failed" (a=errno).
    """

    kind: str
    a: int = 0
    step: str = ""
    text: str = ""


_KINDS = {b"C": "forked", b"S": "started", b"W": "wait", b"F": "failed"}


def encode_report(report: Report) -> bytes:
    """One packet."""
    letter = next(k for k, v in _KINDS.items() if v == report.kind)
    return letter + struct.pack("<i", report.a) + f"{report.step}\0{report.text}".encode()


def decode_report(packet: bytes) -> Report:
    """The packet's meaning; it comes from our own child, so malformed is a bug (ValueError)."""
    (a,) = struct.unpack_from("<i", packet, 1)
    step, _, text = packet[5:].decode("utf-8", "replace").partition("\0")
    return Report(_KINDS[packet[:1]], a, step, text)


def receive(sock: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """A packet and the descriptors that came with it, close-on-exec; OSError as recvmsg(2)."""
    data, fds, _, _ = socket.recv_fds(sock, size, most)
    for fd in fds:  # recv_fds takes flags, and ignores them (Python 3.11)
        os.set_inheritable(fd, False)
    return data, fds


def fork_child(body: Callable[[], object], into: int = -1) -> int:
    """Fork; the child runs `body` with all signals blocked and never returns. Returns its pid.
    `into`: the control group that it begins in (slic.kernel.clone); -1: ours.

    Signals are blocked over the fork because the child still has the parent's handlers, and would
    write into the parent's wake-up pipe.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork() if into < 0 else fork_into(into)
        if pid == 0:
            status = 70
            try:
                signal.set_wakeup_fd(-1)
                body()
                status = 0
            except BaseException:  # the child's own frame: nobody above it would print this
                traceback.print_exc()
            finally:
                os._exit(status)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def close_others(keep: set[int]) -> None:
    """Close every descriptor above 2 that is not in `keep`.

    A child that does not exec would otherwise hold the daemon's sockets and other jobs' pipes open:
    their readers would never see the end.
    """
    last = 2
    for fd in sorted(fd for fd in keep if fd > 2):
        os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, 1 << 20)


def report_failure(status: socket.socket, error: StepFailed) -> None:
    """Tell the daemon why there is no program."""
    status.send(encode_report(Report("failed", error.error, error.step, error.text)))


def spawn_direct(
    around: Surroundings,
    ends_with_init: bool | None = None,
    born: Callable[[], None] | None = None,
) -> tuple[int, socket.socket]:
    """Start a process without a terminal. Returns (pid, status socket). `born` is done first of all
    in the child.

    The status socket ends without a packet when exec succeeded; else it gives one "failed".
    `ends_with_init`: the init of this PID namespace is a daemon; None: it is if we are it.
    """
    if ends_with_init is None:
        ends_with_init = os.getpid() == 1
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)

    def body() -> None:
        try:
            if born is not None:
                born()
            around.enter_group()
            own_group(None)
            if not ends_with_init:
                set_parent_death_signal(signal.SIGKILL)
            enter_groups(around.groups)
            leave_terminal()
            place_fds(around.stdin, around.stdout, around.stderr, around.line)
            become(around.spec, around.owner, around.env, dies_with_parent=not ends_with_init)
        except StepFailed as error:
            report_failure(theirs, error)
            os._exit(127)

    try:
        pid = fork_child(body, around.into)
    finally:
        theirs.close()
    with contextlib.suppress(OSError):  # done by the child too: who comes first does not matter,
        os.setpgid(pid, pid)  # but a signal to the group that comes before both would be lost
    return pid, ours

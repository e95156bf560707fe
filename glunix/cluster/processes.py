"""Processes of a cluster on this machine: how one begins in the background, says that it is ready,
and is ended. Everything is forked from one process, so the imports are paid once.
"""

import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from glunix import config
from glunix.cluster.hosts import resolve_own
from glunix.cluster.isolation import ISOLATED, leave_shared
from glunix.cluster.members import Member, birth
from glunix.errors import GlunixError

READY_TIMEOUT = 60.0
DESCRIPTORS = 1 << 18
STOP_TIMEOUT = 8.0


Serve = Callable[[Path, str, tuple[str, ...], int], int]
"""(state folder, name, isolated, ready descriptor) -> exit status."""


def fork_member(folder: Path, name: str, isolate: bool, serve: Serve) -> tuple[int, int]:
    """Fork one daemon or master; returns (ready descriptor, pid of the direct child)."""
    ready_r, ready_w = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(ready_w)
        return ready_r, pid
    status = 70
    try:
        # No exec follows, so close-on-exec does not help: the lock and the others' pipes go now.
        os.closerange(3, ready_w)
        os.closerange(ready_w + 1, 1 << 20)
        os.setsid()
        own_signals()
        _redirect(config.private(folder) / f"{name}.log")
        isolated = ISOLATED if isolate else ()
        if isolate:
            leave_shared(name)
            resolve_own(folder, name)
        told_r, told_w = os.pipe()
        inner = os.fork()  # into the new PID namespace, and away from our parent
        if inner:
            os.write(ready_w, f"pid {inner} {','.join(isolated)}\n".encode())
            os._exit(0)
        os.close(told_w)
        os.read(told_r, 1)  # until the outer process has ended: its pid line comes before "ready"
        os.close(told_r)
        status = serve(folder, name, isolated, ready_w)
    except GlunixError as error:
        print(f"error: {error}", flush=True)
    except BaseException:  # the one place where a bug of a daemon becomes its log's last words
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def own_signals() -> None:
    """Dispositions of a daemon, whatever the tool or the user's shell had set.

    A filter dies of SIGPIPE, a daemon must not; and what `nohup glunix up` ignores is not to be
    ignored by every job.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def many_descriptors() -> None:
    """A daemon has some for every process of every job; jobs have the limits of their home."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _redirect(log: Path) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(out)
    os.chdir("/")


def many_connections() -> None:
    """As many descriptors as may be had: each client and each daemon takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def wait_ready(
    folder: Path, waiting: dict[int, str], deadline: float, started: Callable[[Member], None]
) -> None:
    """Read each ready pipe until it says ready; GlunixError names who did not, and its log."""
    poll = select.poll()
    heard: dict[int, bytes] = {}
    known: set[int] = set()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
        heard[fd] = b""
    while waiting:
        left = deadline - time.monotonic()
        events = poll.poll(max(0, left) * 1000)
        if not events:
            names = ", ".join(sorted(waiting.values()))
            raise GlunixError(f"not ready after {READY_TIMEOUT:.0f} s: {names}; see `glunix logs`")
        for fd, _ in events:
            data = os.read(fd, 4096)
            heard[fd] += data
            # Two processes write here, the node and the parent that tells its pid: in any order.
            said = {line.split(b" ")[0]: line for line in heard[fd].split(b"\n")[:-1]}
            if b"pid" in said and fd not in known:
                known.add(fd)
                started(_member(waiting[fd], said[b"pid"]))
            if len(said) == 2:
                poll.unregister(fd)
                del waiting[fd]
            elif not data:
                name = waiting[fd]
                last = _last_line(config.private(folder) / f"{name}.log")
                _note_rest({k: v for k, v in waiting.items() if k not in known}, started)
                raise GlunixError(f"{name} did not start: {last}")


def _note_rest(waiting: dict[int, str], started: Callable[[Member], None]) -> None:
    """One did not start: the others are to be stopped, also those whose pid was not read yet.

    It is there to read: who wrote it has ended and was waited for.
    """
    for fd, name in waiting.items():
        os.set_blocking(fd, False)
        with suppress(BlockingIOError):
            for line in os.read(fd, 4096).splitlines():
                if line.startswith(b"pid "):
                    started(_member(name, line))


def _member(name: str, line: bytes) -> Member:
    _, pid, isolated = line.decode().split(" ")
    return Member(name, int(pid), birth(int(pid)), [x for x in isolated.split(",") if x])


def wait_back(folder: Path, names: set[str], deadline: float) -> None:
    """A master came to daemons that were there before: wait until they have found it."""
    from glunix import api

    missing = names
    while missing:
        if time.monotonic() > deadline:
            raise GlunixError(f"not back after {READY_TIMEOUT:.0f} s: {', '.join(sorted(missing))}")
        with suppress(GlunixError):  # home itself may be one that is not back yet
            missing = names - {row.name for row in api.nodes(folder) if row.state == "up"}
        if missing:
            select.select([], [], [], 0.02)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "its log is empty"


def stop(who: list[Member]) -> list[Member]:
    """SIGTERM, then SIGKILL after a deadline; returns those that had to be killed."""
    fds: dict[int, Member] = {}
    for member in who:
        try:
            fd = os.pidfd_open(member.pid)
        except ProcessLookupError:
            continue
        if member.alive:
            signal.pidfd_send_signal(fd, signal.SIGTERM)
            fds[fd] = member
        else:
            os.close(fd)
    killed: list[Member] = []
    for number, limit in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, STOP_TIMEOUT)):
        if number == signal.SIGKILL:
            for fd, member in fds.items():
                killed.append(member)
                signal.pidfd_send_signal(fd, number)
        _await_exit(fds, time.monotonic() + limit)
    for fd in fds:
        os.close(fd)
    return killed


def _await_exit(fds: dict[int, Member], deadline: float) -> None:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    while fds and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            del fds[fd]

"""The quick start of a process: posix_spawn(3), where nothing needs doing between fork and exec.

A fork of the daemon copies its page tables: 4 ms of two processors' time, where vfork takes 1. It
serves when the job is the daemon's own user's, with its own limits and no control group. The
program gets a reaper of its own (reaper.c), by which the kernel knows what belongs to the job.
Everything else, and every failure, is for glunix.node.userlevel.session_leader, which explains it
to the user.

The daemon waits for the exec meanwhile. That is why it does not touch other users' files.
"""

import contextlib
import dataclasses
import functools
import os
import resource
import signal
import socket
import stat
from collections.abc import Iterator

from glunix import config
from glunix.msg.job import Carried, JobSpec, Owner, Rlimit
from glunix.node.spawn import carried
from glunix.node.spawn.exec import LINE, inherits_nothing
from glunix.node.spawn.fork import Report, Surroundings, decode_report
from glunix.node.spawn.reaper import REAPER
from slic.kernel import capabilities

PATIENCE = 5.0
"""Seconds until the exec at the most; after them the slow way is tried."""

_LIMITS = 16
"""RLIM_NLIMITS of Linux, which the resource module leaves out."""

_PYTHONS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores for itself."""


@dataclasses.dataclass(frozen=True)
class _Own:
    """What a program inherits from this process if nothing is done."""

    owner: Owner
    limits: dict[int, tuple[int, int]]
    nice: int
    ignored: frozenset[int]
    """Of the signals that Python ignores, those that are; a program is given back the others."""
    carried: Carried
    is_clean: bool
    """Nothing else is inherited that `become` would take away."""


@functools.cache
def _own(pid: int) -> _Own:
    """What the process `pid`, which is the calling one, has: a fork of it asks again."""
    groups = sorted(os.getgroups())
    owner = Owner(
        os.geteuid(), os.getegid(), groups, capabilities.no_new_privs(), capabilities.bounding()
    )
    limits = {number: resource.getrlimit(number) for number in range(_LIMITS)}
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    ignored = frozenset(n for n in _PYTHONS if signal.getsignal(n) == signal.SIG_IGN)
    return _Own(owner, limits, nice, ignored, carried.own(), inherits_nothing())


def is_plain(spec: JobSpec, owner: Owner) -> bool:
    """Whether the process may inherit all but its directory, umask and environment from us."""
    own = _own(os.getpid())
    user = own.owner
    return (
        own.is_clean
        and (owner.uid, owner.gid) == (user.uid, user.gid)
        and sorted(owner.groups) == user.groups
        and user.no_new_privs >= owner.no_new_privs
        and not user.bounding & ~owner.bounding
        and spec.nice == own.nice
        and carried.is_inherited(spec.carried, own.carried)
        and own.ignored.issuperset(number for number in spec.ignored if number)
        and all(
            own.limits.get(r.resource) == (r.soft, r.hard) for r in spec.rlimits if _inherited(r)
        )
    )


def _inherited(limit: Rlimit) -> bool:
    """All limits but one: the daemon may have more descriptors, `_descriptors` sees to it."""
    own_soft, own_hard = _own(os.getpid()).limits[resource.RLIMIT_NOFILE]
    is_less = limit.hard == own_hard and 0 <= limit.soft <= own_soft
    return not (limit.resource == resource.RLIMIT_NOFILE and is_less)


@functools.cache
def _reaper() -> str | None:
    return REAPER.built(config.state_folder())


def serves(spec: JobSpec, owner: Owner) -> bool:
    """Whether processes of this job are started here, and so have no control group of their own."""
    is_simple = spec.tty is None and not spec.transparent
    return is_simple and is_plain(spec, owner) and _reaper() is not None


@contextlib.contextmanager
def _descriptors(spec: JobSpec) -> Iterator[None]:
    """The daemon has the job's soft limit of descriptors for a moment; it opens none meanwhile."""
    number = resource.RLIMIT_NOFILE
    own = _own(os.getpid()).limits[number]
    asked = next(((r.soft, r.hard) for r in spec.rlimits if r.resource == number), own)
    if asked == own:
        yield
        return
    resource.setrlimit(number, asked)
    try:
        yield
    finally:
        resource.setrlimit(number, own)


def _program(name: bytes, env: dict[bytes, bytes]) -> bytes | None:
    """The file that execvp(3) would take; relative to the working directory."""
    if b"/" in name:
        return name
    for folder in env.get(b"PATH", b"/usr/bin:/bin").split(b":"):
        path = os.path.join(folder, name) if folder else name
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and mode & 0o111:
            return path
    return None


def spawn_quickly(around: Surroundings) -> tuple[int, socket.socket, Report] | None:
    """Start the program below a reaper. Returns (reaper pid, its socket, "started"), or None when
    it takes glunix.node.userlevel.session_leader to start, or to fail.

    Packets on the socket are as those of glunix.node.userlevel.session_leader.spawn_kept.
    """
    reaper = _reaper()
    is_bound = around.groups or around.enter
    if reaper is None or is_bound or not is_plain(around.spec, around.owner):
        return None
    if signal.SIGCHLD in around.spec.ignored:  # it would be the reaper's, too
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = 0
    with contextlib.ExitStack() as stack:
        stack.callback(ours.close)
        with theirs:
            pid = _spawn(reaper, around, theirs)
        if not pid:
            return None
        ours.settimeout(PATIENCE)
        try:
            packet = ours.recv(65536)
        except OSError:
            packet = b""
        if packet[:1] != b"S":  # the kernel kills the program with its reaper; `Children` reaps it
            os.kill(pid, signal.SIGKILL)
            return None
        ours.setblocking(False)
        stack.pop_all()
    return pid, ours, decode_report(packet)


def _mode(spec: JobSpec, line: int) -> bytes:
    """With a daemon that is the init of its PID namespace the kernel ends all, and a program needs
    no parent-death signal, which it could see."""
    keeps, is_init = b"k" if spec.keep else b"-", b"i" if os.getpid() == 1 else b"-"
    return keeps + is_init + (b"l" if line >= 0 else b"-")


def _spawn(reaper: str, around: Surroundings, status: socket.socket) -> int:
    """The reaper's pid; 0: it could not be started."""
    spec = around.spec
    env = {**spec.env, **around.env}
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    # One thread, so the daemon's own directory and umask may be the job's for a moment.
    umask = os.umask(spec.umask)
    try:
        if spec.removed:
            return 0
        os.chdir(spec.cwd)
        path = _program(spec.argv[0], env)
        if path is None:
            return 0
        with _descriptors(spec):
            return os.posix_spawn(
                reaper,
                [b"glunix-reaper", _mode(spec, around.line), path, *spec.argv],
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, around.stdin, 0),
                    (os.POSIX_SPAWN_DUP2, around.stdout, 1),
                    (os.POSIX_SPAWN_DUP2, around.stderr, 2),
                    (os.POSIX_SPAWN_DUP2, status.fileno(), 3),
                    *([(os.POSIX_SPAWN_DUP2, around.line, LINE)] if around.line >= 0 else []),
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in spec.closed),
                ],
                setsigmask=(),
                setsigdef=[number for number in _PYTHONS if number not in spec.ignored],
            )
    except (OSError, ValueError):
        return 0
    finally:
        os.fchdir(here)
        os.close(here)
        os.umask(umask)

"""The quick start of a process: posix_spawn(3), where nothing needs doing between fork and exec.

A fork of the daemon copies its page tables: 4 ms of two processors' time, where vfork takes 1. It
serves when the job is the calling process's own user's, with its own limits, and the daemon is the
init of its PID namespace (the kernel ends the job with it, so no parent-death signal is needed).
The caller is the daemon, or the session server of the job's user. Everything else, and every
failure, is for glunix.node.spawn.fork, which explains it to the user.

The caller waits for the exec meanwhile. That is why the daemon does not touch other users' files.
"""

import contextlib
import dataclasses
import functools
import os
import resource
import signal
import stat
from collections.abc import Iterator

from glunix.msg.job import Carried, JobSpec, Owner, Rlimit
from glunix.node.spawn import carried
from glunix.node.spawn.exec import inherits_nothing
from glunix.node.spawn.fork import Surroundings
from slic.kernel import capabilities

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


def serves(spec: JobSpec, owner: Owner) -> bool:
    """Whether processes of this job are started here, and so have no control group of their own."""
    return os.getpid() == 1 and spec.tty is None and not spec.transparent and is_plain(spec, owner)


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


def spawn_quickly(around: Surroundings, ends_with_init: bool | None = None) -> int | None:
    """Start the program; its pid, or None when it takes glunix.node.spawn.fork to start or to fail.

    `ends_with_init`: the init of this PID namespace is a daemon; None: it is if we are it.
    """
    spec = around.spec
    if ends_with_init is None:
        ends_with_init = os.getpid() == 1
    if not ends_with_init or around.groups or around.enter or not is_plain(spec, around.owner):
        return None
    env = {**spec.env, **around.env}
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    # One thread, so the daemon's own directory and umask may be the job's for a moment.
    umask = os.umask(spec.umask)
    try:
        if spec.removed:
            return None
        os.chdir(spec.cwd)
        path = _program(spec.argv[0], env)
        if path is None:
            return None
        with _descriptors(spec):
            return os.posix_spawn(
                path,
                spec.argv,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, around.stdin, 0),
                    (os.POSIX_SPAWN_DUP2, around.stdout, 1),
                    (os.POSIX_SPAWN_DUP2, around.stderr, 2),
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in spec.closed),
                ],
                setpgroup=0,
                setsigmask=(),
                setsigdef=[number for number in _PYTHONS if number not in spec.ignored],
            )
    except (OSError, ValueError):
        return None
    finally:
        os.fchdir(here)
        os.close(here)
        os.umask(umask)

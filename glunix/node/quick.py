"""The quick start of a process: posix_spawn(3), where nothing needs doing between fork and exec.

A fork of the daemon copies its page tables: 4 ms of two processors' time, where vfork takes 1. It
serves when the job is the daemon's own user's, with the daemon's own limits, and the daemon is the
init of its PID namespace (the kernel ends the job with it, so no parent-death signal is needed).
Everything else, and every failure, is for glunix.node.spawn, which explains it to the user.

The daemon waits for the exec meanwhile. That is why other users' files are not touched here.
"""

import contextlib
import functools
import os
import resource
import signal
import stat
from collections.abc import Iterator

from glunix.msg.job import JobSpec, Owner, Rlimit
from glunix.node.spawn import Surroundings

_LIMITS = 16
"""RLIM_NLIMITS of Linux, which the resource module leaves out."""


@functools.cache
def _own_limits() -> dict[int, tuple[int, int]]:
    return {number: resource.getrlimit(number) for number in range(_LIMITS)}


@functools.cache
def _own_nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


@functools.cache
def _own_user() -> Owner:
    groups = sorted(os.getgroups())
    return Owner(os.geteuid(), os.getegid(), groups)


def is_plain(spec: JobSpec, owner: Owner) -> bool:
    """Whether the process may inherit all but its directory, umask and environment from us."""
    own = _own_user()
    limits = _own_limits()
    return (
        (owner.uid, owner.gid) == (own.uid, own.gid)
        and sorted(owner.groups) == own.groups
        and spec.nice == _own_nice()
        and not any(spec.ignored)
        and all(limits.get(r.resource) == (r.soft, r.hard) for r in spec.rlimits if _inherited(r))
    )


def _inherited(limit: Rlimit) -> bool:
    """All limits but one: the daemon may have more descriptors, `_descriptors` sees to it."""
    own_soft, own_hard = _own_limits()[resource.RLIMIT_NOFILE]
    is_less = limit.hard == own_hard and 0 <= limit.soft <= own_soft
    return not (limit.resource == resource.RLIMIT_NOFILE and is_less)


def serves(spec: JobSpec, owner: Owner) -> bool:
    """Whether processes of this job are started here, and so have no control group of their own."""
    return os.getpid() == 1 and spec.tty is None and not spec.transparent and is_plain(spec, owner)


@contextlib.contextmanager
def _descriptors(spec: JobSpec) -> Iterator[None]:
    """The daemon has the job's soft limit of descriptors for a moment; it opens none meanwhile."""
    number = resource.RLIMIT_NOFILE
    own = _own_limits()[number]
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


def spawn_quickly(around: Surroundings) -> int | None:
    """Start the program; its pid, or None when it takes glunix.node.spawn to start or to fail."""
    spec = around.spec
    if not serves(spec, around.owner) or around.enter is not None:
        return None
    env = {**spec.env, **around.env}
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    # One thread, so the daemon's own directory and umask may be the job's for a moment.
    umask = os.umask(spec.umask)
    try:
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
                ],
                setpgroup=0,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )
    except (OSError, ValueError):
        return None
    finally:
        os.fchdir(here)
        os.close(here)
        os.umask(umask)

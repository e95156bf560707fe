"""Forking a supervisor (glunix.node.supervisor) from the daemon.

Owns what is done in the new process before it serves its job: it enters the job's control groups,
sheds what it has of the daemon, and becomes the job's owner.
"""

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from glunix import config
from glunix.msg import stream
from glunix.node import privilege
from glunix.node.processes.cgroups import JobGroup
from glunix.node.spawn.carried import raise_oom
from glunix.node.spawn.exec import StepFailed, shed_inherited
from glunix.node.spawn.fork import close_others, fork_child
from glunix.node.supervisor import Supervisor
from slic.kernel import sieve
from slic.kernel.prctl import set_parent_death_signal


def spawn_supervisor(
    start: stream.Start,
    env: dict[bytes, bytes],
    fed: Sequence[int] = (),
    setuid: bool = False,
    group: JobGroup | None = None,
    limit: Callable[[], None] | None = None,
    arriving: bool = False,
) -> tuple[int, socket.socket]:
    """Fork a supervisor for the one process of `start`. Returns (its pid, our bridge end).

    `fed` is what becomes standard input when the daemon fills it: the read end of a pipe, or two
    sockets, the program's and the one from which its answers are read. `setuid`: the job may run
    programs with more rights than its owner has (glunix.toml). `group`: of the job; `limit`: what
    its owner may have where there is none. `arriving`: the job runs elsewhere, and is to move here.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    files: Iterable[Path] = ()

    def body() -> None:
        entered = _enter(group, files, limit)
        close_others({theirs.fileno(), *fed})
        ours.detach()
        folder = config.state_folder()
        sieve.load(folder)  # while only root's files are taken for ours (slic.kernel.compiled)
        shed_inherited(start.owner)
        raise_oom(start.spec.carried)
        privilege.begin(start.owner)
        set_parent_death_signal(signal.SIGKILL)  # now: a change of ids forgets it (prctl(2))
        Supervisor(start, env, theirs, fed, setuid, entered, folder, arriving).run()

    try:
        if group is None:
            return fork_child(body), ours
        with group.begin() as (into, files):
            return fork_child(body, into), ours
    finally:
        theirs.close()


def _enter(
    group: JobGroup | None, files: Iterable[Path], limit: Callable[[], None] | None
) -> Callable[[], None]:
    """Begin to enter by these files; returns what waits for the end of it.

    The kernel lets a process into a group when all processors have passed a quiet state: 5 to 14 ms
    in which nothing is to be done (measured, Linux 6.18). A child does the waiting meanwhile.
    """
    if group is None:
        if limit is not None:
            limit()
        return lambda: None
    group.limit()
    if not files:  # this process was born in it
        return lambda: None
    own = os.getpid()

    def move() -> None:
        set_parent_death_signal(signal.SIGKILL)
        try:
            group.move(own, files)
        except FileNotFoundError:  # it was removed: the job is over
            os._exit(1)

    mover = fork_child(move)

    def wait() -> None:
        _, status = os.waitpid(mover, 0)
        if status:
            text = "cannot enter the job's control group (the node's log says why)"
            raise StepFailed("session", errno.EIO, text)

    return wait

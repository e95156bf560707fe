"""The batch servers of one daemon: forked as the user, spoken with as a client (paper 8.2).

Owns their processes and the key that seals batch jobs. A server is its user's, who may stop or kill
it: the daemon never waits for it, and what it was to begin goes back into the queue.
"""

import gc
import os
import resource
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from glunix import config
from glunix.batch.server import serve
from glunix.daemon.chores import Chores
from glunix.daemon.clients import Clients
from glunix.errors import GlunixError
from glunix.msg.job import Owner
from glunix.node.processes.cgroups import limit_tasks
from glunix.node.spawn.exec import StepFailed, enter_user
from glunix.node.spawn.fork import close_others, fork_child
from slic.kernel import capabilities

NAME = b"glunix-batch"
KEY = 32


def sealing_key(folder: Path, node: str) -> bytes:
    """This daemon's key, made at its first start: without it what is queued cannot be run."""
    path = config.private(folder) / f"batch-{node}.key"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return _new_key(path)
    with open(fd, "rb") as file:
        key = file.read(KEY + 1)
    if len(key) != KEY:
        raise GlunixError(f"{path}: not a key of {KEY} bytes")
    return key


def _new_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY)
    part = path.with_suffix(".new")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(fd)
    part.rename(path)
    return key


class BatchServers:
    """Starts them."""

    def __init__(
        self,
        clients: Clients,
        chores: Chores,
        tasks: int,
        up: Callable[[int, Owner], None],
        failed: Callable[[Owner, str], None],
    ) -> None:
        """`tasks`: processes that one user may have; `up` and `failed` say how a start went."""
        self._clients = clients
        self._chores = chores
        self._tasks = tasks
        self._up = up
        self._failed = failed

    def start(self, owner: Owner) -> None:
        """Fork a server for this owner and take it in as a client."""
        ours, theirs = socket.socketpair()
        try:
            pid = fork_child(lambda: _serve(theirs, owner, self._tasks))
        except OSError as error:
            ours.close()
            self._failed(owner, f"cannot start a process: {error.strerror}")
            return
        finally:
            theirs.close()
        self._chores.pids.add(pid)  # reaped with them, and no sweep's to end
        self._up(self._clients.adopt(ours, owner, pid), owner)


def _serve(daemon: socket.socket, owner: Owner, tasks: int) -> None:
    """In the child: become the user, then serve. Not dumpable: its memory is the daemon's copy."""
    os.setsid()
    close_others({daemon.fileno()})
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(2):  # standard error stays the daemon's log: a bug's traceback
        os.dup2(null, number)
    os.close(null)
    gc.freeze()  # no finalizer of the daemon's may close a number that is something else now
    with open("/proc/self/comm", "wb") as file:
        file.write(NAME)
    os.chdir("/")
    limit_tasks(tasks)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        enter_user(owner)
    except StepFailed:
        return
    capabilities.set_dumpable(capabilities.NOT_DUMPABLE)
    serve(daemon)

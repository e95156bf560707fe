"""The mover: the process that takes a job apart, or builds it, as its daemon orders (MOVER).

Root's, forked by the daemon for one move, and the tracer of the job's tasks: only root may trace
the processes of a job and choose their pids. It opens what the job had open with the rights of the
job's owner (migration.native.making), builds nothing that the owner could not have
(migration.native.checking), and never looks at names a program chose but for that. If it ends, the
kernel lets the job go on, before it has said `left`, or ends it, afterwards: so no job runs twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import traceback
from collections.abc import Callable, Iterator

from glunix.errors import FrameError
from glunix.msg import move
from glunix.node.migration.talk import Talk
from glunix.node.spawn.fork import close_others, fork_child
from slic.kernel.prctl import set_parent_death_signal

_MEMORY = "/dev/shm"


def spawn_source(root: int) -> tuple[int, socket.socket]:
    """A mover for the job whose program is `root`. Returns (its pid, our end)."""

    # Imported once, by the daemon whose first job moves: not at its start, nor by every mover.
    from glunix.node.migration.work import Source

    return _spawn(lambda talk, folder: Source(talk, root, folder).serve())


def spawn_destination(
    supervisor: int, stub: int, doors: tuple[int, int], owner: int
) -> tuple[int, socket.socket]:
    """A mover that makes `stub` a job of user `owner`. `doors`: the supervisor's descriptor of the
    stub's door, and the stub's own."""

    from glunix.node.migration.work import Destination

    return _spawn(
        lambda talk, folder: Destination(talk, supervisor, stub, doors, owner, folder).serve()
    )


def _spawn(work: Callable[[Talk, str], None]) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def body() -> None:
        ours.detach()
        set_parent_death_signal(signal.SIGKILL)
        close_others({theirs.fileno()})
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        talk = Talk(theirs, move.to_mover)
        with _private_folder() as folder:
            try:
                work(talk, folder)
            except (EOFError, OSError, FrameError) as error:
                _last_word(talk, error)

    try:
        return fork_child(body), ours
    finally:
        theirs.close()


def _last_word(talk: Talk, error: BaseException) -> None:
    if not isinstance(error, EOFError):
        traceback.print_exc()
    with contextlib.suppress(OSError):
        talk.say("failed", f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """For the image, in memory where that can be."""
    base = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="glunix-move-", dir=base)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

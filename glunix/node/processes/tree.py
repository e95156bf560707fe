"""All processes of a transparent job: whether any lives, and how to end them all.

The supervisor is their subreaper, so whatever groups, sessions or daemons they make, each is below
it, and becomes its own child when its parent ends (prctl(2), PR_SET_CHILD_SUBREAPER).
"""

import contextlib
import enum
import os
import signal
from collections.abc import Iterator


class Family(enum.Enum):
    """What is below this process."""

    LIVES = "lives"
    ENDING = "ending"
    """Somebody has ended and was not waited for: look again after that."""
    GONE = "gone"

    @classmethod
    def look(cls) -> "Family":
        """Ask the kernel (waitid(2)); takes no status away."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return cls.GONE
        return cls.LIVES if found is None else cls.ENDING


def descendants() -> Iterator[int]:
    """The pids below this process, parents first (proc(5), task/TID/children)."""
    todo = [os.getpid()]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                    found = [int(word) for word in file.read().split()]
                yield from found
                todo += found


def kill_all() -> None:
    """SIGKILL everything below. To be called again when a child was reaped: it may have forked."""
    for pid in descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def living_groups() -> set[int]:
    """The process groups that have a member below this process."""
    found = set()
    for pid in descendants():
        with contextlib.suppress(ProcessLookupError):
            found.add(os.getpgid(pid))
    return found

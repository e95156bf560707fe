"""How much a job may write to files of home before home is asked whether it can be written.

Owns what home said of each file's room, less what was written since; only careful jobs ask
(glunix.msg.job.JobSpec.careful). A program that has a limit of size asks for every write.
"""

import resource

from slic.kernel.pidfd import process_of

NO_LIMIT = -1


class WriteBudget:
    """By home's number of the file; what is not known has no room."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}

    def told(self, fd: int, room: int) -> None:
        """Home has written something, and says how much more it surely can."""
        self._left[fd] = room

    def failed(self, fd: int) -> None:
        """Home could not write what was let through: the next write will hear why."""
        self._left[fd] = 0

    def take(self, fd: int, count: int, tid: int) -> bool:
        """Whether this thread's write may go home later."""
        left = self._left.get(fd, 0) - count
        if left < 0 or size_limit(tid) != NO_LIMIT:
            return False
        self._left[fd] = left
        return True


def size_limit(tid: int) -> int:
    """The largest file that a thread may make (RLIMIT_FSIZE), or NO_LIMIT."""
    try:
        soft, _ = resource.prlimit(process_of(tid), resource.RLIMIT_FSIZE)
    except (OSError, ValueError):
        return NO_LIMIT  # it is gone, or has become somebody whose limits are not ours to know
    return NO_LIMIT if soft == resource.RLIM_INFINITY else soft

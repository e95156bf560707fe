"""Chores: what a daemon must do with a user's objects, done by a child as that user.

Such work can last as long as the user likes (files to unpack, trees to remove, a file system of his
own), so no loop does it. The child has the user's rights and share (its group of control groups),
few of its user's run at a time, and it is killed at a deadline. Its words come back by a pipe.
Never: work whose result is believed; it comes from a process of the user's.
"""

import dataclasses
import os
import resource
import signal
from collections import Counter, deque
from collections.abc import Callable

from glunix.msg.job import Owner
from glunix.node.reactor import Reactor, Timer
from glunix.node.spawn.fork import close_others, fork_child
from slic.kernel.prctl import set_parent_death_signal

AT_ONCE = 2
"""Chores of one user that run at a time; the others wait their turn."""

MEMORY = 256 * 1024 * 1024
"""Bytes that a chore may have on top of what it inherits (RLIMIT_DATA)."""

AGAIN = 1.0
"""Seconds until the next try to fork."""

WORDS_MAX = 1024
"""Bytes of what a chore says."""

LATE = "it took too long ([limits] chore_seconds)"


@dataclasses.dataclass
class _Chore:
    owner: Owner
    work: Callable[[], None]
    done: Callable[[str], None]
    enter: Callable[[], None] | None
    closing: int = -1
    pid: int = 0
    pipe: int = -1
    words: bytes = b""
    late: Timer | None = None


class Chores:
    """Forks, waits and kills. `seconds` is the deadline of each."""

    def __init__(self, reactor: Reactor, seconds: float) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._waiting: dict[int, deque[_Chore]] = {}
        self._running: Counter[int] = Counter()
        self.pids: set[int] = set()
        """Children of ours, which no sweep is to end."""

    def do(
        self,
        owner: Owner,
        work: Callable[[], None],
        done: Callable[[str], None],
        enter: Callable[[], None] | None = None,
        closing: int = -1,
    ) -> None:
        """Have `work` done as `owner`, then call `done("")`, or with why it was not.

        `work` says so by OSError, ValueError or RuntimeError. `enter`: a control group's. `closing`
        is a descriptor whose last close is part of the work: ours to give away now.
        """
        chore = _Chore(owner, work, done, enter, closing)
        self._waiting.setdefault(owner.uid, deque()).append(chore)
        self._start(owner.uid)

    def _start(self, uid: int) -> None:
        waiting = self._waiting.get(uid)
        while waiting and self._running[uid] < AT_ONCE:
            chore = waiting.popleft()
            self._running[uid] += 1
            try:
                self._fork(chore)
            except OSError as error:
                if chore.closing >= 0:  # not by us: when there is a process for it again
                    self._running[uid] -= 1
                    waiting.appendleft(chore)
                    self._reactor.call_later(AGAIN, self._start, uid)
                    return
                self._over(chore, f"cannot start a process: {error.strerror}")
        if not waiting:
            self._waiting.pop(uid, None)

    def _fork(self, chore: _Chore) -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        go, closed = os.pipe2(os.O_CLOEXEC)

        def body() -> None:
            close_others({theirs, go, chore.closing})
            os.read(go, 1)  # until the daemon has closed its copy: ours is to be the last
            text = _worked(chore)
            os.write(theirs, text.encode("utf-8", "replace")[:WORDS_MAX] or b"\0")

        try:
            chore.pid = fork_child(body)
        except OSError:
            os.close(ours)
            raise
        else:
            if chore.closing >= 0:
                os.close(chore.closing)
        finally:
            for fd in (theirs, go, closed):
                os.close(fd)
        self.pids.add(chore.pid)
        chore.pipe = ours
        chore.late = self._reactor.call_later(self._seconds, self._too_late, chore)
        self._reactor.add_reader(ours, self._readable, chore)

    def _readable(self, chore: _Chore) -> None:
        try:
            piece = os.read(chore.pipe, WORDS_MAX + 1)
        except BlockingIOError:
            return
        chore.words = (chore.words + piece)[:WORDS_MAX]
        if not piece:
            said = chore.words
            text = said.decode("utf-8", "replace") if said else "its process was killed"
            self._over(chore, "" if said == b"\0" else text)

    def _too_late(self, chore: _Chore) -> None:
        chore.late = None
        if chore.pid in self.pids:  # not reaped: the number is its own
            os.kill(chore.pid, signal.SIGKILL)
        self._over(chore, LATE)

    def _over(self, chore: _Chore, text: str) -> None:
        if chore.pipe >= 0:
            self._reactor.remove_reader(chore.pipe)
            os.close(chore.pipe)
        if chore.late is not None:
            chore.late.cancel()
        uid = chore.owner.uid
        self._running[uid] -= 1
        if not self._running[uid]:
            del self._running[uid]
        chore.done(text)
        self._start(uid)

    def reaped(self, pid: int) -> bool:
        """A child of the daemon has ended: whether it was one of these."""
        if pid not in self.pids:
            return False
        self.pids.discard(pid)
        return True


def _worked(chore: _Chore) -> str:
    """In the child: become the user, then work. Returns why it was not done, or nothing."""
    try:
        set_parent_death_signal(signal.SIGKILL)
        os.setpgid(0, 0)
        if chore.enter is not None:
            chore.enter()
        become_user(chore.owner)
        if chore.closing >= 0:
            os.close(chore.closing)
        chore.work()
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        told = error.strerror if isinstance(error, OSError) else None
        return told or str(error) or type(error).__name__
    return ""


def become_user(owner: Owner) -> None:
    """Give up root for good, and what would make the work endless or vast."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0 and owner.uid != 0:
        with open("/proc/self/statm", "rb") as file:
            most = int(file.read().split()[5]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        os.setgroups(owner.groups)
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)
        set_parent_death_signal(signal.SIGKILL)  # forgotten with the old user (prctl(2))

"""A look into a task of ours that made itself undumpable (prctl(2), PR_SET_DUMPABLE; proc(5)).

The kernel then shows its memory and descriptors to CAP_SYS_PTRACE only, and its folder of
descriptors to root alone. A supervisor that has the right permitted raises it for one look, in this
thread; the caller checks after it that the task is the one it serves, and forgets what it saw
otherwise. A check does not help before a change: the supervisor can be stopped between the two, by
its own user, until the number is another task's. So a task is held while it is changed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from slic.kernel import capabilities as caps
from slic.kernel import ptrace

_Done = TypeVar("_Done")


_allowed: Callable[[int], bool] | None = None


def only(allowed: Callable[[int], bool]) -> None:
    """From now on the right is raised for these tasks only. Where a task may gain rights by exec,
    one that has not is none of them: another thread's exec gives its number, held or not, to
    that thread (execve(2))."""
    global _allowed
    _allowed = allowed


def can_look(tid: int) -> bool:
    """Whether there is a right to raise, for this task."""
    have = caps.get()
    if not have.permitted & ~have.effective & caps.CAP_SYS_PTRACE:
        return False
    return _allowed is None or _allowed(tid)


@contextmanager
def looking() -> Iterator[None]:
    """A block in which this thread may look."""
    with caps.raised(caps.CAP_SYS_PTRACE):
        yield


def held(tid: int, check: Callable[[], None], change: Callable[[], _Done]) -> _Done:
    """Raise the right, hold the task, `check` that it is the one that is meant, and `change` it.

    Held by ptrace (PTRACE_SEIZE, which stops nothing): a traced task keeps its number until its
    tracer lets it go, also when it was killed. The tracer is a thread, whose end does that. OSError
    EPERM when somebody else traces it.
    """
    done: list[_Done] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with looking():
                ptrace.request(ptrace.SEIZE, tid)
                check()
                done.append(change())
        except BaseException as error:  # raised again in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=work, name="slic-held")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]

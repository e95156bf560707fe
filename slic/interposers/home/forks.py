"""`forks`: whoever has been made says so, and may be held for a moment.

Has no form of its own on the command line: a supervisor that chooses pids
(glunix.node.processes.pid_allocator) puts it into its policy. Caught is set_robust_list(2), which
every process made by fork, every thread and every program executed calls as one of its first acts
(glibc; others are not seen). Not fork itself: a signal would interrupt it, and a fork that fails
with EINTR is what no program expects. Nobody looks at the result of set_robust_list.
"""

from typing import Protocol

from slic.budget import Budget
from slic.interposer import Interposer, on
from slic.interposers.home.groups import Move, MoveShadow
from slic.tracee import Tracee
from slic.verdict import PASS, Asking, Capability, Verdict


class PidSource(Protocol):
    """Who chooses."""

    @property
    def budget(self) -> Budget:
        """How many may begin unseen."""

    def begun(self, tid: int) -> tuple[int, int] | None:
        """A thread has begun. None: it may go on; else (process, group): that is to be settled."""


class Forks(Interposer):
    """Never answers a call; holds some for a moment."""

    confines = False

    def __init__(self, numbers: PidSource) -> None:
        self._numbers = numbers

    def budget(self) -> Budget:
        return self._numbers.budget

    @on("set_robust_list", needs=Capability.INSPECT, budgeted=True)
    def begin(self, tracee: Tracee) -> Verdict | Asking:
        held = self._numbers.begun(tracee.tid)
        return PASS if held is None else self._wait(*held)

    def _wait(self, process: int, group: int) -> Asking:
        yield MoveShadow(Move.GROUP, process, group)
        return PASS

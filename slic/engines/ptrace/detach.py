"""The end of a ptrace session: every task is stopped wherever it is and detached unharmed.

Owns nothing: it works on the session's tasks. A task can be let go only while it stands in a stop
(ptrace(2), PTRACE_DETACH), so each is interrupted and its next stop is waited for.
"""

import os
import select
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack

from slic.engines.ptrace.inject import SYSCALL_TRAP
from slic.engines.ptrace.task import State, Task, drop, leader_has_ended
from slic.kernel import ptrace as pt
from slic.kernel.sigchld import ChildSignal

FORK_EVENTS = {pt.EVENT_FORK, pt.EVENT_VFORK, pt.EVENT_CLONE}
DEADLINE = 10.0
"""Seconds for all tasks to stop; only one in a call that nothing interrupts needs them."""


def restart(task: Task) -> None:
    """Leave it to the kernel: EINTR or once more, as the signal's handler says (signal(7))."""
    assert task.call is not None
    pt.poke(task.tid, pt.ORIG_RAX, task.call.syscall.number)
    pt.poke(task.tid, pt.RAX, -pt.ERESTARTSYS)


class LettingGo:
    """Runs once; `ended(tid, status)` is told of tasks that die meanwhile, when all are let go."""

    def __init__(
        self,
        tasks: dict[int, Task],
        early: Collection[int],
        sigchld: ChildSignal,
        ended: Callable[[int, int], None],
    ) -> None:
        self._tasks = tasks
        self._left = dict(tasks)
        self._early = early
        self._sigchld = sigchld
        self._ended = ended
        self._deaths: list[tuple[int, int]] = []

    def run(self, stop: tuple[int, int] | None) -> None:
        """Detach from all. `stop` is the wait status whose handling has failed, if one did.

        Raises TimeoutError when a task does not stop in `DEADLINE`, and what `ended` raises.
        """
        with ExitStack() as at_last:
            at_last.callback(self._tell)
            if stop is not None:
                self._stopped(*stop)  # it stands where it was: no further status tells of it
            for task in list(self._left.values()):
                self._detach_or_interrupt(task)
            deadline = time.monotonic() + DEADLINE
            while any(not leader_has_ended(tid) for tid in self._left):
                try:
                    tid, status = os.waitpid(-1, pt.WALL | os.WNOHANG)
                except ChildProcessError:
                    break  # nothing is traced any more
                if tid:
                    self._stopped(tid, status)
                elif time.monotonic() > deadline:
                    raise TimeoutError(f"tasks {sorted(self._left)} did not stop to be let go")
                else:
                    select.select(self._sigchld.descriptors, [], [], DEADLINE / 10)
                    self._sigchld.drain()

    def _tell(self) -> None:
        """Tell of every death, in order, whatever is raised; forget the tasks."""
        with ExitStack() as each:
            each.callback(self._tasks.clear)
            for death in reversed(self._deaths):
                each.callback(self._ended, *death)
            for task in self._tasks.values():
                if task.decision is not None:
                    each.callback(drop, task.decision)
                    task.decision = None

    def _detach_or_interrupt(self, task: Task) -> None:
        try:
            if task.state is State.ENTRY:
                pt.request(pt.DETACH, task.tid)
                del self._left[task.tid]
            else:
                pt.request(pt.INTERRUPT, task.tid)
        except ProcessLookupError:
            pass  # dead: its status says so

    def _stopped(self, tid: int, status: int) -> None:
        if not os.WIFSTOPPED(status):
            self._left.pop(tid, None)
            self._deaths.append((tid, status))
            return
        task = self._left.setdefault(tid, Task(tid))
        number, event = os.WSTOPSIG(status), status >> 16
        try:
            if event in FORK_EVENTS and (new := pt.event_message(tid)) not in self._early:
                self._left.setdefault(new, Task(new))
            if task.state is State.PARKED and number == SYSCALL_TRAP:
                restart(task)
            deliver = number if event == 0 and number != SYSCALL_TRAP else 0
            pt.request(pt.DETACH, tid, 0, deliver)
        except ProcessLookupError:
            return  # killed while stopped, or running again: another status comes
        del self._left[tid]

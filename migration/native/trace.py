"""Seizing, stopping and letting go of tasks: one tracer, many tasks (ptrace(2)).

A task is let go exactly as it was stopped: registers, mask, and, if it was stopped by a signal, as
stopped as before.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from migration.engine import Reason, Refused
from migration.native import proc
from slic.kernel import ptrace, regset
from slic.kernel.regset import R

SOURCE_OPTIONS = ptrace.O_TRACESYSGOOD | regset.O_SUSPEND_SECCOMP
TARGET_OPTIONS = (
    SOURCE_OPTIONS
    | ptrace.O_TRACEFORK
    | ptrace.O_TRACEVFORK
    | ptrace.O_TRACECLONE
    | ptrace.O_EXITKILL
)
ALL_BLOCKED = (1 << 64) - 1
_NO_CALL = ptrace.WORD


class TaskEnded(Exception):
    """The task ended while it was waited for."""

    def __init__(self, tid: int, status: int) -> None:
        super().__init__(f"task {tid} ended with status {status:#x}")
        self.status = status


class Late(Exception):
    """A deadline has passed."""


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """A block that raises Late after so many seconds; for the mover, which has one thread."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Late(f"{what}: not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds)
    begun = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            remaining = max(left - (time.monotonic() - begun), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, remaining, every)


def next_stop(tid: int) -> int:
    """Wait for a stop; its status without the low byte: signal, and event << 8."""
    _, status = os.waitpid(tid, ptrace.WALL)
    if not os.WIFSTOPPED(status):
        raise TaskEnded(tid, status)
    return status >> 8


def go_on(tid: int, request: int) -> int:
    """Resume with `request` and give the next stop. SIGSTOP, which cannot be blocked, is kept for
    later (`late_signals`), and the trap of a group-stop is passed over.
    """
    while True:
        ptrace.request(request, tid)
        found = next_stop(tid)
        if found == signal.SIGSTOP:
            late_signals.setdefault(tid, []).append(found)
        elif found >> 8 != regset.EVENT_STOP:
            return found


late_signals: dict[int, list[int]] = {}
"""By task: signals met while calls were injected, to be sent again when it is let go."""


class Task:
    """A stopped thread, with what it had when it was stopped."""

    __slots__ = ("group_stop", "mask", "registers", "restarted", "tid")

    def __init__(self, tid: int, group_stop: int) -> None:
        self.tid = tid
        self.group_stop = group_stop
        """The signal it was stopped by before we came; 0: it was running."""
        self.restarted = 0
        """The call that restart_syscall(2) was going on with, if that is known."""
        self.registers = regset.general(tid)
        self.mask = ptrace.signal_mask(tid)

    def block(self) -> None:
        """No signal may come between injected calls."""
        ptrace.set_signal_mask(self.tid, ALL_BLOCKED)


def seize(tid: int, options: int = SOURCE_OPTIONS) -> None:
    """PTRACE_SEIZE; Refused if another tracer is there, ProcessLookupError if it has ended."""
    try:
        ptrace.request(ptrace.SEIZE, tid, 0, options)
    except PermissionError as error:
        found = proc.status(tid)
        if found["State"].startswith(("Z", "X")):
            raise ProcessLookupError(errno.ESRCH, f"task {tid} has ended") from None
        if found["TracerPid"] != "0":
            why = f"traced by process {found['TracerPid']}"
        else:
            why = f"may not be traced: {error.strerror}"
        raise Refused(Reason(tid, "", why)) from None


def stop(tid: int) -> Task:
    """Stop a seized task. Signals that come first are taken by it first.

    A task of a stopped process reports the signal it was stopped by in the place of SIGTRAP, and
    may report it twice (ptrace(2)): `go_on` passes over the second.
    """
    ptrace.request(ptrace.INTERRUPT, tid)
    return Task(tid, _until_event_stop(tid))


def _until_event_stop(tid: int) -> int:
    """Signals that come first are taken by the task; the stop signal of its process, or 0."""
    while True:
        found = next_stop(tid)
        number, event = found & 0xFF, found >> 8
        if event == regset.EVENT_STOP:
            return 0 if number == signal.SIGTRAP else number
        ptrace.request(ptrace.CONT, tid, 0, 0 if event else number & 0x7F)


def trap_again(tid: int) -> None:
    """From any ptrace stop into an EVENT_STOP, without running an instruction of the task.

    There the kernel looks at the registers for a call to restart; after a syscall stop it may not.
    """
    ptrace.request(ptrace.INTERRUPT, tid)
    ptrace.request(ptrace.CONT, tid)
    _until_event_stop(tid)


def put_back(task: Task) -> None:
    """Registers and mask as they were, the task still stopped; calls go on in the kernel."""
    registers = list(task.registers)
    registers[R.ORIG_RAX] = _NO_CALL
    regset.set_general(task.tid, registers)
    trap_again(task.tid)
    ptrace.set_signal_mask(task.tid, task.mask)
    regset.set_general(task.tid, task.registers)


def let_go(tid: int) -> None:
    """Detach; a task that ended meanwhile has been let go."""
    late = late_signals.pop(tid, [])
    try:
        ptrace.request(ptrace.DETACH, tid)
    except ProcessLookupError:
        return
    for number in late:
        try:
            os.kill(tid, number)
        except ProcessLookupError:
            return

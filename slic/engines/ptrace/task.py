"""One traced task: its states, its Tracee, and what /proc tells about it.

Owns no transitions: those are `session`'s.
"""

import os
import signal
from dataclasses import dataclass
from enum import Enum, auto

from slic.engines.tracee import TaskTracee
from slic.interposer import Call
from slic.kernel.pidfd import stat_fields, status_fields
from slic.policy import Decision
from slic.verdict import Inject, ReturnFd

IGNORED_BY_DEFAULT = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}


def leader_has_ended(tid: int) -> bool:
    """Has this first thread exited while others live on? Its status comes only after theirs."""
    try:
        return stat_fields(tid)[0] == b"Z" and len(os.listdir(f"/proc/{tid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def ignores(tid: int, number: int) -> bool:
    """Does the program ignore this signal, by its own wish or by default?"""
    status = status_fields(tid)
    bit = 1 << (number - 1)
    if int(status["SigIgn"], 16) & bit:
        return True
    return number in IGNORED_BY_DEFAULT and not int(status["SigCgt"], 16) & bit


def drop(decision: Decision) -> None:
    """A decision that cannot be carried out any more."""
    if isinstance(decision.verdict, ReturnFd) and decision.verdict.close:
        os.close(decision.verdict.fd)


class State(Enum):
    """Where a task is, as far as this session has seen."""

    RUNNING = auto()
    ENTRY = auto()
    PARKED = auto()
    SUSPENDED = auto()


@dataclass(slots=True)
class Task:
    """One traced thread."""

    tid: int
    state: State = State.RUNNING
    call: Call | None = None  # the call being decided, or whose result is awaited
    depth: int = 0  # who decided it
    decision: Decision | None = None  # an answer for a parked call
    restore: tuple[tuple[int, int], ...] = ()  # registers to put back at the exit (Rewrite)
    inject: Inject | None = None  # a question for a parked call
    deferred: tuple[int, ...] = ()  # signals that wait until an answer already accepted is given
    token: int = 0  # of its registers as `pt.skip` may know them
    exit_wanted: bool = False
    reentered: bool = False  # at an entry stop whose SECCOMP stop is still to come
    passing: bool = False  # the next SECCOMP stop is of a call already decided


class PtraceTracee(TaskTracee):
    """A task whose call this session holds."""

    __slots__ = ("_call_id", "_task")

    is_held = True

    def __init__(self, task: Task, call_id: int) -> None:
        super().__init__(task.tid)
        self._task = task
        self._call_id = call_id

    def still_valid(self) -> bool:
        call = self._task.call
        return call is not None and call.id == self._call_id

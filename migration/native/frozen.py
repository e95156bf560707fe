"""A job stopped at one moment, and what may become of it: dumped, aborted, left, committed."""

from __future__ import annotations

import contextlib
import os
import signal
from types import TracebackType
from typing import Self

from migration.engine import Reason, Refused
from migration.native import proc, refusal, trace
from migration.native.dump import Dump
from migration.native.held import Held, release, stop_process
from migration.native.precopy import Precopy
from migration.native.surroundings import PLAIN, Surroundings
from migration.native.survey import Survey
from slic.kernel import ptrace, regset


class FrozenJob:
    """Paragraphs 3 to 6 of the contract. Made by `freeze`."""

    def __init__(self, survey: Survey, held: dict[int, Held]) -> None:
        self.survey = survey
        self.held = held
        self._over = False

    def dump(self, folder: str, before: Precopy | None = None) -> None:
        """`before`: a pre-copy into the same folder."""
        dump = Dump(self.survey, folder, before)
        try:
            dump.write(self.held)
        finally:
            dump.close()

    def leave(self) -> None:
        self._set_options(trace.SOURCE_OPTIONS | ptrace.O_EXITKILL)

    def commit(self) -> None:
        """End every process of the job, and take their wait statuses as their tracer."""
        if self._over:
            return
        self._over = True
        for pid in self.held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid, held in self.held.items():
            for task in reversed(held.tasks):  # the first thread's comes last
                _await_end(task.tid)
            del pid

    def abort(self) -> None:
        """Let all go on; children first, so that a parent finds them as they were."""
        if self._over:
            return
        self._over = True
        with contextlib.suppress(ProcessLookupError):
            self._set_options(trace.SOURCE_OPTIONS)
        for held in reversed(self.held.values()):
            release(held)

    def _set_options(self, options: int) -> None:
        for held in self.held.values():
            for task in held.tasks:
                regset.set_options(task.tid, options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


def _await_end(tid: int) -> None:
    while True:
        try:
            _, status = os.waitpid(tid, ptrace.WALL)
        except ChildProcessError:
            return
        if not os.WIFSTOPPED(status):
            return


def freeze(
    root: int,
    deadline: float,
    stdio: bool = False,
    armed: bool = False,
    around: Surroundings = PLAIN,
) -> FrozenJob:
    """Stop the job; Refused, or trace.Late, and it runs on as before."""
    held: dict[int, Held] = {}
    job: FrozenJob | None = None
    try:
        with trace.within(deadline, f"freezing process {root}"):
            _stop_all(root, held)
            survey = Survey.of(root, stdio, around)
            found = refusal.reasons(survey, tracer=os.getpid(), armed=armed)
            found += _odd_registers(held)
        if found:
            raise Refused(*found)
        for pid, one in held.items():
            parent = held.get(int(proc.status(pid)["PPid"]))
            if one.stopped and parent is not None:
                parent.children_stopped.append(one)
        job = FrozenJob(survey, {pid: held[pid] for pid in survey.pids})
    finally:
        if job is None:
            for one in reversed(held.values()):
                release(one)
    return job


def _stop_all(root: int, held: dict[int, Held]) -> None:
    """Until a look at the family finds nobody who runs."""
    os.kill(root, 0)
    while True:
        new = False
        for pid in proc.family(root):
            new |= stop_process(pid, held)
        if not new:
            break
    for pid in [pid for pid, one in held.items() if not one.tasks]:
        del held[pid]
    if root not in held:
        raise Refused(Reason(root, "", "it has ended"))


def _odd_registers(held: dict[int, Held]) -> list[Reason]:
    return [
        Reason(pid, f"thread {task.tid}", "is a 32-bit program")
        for pid, one in held.items()
        for task in one.tasks
        if task.registers[regset.R.CS] != 0x33
    ]

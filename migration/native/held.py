"""A process all of whose threads are stopped, and how it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from migration.native import calls, proc, trace
from migration.native.trace import Task
from slic.kernel import regset


@dataclass(eq=False)
class Held:
    """A process all of whose threads are stopped."""

    pid: int
    tasks: list[Task]
    stopped: int = 0
    """The signal it was stopped by before; 0: it ran."""
    stop_reported: bool = True
    """Has its parent waited for that stop? (Asked of the parent, when that is written down.)"""
    children_stopped: list[Held] = field(default_factory=list)


def release(held: Held) -> None:
    """All threads as they were; one that has ended meanwhile is passed over."""
    for task in held.tasks:
        try:
            if calls.before_going_on(task):
                regset.set_general(task.tid, task.registers)
        except (ProcessLookupError, trace.TaskEnded):
            continue
    for task in held.tasks:
        trace.let_go(task.tid)


def stop_process(pid: int, held: dict[int, Held]) -> bool:
    """Stop the threads that are not stopped yet; was there one?"""
    one = held.get(pid)
    if one is None:
        one = Held(pid, [])
    had = {task.tid for task in one.tasks}
    any_new = False
    while True:
        try:
            new = [tid for tid in proc.threads(pid) if tid not in had]
            state = proc.stat(pid)[3]
        except ProcessLookupError:
            return any_new
        if state in "ZX" or not new:
            return any_new
        held[pid] = one
        for tid in new:
            had.add(tid)
            try:
                what = calls.restarted(tid)
                trace.seize(tid)
                # Should anything fail from here, it is let go on by the tracer's own end only.
                task = trace.stop(tid)
            except (ProcessLookupError, trace.TaskEnded):
                continue
            task.restarted = what
            one.tasks.append(task)
            one.stopped = one.stopped or task.group_stop
            any_new = True

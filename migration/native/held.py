"""A process of a frozen job."""

from __future__ import annotations

from dataclasses import dataclass, field

from migration.native.trace import Task


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

"""The control groups of this daemon's jobs: which job gets one, and what one user may have.

Owns them (glunix.node.processes.cgroups) from the daemon's start, when it ends what an earlier one
left, to its end. Where none can be made there are none, and the log says why.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from glunix.errors import Refused
from glunix.ids import Why
from glunix.msg.stream import Start
from glunix.node.processes.cgroups import (
    Cgroups,
    JobGroup,
    delegate,
    find,
    limit_tasks,
    parent_name,
)
from glunix.node.spawn.posix_spawn import serves
from glunix.settings import LimitsSection


class Groups:
    """See above. Until `begin`, no job has a group."""

    def __init__(
        self, folder: Path, node: str, limits: LimitsSection, log: Callable[[str], None]
    ) -> None:
        self._name = parent_name(folder, node)
        self._node = node
        self._limits = limits
        self._log = log
        self._groups: Cgroups | None = None

    def begin(self) -> None:
        """To be called when it is certain that no other daemon of this name runs."""
        delegate()
        self._groups, words = find(self._name, self._limits.tasks)
        if self._groups is None:
            self._log(f"jobs have no control groups: {words}")
            return
        self._log(f"control groups: {words}")
        self.end()

    def end(self) -> None:
        """End and remove what there is, but for what was kept on purpose."""
        left = self._groups.sweep() if self._groups is not None else []
        if left:
            self._log(f"control groups that are still in use: {', '.join(map(str, left))}")

    def tidy(self) -> None:
        """A session server has ended: groups of users in which only that was go with it."""
        if self._groups is not None:
            self._groups.tidy()

    def admit(self, start: Start, others: Iterable[Start]) -> None:
        """Refused when its owner has all the supervisors here that he may have."""
        uid, most = start.owner.uid, self._limits.supervisors
        if not start.spec.transparent or uid in (0, os.geteuid()):
            return
        if sum(o.spec.transparent and o.owner.uid == uid for o in others) >= most:
            text = f"uid {uid} has {most} transparent jobs on {self._node} already"
            raise Refused(Why.BAD_REQUEST, f"{text} ([limits] supervisors)")

    def limit(self) -> None:
        """In a child, where there are no groups: what one user may have without them."""
        limit_tasks(self._limits.tasks)

    def of(self, start: Start) -> JobGroup | None:
        """A group for this job; None when it has none. Refused when it cannot be made."""
        spec, uid = start.spec, start.owner.uid
        if self._groups is None or serves(spec, start.owner):
            return None
        counted = uid not in (0, os.geteuid())  # the cluster's own user keeps nobody from it
        try:
            group = self._groups.job(uid, start.npid, spec.keep and not spec.transparent, counted)
        except OSError as error:
            text = f"cannot make a control group: {error.strerror}"
            raise Refused(Why.INTERNAL, text) from None
        if group.full():
            group.remove()
            text = f"uid {uid} has {self._limits.tasks} processes and threads on {self._node}"
            raise Refused(Why.BAD_REQUEST, f"{text} ([limits] tasks)")
        return group

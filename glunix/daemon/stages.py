"""The directories of staged jobs on this node: who has how much, filled and emptied by chores.

Owns the sums by user and the folder; a chore of the owner's (glunix.daemon.chores) does the work.
A directory that could not be emptied still counts against its user, until it can.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from glunix.daemon.chores import Chores
from glunix.errors import Refused
from glunix.ids import Why
from glunix.msg.job import Owner
from glunix.msg.stream import Start
from glunix.node.reactor import Reactor
from glunix.node.staging import Stage, empty

MIB = 1024 * 1024

AGAIN = 60.0
"""Seconds until the next try to remove what could not be removed."""

TRIES = 3


class Stages:
    """See above. `mebibytes`: of staged files that one user may have here."""

    def __init__(
        self,
        folder: Path,
        node: str,
        chores: Chores,
        reactor: Reactor,
        mebibytes: int,
        log: Callable[[str, str], None],
    ) -> None:
        self._folder = folder
        self._prefix = f"{node}@"
        self._chores = chores
        self._reactor = reactor
        self._most = mebibytes
        self._log = log
        self._held: Counter[int] = Counter()
        """uid -> bytes."""

    def take(self, start: Start) -> Stage:
        """A directory for this job; Refused when its owner has too much here already."""
        uid, size = start.owner.uid, sum(file.size for file in start.spec.staged)
        if self._held[uid] + size > self._most * MIB:
            text = f"uid {uid} has too many staged files here ([limits] staged = {self._most} MiB)"
            raise Refused(Why.BAD_REQUEST, text)
        stage = Stage(self._folder, start, self._prefix)
        self._held[uid] += stage.size
        return stage

    def fill(
        self, stage: Stage, enter: Callable[[], None] | None, done: Callable[[str], None]
    ) -> None:
        """Unpack; `done("")`, or with why not."""
        self._chores.do(stage.owner, stage.fill, done, enter)

    def drop(self, stage: Stage, tries: int = TRIES) -> None:
        """The job is over."""

        def done(text: str) -> None:
            if stage.remove():
                self._give(stage)
                return
            uid = stage.owner.uid
            self._log(f"staged files of uid {uid}", f"cannot remove {stage.path}: {text}")
            if tries > 1:
                self._reactor.call_later(AGAIN, self.drop, stage, tries - 1)

        self._chores.do(stage.owner, stage.empty, done)

    def _give(self, stage: Stage) -> None:
        uid = stage.owner.uid
        self._held[uid] -= stage.size
        if self._held[uid] <= 0:
            del self._held[uid]

    def sweep(self) -> None:
        """Remove what jobs of an earlier daemon of this node left."""
        try:
            entries = list(os.scandir(self._folder))
        except OSError:
            return
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            if entry.name.startswith(self._prefix) and stat.S_ISDIR(found.st_mode):
                self._sweep(Path(entry.path), Owner(found.st_uid, found.st_gid, []))

    def _sweep(self, path: Path, owner: Owner) -> None:
        def done(text: str) -> None:
            try:
                path.rmdir()
            except OSError as error:
                why = text or error.strerror
                self._log(f"staged files of uid {owner.uid}", f"cannot remove {path}: {why}")

        self._chores.do(owner, lambda: empty(path), done)

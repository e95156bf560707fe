"""The native engine, as `migration.engine` wants it."""

from __future__ import annotations

from collections.abc import Mapping

from migration.engine import Reason
from migration.native import refusal, restore
from migration.native.frozen import FrozenJob, freeze
from migration.native.restore import RestoredJob
from migration.native.survey import Survey

NAME = "native"


class Native:
    """Processes taken apart by ptrace, built by calls injected into a stub; needs root."""

    name = NAME

    def __init__(self, stdio: bool = False, standard: Mapping[str, int] | None = None) -> None:
        """`stdio`: the root's standard input and output may lead outside; `standard`: what they
        are when the job is restored."""
        self._stdio = stdio
        self._standard = standard or {}

    def check(self) -> None:
        restore.check()

    def probe(self, root: int) -> list[Reason]:
        return refusal.reasons(Survey.of(root, self._stdio))

    def freeze(self, root: int, deadline: float) -> FrozenJob:
        return freeze(root, deadline, self._stdio)

    def restore(self, folder: str) -> RestoredJob:
        return restore.restore(folder, self._standard)

"""Standard input, output and error that lead outside: given anew when the job is restored."""

from __future__ import annotations

import os
from typing import Literal

from migration.native.files.kind import Making
from migration.native.model import Record


class Standard(Record, tag="standard", frozen=True):
    """Which of the three."""

    name: Literal["stdin", "stdout", "stderr"]


def make_standard(record: Standard, making: Making) -> int:
    """The same open file as the mover's: its position is common, as it was before."""
    return os.dup(making.standard(record.name))

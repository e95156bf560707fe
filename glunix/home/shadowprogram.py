"""The program that is a shadow at home: where it is, and how it is made from shadow.c.

Without gcc there is none, and a job's processes have no shadows.
"""

from __future__ import annotations

import os

from glunix import config
from slic.kernel.compiled import Compiled

_HERE = os.path.dirname(__file__)
SOURCES = os.path.join(_HERE, "shadow.c"), os.path.join(_HERE, "shadow.h")
FLAGS = (
    "-std=gnu11", "-Os", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-Wl,--build-id=none",
)  # fmt: skip
PROGRAM = Compiled(SOURCES, FLAGS)


def built() -> str | None:
    """The program's path; None when there is none that we may trust."""
    return PROGRAM.built(config.state_folder())

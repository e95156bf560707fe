"""pdsh as a peer: its `exec` module starts the command here, once per host name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..proc import marked, timed
from . import Package, need

PACKAGE = Package("apt", ("pdsh",))


class Pdsh:
    """`run` times one fan-out."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._env = marked()

    def run(self, argv: Sequence[str], degree: int) -> float:
        """Wall seconds of `pdsh -R exec -w n[1-DEGREE] ARGV` (its default fan-out, 32)."""
        hosts = f"n[1-{degree}]"
        return timed([self._program, "-R", "exec", "-w", hosts, *argv], self._env).seconds


@contextmanager
def pdsh() -> Iterator[Pdsh]:
    """pdsh, or Unavailable. It has no daemon: nothing to end."""
    yield Pdsh(need("pdsh", PACKAGE))

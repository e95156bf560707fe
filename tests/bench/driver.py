"""A client kept running in its own process, told over a pipe how much to do.

The dialogue: the driver prints `ready` once, or `failed REASON`; each `run N` line on its stdin
is answered by `done SECONDS`, timed by the driver itself, or `failed REASON`. End of input ends
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .child import ForegroundDaemon
from .harness import BenchError

_START = 30.0  # seconds until `ready`


class Driver:
    """One such client process; a context manager that ends it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._child = ForegroundDaemon(argv, env, stdin=True)
        try:
            self._answer("^(ready|failed .*)$", _START)
        except BaseException:
            self._child.stop()
            raise

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def run(self, count: int, deadline: float = 120.0) -> float:
        """Seconds the driver needed for `count` jobs. BenchError: it failed or said nothing."""
        self._child.forget_log()
        try:
            self._child.stdin.write(f"run {count}\n".encode())
            self._child.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"the driver has ended: {self._child.story()}") from None
        return float(self._answer("^(done|failed) ", deadline))

    def _answer(self, pattern: str, deadline: float) -> str:
        verdict, _, detail = self._child.wait_for(pattern, deadline).partition(" ")
        if verdict == "failed":
            raise BenchError(detail)
        return detail

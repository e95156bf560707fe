"""What every measurement shares: how much to do, and the stage its contenders stand on."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from .harness import Absent, BenchError
from .peers import Unavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """How much to measure: rounds of the short commands and of the long runs, and their size."""

    short_rounds: int = 20
    long_rounds: int = 5
    jobs: int = 1000
    stream_bytes: int = 256_000_000
    nodes: int = 4
    wide: int = 64


QUICK = Plan(short_rounds=6, long_rounds=2, jobs=200, stream_bytes=64_000_000)


class Stage:
    """Contenders that run at the same time; leaves none of them running.

    One that cannot be had or does not start becomes Absent; one that does not end as it should
    leaves a complaint, and neither costs the others their figures.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._complaints: list[str] = []

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def complaints(self) -> tuple[str, ...]:
        """What did not end well; complete only after the stage was left."""
        return tuple(self._complaints)

    def enter(self, contender: AbstractContextManager[T]) -> T | Absent:
        """Enter `contender`, or say why it cannot take part."""
        try:
            entered = contender.__enter__()
        except Unavailable as missing:
            return Absent(f"missing: {missing}")
        except BenchError as failure:
            return Absent(f"did not start: {failure}")

        def leave(
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> bool:
            try:
                contender.__exit__(kind, error, trace)
            except BenchError as failure:
                self._complaints.append(str(failure))
            return False

        self._stack.push(leave)
        return entered

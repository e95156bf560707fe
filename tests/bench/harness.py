"""The arithmetic of a benchmark: samples, alternation, ratios with their spread, verdicts.

Pure but for calling what it is given. A figure is never shown alone: a row sets ours beside a
peer's, measured alternately (A, B, A, B, ...) in one run, so that what else the machine does
hits both alike. The ratio is the median of the rounds' own ratios; its spread is their
interquartile range.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Unit:
    """A unit of display. `scale` turns a sample into it; `higher_is_better` orders samples."""

    label: str
    scale: float = 1.0
    higher_is_better: bool = False


MILLISECONDS = Unit("ms", 1e3)
PER_SECOND = Unit("/s", higher_is_better=True)
MB_PER_SECOND = Unit("MB/s", 1e-6, higher_is_better=True)


@dataclass(frozen=True)
class Samples:
    """What one contender measured, one value a round: seconds, or work per second."""

    values: tuple[float, ...]
    unit: Unit

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("no samples")

    @property
    def best(self) -> float:
        """The minimum, or the maximum where higher is better."""
        return max(self.values) if self.unit.higher_is_better else min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Absent:
    """A contender without figures, and why (missing, failed); never left out silently."""

    reason: str


Outcome = Samples | Absent


@dataclass(frozen=True)
class Ratio:
    """Ours over the peer's: `median` of the rounds' ratios, quartiles, and best over best."""

    median: float
    low: float
    high: float
    of_bests: float


def ratio_of(ours: Samples, peer: Samples) -> Ratio:
    """Ours over the peer's, round by round. ValueError: different units or numbers of rounds."""
    if ours.unit != peer.unit or len(ours.values) != len(peer.values):
        raise ValueError("samples of one ratio are of one unit and taken in the same rounds")
    each = [a / b for a, b in zip(ours.values, peer.values, strict=True)]
    if len(each) == 1:  # one round has no spread, and quantiles() wants two values
        each *= 2
    low, median, high = statistics.quantiles(each, n=4, method="inclusive")
    return Ratio(median, low, high, ours.best / peer.best)


class Judged(Enum):
    """What a target speaks of."""

    RATIO = "ratio"
    VALUE = "value"  # our median, in the unit of display
    NOTHING = "nothing"


@dataclass(frozen=True)
class Target:
    """A bound that a row must keep, and a second one that it aims for (informative)."""

    judged: Judged
    bound: float = 0.0
    aim: str = ""

    def describe(self, unit: Unit) -> str:
        """The bound in words: `≤ 1x`, `≥ 500 /s`, with the aim after it."""
        if self.judged is Judged.NOTHING:
            return ""
        sign = "≥" if unit.higher_is_better else "≤"
        what = "x" if self.judged is Judged.RATIO else f" {unit.label}"
        aim = f" (aim {self.aim})" if self.aim else ""
        return f"{sign} {self.bound:g}{what}{aim}"


NO_TARGET = Target(Judged.NOTHING)


@dataclass(frozen=True)
class Row:
    """One comparison. `met` is None when there is no target or it could not be judged."""

    name: str
    ours: Outcome
    peer: Outcome
    unit: Unit
    target: Target = NO_TARGET
    note: str = ""

    @property
    def ratio(self) -> Ratio | None:
        """Ours over the peer's, when both have figures."""
        if isinstance(self.ours, Absent) or isinstance(self.peer, Absent):
            return None
        return ratio_of(self.ours, self.peer)

    @property
    def met(self) -> bool | None:
        judged = self._judged_value()
        if judged is None:
            return None
        if self.unit.higher_is_better:
            return judged >= self.target.bound
        return judged <= self.target.bound

    @property
    def fails_check(self) -> bool:
        """A target missed, or one that nobody could judge: unmeasured is not met."""
        return self.target.judged is not Judged.NOTHING and self.met is not True

    def _judged_value(self) -> float | None:
        if self.target.judged is Judged.RATIO:
            return None if self.ratio is None else self.ratio.median
        if self.target.judged is Judged.VALUE and isinstance(self.ours, Samples):
            return self.ours.median * self.unit.scale
        return None


@dataclass(frozen=True)
class Breakdown:
    """Where one command's time goes: step names and seconds, in order (the paper's Figure 6)."""

    title: str
    steps: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Section:
    """All that one measurement found."""

    title: str
    rows: tuple[Row, ...]
    breakdowns: tuple[Breakdown, ...] = ()
    notes: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()  # contenders that did not end well: a bug, not a figure


class BenchError(Exception):
    """A contender, or what it needs, did not do what it was asked to; says why."""


Contender = Callable[[], float] | Absent


def alternate(
    contenders: Mapping[str, Contender],
    rounds: int,
    unit: Unit,
    *,
    warm_ups: int = 1,
) -> dict[str, Outcome]:
    """Let every contender give one sample a round, in turn, for `rounds` rounds.

    The order is reversed every second round, so that nobody always runs after the same one.
    The warm-up rounds are not counted. A contender that raises BenchError becomes Absent
    with that reason and the others go on; samples of an unfinished series are dropped.
    """
    if rounds < 1:
        raise ValueError("at least one round")
    outcome: dict[str, Outcome] = {}
    series: dict[str, list[float]] = {}
    runnable: dict[str, Callable[[], float]] = {}
    for name, contender in contenders.items():
        if isinstance(contender, Absent):
            outcome[name] = contender
        else:
            runnable[name] = contender
            series[name] = []
    for turn in range(warm_ups + rounds):
        names = list(runnable)
        for name in reversed(names) if turn % 2 else names:
            try:
                sample = runnable[name]()
            except BenchError as failure:
                del runnable[name]
                outcome[name] = Absent(f"failed: {failure}")
                continue
            if turn >= warm_ups:
                series[name].append(sample)
    for name in runnable:
        outcome[name] = Samples(tuple(series[name]), unit)
    return {name: outcome[name] for name in contenders}


def medians_by_step(runs: Sequence[Sequence[tuple[str, float]]]) -> tuple[tuple[str, float], ...]:
    """Step-wise medians of several breakdowns; a step that some run lacks is a ValueError."""
    if not runs:
        return ()
    names = [name for name, _ in runs[0]]
    if any([name for name, _ in run] != names for run in runs):
        raise ValueError("the runs have different steps")
    return tuple(
        (name, statistics.median(run[index][1] for run in runs)) for index, name in enumerate(names)
    )

"""Starting a sequential job: `glurun true` against srun, ssh, its own floor and nothing at all."""

from __future__ import annotations

import sys

from .harness import (
    MILLISECONDS,
    NO_TARGET,
    Absent,
    BenchError,
    Breakdown,
    Contender,
    Judged,
    Outcome,
    Row,
    Samples,
    Section,
    Target,
    alternate,
    medians_by_step,
)
from .measure import Plan, Stage
from .ours import Cluster, cluster
from .peers.slurm import slurm
from .peers.ssh import ssh
from .proc import marked, timed

TITLE = "sequential start: glurun true"
_TRUE = ["true"]


def measure(plan: Plan) -> Section:
    """Rows against srun, ssh, a bare interpreter, bare /bin/true; glurun's breakdown."""
    with Stage() as stage:
        ours = stage.enter(cluster(plan.nodes))
        srun, secure = stage.enter(slurm()), stage.enter(ssh())
        env = marked()
        contenders: dict[str, Contender] = {
            "ours": ours if isinstance(ours, Absent) else lambda: ours.run(_TRUE),
            "srun": srun if isinstance(srun, Absent) else lambda: srun.run(_TRUE),
            "ssh": secure if isinstance(secure, Absent) else lambda: secure.run(_TRUE),
            "floor": lambda: timed([sys.executable, "-I", "-S", "-c", "pass"], env).seconds,
            "bare": lambda: timed(["/bin/true"], env).seconds,
        }
        got = alternate(contenders, plan.short_rounds, MILLISECONDS, warm_ups=2)
        breakdowns, notes = _breakdown(ours, got["floor"], plan.short_rounds)

    def row(name: str, peer: str, target: Target) -> Row:
        return Row(name, got["ours"], got[peer], MILLISECONDS, target)

    rows = (
        row("glurun true / srun true", "srun", Target(Judged.RATIO, 1.0, "0.6x")),
        row("glurun true / ssh ControlMaster true", "ssh", NO_TARGET),
        row("glurun true / python -I -S -c pass", "floor", NO_TARGET),
        row("glurun true / bare /bin/true", "bare", NO_TARGET),
    )
    return Section(TITLE, rows, breakdowns, notes, stage.complaints)


def _breakdown(
    ours: Cluster | Absent, floor: Outcome, rounds: int
) -> tuple[tuple[Breakdown, ...], tuple[str, ...]]:
    """The paper's Figure 6, or the reason why there is none."""
    for needed in (ours, floor):
        if isinstance(needed, Absent):
            return (), (f"no start-up breakdown: {needed.reason}",)
    assert isinstance(ours, Cluster) and isinstance(floor, Samples)
    try:
        steps = medians_by_step([ours.steps(_TRUE, floor.median) for _ in range(rounds)])
    except (BenchError, ValueError) as failure:
        return (), (f"no start-up breakdown: {failure}",)
    return (Breakdown("where glurun true spends it (medians; the paper's Figure 6)", steps),), ()

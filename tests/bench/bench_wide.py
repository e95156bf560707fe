"""A wide start: one job of many processes on as many daemons, against pdsh."""

from __future__ import annotations

from .harness import MILLISECONDS, Absent, Contender, Judged, Row, Section, Target, alternate
from .measure import Plan, Stage
from .ours import cluster
from .peers.pdsh import pdsh

TITLE = "wide start: one process on each of many daemons"
_TRUE = ["true"]


def measure(plan: Plan) -> Section:
    """`glurun -n N true` on N daemons against `pdsh -R exec -w n[1-N] true`."""
    with Stage() as stage:
        ours, peer = stage.enter(cluster(plan.wide)), stage.enter(pdsh())
        wide = plan.wide
        contenders: dict[str, Contender] = {
            "ours": ours if isinstance(ours, Absent) else lambda: ours.run(_TRUE, wide),
            "pdsh": peer if isinstance(peer, Absent) else lambda: peer.run(_TRUE, wide),
        }
        got = alternate(contenders, plan.short_rounds // 2, MILLISECONDS, warm_ups=2)
    target = Target(Judged.VALUE, 500, "1.5x pdsh")
    name = f"glurun -n {wide} true / pdsh -R exec"
    row = Row(name, got["ours"], got["pdsh"], MILLISECONDS, target)
    return Section(TITLE, (row,), complaints=stage.complaints)

"""Jobs per second of the library from one client, against HyperQueue and bare spawning."""

from __future__ import annotations

import os
import time

from .harness import (
    NO_TARGET,
    PER_SECOND,
    Absent,
    Contender,
    Judged,
    Row,
    Section,
    Target,
    alternate,
)
from .measure import Plan, Stage
from .ours import api_client, cluster
from .peers.hyperqueue import hyperqueue
from .proc import marked

TITLE = "jobs/s: the API from one client"
_IN_FLIGHT = 4


def bare_spawns(count: int) -> float:
    """Seconds to spawn and reap `count` /bin/true, a few in flight: the machine's own limit."""
    env = marked()
    living: set[int] = set()
    begin = time.perf_counter()
    for _ in range(count):
        if len(living) == _IN_FLIGHT:
            # Only children of ours are waited for by pid: other contenders are our children too.
            oldest = min(living)
            os.waitpid(oldest, 0)
            living.remove(oldest)
        living.add(os.posix_spawn("/bin/true", ["true"], env))
    for pid in living:
        os.waitpid(pid, 0)
    return time.perf_counter() - begin


def measure(plan: Plan) -> Section:
    """Rows against HyperQueue with as many workers as we have nodes, and against bare spawns."""
    with Stage() as stage:
        running = stage.enter(cluster(plan.nodes))
        ours = running if isinstance(running, Absent) else stage.enter(api_client(running))
        peer = stage.enter(hyperqueue(plan.nodes))
        jobs = plan.jobs
        contenders: dict[str, Contender] = {
            "ours": ours if isinstance(ours, Absent) else lambda: jobs / ours.run(jobs),
            "hq": peer if isinstance(peer, Absent) else lambda: jobs / peer.run(jobs),
            "bare": lambda: jobs / bare_spawns(jobs),
        }
        got = alternate(contenders, plan.long_rounds, PER_SECOND)
    target = Target(Judged.VALUE, 500, "HyperQueue's rate")
    rows = (
        Row(f"{jobs} x true / HyperQueue", got["ours"], got["hq"], PER_SECOND, target),
        Row(f"{jobs} x true / bare posix_spawn", got["ours"], got["bare"], PER_SECOND, NO_TARGET),
    )
    return Section(TITLE, rows, complaints=stage.complaints)

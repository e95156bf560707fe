"""Client library: what a program may ask of its cluster (paper 3.3, the Glib_* calls).

    from glunix.api import Client, job_spec
    with Client() as cluster:
        for job in cluster.map(job_spec(["hostname"]) for _ in range(100)):
            print(job.npid, job.status, job.output())

The paper's names: Glib_Initialize = `Client()`; Glib_Spawn = `Client.submit`; Glib_SendSig = `kill`
and `Client.signal`; Glib_GetMyNpid, Glib_GetMyVnn, Glib_GetMyParDegree = `my_npid`, `my_vnn`,
`my_degree`, which are the environment's words; by the daemon's, `Process().place`. Glib_Barrier =
`Process.barrier`.

Names load on first use: a tool that asks one question does not pay for `Client`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glunix.api.ask import connect, jobs, kill, move, nodes
    from glunix.api.client import Client
    from glunix.api.job import Job, Proc, job_spec, my_degree, my_npid, my_vnn
    from glunix.api.parallel import Process
    from glunix.api.queue import BatchJob, enqueue, enqueue_each, facts, hold, wait_for

_HOME = {
    "BatchJob": "queue",
    "Client": "client",
    "Job": "job",
    "Proc": "job",
    "Process": "parallel",
    "connect": "ask",
    "enqueue": "queue",
    "enqueue_each": "queue",
    "facts": "queue",
    "hold": "queue",
    "job_spec": "job",
    "jobs": "ask",
    "kill": "ask",
    "move": "ask",
    "my_degree": "job",
    "my_npid": "job",
    "my_vnn": "job",
    "nodes": "ask",
    "wait_for": "queue",
}

__all__ = [
    "BatchJob",
    "Client",
    "Job",
    "Proc",
    "Process",
    "connect",
    "enqueue",
    "enqueue_each",
    "facts",
    "hold",
    "job_spec",
    "jobs",
    "kill",
    "move",
    "my_degree",
    "my_npid",
    "my_vnn",
    "nodes",
    "wait_for",
]


def __getattr__(name: str) -> Any:
    """Load the module that owns `name` (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

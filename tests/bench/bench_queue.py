"""What one placement from the queue costs as nodes and queued jobs grow; pure, no processes.

    python -m tests.bench.bench_queue

Prints microseconds per placement (dispatch, start, exit, next dispatch) for clusters of 10 to
10,000 nodes and queues of 1,000 to 100,000 jobs, and each as a ratio to the smallest.
"""

import time
import tracemalloc

from glunix.msg.batch import EnqueueAt, Launch, Need, Sealed, Terms
from glunix.msg.master import JobOver, NodeHello, ProcExited, ProcStarted
from glunix.state.events import LinkId, PeerUp, Received, SendFromQueue
from glunix.state.master import Master

SEAL = b"s" * 16
PLACEMENTS = 2000


def cluster(nodes: int) -> Master:
    """A master with a home (link 1) and so many nodes of two processors (links 2, ...)."""
    master = Master("bench", 2.0, 1e9)
    for number in range(1, nodes + 2):
        master.handle(PeerUp(LinkId(number)), 1.0)
        name = "home" if number == 1 else f"node{number - 1}"
        hello = NodeHello(
            1, 0, name, f"boot-{name}", f"unix:{name}", number > 1, 2, 8 << 30, [], [], []
        )
        master.handle(Received(LinkId(number), hello), 1.0)
    return master


def measure(nodes: int, jobs: int) -> tuple[float, float]:
    """(microseconds per placement, bytes per queued job)."""
    master = cluster(nodes)
    launched: list[Launch] = []

    def do(event: Received) -> None:
        for effect in master.handle(event, 2.0):
            if isinstance(effect, SendFromQueue) and isinstance(effect.message, Launch):
                launched.append(effect.message)

    tracemalloc.start()
    for start in range(0, jobs, 1000):
        tasks = [
            Sealed(Terms(f"job {start + i}", Need()), b"task", SEAL)
            for i in range(min(1000, jobs - start))
        ]
        do(Received(LinkId(1), EnqueueAt(1, 1000 + start % 7, b"around", SEAL, tasks)))
    size = tracemalloc.get_traced_memory()[0] / jobs
    tracemalloc.stop()
    links = {node.name: link for link, node in master.core.ndb.by_link.items()}
    begin, count = time.perf_counter(), 0
    while launched and count < PLACEMENTS:
        launch = launched.pop(0)
        link = links[launch.procs[0].node]  # type: ignore[index]
        do(Received(link, ProcStarted(launch.npid, 0, 100)))
        do(Received(link, ProcExited(launch.npid, 0, 0, 0)))
        do(Received(LinkId(1), JobOver(launch.npid)))
        count += 1
    return (time.perf_counter() - begin) / count * 1e6, size


def main() -> None:
    """Print the table."""
    print(f"{'nodes':>7} {'queued':>8} {'us':>8} {'ratio':>6} {'B/job':>7}")
    first = 0.0
    for nodes, jobs in ((10, 3000), (100, 10_000), (1000, 30_000), (10_000, 100_000)):
        cost, size = measure(nodes, jobs)
        first = first or cost
        print(f"{nodes:7} {jobs:8} {cost:8.1f} {cost / first:6.2f} {size:7.0f}")


if __name__ == "__main__":
    main()

"""Runs beside a cluster: `run N` on stdin, `done SECONDS` on stdout; one client of our library.

Started as a plain script with GLUNIX_DIR set, like any user's program. `many` is the one place
that knows the library's calls.
"""

from __future__ import annotations

import sys
import time

from glunix.api import Client, job_spec
from glunix.errors import GlunixError


def many(client: Client, count: int) -> float:
    """Seconds until the last of `count` jobs of one process each has ended.

    ValueError: a job ended with another status than 0, or not every job ended.
    """
    begin = time.perf_counter()
    ended = 0
    # One specification for all: HyperQueue's tasks share theirs too.
    spec = job_spec(["true"])
    for job in client.map((spec for _ in range(count)), collect=False):
        if job.status != 0:
            raise ValueError(f"job {job.npid} ended with status {job.status}: {job.error}")
        ended += 1
    if ended != count:
        raise ValueError(f"{ended} of {count} jobs ended")
    return time.perf_counter() - begin


def main() -> int:
    """Answer `run N` lines until the end of stdin."""
    try:
        with Client() as client:
            print("ready", flush=True)
            for line in sys.stdin:
                try:
                    print(f"done {many(client, int(line.split()[1])):.6f}", flush=True)
                except ValueError as error:
                    print(f"failed {error}", flush=True)
    except GlunixError as error:
        print(f"failed {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

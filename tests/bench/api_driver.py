"""Runs beside a cluster: `run N` on stdin, `done SECONDS` on stdout; one client of our library.

Started as a plain script with GLUNIX_DIR set, like any user's program. `Submitter` is the one
place that knows the library's calls.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import Awaitable, Callable

_IN_FLIGHT = 32  # enough to hide a round trip, few enough not to be a queue of our own

Submitter = Callable[[], Awaitable[int]]


async def many(submit: Submitter, count: int) -> float:
    """Seconds from the first submission until the last of `count` jobs has ended well.

    ValueError: a job ended with another status than 0.
    """
    left = iter(range(count))

    async def lane() -> None:
        for _ in left:
            status = await submit()
            if status != 0:
                raise ValueError(f"a job ended with status {status}")

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as lanes:
        for _ in range(min(count, _IN_FLIGHT)):
            lanes.create_task(lane())
    return time.perf_counter() - begin


async def serve() -> None:
    """Answer `run N` lines until the end of stdin."""
    # Here, so that `many` can be used without the library.
    try:
        api = importlib.import_module("glunix.api")
    except ImportError as error:
        print(f"failed {error}", flush=True)
        return

    async with api.connect() as client:

        async def submit() -> int:
            job = await client.submit(["true"])
            return int(await job.wait())

        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                seconds = await many(submit, int(line.split()[1]))
            except* (ValueError, OSError) as errors:
                print(f"failed {errors.exceptions[0]}", flush=True)
            else:
                print(f"done {seconds:.6f}", flush=True)


if __name__ == "__main__":
    asyncio.run(serve())

"""Stream throughput: bytes to a job, from a job, and through one, against ssh."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum

from .harness import (
    MB_PER_SECOND,
    Absent,
    BenchError,
    Contender,
    Judged,
    Row,
    Section,
    Target,
    alternate,
)
from .measure import Plan, Stage
from .ours import Cluster, cluster
from .peers.ssh import Ssh, ssh
from .proc import timed

TITLE = "stream throughput"
_BLOCK = 1 << 20


class Direction(Enum):
    """Which way the bytes go."""

    FROM_JOB = "from the job (cat FILE)"
    TO_JOB = "to the job (wc -c < FILE)"
    THROUGH = "through the job (cat < FILE)"


def _memory() -> str | None:
    """A folder in memory, so that the disk is not measured; None, the default one, without it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def sample_file(size: int) -> Iterator[str]:
    """The path of a file of `size` bytes that repeats a random block."""
    block = os.urandom(_BLOCK)
    with tempfile.NamedTemporaryFile(prefix="glub-", dir=_memory()) as file:
        for start in range(0, size, _BLOCK):
            file.write(block[: size - start])
        file.flush()
        yield file.name


def push(
    wrap: Callable[[Sequence[str]], list[str]],
    env: Mapping[str, str],
    direction: Direction,
    path: str,
    size: int,
) -> float:
    """Bytes per second of one transfer, every byte counted. BenchError: some are missing."""
    argv = {
        Direction.FROM_JOB: ["cat", path],
        Direction.TO_JOB: ["wc", "-c"],
        Direction.THROUGH: ["cat"],
    }[direction]
    with open(path if direction is not Direction.FROM_JOB else os.devnull, "rb") as source:
        if direction is Direction.TO_JOB:
            return _counted_there(wrap(argv), env, source.fileno(), size)
        done = timed(wrap(argv), env, stdin=source.fileno(), count_output=True, deadline=120)
    if done.bytes_out != size:
        raise BenchError(f"{done.bytes_out} bytes of {size} arrived ({direction.value})")
    return size / done.seconds


def _counted_there(argv: list[str], env: Mapping[str, str], source: int, size: int) -> float:
    with tempfile.TemporaryFile() as answer:
        done = timed(argv, env, stdin=source, stdout=answer.fileno(), deadline=120)
        answer.seek(0)
        arrived = int(answer.read())
    if arrived != size:
        raise BenchError(f"{arrived} bytes of {size} arrived ({Direction.TO_JOB.value})")
    return size / done.seconds


def measure(plan: Plan) -> Section:
    """One row a direction, `glurun` against ssh with ControlMaster (its default cipher)."""
    size = plan.stream_bytes
    rows = []
    with Stage() as stage, sample_file(size) as path:
        ours, peer = stage.enter(cluster(plan.nodes)), stage.enter(ssh())
        for direction in Direction:
            contenders = {
                "ours": _pusher(ours, direction, path, size),
                "ssh": _pusher(peer, direction, path, size),
            }
            got = alternate(contenders, plan.long_rounds, MB_PER_SECOND)
            name = f"{direction.value}, {size // 1_000_000} MB / ssh"
            target = Target(Judged.RATIO, 1.0)
            rows.append(Row(name, got["ours"], got["ssh"], MB_PER_SECOND, target))
    return Section(TITLE, tuple(rows), complaints=stage.complaints)


def _pusher(who: Cluster | Ssh | Absent, direction: Direction, path: str, size: int) -> Contender:
    if isinstance(who, Absent):
        return who
    return lambda: push(who.command, who.env, direction, path, size)

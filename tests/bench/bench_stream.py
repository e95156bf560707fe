"""Stream throughput: bytes to a job, from a job, and through one, against ssh."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum

from .harness import (
    MB_PER_SECOND,
    NO_TARGET,
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


class Stdin(Enum):
    """What the job's standard input is at home."""

    PIPE = "a pipe"
    SOCKET = "a socket"
    FILE = "a file"


_COUNT = """
import os
count, room = 0, bytearray(131072)
while size := os.readv(0, [room]):
    count += size
print(count)
"""


def feed(argv: list[str], env: Mapping[str, str], stdin: Stdin, path: str, size: int) -> float:
    """Bytes per second of a job that counts what it reads; cat(1) writes where somebody must."""
    counts = [sys.executable, "-IS", "-c", _COUNT]  # wc(1) does not read a file to count it
    with open(path, "rb") as source, ExitStack() as stack:
        if stdin is Stdin.FILE:
            return _counted_there([*argv, *counts], env, source.fileno(), size)
        if stdin is Stdin.PIPE:
            theirs, ours = (stack.enter_context(open(fd, "r+b", 0)) for fd in os.pipe())
        else:
            pair = socket.socketpair()
            theirs, ours = (stack.enter_context(open(s.detach(), "r+b", 0)) for s in pair)
        feeder = subprocess.Popen(["cat"], stdin=source, stdout=ours)
        try:
            ours.close()
            return _counted_there([*argv, *counts], env, theirs.fileno(), size)
        finally:
            feeder.kill()
            feeder.wait()


def _transparent_row(ours: Cluster | Absent, stdin: Stdin, path: str, plan: Plan) -> Row:
    """The interposed level, which takes nothing that is not read, against the user level."""
    size = plan.stream_bytes
    contenders: dict[str, Contender] = {"T": ours, "user": ours} if isinstance(ours, Absent) else {}
    if not isinstance(ours, Absent):
        glurun, env = ours.command([])[0], ours.env
        contenders["T"] = lambda: feed([glurun, "-T"], env, stdin, path, size)
        contenders["user"] = lambda: feed([glurun], env, stdin, path, size)
    got = alternate(contenders, plan.long_rounds, MB_PER_SECOND)
    name = f"-T: from {stdin.value}, {size // 1_000_000} MB / the user level"
    target = Target(Judged.RATIO, 0.8) if stdin is Stdin.PIPE else NO_TARGET
    return Row(name, got["T"], got["user"], MB_PER_SECOND, target)


def measure(plan: Plan) -> Section:
    """One row a direction, `glurun` against ssh with ControlMaster (its default cipher); one a
    kind of standard input, `glurun -T` against `glurun`."""
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
        rows += [_transparent_row(ours, stdin, path, plan) for stdin in Stdin]
    return Section(TITLE, tuple(rows), complaints=stage.complaints)


def _pusher(who: Cluster | Ssh | Absent, direction: Direction, path: str, size: int) -> Contender:
    if isinstance(who, Absent):
        return who
    return lambda: push(who.command, who.env, direction, path, size)

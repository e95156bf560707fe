"""The queue of batch jobs, as a program sees it: put in, hold, ask, wait (paper 8.2).

from glunix.api import enqueue, job_spec, wait_for
[npid] = enqueue(job_spec(["make", "-C", "/srv/big"]))
print(wait_for(npid).row.state)
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from glunix.api.ask import ANSWER, ask
from glunix.errors import Refused
from glunix.ids import DEGREE_MAX, Why
from glunix.msg import batch
from glunix.msg import client as wire
from glunix.msg.batch import Array, Asked, JobFacts, Need, Task, Terms
from glunix.msg.job import JobSpec

TOGETHER = 500
"""Tasks in one message: it must be answered before the next is sent."""

COMMAND = 200
"""Characters of a command that glups shows."""

NAME_MAX = 64
"""Characters of a job's name."""

FOREVER = 365 * 86400.0
SLICE = 3600.0
"""Seconds after which a wait asks again."""


@dataclass(frozen=True)
class BatchJob:
    """One job for the queue. Paths are made absolute from the current directory."""

    argv: Sequence[str | bytes]
    name: str = ""
    degree: int = 1
    cpus: int = 1
    memory: int = 0
    """Bytes of each process."""
    nodes: Sequence[str] = ()
    exclude: Sequence[str] = ()
    seconds: float = 0.0
    """Time limit of one run; 0: none."""
    stdout: str | None = None
    """None: `glubatch-%j.out`, with `-%a` in it for an array; empty: nowhere."""
    stderr: str | None = None
    """None: where standard output goes."""
    append: bool = False
    after: Sequence[int] = field(default=())
    retry: int = 0
    background: bool = False
    held: bool = False
    array: Array | None = None

    def asked(self, transparent: bool) -> Asked:
        """As it travels; Refused when it makes no sense."""
        if not self.argv:
            raise Refused(Why.BAD_REQUEST, "a job needs a command")
        for name, least, most in _RANGES:
            if not least <= getattr(self, name) <= most:
                text = f"{name} is a number from {least} to {most}, not {getattr(self, name)}"
                raise Refused(Why.BAD_REQUEST, text)
        if len(self.name) > NAME_MAX:
            raise Refused(Why.BAD_REQUEST, f"a job's name has at most {NAME_MAX} characters")
        words = [os.fsencode(word) for word in self.argv]
        shown = b" ".join(words)[:COMMAND].decode("utf-8", "replace").replace("\n", " ")
        default = "glubatch-%j-%a.out" if self.array is not None else "glubatch-%j.out"
        stdout = default if self.stdout is None else self.stdout
        terms = Terms(
            command=shown,
            need=Need(self.degree, self.cpus, self.memory, tuple(self.nodes), tuple(self.exclude)),
            name=self.name,
            seconds=self.seconds,
            after=list(self.after),
            retry=self.retry,
            background=self.background,
            held=self.held,
            array=self.array,
            transparent=transparent,
        )
        task = Task(words, _absolute(stdout), _absolute(self.stderr or ""), self.append)
        return _checked(Asked(terms, task))


_RANGES = (
    ("degree", 1, DEGREE_MAX),
    ("cpus", 1, 65536),
    ("memory", 0, 2**63 - 1),
    ("retry", 0, 1000),
)


def _absolute(name: str) -> bytes:
    return os.fsencode(Path.cwd() / name) if name else b""


def _checked(asked: Asked) -> Asked:
    """Refused, with the path of the fault, when a number is out of range."""
    try:
        return msgspec.convert(msgspec.to_builtins(asked, builtin_types=(bytes,)), Asked)
    except msgspec.ValidationError as error:
        raise Refused(Why.BAD_REQUEST, f"such a job cannot be: {error}") from None


def enqueue(
    surroundings: JobSpec,
    jobs: Sequence[BatchJob] = (),
    folder: Path | None = None,
    timeout: float = ANSWER,
) -> list[int]:
    """Put jobs into the queue, in `surroundings` (api.job_spec); returns their NPIDs.

    Without `jobs`, the one whose command is that of `surroundings`.
    """
    each = jobs or [BatchJob(surroundings.argv)]
    found: list[int] = []
    for some in enqueue_each(surroundings, each, folder, timeout):
        found += some
    return found


def enqueue_each(
    surroundings: JobSpec,
    jobs: Sequence[BatchJob],
    folder: Path | None = None,
    timeout: float = ANSWER,
) -> Iterator[list[int]]:
    """As `enqueue`, the NPIDs of some at a time as they are in the queue."""
    asked = [job.asked(surroundings.transparent) for job in jobs]
    bare = msgspec.structs.replace(surroundings, argv=[b"-"])
    for start in range(0, len(asked), TOGETHER):
        message = batch.Enqueue(1, bare, asked[start : start + TOGETHER])
        yield ask(message, batch.Queued, folder, timeout, batch.daemon_to_client).npids


def facts(npid: int, folder: Path | None = None, timeout: float = ANSWER) -> JobFacts:
    """What is known of a job: its row, what it waits for, what it writes to; Refused."""
    message = batch.AskJob(1, npid)
    return ask(message, batch.JobFacts, folder, timeout, batch.daemon_to_client)


def wait_for(npid: int, folder: Path | None = None, timeout: float = FOREVER) -> JobFacts:
    """Wait until a job is over and will not run again; TimeoutError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"job {npid} is not over after {timeout:g} s")
        try:
            message = batch.AskJob(1, npid, True)
            part = min(left, SLICE)
            return ask(message, batch.JobFacts, folder, part, batch.daemon_to_client, late=True)
        except TimeoutError:
            continue


def hold(npid: int, held: bool, folder: Path | None = None, timeout: float = ANSWER) -> None:
    """Keep a queued job from starting, or let it again; Refused."""
    ask(batch.Hold(1, npid, held), wire.Done, folder, timeout, batch.daemon_to_client)

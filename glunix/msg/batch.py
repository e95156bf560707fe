"""Batch jobs on the wire and in the journal: what a user asks for, how the queue keeps it.

Two blobs travel together and are opened only where they were made. The *surroundings* (owner,
environment, directory, limits) are those of one `glubatch` and shared by all its tasks; a *task* is
one command line. Only the home daemon that sealed them (glunix.state.homebatch) runs them: a master
gives back what it was given, and cannot change a word of it.
"""

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from glunix.ids import DEGREE_MAX
from glunix.msg import client, parallel
from glunix.msg.base import Decoder, Message, Record
from glunix.msg.job import (
    PATH_MAX,
    U32,
    U63,
    WORDS_MAX,
    CodeField,
    DegreeField,
    JobRow,
    JobSpec,
    MomentField,
    NameField,
    NpidField,
    Owner,
    PlacedProc,
    SignalField,
    TextField,
)

ARRAY_MAX = 1_000_000
"""Elements of one array."""

TASKS_MAX = 4096
"""Tasks in one message."""

SEAL = 16
"""Bytes of a seal (keyed BLAKE2b)."""

Blob = Annotated[bytes, Meta(max_length=16 * 1024 * 1024)]
SealField = Annotated[bytes, Meta(min_length=SEAL, max_length=SEAL)]
CpusField = Annotated[int, Meta(ge=1, le=65536)]
IndexField = Annotated[int, Meta(ge=0, le=2**31 - 1)]
OutputPath = Annotated[bytes, Meta(max_length=PATH_MAX)]
SpanField = Annotated[float, Meta(ge=0, le=1e9)]
NodeNames = Annotated[tuple[NameField, ...], Meta(max_length=4096)]


class Need(Record, frozen=True):
    """What a job must find before it can start; equal ones are one object in the queue."""

    degree: DegreeField = 1
    cpus: CpusField = 1
    """Processors of each process."""
    memory: U63 = 0
    """Bytes of each process."""
    nodes: NodeNames = ()
    """The only nodes to choose from; empty: all."""
    exclude: NodeNames = ()


class Array(Record, frozen=True):
    """Indices from `first` to `last` by `step`; `at_once` of them run at a time (0: any)."""

    first: IndexField
    last: IndexField
    step: Annotated[int, Meta(ge=1, le=ARRAY_MAX)] = 1
    at_once: Annotated[int, Meta(ge=0, le=ARRAY_MAX)] = 0

    def __len__(self) -> int:
        return max(0, (self.last - self.first) // self.step + 1)

    def __post_init__(self) -> None:
        if not 1 <= len(self) <= ARRAY_MAX:
            raise ValueError(f"an array of {len(self)} elements: 1 to {ARRAY_MAX} can be")


class Terms(Record, frozen=True):
    """What the master must know of a batch job: all but its command line and surroundings."""

    command: TextField
    """As glups shows it."""
    need: Need = Need()
    name: Annotated[str, Meta(max_length=64)] = ""
    seconds: SpanField = 0.0
    """Time limit of one run; 0: none."""
    after: Annotated[list[NpidField], Meta(max_length=1000)] = []
    """Starts when all of these are over."""
    retry: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Runs again so often when a run failed or was cut off."""
    background: bool = False
    held: bool = False
    array: Array | None = None
    transparent: bool = False


class Task(Record, frozen=True):
    """What only the home daemon must know: the command line, and where output goes."""

    argv: Annotated[list[bytes], Meta(min_length=1, max_length=WORDS_MAX)]
    stdout: OutputPath
    """Absolute, with the patterns of glunix.batch.outputs; empty: /dev/null."""
    stderr: OutputPath = b""
    """Empty: where standard output goes."""
    append: bool = False


class Surroundings(Record, frozen=True):
    """Whose job it is, and in what it runs; `spec.argv` is replaced by the task's."""

    owner: Owner
    spec: JobSpec


class Asked(Record, frozen=True):
    """One task with its terms, from a client."""

    terms: Terms
    task: Task


class Sealed(Record, frozen=True):
    """One task with its terms, from a home daemon."""

    terms: Terms
    task: Blob
    seal: SealField


# -- client and its daemon ---------------------------------------------------------------------


class Enqueue(Message, frozen=True, tag="enqueue"):
    """Put these tasks into the queue; all have the surroundings of `spec`."""

    request: U32
    spec: JobSpec
    tasks: Annotated[list[Asked], Meta(min_length=1, max_length=TASKS_MAX)]


class Queued(Message, frozen=True, tag="queued"):
    """Answer to Enqueue: an NPID for each task, in their order."""

    request: U32
    npids: Annotated[list[NpidField], Meta(min_length=1, max_length=TASKS_MAX)]


class Hold(Message, frozen=True, tag="hold"):
    """A queued job does not start (`held`), or may again."""

    request: U32
    npid: NpidField
    held: bool


class AskJob(Message, frozen=True, tag="askjob"):
    """What is known of one job; with `wait`, once it is over."""

    request: U32
    npid: NpidField
    wait: bool = False


class JobFacts(Message, frozen=True, tag="facts"):
    """Answer to AskJob."""

    request: U32
    row: JobRow
    why: TextField = ""
    """What a queued job waits for, one sentence."""
    task: Task | None = None
    """Of a batch job, for its owner and root."""
    runs: Annotated[list[NpidField], Meta(max_length=DEGREE_MAX)] = []
    """An array: what runs of it now."""


class BatchReady(Message, frozen=True, tag="batchready"):
    """A batch server has opened what the job writes to: it may begin."""

    npid: NpidField


class BatchCannot(Message, frozen=True, tag="batchcannot"):
    """A batch server cannot keep the output of this job."""

    npid: NpidField
    reason: TextField


class BatchPlaced(Message, frozen=True, tag="batchplaced"):
    """To a batch server: this job of its owner's starts on these streams."""

    npid: NpidField
    entry: NpidField
    """What the user knows it as: of an array, or of the first run of a job."""
    is_array: bool
    index: IndexField
    degree: DegreeField
    streams: Annotated[list[client.StreamOf], Meta(min_length=1, max_length=DEGREE_MAX)]
    spec: JobSpec
    task: Task
    name: Annotated[str, Meta(max_length=64)] = ""


ClientToDaemon = (
    client.ClientToDaemon
    | Enqueue
    | Hold
    | AskJob
    | BatchReady
    | BatchCannot
    | parallel.ProcessToDaemon
)
DaemonToClient = client.DaemonToClient | Queued | JobFacts | BatchPlaced

client_to_daemon = Decoder(ClientToDaemon, "client to daemon")
daemon_to_client = Decoder(DaemonToClient, "daemon to client")


# -- daemon and master -------------------------------------------------------------------------


class EnqueueAt(Message, frozen=True, tag="enqueue"):
    """A home daemon has tasks for the queue. `uid` is what its kernel told it about the client."""

    request: U32
    uid: U32
    surroundings: Blob
    seal: SealField
    tasks: Annotated[list[Sealed], Meta(min_length=1, max_length=TASKS_MAX)]


class HoldAt(Message, frozen=True, tag="hold"):
    """As Hold, with the uid of who asks."""

    request: U32
    uid: U32
    npid: NpidField
    held: bool


class AskJobAt(Message, frozen=True, tag="askjob"):
    """As AskJob, with the uid of who asks."""

    request: U32
    uid: U32
    npid: NpidField
    wait: bool = False


class NotLaunched(Message, frozen=True, tag="notlaunched"):
    """Home could not begin this job: no node was dialled, so that nothing of it ever ran."""

    npid: NpidField
    reason: TextField
    final: bool = False
    """It never will (a broken seal, a refused user)."""


class Launch(Message, frozen=True, tag="launch"):
    """To the home of a batch job: it has nodes, run it."""

    npid: NpidField
    entry: NpidField
    is_array: bool
    index: IndexField
    name: Annotated[str, Meta(max_length=64)]
    degree: DegreeField
    procs: Annotated[list[PlacedProc], Meta(min_length=1, max_length=DEGREE_MAX)]
    addresses: Annotated[
        dict[NameField, Annotated[str, Meta(min_length=1, max_length=256)]],
        Meta(max_length=DEGREE_MAX),
    ]
    surroundings: Blob
    surroundings_seal: SealField
    task: Blob
    task_seal: SealField


class JobFactsAt(Message, frozen=True, tag="facts"):
    """Answer to AskJobAt."""

    request: U32
    row: JobRow
    why: TextField = ""
    task: Blob = b""
    runs: Annotated[list[NpidField], Meta(max_length=DEGREE_MAX)] = []


# -- the journal -------------------------------------------------------------------------------


class Run(Record, frozen=True):
    """One run of a queued job: its NPID in Pdb, its index in an array, the home daemon's boot."""

    npid: NpidField
    index: IndexField
    boot: Annotated[str, Meta(max_length=64)]


class QueueRow(Record, frozen=True):
    """One entry of the queue as the journal keeps it."""

    npid: NpidField
    uid: U32
    home: NameField
    terms: Terms
    surroundings: U63
    """Number of the blob."""
    submitted: MomentField
    order: U63
    next: IndexField
    """The next index of an array that has not been started; past the end: none."""
    again: list[IndexField] = []
    """Indices that are to run again."""
    runs: list[Run] = []
    tries: Annotated[dict[IndexField, U32], Meta(max_length=ARRAY_MAX)] = {}
    """Index -> failed runs."""
    worst: CodeField = 0
    """Highest exit status of elements that are over."""
    signal: SignalField = 0
    held: bool = False
    has_run: bool = False


def seal_of(key: bytes, *parts: bytes) -> bytes:
    """What only the holder of `key` can make of these parts."""
    made = hashlib.blake2b(key=key, digest_size=SEAL)
    for part in parts:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.digest()


task_decoder: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
surroundings_decoder: msgspec.msgpack.Decoder[Surroundings] = msgspec.msgpack.Decoder(Surroundings)

"""Startup or tool <-> the daemon of its own node, over a Unix socket; stream 0 of that link.

The daemon knows who speaks from SO_PEERCRED; nothing here says who the client is, except `uid` in
Submit, which is a wish that is refused when it is not the caller's own.
"""

from typing import Annotated

from msgspec import Meta

from glunix.ids import DEGREE_MAX
from glunix.msg.base import Decoder, Message, Record, all_or_nothing
from glunix.msg.job import (
    TERMIOS_SIZE,
    U32,
    DegreeField,
    JobRow,
    JobSpec,
    NameField,
    NodeRow,
    NpidField,
    SignalField,
    TextField,
    VnnField,
)

ROWS_MAX = 1 << 20
"""Rows of a table: the frame is the limit of their bytes."""

Names = Annotated[list[NameField], Meta(max_length=4096)]


class Submit(Message, frozen=True, tag="submit"):
    """Run this. The daemon finds the startup's terminal by itself (see TtyMode)."""

    request: U32
    spec: JobSpec
    degree: DegreeField = 1
    nodes: Names = []
    exclude: Names = []
    uid: U32 | None = None
    beside: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """NPID of a running job of as many processes: on their nodes (Glib_CoSpawn); 0: none."""


class TtyMode(Message, frozen=True, tag="tty"):
    """The startup made its terminal raw (True) or not. If it dies raw, the daemon restores it,
    unless somebody has given it other modes than the transparent job `left` there."""

    raw: bool
    left: Annotated[bytes, Meta(max_length=TERMIOS_SIZE)] = b""

    def __post_init__(self) -> None:
        all_or_nothing(self.left, TERMIOS_SIZE, "$[2]")


class KillJob(Message, frozen=True, tag="kill"):
    """Send a signal to a job (vnn None: all its processes). Signal 0 asks only if it could."""

    request: U32
    npid: NpidField
    vnn: VnnField | None
    signal: SignalField


class ListJobs(Message, frozen=True, tag="jobs"):
    """Ask for Pdb: the caller's running jobs, or with `everything` also ended ones and others'."""

    request: U32
    everything: bool = False


class ListNodes(Message, frozen=True, tag="nodes"):
    """Ask for Ndb."""

    request: U32


class MoveJob(Message, frozen=True, tag="move"):
    """Move a process of a transparent job to another node (none: the least loaded other one), or
    only `explain` what would keep it where it is."""

    request: U32
    npid: NpidField
    vnn: VnnField | None = None
    node: Annotated[str, Meta(max_length=64)] = ""
    explain: bool = False
    engine: Annotated[str, Meta(max_length=32)] = ""


class Shutdown(Message, frozen=True, tag="shutdown"):
    """Stop this daemon in an orderly way (root or the daemon's own uid only)."""

    request: U32


ClientToDaemon = Submit | TtyMode | KillJob | ListJobs | ListNodes | MoveJob | Shutdown
"""What a startup and the small tools say; what batch adds is in msg.batch, which they do not load.
"""


class StreamOf(Record, frozen=True):
    """The stream on this link that carries the processes of a job on one node."""

    stream: U32
    node: NameField
    vnns: Annotated[list[VnnField], Meta(max_length=DEGREE_MAX)]


class Placed(Message, frozen=True, tag="placed"):
    """The job has its NPID and its nodes; its streams are open."""

    request: U32
    npid: NpidField
    streams: Annotated[list[StreamOf], Meta(min_length=1, max_length=DEGREE_MAX)]


class Refused(Message, frozen=True, tag="refused"):
    """The request was not carried out; `why` is a glunix.errors.Why, `text` is for the user."""

    request: U32
    why: NameField
    text: TextField


class Done(Message, frozen=True, tag="done"):
    """The request was carried out; `count` is the number of processes it touched."""

    request: U32
    count: U32 = 0


class Jobs(Message, frozen=True, tag="joblist"):
    """Answer to ListJobs."""

    request: U32
    rows: Annotated[list[JobRow], Meta(max_length=ROWS_MAX)]


class Nodes(Message, frozen=True, tag="nodelist"):
    """Answer to ListNodes."""

    request: U32
    rows: Annotated[list[NodeRow], Meta(max_length=ROWS_MAX)]


class MoveStep(Message, frozen=True, tag="movestep"):
    """A move has come so far (`movable`, `built`, `quiet`, `left`, `ready`)."""

    request: U32
    step: NameField


class Moved(Message, frozen=True, tag="moved"):
    """Answer to MoveJob: the job runs on `node` now; or, to `explain`, what keeps it (one reason a
    line; empty: nothing)."""

    request: U32
    node: NameField
    text: Annotated[str, Meta(max_length=65536)] = ""


class StreamLost(Message, frozen=True, tag="lost"):
    """A node of the job is gone: nothing more comes on this stream."""

    stream: U32
    node: NameField
    text: TextField


DaemonToClient = Placed | Refused | Done | Jobs | Nodes | MoveStep | Moved | StreamLost

client_to_daemon = Decoder(ClientToDaemon, "client to daemon")
daemon_to_client = Decoder(DaemonToClient, "daemon to client")

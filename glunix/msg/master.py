"""Daemon <-> master, stream 0 of their link (paper 4.1: the daemons report, the master decides)."""

from typing import Annotated

from msgspec import Meta

from glunix.ids import DEGREE_MAX
from glunix.msg.base import Decoder, Message, Record
from glunix.msg.batch import (
    AskJobAt,
    EnqueueAt,
    HoldAt,
    JobFactsAt,
    Launch,
    NotLaunched,
    Queued,
)
from glunix.msg.client import ROWS_MAX, Names
from glunix.msg.job import (
    U32,
    U63,
    DegreeField,
    JobRow,
    LivePid,
    LoadField,
    NameField,
    NodeRow,
    NpidField,
    PidField,
    PlacedProc,
    RunningProc,
    SignalField,
    TextField,
    VersionField,
    VnnField,
)
from glunix.msg.trust import Pem, SecondsField, Serial

Address = Annotated[str, Meta(min_length=1, max_length=256)]


SERIALS_MAX = 65536
Microseconds = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class HomeJob(Record, frozen=True):
    """A job whose startup lives on the reporting daemon's node."""

    npid: NpidField
    uid: U32
    command: TextField
    degree: DegreeField
    transparent: bool


class ProcExited(Message, frozen=True, tag="exited"):
    """A process ended or could not be started (`reason` not empty)."""

    npid: NpidField
    vnn: VnnField
    code: Annotated[int, Meta(ge=0, le=255)]
    signal: SignalField
    reason: TextField = ""


class JobOver(Message, frozen=True, tag="over"):
    """The home daemon is done with a job; `reason` says why when it did not end by itself."""

    npid: NpidField
    reason: TextField = ""


class NodeHello(Message, frozen=True, tag="hello"):
    """A daemon introduces itself and says what runs, so that a restarted master can rebuild."""

    major: VersionField
    minor: VersionField
    node: NameField
    boot: Annotated[str, Meta(max_length=64)]
    """Random per daemon start: tells a reconnect from a restart."""
    address: Address
    """Where other daemons dial this one: `unix:NAME` in the state folder, or `tcp:HOST:PORT`."""
    accepts_jobs: bool
    cpus: Annotated[int, Meta(ge=1, le=65536)]
    memory_total: U63
    isolated: Annotated[list[NameField], Meta(max_length=16)]
    running: Annotated[list[RunningProc], Meta(max_length=65536)]
    homes: Annotated[list[HomeJob], Meta(max_length=65536)]
    unsent: Annotated[list[ProcExited | JobOver], Meta(max_length=65536)] = []
    """What ended while there was no master to tell, in its order."""
    launched: Annotated[list[NpidField], Meta(max_length=65536)] = []
    """Batch jobs that this daemon was told to begin since its start, the newest: what was reported
    of them may have been lost with the master."""


class LoadReport(Message, frozen=True, tag="load"):
    """Sent on change, and at least every HEARTBEAT seconds: silence means lost."""

    load: LoadField
    memory_free: U63


class Place(Message, frozen=True, tag="place"):
    """Home daemon asks for nodes. `uid` is what its kernel told it about the client."""

    request: U32
    uid: U32
    command: TextField
    degree: DegreeField
    nodes: Names
    exclude: Names
    transparent: bool
    beside: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """NPID of a running job, on whose nodes it is to be; 0: none."""


class ProcStarted(Message, frozen=True, tag="started"):
    """A process of a job runs on the reporting node."""

    npid: NpidField
    vnn: VnnField
    pid: LivePid


class ProcStopped(Message, frozen=True, tag="stopped"):
    """A process stopped (signal) or went on (signal 0)."""

    npid: NpidField
    vnn: VnnField
    signal: SignalField


class KillRequest(Message, frozen=True, tag="kill"):
    """A client of the reporting daemon asks for a signal; the master checks the owner."""

    request: U32
    uid: U32
    npid: NpidField
    vnn: VnnField | None
    signal: SignalField


class MoveQuery(Message, frozen=True, tag="move"):
    """Home daemon asks where a process of its job may move (`node` empty: the least loaded)."""

    request: U32
    uid: U32
    npid: NpidField
    vnn: VnnField
    node: Annotated[str, Meta(max_length=64)]


class ProcMoved(Message, frozen=True, tag="moved"):
    """A move is over: the process runs on `node`, as this pid (0: it stayed where it was)."""

    npid: NpidField
    vnn: VnnField
    node: NameField
    pid: PidField


class JobsQuery(Message, frozen=True, tag="jobs"):
    """A client asks for Pdb."""

    request: U32
    uid: U32
    everything: bool


class NodesQuery(Message, frozen=True, tag="nodes"):
    """A client asks for Ndb."""

    request: U32


class Renew(Message, frozen=True, tag="renew"):
    """The certificate of the reporting daemon is about to expire: a signing request (PEM)."""

    request: Pem


class Leave(Message, frozen=True, tag="leave"):
    """The reporting node leaves the cluster: its certificates are revoked, its name is free."""


DaemonToMaster = (
    NodeHello
    | LoadReport
    | Place
    | ProcStarted
    | ProcStopped
    | ProcExited
    | JobOver
    | KillRequest
    | MoveQuery
    | ProcMoved
    | JobsQuery
    | NodesQuery
    | Renew
    | Leave
    | EnqueueAt
    | HoldAt
    | AskJobAt
    | NotLaunched
)


class Welcome(Message, frozen=True, tag="welcome"):
    """The master knows this node now. `heartbeat` seconds without a report means lost."""

    major: VersionField
    minor: VersionField
    cluster: NameField
    heartbeat: SecondsField


class Goodbye(Message, frozen=True, tag="goodbye"):
    """The master will not have this daemon (`text` says why), and closes."""

    text: TextField


class PlacedJob(Message, frozen=True, tag="placed"):
    """Answer to Place: the NPID, who goes where, and where to dial each node."""

    request: U32
    npid: NpidField
    procs: Annotated[list[PlacedProc], Meta(max_length=DEGREE_MAX)]
    addresses: Annotated[dict[NameField, Address], Meta(max_length=DEGREE_MAX)]


class RequestRefused(Message, frozen=True, tag="refused"):
    """Answer to any request that was not carried out (`why`: glunix.errors.Why)."""

    request: U32
    why: NameField
    text: TextField


class MayMove(Message, frozen=True, tag="maymove"):
    """Answer to MoveQuery: there, and where to dial it."""

    request: U32
    node: NameField
    address: Address
    npid: NpidField
    vnn: VnnField


class KillOrder(Message, frozen=True, tag="kill"):
    """Signal these processes of a job that run on the receiving node (vnns empty: all)."""

    npid: NpidField
    vnns: Annotated[list[VnnField], Meta(max_length=DEGREE_MAX)]
    signal: SignalField


class KillDone(Message, frozen=True, tag="killed"):
    """Answer to KillRequest: how many processes were addressed."""

    request: U32
    count: U32


class JobsTable(Message, frozen=True, tag="joblist"):
    """Answer to JobsQuery; `left_off` is the number of jobs that the frame had no room for."""

    request: U32
    rows: Annotated[list[JobRow], Meta(max_length=ROWS_MAX)]
    left_off: U63 = 0


class NodesTable(Message, frozen=True, tag="nodelist"):
    """Answer to NodesQuery."""

    request: U32
    rows: Annotated[list[NodeRow], Meta(max_length=ROWS_MAX)]


class NodeLost(Message, frozen=True, tag="lost"):
    """A node is gone (link closed, or silent past its deadline): its jobs are over."""

    node: NameField
    text: TextField


class Renewed(Message, frozen=True, tag="renewed"):
    """Answer to Renew: new certificates (PEM) for the node and for its listener."""

    node_cert: Pem
    listen_cert: Pem


class TrustNews(Message, frozen=True, tag="trust"):
    """What is revoked: all of it, each time (glunix.trust.revocation)."""

    revoked: Annotated[list[Serial], Meta(max_length=SERIALS_MAX)]
    """Serials, hexadecimal."""
    before: Annotated[dict[NameField, Microseconds], Meta(max_length=65536)] = {}
    """Node, in lower case -> what was issued to it until then is revoked."""


class Expect(Message, frozen=True, tag="expect"):
    """A job was placed on the receiving node: only what is announced may be started, once."""

    npid: NpidField
    home: NameField
    vnns: Annotated[list[VnnField], Meta(max_length=DEGREE_MAX)]
    uid: U32 | None = None
    """Of its owner, as the master's books have it."""


class UserPolicy(Message, frozen=True, tag="users"):
    """Who may run jobs, and which uid a user has where (glunix.users)."""

    allow_root: bool
    users: Annotated[
        dict[NameField, Annotated[dict[NameField, U32], Meta(max_length=65536)]],
        Meta(max_length=65536),
    ]
    refuse_groups: Annotated[list[NameField], Meta(max_length=1024)] | None = None
    """None: the node's own (glunix.users.REFUSE_GROUPS)."""
    announces_all: bool = False
    """Whether every job is announced (Expect), whoever its home is."""


MasterToDaemon = (
    Welcome
    | Goodbye
    | PlacedJob
    | RequestRefused
    | MayMove
    | KillOrder
    | KillDone
    | JobsTable
    | NodesTable
    | NodeLost
    | Renewed
    | TrustNews
    | UserPolicy
    | Expect
    | Queued
    | Launch
    | JobFactsAt
)

daemon_to_master = Decoder(DaemonToMaster, "daemon to master")
master_to_daemon = Decoder(MasterToDaemon, "master to daemon")

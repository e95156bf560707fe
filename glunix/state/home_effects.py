"""What a daemon's pure half asks its shell to do: a closed union of values."""

import dataclasses

from glunix.ids import StreamId
from glunix.msg.base import Message
from glunix.msg.job import Owner
from glunix.msg.stream import Start


@dataclasses.dataclass(frozen=True)
class ToClient:
    """Send on stream 0 of a client link."""

    link: int
    message: Message


@dataclasses.dataclass(frozen=True)
class ToMaster:
    """Send to the master; dropped while there is none (it is told again at the next hello)."""

    message: Message


@dataclasses.dataclass(frozen=True)
class RestoreTty:
    """Put the terminal that came with this client's Submit back into the modes it had."""

    link: int


@dataclasses.dataclass(frozen=True)
class Dial:
    """Have a link to `node` (at `address`), then call `dialled(npid, stream)`."""

    npid: int
    link: int
    stream: StreamId
    node: str
    address: str


@dataclasses.dataclass(frozen=True)
class Join:
    """Open a stream to `node` with `start`, and join it to this client stream."""

    link: int
    stream: StreamId
    node: str
    start: Start


@dataclasses.dataclass(frozen=True)
class CloseJoin:
    """End the peer stream joined to this client stream (its node kills what still runs)."""

    link: int
    stream: StreamId
    reason: str


@dataclasses.dataclass(frozen=True)
class StartBatchServer:
    """Start a batch server for this owner, then say `server_up` or `server_failed`."""

    owner: Owner


@dataclasses.dataclass(frozen=True)
class BeginMove:
    """Move the job of this client stream to `node` (empty: only ask whether it could), and tell
    `asker` (a client link), which made this request."""

    npid: int
    link: int
    stream: StreamId
    start: Start
    epoch: int
    node: str
    address: str
    asker: int
    request: int


@dataclasses.dataclass(frozen=True)
class StopDaemon:
    """End this daemon in an orderly way."""


DaemonEffect = (
    ToClient
    | ToMaster
    | RestoreTty
    | Dial
    | Join
    | CloseJoin
    | BeginMove
    | StartBatchServer
    | StopDaemon
)

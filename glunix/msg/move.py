"""A running job moves between nodes (docs/migration.md): what daemons, movers and supervisors say.

Between daemons these travel on stream 0 of their link, in one order with the frames of the job's
stream, and never on that stream itself: a startup, which is its user's, cannot say them. `epoch`
counts the moves of a job; what carries another one belongs to a move that is over.
"""

from typing import Annotated, Literal

from msgspec import Meta

from glunix.msg.base import Decoder, Message, Record, encode
from glunix.msg.frame import CHUNK
from glunix.msg.job import I64, U32, NameField, PidField

Epoch = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Piece = Annotated[bytes, Meta(max_length=CHUNK)]
LongText = Annotated[str, Meta(max_length=65536)]
Numbers = Annotated[list[PidField], Meta(max_length=1 << 20)]
Row = tuple[PidField, PidField]

WINDOW = 16
"""Pieces of an image that may be under way before the destination has written them."""


class MoveOrder(Message, frozen=True, tag="moveorder"):
    """Home to a node. To the source: `ask` (may it go), `explain` (only say why not), `copy` (its
    memory, while it runs), `hold` (answer no new call of the job), `still` (nothing more comes from
    home: freeze), `gone`, `abort`. To the destination: `go`, `abort`."""

    stream: U32
    epoch: Epoch
    order: Literal["ask", "explain", "copy", "hold", "still", "gone", "go", "abort"]


class MoveSaid(Message, frozen=True, tag="movesaid"):
    """A node to home. The source: `movable`, `copied`, `quiet` (it answers no call of the job),
    `left`; the destination: `built`, `ready`; both: `refused` or `aborted`, with why."""

    stream: U32
    epoch: Epoch
    said: Literal["movable", "copied", "quiet", "left", "built", "ready", "refused", "aborted"]
    text: LongText = ""
    pid: PidField = 0
    """Of the program on the destination (`ready`)."""


class MovePiece(Message, frozen=True, tag="movepiece"):
    """Source to home to destination: bytes of the image; empty: that part is whole."""

    stream: U32
    epoch: Epoch
    part: Literal["state", "pages", "job"]
    data: Piece


class MoveTaken(Message, frozen=True, tag="movetaken"):
    """Destination to home to source: so many pieces more have been written."""

    stream: U32
    epoch: Epoch
    count: U32


# -- a daemon and its mover, or the supervisor beside the job ------------------------------------


class Order(Message, frozen=True, tag="order"):
    """To a mover: `probe`, `copy`, `freeze`, `leave`, `commit`, `abort`, `go`. To a supervisor:
    `hold` (answer no new call), `still`, `collect` (all is frozen: say what you know), `resume`,
    `gone`, `go` (`go-stopped`: its root is stopped, as home knows)."""

    what: NameField


class Said(Message, frozen=True, tag="said"):
    """The same done; or `refused`, `failed`, with why."""

    what: NameField
    text: LongText = ""
    pid: PidField = 0


class Part(Message, frozen=True, tag="part"):
    """A piece of an image, either way."""

    part: Literal["state", "pages", "job"]
    data: Piece


class Taken(Message, frozen=True, tag="taken"):
    """Pieces written at the destination."""

    count: U32


class Kept(Record, frozen=True):
    """Bytes of a home descriptor that were fetched and not delivered; whether poll finds some."""

    fd: I64
    data: Annotated[bytes, Meta(max_length=1 << 24)]
    readable: bool


class Place(Record, frozen=True):
    """In which group and session the shadow of a process stands."""

    number: PidField
    group: PidField
    session: PidField


class State(Message, frozen=True, tag="state"):
    """What a supervisor knows, at the moment its job is frozen."""

    pid: PidField
    """Of the program, as its own node has it: only for that node's mover."""
    tostop: bool
    flow_stopped: bool
    size: tuple[U32, U32, U32, U32]
    foreground: PidField
    credit: dict[str, I64]
    """Channel -> bytes that home takes yet."""
    kept: Annotated[list[Kept], Meta(max_length=64)]
    next_ask: U32
    shadows: Numbers
    """Every number that has a shadow."""
    rows: Annotated[list[Row], Meta(max_length=1024)]
    """Numbers that shadows stand ready for: first, and the one after the last."""
    asked: bool
    row: U32
    strays: bool
    off: bool
    places: Annotated[list[Place], Meta(max_length=1 << 20)]
    sessions: Numbers
    """Sessions that the job has made."""


ToMover = Order | Part | Taken
FromMover = Said | Part | Taken
to_mover = Decoder(ToMover, "daemon to mover")
from_mover = Decoder(FromMover, "mover to daemon")

ToSupervisor = Order | State
FromSupervisor = Said | State
to_supervisor = Decoder(ToSupervisor, "daemon to supervisor")
from_supervisor = Decoder(FromSupervisor, "supervisor to daemon")
state = Decoder(State, "state of a supervisor")


def encode_state(known: State) -> bytes:
    """What `state` decodes."""
    return encode(known)

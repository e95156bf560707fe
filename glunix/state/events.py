"""What goes into a state machine and what comes out: two closed unions of values.

The loop (comm/) turns sockets, clocks and children into events and carries out effects in their
order. `SaveJob` and `ForgetJob` come first in a list, so that a loop that commits the journal
before it sends never promises what a crash could forget.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from glunix.msg.base import Message
from glunix.msg.batch import JobFactsAt, Launch, QueueRow
from glunix.msg.job import JobRow

LinkId = NewType("LinkId", int)
"""The loop's number for one connection; never used again for another one."""


class Level(StrEnum):
    """Weight of a log line, by the names of the logging module."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A connection was made; nothing is known about who it is."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class PeerDown:
    """A connection ended (end of file, error, bad frame). Also allowed after our own Close."""

    link: LinkId
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A valid message of the right direction arrived."""

    link: LinkId
    message: Message


@dataclass(frozen=True, slots=True)
class Tick:
    """The clock reached `next_deadline()`, or later."""


Event = PeerUp | PeerDown | Received | Tick


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message on this link."""

    link: LinkId
    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """Close this link once what was sent is out. Nothing of it is heard any more."""

    link: LinkId
    reason: str


@dataclass(frozen=True, slots=True)
class Log:
    """Write to the log; `text` may have several lines (a story)."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class SaveJob:
    """Put this job into the journal, in place of what it says about the same NPID."""

    row: JobRow


@dataclass(frozen=True, slots=True)
class ForgetJob:
    """Remove this job from the journal."""

    npid: int


@dataclass(frozen=True, slots=True)
class SaveSurroundings:
    """Put the surroundings of some batch jobs into the journal."""

    number: int
    blob: bytes
    seal: bytes


@dataclass(frozen=True, slots=True)
class ForgetSurroundings:
    """No batch job needs them any more."""

    number: int


@dataclass(frozen=True, slots=True)
class SaveQueued:
    """Put this entry of the queue into the journal; `task` and `seal` only with a new one."""

    row: QueueRow
    task: bytes = b""
    seal: bytes = b""


@dataclass(frozen=True, slots=True)
class ForgetQueued:
    """Remove this entry of the queue from the journal."""

    npid: int


@dataclass(frozen=True, slots=True)
class SaveUsage:
    """Put what users have used (uid -> processor-seconds) into the journal."""

    used: dict[int, float]


@dataclass(frozen=True, slots=True)
class SendFromQueue:
    """Send this Launch or JobFactsAt with the blobs of entry `npid` from the journal in it."""

    link: LinkId
    message: Launch | JobFactsAt
    npid: int
    surroundings: int = 0


JournalEffect = (
    SaveJob
    | ForgetJob
    | SaveSurroundings
    | ForgetSurroundings
    | SaveQueued
    | ForgetQueued
    | SaveUsage
)
Effect = Send | SendFromQueue | Close | Log | JournalEffect


class Outbox:
    """Where a state machine's parts put their effects, in order."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def send(self, link: LinkId, message: Message) -> None:
        """Add a Send."""
        self._effects.append(Send(link, message))

    def add(self, effect: Effect) -> None:
        """Add any other effect."""
        self._effects.append(effect)

    def close(self, link: LinkId, reason: str) -> None:
        """Add a Close."""
        self._effects.append(Close(link, reason))

    def log(self, level: Level, text: str) -> None:
        """Add a Log."""
        self._effects.append(Log(level, text))

    def take(self) -> list[Effect]:
        """Return what was put in since the last call."""
        effects, self._effects = self._effects, []
        return effects


TEXT_MAX = 4096
"""Characters of msg.job.TextField."""


def clip(text: str) -> str:
    """Cut a text so that it fits a TextField."""
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def many(count: int, what: str) -> str:
    """The number with its noun: "1 process", "2 processes"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}es"

"""The master's books: what its parts share. Owns nothing but their being together."""

from dataclasses import dataclass, field
from enum import StrEnum

from glunix.debug import Story
from glunix.state.events import Outbox
from glunix.state.fairshare import FairShare
from glunix.state.ndb import Ndb
from glunix.state.pdb import Pdb
from glunix.state.queue import Queue
from glunix.state.seats import Seats
from glunix.timer import Timer


class PeerFault(Exception):
    """A daemon said something that cannot be. Ends its link with this text as the reason."""


class Deadline(StrEnum):
    """What happens when a deadline comes; with what it is about, the key in the Timer."""

    HELLO = "no hello on a link"
    SILENT = "no sign of a node"
    EXPECTED = "a node of the journal did not come back"
    ENDING = "the end of a job was not reported"
    SETTLE = "no more reports of a job after a restart"
    SAVE = "changes of jobs have waited for the journal"
    LIMIT = "a batch job has run as long as it may"


@dataclass(frozen=True, slots=True)
class BatchRules:
    """What rules the queue (the section [batch] of glunix.toml says each)."""

    half_life: float = 7 * 86400.0
    queued: int = 200_000
    """Runs that one user may have in the queue; an array counts as its elements."""
    running: int = 0
    """Batch jobs of one user that run at a time; 0: any."""
    spare: float = 0.5
    """Processors over those of a node that may be wanted before background jobs leave it."""
    patience: float = 60.0
    """Seconds that the first of the queue waits for room before nodes are kept for it."""


@dataclass(slots=True)
class MasterCore:
    """Databases, deadlines, effects and the numbers that rule them (seconds)."""

    cluster: str
    heartbeat: float
    lost_after: float
    grace: float
    epoch: float
    processes_each: int
    """Processes that the jobs of one user may have."""
    rules: BatchRules = field(default_factory=BatchRules)
    story: Story = field(default_factory=Story)
    timer: Timer[tuple[Deadline, int | str]] = field(default_factory=Timer)
    out: Outbox = field(default_factory=Outbox)
    ndb: Ndb = field(init=False)
    pdb: Pdb = field(init=False)
    queue: Queue = field(default_factory=Queue)
    seats: Seats = field(default_factory=Seats)
    fair: FairShare = field(init=False)

    def __post_init__(self) -> None:
        self.ndb = Ndb(self.story, self.epoch)
        self.pdb = Pdb(self.story, self.epoch, self.queue.entries)
        self.fair = FairShare(self.rules.half_life)

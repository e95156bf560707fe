"""The master's books: what its parts share. Owns nothing but their being together."""

from dataclasses import dataclass, field
from enum import StrEnum

from glunix.debug import Story
from glunix.state.events import Outbox
from glunix.state.ndb import Ndb
from glunix.state.pdb import Pdb
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


@dataclass(slots=True)
class Books:
    """Databases, deadlines, effects and the numbers that rule them (seconds)."""

    cluster: str
    heartbeat: float
    lost_after: float
    grace: float
    epoch: float
    processes_each: int
    """Processes that the jobs of one user may have."""
    story: Story = field(default_factory=Story)
    timer: Timer[tuple[Deadline, int | str]] = field(default_factory=Timer)
    out: Outbox = field(default_factory=Outbox)
    ndb: Ndb = field(init=False)
    pdb: Pdb = field(init=False)

    def __post_init__(self) -> None:
        self.ndb = Ndb(self.story, self.epoch)
        self.pdb = Pdb(self.story, self.epoch)

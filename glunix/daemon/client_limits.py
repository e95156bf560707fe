"""What one user may have of a daemon: connections, requests a second, bytes that it holds for him.

Owns the counting of it, for every user of this machine, however many connections he makes; what
follows when it is too much is decided by glunix.daemon.clients.
"""

from collections.abc import Callable

from glunix.comm.link import Link
from glunix.comm.sockets import connections_max
from glunix.errors import FrameError
from glunix.msg import batch, client, parallel
from glunix.msg.base import Message
from glunix.msg.frame import Budget
from glunix.rate import Bucket
from glunix.settings import LimitsSection

PART = 4
"""One user's clients may take one in so many of the daemon's connections."""

BURST = 4.0
"""Seconds' worth of requests that may come at once: a thousand `glurun` started together."""

TABLE = 4.0
"""Requests that one for the table of jobs counts as, and one more for each ROWS processes that
were in the last one (FIRST while nobody has seen any)."""

ROWS = 50
FIRST = 4096

FRAME = 0.05
"""Requests that a frame for one's own job counts as."""

BARRIER = 0.005
"""Requests that entering a barrier counts as: programs do little else, and wait for the answer."""

MIB = 1024 * 1024

TASKS = 4
"""Tasks of one submission that count as one more request: the queue is the master's to limit."""

UNCOUNTED = (client.TtyMode, batch.BatchReady, batch.BatchCannot, parallel.EnterBarrier)
"""What a client says in answer, or of its own terminal; or what is counted another way."""


class Share:
    """One user's. `exempt`: he is the cluster's own, and keeps nobody from his cluster."""

    def __init__(
        self,
        uid: int,
        exempt: bool,
        limits: LimitsSection,
        table: Callable[[], float],
        now: float,
    ) -> None:
        self.uid = uid
        self._table = table
        self.exempt = exempt
        self.connections = 0
        self.budget = Budget(limits.mebibytes * MIB)
        """Bytes of unfinished messages, and of input that waits for its node."""
        self._limits = limits
        self._bucket = Bucket(limits.requests, limits.requests * BURST, now)
        self._unread: dict[Link, int] = {}
        self._unread_sum = 0

    @property
    def too_often(self) -> str:
        """What he is told who asks too often."""
        rate = f"over {self._limits.requests} requests a second"
        return f"uid {self.uid} asks too often: {rate} ([limits] requests)"

    def refuses_connection(self, now: float) -> str:
        """Why he may not connect; empty when he may."""
        if self.exempt:
            return ""
        if self.connections >= min(connections_max() // PART, self._limits.connections):
            return f"uid {self.uid} has too many connections to this daemon"
        return "" if self._bucket.take(now) else self.too_often

    def may_ask(self, message: Message, now: float) -> bool:
        """Count a request; False: it is one too many now."""
        if self.exempt or isinstance(message, UNCOUNTED):
            return True
        if isinstance(message, batch.Enqueue):
            return self._bucket.take(now, 1 + len(message.tasks) / TASKS)
        return self._bucket.take(now, self._table() if isinstance(message, client.ListJobs) else 1)

    def frame_debt(self, now: float, cost: float = FRAME) -> float:
        """Count a frame of a job's stream; seconds for which no more should be read."""
        return 0.0 if self.exempt else self._bucket.owe(now, cost)

    def note_unread(self, link: Link) -> None:
        """Output went to this link; FrameError when all that he leaves unread is too much."""
        size = link.unsent
        if not size and link not in self._unread:
            return
        self._note(link, size)
        most = self._limits.mebibytes * MIB
        if self._unread_sum <= most:
            return
        for other in list(self._unread):
            self._note(other, other.unsent)
        if self._unread_sum > most:
            text = f"uid {self.uid} leaves over {self._limits.mebibytes} MiB of output unread"
            raise FrameError(f"{text} ([limits] mebibytes)")

    def _note(self, link: Link, size: int) -> None:
        self._unread_sum += size - self._unread.pop(link, 0)
        if size:
            self._unread[link] = size

    def closed(self, link: Link) -> None:
        """A connection of his is gone."""
        self.connections -= 1
        self._note(link, 0)

    def forgettable(self, now: float) -> bool:
        """Whether a new share would be the same."""
        return not self.connections and self._bucket.full(now)


class ClientLimits:
    """The shares of all users of this machine."""

    def __init__(self, own_uid: int, limits: LimitsSection) -> None:
        self._exempt = {0, own_uid}
        self._limits = limits
        self._by_uid: dict[int, Share] = {}
        self._rows = FIRST

    def of(self, uid: int, now: float) -> Share:
        """This user's, made when he comes for the first time."""
        found = self._by_uid.get(uid)
        if found is None:
            for other in [o.uid for o in self._by_uid.values() if o.forgettable(now)]:
                del self._by_uid[other]
            found = Share(uid, uid in self._exempt, self._limits, self._table_cost, now)
            self._by_uid[uid] = found
        return found

    def _table_cost(self) -> float:
        return TABLE + self._rows / ROWS

    def answered(self, message: Message) -> None:
        """Learn from an answer how large the table of jobs is."""
        if isinstance(message, client.Jobs):
            self._rows = sum(len(row.procs) for row in message.rows)

"""A Master with fake daemons at message level: speak for them, see what each was told."""

from collections.abc import Iterable
from typing import Any

from glunix.ids import Npid
from glunix.msg.base import MAJOR, MINOR, Message
from glunix.msg.batch import QueueRow
from glunix.msg.job import JobRow, RunningProc
from glunix.msg.master import (
    HomeJob,
    LoadReport,
    NodeHello,
    Place,
    PlacedJob,
    ProcExited,
    ProcStarted,
    Welcome,
)
from glunix.state.core import BatchRules
from glunix.state.events import (
    Close,
    Effect,
    Event,
    ForgetJob,
    ForgetQueued,
    ForgetSurroundings,
    LinkId,
    Log,
    PeerDown,
    PeerUp,
    Received,
    SaveJob,
    SaveQueued,
    SaveSurroundings,
    Send,
    SendFromQueue,
    Tick,
)
from glunix.state.master import SAVE_AFTER, Master

HEARTBEAT, LOST_AFTER, GRACE = 2.0, 6.0, 12.0
UID = 1000


def hello(node: str, **given: Any) -> NodeHello:
    fields: dict[str, Any] = {
        "major": MAJOR,
        "minor": MINOR,
        "node": node,
        "boot": f"boot-{node}",
        "address": f"unix:peer-{node}.sock",
        "accepts_jobs": node != "home",
        "cpus": 2,
        "memory_total": 8 << 30,
        "isolated": ["uts"],
        "running": [],
        "homes": [],
    }
    return NodeHello(**{**fields, **given})


def running(npid: int, vnn: int, **given: Any) -> RunningProc:
    fields: dict[str, Any] = {
        "npid": npid,
        "vnn": vnn,
        "pid": 100 + vnn,
        "uid": UID,
        "home": "home",
        "command": "sleep 9",
        "degree": 1,
        "transparent": False,
        "started": 0.5,
    }
    return RunningProc(**{**fields, **given})


def home_job(npid: int, degree: int = 1) -> HomeJob:
    return HomeJob(npid, UID, "sleep 9", degree, False)


def place(degree: int = 1, request: int = 1, **given: Any) -> Place:
    fields: dict[str, Any] = {
        "request": request,
        "uid": UID,
        "command": "sleep 9",
        "degree": degree,
        "nodes": [],
        "exclude": [],
        "transparent": False,
    }
    return Place(**{**fields, **given})


class Cluster:
    """Runs `check()` after every event and keeps what was not looked at yet."""

    def __init__(
        self,
        *nodes: str,
        rows: Iterable[JobRow] | None = None,
        processes_each: int = 16384,
        queued: Iterable[QueueRow] = (),
        rules: BatchRules | None = None,
    ) -> None:
        self.now = 1.0
        self.master = Master(
            "test",
            HEARTBEAT,
            LOST_AFTER,
            grace=GRACE,
            processes_each=processes_each,
            rules=rules,
        )
        self.queue: dict[int, QueueRow] = {row.npid: row for row in queued}
        self.surroundings: set[int] = {row.surroundings for row in self.queue.values()}
        self.journal: dict[int, JobRow] = {}
        self.links: dict[str, LinkId] = {}
        self.unseen: list[tuple[str, Message]] = []
        self.closed: list[tuple[str, str]] = []
        self.logs: list[str] = []
        self._last_link = 0
        self._names: dict[LinkId, str] = {}
        if rows is not None:
            self.journal = {row.npid: row for row in rows}
            self._do(
                self.master.restore(
                    list(self.journal.values()), self.now, list(self.queue.values())
                )
            )
        for node in nodes:
            self.join(node)

    def event(self, event: Event) -> list[Effect]:
        effects = self.master.handle(event, self.now)
        self._do(effects)
        return effects

    def _do(self, effects: list[Effect]) -> None:
        self.master.check()
        for effect in effects:
            match effect:
                case Send(link, message):
                    self.unseen.append((self._names[link], message))
                case Close(link, reason):
                    self.closed.append((self._names[link], reason))
                case SaveJob(row):
                    self.journal[row.npid] = row
                case ForgetJob(npid):
                    self.journal.pop(npid, None)
                case SaveQueued(row):
                    self.queue[row.npid] = row
                case ForgetQueued(npid):
                    self.queue.pop(npid, None)
                case SaveSurroundings(number):
                    self.surroundings.add(number)
                case ForgetSurroundings(number):
                    self.surroundings.remove(number)
                case SendFromQueue(link, message):
                    self.unseen.append((self._names[link], message))
                case Log(_, text):
                    self.logs.append(text)

    def connect(self, name: str) -> LinkId:
        self._last_link += 1
        link = self.links[name] = LinkId(self._last_link)
        self._names[link] = name
        self.event(PeerUp(link))
        return link

    def join(self, name: str, **given: Any) -> None:
        self.connect(name)
        self.says(name, hello(name, **given))
        assert any(to == name and type(m) is Welcome for to, m in self.unseen), self.unseen
        self.unseen = [(to, m) for to, m in self.unseen if type(m) is not Welcome]

    def says(self, name: str, message: Message) -> list[Effect]:
        return self.event(Received(self.links[name], message))

    def down(self, name: str, reason: str = "end of file") -> None:
        self.event(PeerDown(self.links[name], reason))

    def told(self) -> list[tuple[str, Message]]:
        """What was sent since the last call, all of it."""
        unseen, self.unseen = self.unseen, []
        return unseen

    def place(self, degree: int = 1, home: str = "home", **given: Any) -> PlacedJob:
        self.says(home, place(degree, **given))
        [(to, answer)] = self.told()
        assert to == home
        assert isinstance(answer, PlacedJob), answer
        return answer

    def start(self, degree: int = 1, home: str = "home", **given: Any) -> PlacedJob:
        """Place a job and let every node report its processes as started."""
        placed = self.place(degree, home, **given)
        for proc in placed.procs:
            self.says(proc.node, ProcStarted(placed.npid, proc.vnn, 100 + proc.vnn))
        assert self.told() == []
        return placed

    def exits(self, placed: PlacedJob, vnn: int = 0, code: int = 0, signal: int = 0) -> None:
        node = placed.procs[vnn].node
        self.says(node, ProcExited(placed.npid, vnn, code, signal))

    def wait(self, seconds: float, alive: Iterable[str] = ()) -> None:
        """Let time pass; the daemons in `alive` report their load every heartbeat."""
        end = self.now + seconds
        beats = list(alive)
        while self.now < end:
            deadline = self.master.next_deadline()
            step = min(end, self.now + HEARTBEAT)
            if deadline is not None and deadline <= step:
                self.now = max(self.now, deadline)
                self.event(Tick())
            else:
                self.now = step
            for name in beats:
                self.says(name, LoadReport(0.0, 1 << 30))

    def job(self, npid: int) -> JobRow:
        """What Pdb says of a job, which the journal may hear a little later."""
        job = self.master.core.pdb.jobs.get(Npid(npid))
        return job.as_row() if job else self.journal[npid]

    def rows(self) -> list[JobRow]:
        """The journal after the moment that changes may wait for it."""
        self.wait(SAVE_AFTER, alive=self.links)
        return list(self.journal.values())

"""A whole cluster in one process without I/O: the real Master, the real HomeJobs, played nodes.

Every link is a queue; whoever drives the World decides which message arrives next, who crashes and
who comes back. The node's half is played: a stream is a set of processes that start, exit or are
killed, and tell home on the stream and the master on the uplink, as glunix.daemon does.
"""

import dataclasses
import signal
from collections import deque
from collections.abc import Callable

from glunix.ids import StreamId
from glunix.msg import client, master
from glunix.msg.base import MAJOR, MINOR, Message, encode
from glunix.msg.job import JobRow, JobSpec, Owner, RunningProc
from glunix.state import events
from glunix.state import home_effects as todo
from glunix.state.events import LinkId
from glunix.state.homejobs import HomeJobs, command_text
from glunix.state.master import Master

UID = 1000
SPEC = JobSpec([b"sleep", b"9"], {}, b"/", 0o22, 0, [], None)


@dataclasses.dataclass
class Stream:
    """The processes of one job on one node, and the way back to their client stream."""

    npid: int
    home: str
    degree: int
    link: int
    number: StreamId
    procs: dict[int, str]
    """vnn -> "waiting", "running", "killed" (SIGKILL is on its way)"""


class Daemon:
    """One node: its home half is the real one."""

    def __init__(self, world: "World", name: str, boot: int) -> None:
        self.world = world
        self.name = name
        self.boot = f"{name}-{boot}"
        self.home = HomeJobs(name, 0, name, 4096)
        self.streams: list[Stream] = []
        self.uplink: LinkId | None = None
        self.unsent: list[Message] = []
        self.clients: dict[int, list[Message]] = {}
        self.joins: dict[tuple[int, int], str] = {}

    # -- the uplink: what glunix.daemon.uplink should do -------------------------------------

    def connect(self) -> None:
        """Dial the master and say hello; what follows may follow at once, the link keeps order."""
        world = self.world
        world.last_link += 1
        self.uplink = LinkId(world.last_link)
        world.owners[self.uplink] = self
        world.put(("up", self.uplink), lambda link=self.uplink: world.tell(events.PeerUp(link)))
        running = [
            RunningProc(
                s.npid, vnn, 100, UID, s.home, command_text(SPEC), s.degree, False, 0.0, False
            )
            for s in self.streams
            for vnn, state in s.procs.items()
            if state != "waiting"
        ]
        unsent, self.unsent = self.unsent, []
        hello = master.NodeHello(
            MAJOR,
            MINOR,
            self.name,
            self.boot,
            f"unix:{self.name}",
            self.name != "home",
            1,
            1,
            [],
            running,
            self.home.running(),
            unsent,  # type: ignore[arg-type]
        )
        self.send(hello)

    def send(self, message: Message) -> None:
        link = self.uplink
        if link is None:
            if isinstance(message, master.ProcExited | master.JobOver):
                self.unsent.append(message)
            return
        message = master.daemon_to_master.decode(encode(message))
        self.world.put(("up", link), lambda: self.world.tell(events.Received(link, message)))

    def cut(self) -> None:
        """The link to the master broke; both sides will see it."""
        link = self.uplink
        if link is None:
            return
        self.uplink = None
        self.world.queues.pop(("down", link), None)
        self.world.put(("up", link), lambda: self.world.tell(events.PeerDown(link, "cut")))
        self.carry_out(self.home.master_down())

    def from_master(self, link: LinkId, message: Message) -> None:
        if link != self.uplink:
            return
        if isinstance(message, master.Welcome):
            self.home.master_up = True
        elif isinstance(message, master.KillOrder):
            for stream in self.streams:
                if stream.npid == message.npid and message.signal == signal.SIGKILL:
                    self.kill(stream, message.vnns or list(stream.procs))
        elif isinstance(message, master.NodeLost):
            for stream in [s for s in self.streams if s.home == message.node]:
                self.kill(stream, list(stream.procs))
            for (client_link, number), node in list(self.joins.items()):
                if node == message.node:
                    self.stream_ended(client_link, number, message.text)
        elif not isinstance(message, master.Goodbye):
            self.carry_out(self.home.master_message(message))

    # -- home half -----------------------------------------------------------------------------

    def submit(self, degree: int) -> int:
        """A new client asks for a job; its link number."""
        self.world.last_client += 1
        link = self.world.last_client
        self.clients[link] = []
        self.home.client_up(link, Owner(UID, UID, []))
        self.carry_out(self.home.client_message(link, client.Submit(1, SPEC, degree)))
        return link

    def client_gone(self, link: int) -> None:
        del self.clients[link]
        self.carry_out(self.home.client_down(link))

    def stream_ended(self, link: int, number: int, lost: str) -> None:
        self.joins.pop((link, number), None)
        self.carry_out(self.home.stream_ended(link, StreamId(number), lost))

    def carry_out(self, effects: list[todo.DaemonEffect]) -> None:
        for effect in effects:
            match effect:
                case todo.ToMaster(message):
                    self.send(message)
                case todo.ToClient(link, message):
                    if link in self.clients:
                        self.clients[link].append(message)
                case todo.Dial(npid=npid, link=link, stream=stream, node=node):
                    self.joins[link, stream] = node
                    self.world.dial(self, npid, link, stream, node)
                case todo.Join(link=link, stream=stream, node=node, start=start):
                    self.world.open(self, link, stream, node, start)
                case todo.CloseJoin(link=link, stream=stream):
                    node = self.joins.pop((link, stream), None)
                    if node is not None:
                        self.world.close(self, link, stream, node)
                case _:
                    raise AssertionError(effect)
        self.home.check()

    # -- node half, played -----------------------------------------------------------------------

    def opened(self, stream: Stream) -> None:
        self.streams.append(stream)

    def starts(self, stream: Stream, vnn: int) -> None:
        stream.procs[vnn] = "running"
        self.send(master.ProcStarted(stream.npid, vnn, 100))

    def ends(self, stream: Stream, vnn: int) -> None:
        killed = stream.procs.pop(vnn) == "killed"
        self.send(master.ProcExited(stream.npid, vnn, 0, 9 if killed else 0))
        if not stream.procs:
            self.streams.remove(stream)
            self.world.ended(self, stream)

    def kill(self, stream: Stream, vnns: list[int]) -> None:
        for vnn in vnns:
            if stream.procs.get(vnn) == "waiting":
                self.ends(stream, vnn)
            elif vnn in stream.procs:
                stream.procs[vnn] = "killed"


class World:
    """Master, daemons and the queues between them."""

    def __init__(self, names: list[str]) -> None:
        self.now = 0.0
        self.last_link = 0
        self.last_client = 0
        self.last_boot = 0
        self.journal: dict[int, JobRow] = {}
        self.queues: dict[tuple[str, object], deque[Callable[[], None]]] = {}
        self.owners: dict[LinkId, Daemon] = {}
        self.known: set[LinkId] = set()
        self.master: Master | None = Master("test", 2.0, 6.0)
        self.daemons: dict[str, Daemon | None] = {}
        for name in names:
            self.boot(name)

    def put(self, queue: tuple[str, object], delivery: Callable[[], None]) -> None:
        self.queues.setdefault(queue, deque()).append(delivery)

    def deliver(self, choice: int) -> bool:
        """Let the next message of one queue arrive; False when nothing is on its way."""
        waiting = [key for key, queue in self.queues.items() if queue]
        if not waiting:
            return False
        key = waiting[choice % len(waiting)]
        queue = self.queues[key]
        queue.popleft()()
        if not queue:
            self.queues.pop(key, None)
        return True

    # -- master ----------------------------------------------------------------------------------

    def tell(self, event: events.PeerUp | events.PeerDown | events.Received) -> None:
        """An event of a link for the master; links of an earlier master say nothing any more."""
        if self.master is None:
            return
        if isinstance(event, events.PeerUp):
            self.known.add(event.link)
        elif event.link not in self.known:
            return
        if isinstance(event, events.PeerDown):
            self.known.discard(event.link)
        self.do(self.master.handle(event, self.now))

    def do(self, effects: list[events.Effect]) -> None:
        assert self.master is not None
        self.master.check()
        for effect in effects:
            match effect:
                case events.SaveJob(row):
                    self.journal[row.npid] = row
                case events.ForgetJob(npid):
                    del self.journal[npid]
                case events.Send(link, message):
                    message = master.master_to_daemon.decode(encode(message))
                    self.put(
                        ("down", link),
                        lambda link=link, message=message: self.arrive(link, message),
                    )
                case events.Close(link, _):
                    self.put(("down", link), lambda link=link: self.cut_by_master(link))

    def arrive(self, link: LinkId, message: Message) -> None:
        daemon = self.owners[link]
        if self.daemons[daemon.name] is daemon:
            daemon.from_master(link, message)

    def cut_by_master(self, link: LinkId) -> None:
        daemon = self.owners[link]
        if self.daemons[daemon.name] is daemon and daemon.uplink == link:
            daemon.cut()

    def tick(self) -> None:
        """Time goes on to the master's next deadline, at most by a heartbeat."""
        deadline = None if self.master is None else self.master.next_deadline()
        later = self.now + 2.0
        self.now = later if deadline is None else max(self.now, min(deadline, later))
        if self.master is not None:
            self.do(self.master.handle(events.Tick(), self.now))

    def heartbeat(self) -> None:
        for daemon in self.alive():
            daemon.send(master.LoadReport(0.0, 1))

    def crash_master(self) -> None:
        self.master = None
        self.known.clear()
        for daemon in self.alive():
            daemon.cut()

    def restart_master(self) -> None:
        self.master = Master("test", 2.0, 6.0)
        self.do(self.master.restore(list(self.journal.values()), self.now))

    # -- daemons ---------------------------------------------------------------------------------

    def alive(self) -> list[Daemon]:
        return [daemon for daemon in self.daemons.values() if daemon is not None]

    def boot(self, name: str) -> None:
        self.last_boot += 1
        self.daemons[name] = Daemon(self, name, self.last_boot)

    def crash(self, name: str) -> None:
        """A daemon dies, with its clients and processes; its peers see their links break."""
        dead = self.daemons[name]
        assert dead is not None
        dead.cut()
        self.daemons[name] = None
        for other in self.alive():
            self.queues.pop(("peer", (name, other.name)), None)
            self.queues.pop(("peer", (other.name, name)), None)
            self.put(("peer", (name, other.name)), lambda other=other: self.peer_broke(other, name))

    def peer_broke(self, daemon: Daemon, name: str) -> None:
        if self.daemons[daemon.name] is not daemon:
            return
        for stream in [s for s in daemon.streams if s.home == name]:
            daemon.kill(stream, list(stream.procs))
        for (link, number), node in list(daemon.joins.items()):
            if node == name:
                daemon.stream_ended(link, number, "link broke")

    # -- peer links ------------------------------------------------------------------------------

    def dial(self, home: Daemon, npid: int, link: int, number: StreamId, node: str) -> None:
        def answer() -> None:
            if self.daemons[home.name] is not home or (link, number) not in home.joins:
                return
            if self.daemons[node] is None:
                home.stream_ended(link, number, "connection refused")
            else:
                home.carry_out(home.home.dialled(npid, number))

        self.put(("peer", (node, home.name)), answer)

    def open(self, home: Daemon, link: int, number: StreamId, node: str, start: object) -> None:
        vnns = start.vnns  # type: ignore[attr-defined]
        npid, degree = start.npid, start.degree  # type: ignore[attr-defined]
        stream = Stream(npid, home.name, degree, link, number, dict.fromkeys(vnns, "waiting"))
        self.to_node(home, node, lambda daemon: daemon.opened(stream))

    def close(self, home: Daemon, link: int, number: StreamId, node: str) -> None:
        def closed(daemon: Daemon) -> None:
            for s in [s for s in daemon.streams if (s.home, s.link, s.number) == key]:
                daemon.kill(s, list(s.procs))

        key = (home.name, link, number)
        self.to_node(home, node, closed)

    def to_node(self, home: Daemon, node: str, act: Callable[[Daemon], None]) -> None:
        target = self.daemons[node]

        def delivery() -> None:
            if target is not None and self.daemons[node] is target:
                act(target)

        self.put(("peer", (home.name, node)), delivery)

    def ended(self, node: Daemon, stream: Stream) -> None:
        home = self.daemons[stream.home]

        def delivery() -> None:
            if home is not None and self.daemons[stream.home] is home:
                home.stream_ended(stream.link, stream.number, "")

        if home is not None:
            self.put(("peer", (node.name, stream.home)), delivery)

"""The home side of a daemon: clients, their requests, and the jobs that started here. Pure.

Owns: which client link asked what, which job belongs to which client, which client stream is
joined to which peer stream. Never: sockets, bytes of job data (relayed by the shell, undecoded).
Paper 4.2: the startup asks the master for nodes through its daemon, then speaks with the nodes.
"""

import dataclasses
from collections import Counter

import msgspec

from glunix.errors import FrameError
from glunix.ids import StreamId, Why
from glunix.msg import batch, client, master
from glunix.msg.base import Message
from glunix.msg.job import JobSpec, Owner, fair_window
from glunix.msg.stream import Start
from glunix.state.events import clip
from glunix.state.home_effects import (
    CloseJoin,
    DaemonEffect,
    Dial,
    Join,
    RestoreTty,
    StartBatchServer,
    StopDaemon,
    ToClient,
    ToMaster,
)
from glunix.state.homebatch import BadTicket, HomeBatch, Ticket, owner_key


@dataclasses.dataclass
class _Client:
    owner: Owner
    next_stream: int = 1
    raw_tty: bool = False
    jobs: set[int] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True)
class _Request:
    link: int
    uid: int
    request: int
    submit: client.Submit | None
    answer: type[Message]
    """What the master may say to it, besides no."""


@dataclasses.dataclass
class _HomeJob:
    npid: int
    link: int
    owner: Owner
    spec: JobSpec
    degree: int
    streams: dict[StreamId, client.StreamOf]
    waiting: set[StreamId]
    """Streams whose node is still being dialled."""


def command_text(spec: JobSpec) -> str:
    """The command as glups shows it: one line, at most 200 characters."""
    words = b" ".join(spec.argv)[:200]
    return words.decode("utf-8", "replace").replace("\n", " ")


STARTUP_GONE = "startup is gone"

Question = (
    client.Submit
    | client.KillJob
    | client.ListJobs
    | client.ListNodes
    | batch.Enqueue
    | batch.Hold
    | batch.AskJob
)
"""What the master answers."""

ANSWERS: dict[type[Message], type[Message]] = {
    client.KillJob: master.KillDone,
    client.ListJobs: master.JobsTable,
    client.ListNodes: master.NodesTable,
    client.Submit: master.PlacedJob,
    batch.Enqueue: batch.Queued,
    batch.Hold: master.KillDone,
    batch.AskJob: batch.JobFactsAt,
}


class HomeJobs:
    """Clients and jobs of one home node. Effects are appended to the list given to each call."""

    def __init__(
        self, node: str, uid: int, host: str, jobs_each: int, key: bytes = b"unsealed"
    ) -> None:
        """`key` seals batch jobs (glunix.state.homebatch)."""
        self.node = node
        self._batch = HomeBatch(node, uid, host, key)
        self._jobs_each = jobs_each
        """Jobs and unanswered requests that one user may have here: more would keep the others
        from the master, whose queue is everybody's."""
        self.host = host
        """This home's host name: what transparent jobs must see."""
        self.uid = uid
        """The daemon's own uid: without root it serves nobody else."""
        self.master_up = False
        self._clients: dict[int, _Client] = {}
        self._requests: dict[int, _Request] = {}
        self._jobs: dict[int, _HomeJob] = {}
        self._next_request = 1
        self._offered_streams: dict[int, list[client.StreamOf]] = {}
        self._under_way: dict[int, int] = {}
        """uid -> its jobs and unanswered requests; only those that are not zero."""

    # -- clients -----------------------------------------------------------------------------

    def client_up(self, link: int, owner: Owner) -> None:
        """A client connected; the kernel says who it is."""
        self._clients[link] = _Client(owner)

    def client_message(self, link: int, message: Message) -> list[DaemonEffect]:
        """A message of msg.client.ClientToDaemon arrived."""
        who = self._clients[link]
        if isinstance(message, client.TtyMode):
            who.raw_tty = message.raw
            return []
        if isinstance(message, batch.BatchReady):
            return self._batch_ready(link, message)
        if isinstance(message, batch.BatchCannot):
            return self._batch_cannot(link, message)
        assert isinstance(message, Question | client.Shutdown)
        refusal = self._refusal(who, message)
        if refusal is not None:
            why, text = refusal
            return [ToClient(link, client.Refused(message.request, why, text))]
        if isinstance(message, client.Shutdown):
            return [ToClient(link, client.Done(message.request)), StopDaemon()]
        return self._ask_master(link, who, message)

    def _refusal(self, who: _Client, message: Message) -> tuple[Why, str] | None:
        uid = who.owner.uid
        if uid != self.uid and self.uid != 0:
            return Why.NOT_YOURS, f"this daemon runs without root and serves uid {self.uid} only"
        if isinstance(message, client.Submit) and message.uid not in (None, uid):
            return Why.NOT_YOURS, f"you are uid {uid}: you may not run a job as uid {message.uid}"
        if isinstance(message, client.Submit):
            window = message.spec.window
            most = fair_window(message.degree, window)
            if window > most:
                text = f"a window of {window} bytes is over {most}, which {message.degree} may have"
                return Why.BAD_REQUEST, text
        if isinstance(message, client.Shutdown):
            if uid not in (0, self.uid):
                return Why.NOT_YOURS, "only the cluster's own user may stop a daemon"
            return None
        if not self.master_up:
            return Why.NO_MASTER, "the daemon has no master: is the cluster up?"
        # Whoever has started that many jobs can still look at them and end them.
        most = self._jobs_each
        if not isinstance(message, client.Submit):
            most *= 2
        if self._under_way.get(uid, 0) >= most:
            text = f"uid {uid} has {most} jobs and requests under way here ([limits] jobs)"
            return Why.BAD_REQUEST, text
        return None

    def _more(self, uid: int, change: int) -> None:
        count = self._under_way.get(uid, 0) + change
        if count:
            self._under_way[uid] = count
        else:
            del self._under_way[uid]

    def _ask_master(
        self,
        link: int,
        who: _Client,
        message: Question,
    ) -> list[DaemonEffect]:
        number = self._next_request
        self._next_request = number % 0xFFFFFFFF + 1
        submit = message if isinstance(message, client.Submit) else None
        answer = ANSWERS[type(message)]
        self._requests[number] = _Request(link, who.owner.uid, message.request, submit, answer)
        self._more(who.owner.uid, 1)
        question: Message
        if isinstance(message, client.Submit):
            question = master.Place(
                number,
                who.owner.uid,
                command_text(message.spec),
                message.degree,
                message.nodes,
                message.exclude,
                message.spec.transparent,
            )
        elif isinstance(message, client.KillJob):
            question = master.KillRequest(
                number, who.owner.uid, message.npid, message.vnn, message.signal
            )
        elif isinstance(message, client.ListJobs):
            question = master.JobsQuery(number, who.owner.uid, message.everything)
        elif isinstance(message, batch.Enqueue):
            question = self._batch.question(number, who.owner, message)
        elif isinstance(message, batch.Hold):
            question = batch.HoldAt(number, who.owner.uid, message.npid, message.held)
        elif isinstance(message, batch.AskJob):
            question = batch.AskJobAt(number, who.owner.uid, message.npid, message.wait)
        else:
            question = master.NodesQuery(number)
        return [ToMaster(question)]

    def client_down(self, link: int) -> list[DaemonEffect]:
        """A client is gone: its terminal is restored if it was raw, its jobs are killed (4.2.3)."""
        who = self._clients.pop(link)
        effects: list[DaemonEffect] = [RestoreTty(link)] if who.raw_tty else []
        what = "its batch server is gone" if link in self._batch.servers.values() else STARTUP_GONE
        for npid in sorted(who.jobs):
            job = self._jobs[npid]
            effects += [CloseJoin(link, s, what) for s in sorted(job.streams)]
            effects += self._over(job, what if job.streams else "")
        return effects + self._not_launched(self._batch.server_down(link), what)

    # -- the master --------------------------------------------------------------------------

    def master_down(self) -> list[DaemonEffect]:
        """No master: running jobs go on, unanswered requests are refused."""
        self.master_up = False
        effects: list[DaemonEffect] = []
        for request in self._requests.values():
            if request.link in self._clients:
                answer = client.Refused(request.request, Why.NO_MASTER, "lost the master")
                effects.append(ToClient(request.link, answer))
            self._more(request.uid, -1)
        self._requests.clear()
        return effects

    def master_message(self, message: Message) -> list[DaemonEffect]:
        """An answer to one of our requests; FrameError when it is none to what was asked."""
        if isinstance(message, batch.Launch):
            return self._launch(message)
        number = getattr(message, "request", 0)
        request = self._requests.get(number)
        if request is None:
            return []
        if not isinstance(message, request.answer | master.RequestRefused):
            raise FrameError(f"the master answers {number} with {type(message).__name__}")
        if isinstance(message, master.PlacedJob):
            self._must_fit(request, message)
        del self._requests[number]
        self._more(request.uid, -1)
        if request.link not in self._clients:
            if isinstance(message, master.PlacedJob):
                return [ToMaster(master.JobOver(message.npid, STARTUP_GONE))]
            return []
        answer: Message
        if isinstance(message, master.PlacedJob):
            return self._placed(request, message)
        if isinstance(message, master.RequestRefused):
            answer = client.Refused(request.request, message.why, message.text)
        elif isinstance(message, master.KillDone):
            answer = client.Done(request.request, message.count)
        elif isinstance(message, master.JobsTable):
            answer = client.Jobs(request.request, message.rows)
        elif isinstance(message, batch.Queued):
            answer = batch.Queued(request.request, message.npids)
        elif isinstance(message, batch.JobFactsAt):
            answer = self._facts(request, message)
        else:
            assert isinstance(message, master.NodesTable)
            answer = client.Nodes(request.request, message.rows)
        return [ToClient(request.link, answer)]

    def _must_fit(self, request: _Request, placed: master.PlacedJob) -> None:
        """FrameError unless this is one new job, with a place for each of its processes."""
        submit = request.submit
        assert submit is not None
        if placed.npid in self._jobs:
            raise FrameError(f"the master places job {placed.npid} twice")
        if sorted(proc.vnn for proc in placed.procs) != list(range(submit.degree)):
            raise FrameError(f"the master places job {placed.npid} with other processes")

    def _placed(self, request: _Request, placed: master.PlacedJob) -> list[DaemonEffect]:
        who = self._clients[request.link]
        submit = request.submit
        assert submit is not None
        by_node: dict[str, list[int]] = {}
        for proc in placed.procs:
            by_node.setdefault(proc.node, []).append(proc.vnn)
        streams: dict[StreamId, client.StreamOf] = {}
        for node, vnns in by_node.items():
            number = StreamId(who.next_stream)
            who.next_stream += 1
            streams[number] = client.StreamOf(number, node, vnns)
        spec = msgspec.structs.replace(submit.spec, home_host=submit.spec.home_host or self.host)
        job = _HomeJob(
            placed.npid, request.link, who.owner, spec, submit.degree, streams, set(streams)
        )
        self._jobs[placed.npid] = job
        self._more(who.owner.uid, 1)
        who.jobs.add(placed.npid)
        answer = client.Placed(request.request, placed.npid, list(streams.values()))
        effects: list[DaemonEffect] = [ToClient(request.link, answer)]
        for stream in streams.values():
            address = placed.addresses.get(stream.node, "")
            number = StreamId(stream.stream)
            effects.append(Dial(placed.npid, job.link, number, stream.node, address))
        return effects

    # -- batch -------------------------------------------------------------------------------

    def _facts(self, request: _Request, told: batch.JobFactsAt) -> Message:
        task = batch.task_decoder.decode(told.task) if told.task else None
        return batch.JobFacts(request.request, told.row, told.why, task, told.runs)

    def _launch(self, launch: batch.Launch) -> list[DaemonEffect]:
        """The master has nodes for a batch job of this home."""
        npid = launch.npid
        if npid in self._jobs or self._batch.has(npid):
            raise FrameError(f"the master launches job {npid} twice")
        if sorted(proc.vnn for proc in launch.procs) != list(range(launch.degree)):
            raise FrameError(f"the master launches job {npid} with other processes")
        try:
            ticket = self._batch.opened(launch)
        except (BadTicket, msgspec.MsgspecError) as error:
            return [ToMaster(batch.NotLaunched(npid, clip(str(error)), final=True))]
        link = self._batch.servers.get(owner_key(ticket.owner))
        if link is not None:
            return [self._offer(link, ticket)]
        if self._batch.wait(ticket):
            return [StartBatchServer(ticket.owner)]
        return []

    def _offer(self, link: int, ticket: Ticket) -> DaemonEffect:
        who, launch = self._clients[link], ticket.launch
        by_node: dict[str, list[int]] = {}
        for proc in launch.procs:
            by_node.setdefault(proc.node, []).append(proc.vnn)
        streams = []
        for node, vnns in by_node.items():
            streams.append(client.StreamOf(who.next_stream, node, vnns))
            who.next_stream += 1
        self._batch.offered[launch.npid] = (link, ticket)
        placed = batch.BatchPlaced(
            launch.npid,
            launch.entry,
            launch.is_array,
            launch.index,
            launch.degree,
            streams,
            ticket.spec,
            ticket.task,
            launch.name,
        )
        self._offered_streams[launch.npid] = streams
        return ToClient(link, placed)

    def batch_server_up(self, link: int, owner: Owner) -> list[DaemonEffect]:
        """A batch server is there, as a client that the shell has announced by `client_up`."""
        return [self._offer(link, ticket) for ticket in self._batch.server_up(link, owner)]

    def batch_server_failed(self, owner: Owner, reason: str) -> list[DaemonEffect]:
        """There can be no batch server for this owner."""
        return self._not_launched(self._batch.server_failed(owner), reason)

    def _not_launched(self, tickets: list[Ticket], reason: str) -> list[DaemonEffect]:
        for ticket in tickets:
            self._offered_streams.pop(ticket.launch.npid, None)
        return [ToMaster(batch.NotLaunched(t.launch.npid, clip(reason))) for t in tickets]

    def _batch_ready(self, link: int, ready: batch.BatchReady) -> list[DaemonEffect]:
        """The files are open: dial the nodes."""
        offered = self._batch.offered.get(ready.npid)
        if offered is None or offered[0] != link:
            return []  # it was given up meanwhile, or is not its
        del self._batch.offered[ready.npid]
        ticket = offered[1]
        launch, who = ticket.launch, self._clients[link]
        streams = {StreamId(s.stream): s for s in self._offered_streams.pop(launch.npid)}
        job = _HomeJob(
            launch.npid, link, ticket.owner, ticket.spec, launch.degree, streams, set(streams)
        )
        self._jobs[launch.npid] = job
        self._more(ticket.owner.uid, 1)
        who.jobs.add(launch.npid)
        return [
            Dial(launch.npid, link, number, of.node, launch.addresses.get(of.node, ""))
            for number, of in streams.items()
        ]

    def _batch_cannot(self, link: int, cannot: batch.BatchCannot) -> list[DaemonEffect]:
        """Its output has no place: it does not begin, or ends."""
        offered = self._batch.offered.get(cannot.npid)
        if offered is not None and offered[0] == link:
            del self._batch.offered[cannot.npid]
            self._offered_streams.pop(cannot.npid, None)
            return [ToMaster(batch.NotLaunched(cannot.npid, cannot.reason, final=True))]
        job = self._jobs.get(cannot.npid)
        if job is None or job.link != link:
            return []
        effects: list[DaemonEffect] = [
            CloseJoin(link, number, cannot.reason) for number in sorted(job.streams)
        ]
        return effects + self._over(job, cannot.reason)

    def owner_of(self, npid: int) -> Owner | None:
        """Who the kernel said started this job here; None: no job of this home."""
        job = self._jobs.get(npid)
        return None if job is None else job.owner

    def running(self) -> list[master.HomeJob]:
        """The jobs that started here, for a (re)connecting master."""
        return [
            master.HomeJob(j.npid, j.owner.uid, command_text(j.spec), j.degree, j.spec.transparent)
            for j in self._jobs.values()
        ] + self._batch.on_the_way()

    # -- nodes -------------------------------------------------------------------------------

    def dialled(self, npid: int, stream: StreamId) -> list[DaemonEffect]:
        """The link to the node of this stream is there: open the peer stream and start."""
        job = self._jobs.get(npid)
        if job is None or stream not in job.streams:
            return []
        job.waiting.discard(stream)
        of = job.streams[stream]
        start = Start(job.npid, job.degree, of.vnns, self.node, job.owner, job.spec)
        return [Join(job.link, stream, of.node, start)]

    def stream_ended(self, link: int, stream: StreamId, lost: str) -> list[DaemonEffect]:
        """The node closed a stream (`lost` empty: all was reported), or its link broke (why)."""
        job = next((j for j in self._jobs.values() if j.link == link and stream in j.streams), None)
        if job is None:
            return []
        of = job.streams.pop(stream)
        effects: list[DaemonEffect] = []
        if lost:
            why = lost.removeprefix(f"node {of.node} lost: ")  # the master's own words
            text = f"node {of.node} is lost: {why}"
            effects.append(ToClient(link, client.StreamLost(stream, of.node, text)))
            for other in sorted(job.streams):
                effects.append(CloseJoin(link, other, text))
            effects += self._over(job, text)
        elif not job.streams:
            effects += self._over(job, "")
        return effects

    def _over(self, job: _HomeJob, reason: str) -> list[DaemonEffect]:
        del self._jobs[job.npid]
        self._more(job.owner.uid, -1)
        who = self._clients.get(job.link)
        if who is not None:
            who.jobs.discard(job.npid)
        return [ToMaster(master.JobOver(job.npid, reason))]

    def check(self) -> None:
        """Every job has a live client that lists it and is counted; AssertionError otherwise."""
        uids = [job.owner.uid for job in self._jobs.values()]
        uids += [request.uid for request in self._requests.values()]
        assert self._under_way == Counter(uids)
        for npid, job in self._jobs.items():
            assert npid == job.npid
            assert npid in self._clients[job.link].jobs, f"job {npid} has no client"
            assert job.waiting <= set(job.streams) or not job.streams
        for link, who in self._clients.items():
            assert all(self._jobs[npid].link == link for npid in who.jobs)

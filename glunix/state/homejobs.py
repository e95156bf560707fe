"""The home side of a daemon: clients, their requests, and the jobs that started here. Pure.

Owns: which client link asked what, which job belongs to which client, which client stream is
joined to which peer stream. Never: sockets, bytes of job data (relayed by the shell, undecoded).
Paper 4.2: the startup asks the master for nodes through its daemon, then speaks with the nodes.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping

import msgspec

from glunix.errors import FrameError
from glunix.ids import StreamId, Why
from glunix.msg import batch, client, master
from glunix.msg.base import Message
from glunix.msg.job import JobSpec, Owner, fair_window
from glunix.msg.parallel import Place
from glunix.msg.stream import Start
from glunix.state.home_effects import (
    BeginMove,
    CloseJoin,
    DaemonEffect,
    Dial,
    Join,
    RestoreTty,
    StopDaemon,
    ToClient,
    ToMaster,
)
from glunix.state.homebatch import HomeBatch


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
    move: client.MoveJob | None
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
    places: list[Place]
    """Its nodes, for its barriers; of a job of one process: none."""
    mark: str
    """As Start.mark."""
    epoch: int = 0
    """Counts the moves that were begun."""
    moving: bool = False


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
    | client.MoveJob
    | batch.Enqueue
    | batch.Hold
    | batch.AskJob
)
"""What the master answers."""

ANSWERS: dict[type[Message], type[Message]] = {
    client.KillJob: master.KillDone,
    client.ListJobs: master.JobsTable,
    client.ListNodes: master.NodesTable,
    client.MoveJob: master.MayMove,
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
        self._key = key
        self.batch = HomeBatch(self, node, uid, host, key)
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
            return self.batch.ready(link, message)
        if isinstance(message, batch.BatchCannot):
            return self.batch.cannot(link, message)
        assert isinstance(message, Question | client.Shutdown)
        refusal = self._refusal(who, message)
        if refusal is not None:
            why, text = refusal
            return [ToClient(link, client.Refused(message.request, why, text))]
        if isinstance(message, client.Shutdown):
            return [ToClient(link, client.Done(message.request)), StopDaemon()]
        if isinstance(message, client.MoveJob) and message.explain:
            return self._begin_move(link, message, "", "")
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
        if isinstance(message, client.MoveJob):
            if refusal := self._stays(uid, message):
                return refusal
            if message.explain:
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

    def _stays(self, uid: int, ask: client.MoveJob) -> tuple[Why, str] | None:
        """Why a job cannot be moved, as far as its home knows."""
        job = self._jobs.get(ask.npid)
        if job is None:
            return Why.NO_JOB, f"no job {ask.npid} has its home here"
        if uid not in (0, job.owner.uid):
            return Why.NOT_YOURS, f"job {ask.npid} belongs to uid {job.owner.uid}"
        if not job.spec.transparent:
            return Why.BAD_REQUEST, f"job {ask.npid} is not transparent (glurun -T): it cannot move"
        if ask.vnn not in (None, 0) or len(job.streams) != 1 or job.waiting:
            return Why.NO_JOB, f"no process {ask.npid}.{ask.vnn or 0} runs"
        if ask.engine not in ("", "native"):
            return Why.BAD_REQUEST, f"no engine {ask.engine[:32]!r} moves jobs between nodes"
        if job.spec.stays:
            return Why.BAD_REQUEST, f"job {ask.npid} was started to stay (--no-migrate)"
        if job.moving:
            return Why.BAD_REQUEST, f"job {ask.npid} is being moved already"
        return None

    def _begin_move(
        self, asker: int, ask: client.MoveJob, node: str, address: str
    ) -> list[DaemonEffect]:
        job = self._jobs[ask.npid]
        job.moving = True
        job.epoch += 1
        ((number, of),) = job.streams.items()
        start = self._start(job, of.vnns)
        begin = BeginMove(
            job.npid, job.link, number, start, job.epoch, node, address, asker, ask.request
        )
        return [begin]

    def _start(self, job: _HomeJob, vnns: list[int]) -> Start:
        return Start(
            job.npid, job.degree, vnns, self.node, job.owner, job.spec, job.places, job.mark
        )

    def move_over(self, begun: BeginMove, moved: bool, pid: int, why: str) -> list[DaemonEffect]:
        """A move has come to its end. `moved`: the job runs on the other node, as `pid`."""
        job = self._jobs.get(begun.npid)
        effects: list[DaemonEffect] = []
        node = begun.node
        if job is not None and job.epoch == begun.epoch:
            job.moving = False
            of = job.streams[begun.stream]
            if moved:
                job.streams[begun.stream] = client.StreamOf(of.stream, node, of.vnns)
                effects.append(ToMaster(master.ProcMoved(job.npid, of.vnns[0], node, pid)))
            else:
                node = of.node
                if begun.node:
                    effects.append(ToMaster(master.ProcMoved(job.npid, of.vnns[0], node, 0)))
        if begun.asker not in self._clients:
            return effects
        answer: Message = client.Moved(begun.request, node or "?", why)
        if begun.node and not moved:
            answer = client.Refused(begun.request, Why.BAD_REQUEST, why[:4000])
        return [*effects, ToClient(begun.asker, answer)]

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
        ask = message if isinstance(message, client.MoveJob) else None
        self._requests[number] = _Request(link, who.owner.uid, message.request, submit, ask, answer)
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
                message.beside,
            )
        elif isinstance(message, client.KillJob):
            question = master.KillRequest(
                number, who.owner.uid, message.npid, message.vnn, message.signal
            )
        elif isinstance(message, client.MoveJob):
            question = master.MoveQuery(
                number, who.owner.uid, message.npid, message.vnn or 0, message.node
            )
        elif isinstance(message, client.ListJobs):
            question = master.JobsQuery(number, who.owner.uid, message.everything)
        elif isinstance(message, batch.Enqueue):
            question = self.batch.question(number, who.owner, message)
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
        what = "its batch server is gone" if self.batch.is_server(link) else STARTUP_GONE
        for npid in sorted(who.jobs):
            job = self._jobs[npid]
            effects += [CloseJoin(link, s, what) for s in sorted(job.streams)]
            effects += self._over(job, what if job.streams else "")
        return effects + self.batch.server_down(link, what)

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
            return self.batch.launch(message)
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
        if isinstance(message, master.MayMove):
            return self._may_move(request, message)
        if isinstance(message, master.RequestRefused):
            answer = client.Refused(request.request, message.why, message.text)
        elif isinstance(message, master.KillDone):
            answer = client.Done(request.request, message.count)
        elif isinstance(message, master.JobsTable):
            answer = client.Jobs(request.request, message.rows)
        elif isinstance(message, batch.Queued):
            answer = batch.Queued(request.request, message.npids)
        elif isinstance(message, batch.JobFactsAt):
            answer = self.batch.facts(request.request, message)
        else:
            assert isinstance(message, master.NodesTable)
            answer = client.Nodes(request.request, message.rows)
        return [ToClient(request.link, answer)]

    def _may_move(self, request: _Request, message: master.MayMove) -> list[DaemonEffect]:
        ask = request.move
        assert ask is not None
        refusal = self._stays(request.uid, ask)  # it may have ended meanwhile
        if refusal is not None:
            return [ToClient(request.link, client.Refused(request.request, *refusal))]
        return self._begin_move(request.link, ask, message.node, message.address)

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
        self.begin(placed.npid, request.link, who.owner, spec, streams, placed.addresses)
        answer = client.Placed(request.request, placed.npid, list(streams.values()))
        effects: list[DaemonEffect] = [ToClient(request.link, answer)]
        for stream in streams.values():
            address = placed.addresses.get(stream.node, "")
            number = StreamId(stream.stream)
            effects.append(Dial(placed.npid, request.link, number, stream.node, address))
        return effects

    # -- batch (glunix.state.homebatch) ------------------------------------------------------

    def has(self, npid: int) -> bool:
        """Whether this job has begun here."""
        return npid in self._jobs

    def take_streams(self, link: int, count: int) -> list[int]:
        """Numbers for so many new streams of this client."""
        who = self._clients[link]
        who.next_stream += count
        return list(range(who.next_stream - count, who.next_stream))

    def begin(
        self,
        npid: int,
        link: int,
        owner: Owner,
        spec: JobSpec,
        streams: dict[StreamId, client.StreamOf],
        addresses: Mapping[str, str],
    ) -> None:
        """A job of this client has its nodes, which are about to be dialled."""
        degree = sum(len(of.vnns) for of in streams.values())
        places = [Place(s.node, addresses.get(s.node, ""), s.vnns) for s in streams.values()]
        job = _HomeJob(
            npid,
            link,
            owner,
            spec,
            degree,
            streams,
            set(streams),
            places if degree > 1 else [],
            self._mark(npid) if degree > 1 else "",
        )
        self._jobs[npid] = job
        self._more(owner.uid, 1)
        self._clients[link].jobs.add(npid)

    def _mark(self, npid: int) -> str:
        """Other clusters of this machine have the same NPIDs, and another key."""
        return batch.seal_of(self._key, b"job", b"%d" % npid).hex()

    def abandon(self, npid: int, link: int, reason: str) -> list[DaemonEffect]:
        """A job of this client ends for its client's sake; nothing when it is not its."""
        job = self._jobs.get(npid)
        if job is None or job.link != link:
            return []
        effects: list[DaemonEffect] = [CloseJoin(link, s, reason) for s in sorted(job.streams)]
        return effects + self._over(job, reason)

    def owner_of(self, npid: int) -> Owner | None:
        """Who the kernel said started this job here; None: no job of this home."""
        job = self._jobs.get(npid)
        return None if job is None else job.owner

    def running(self) -> list[master.HomeJob]:
        """The jobs that started here, for a (re)connecting master."""
        return [
            master.HomeJob(j.npid, j.owner.uid, command_text(j.spec), j.degree, j.spec.transparent)
            for j in self._jobs.values()
        ] + self.batch.on_the_way()

    # -- nodes -------------------------------------------------------------------------------

    def dialled(self, npid: int, stream: StreamId) -> list[DaemonEffect]:
        """The link to the node of this stream is there: open the peer stream and start."""
        job = self._jobs.get(npid)
        if job is None or stream not in job.streams:
            return []
        job.waiting.discard(stream)
        of = job.streams[stream]
        start = self._start(job, of.vnns)
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

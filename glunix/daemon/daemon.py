"""The daemon of one node: its pure halves on one side, processes and sockets on the other.

Owns the wiring only. Home side: glunix.state.homejobs decides, clients and peers carry out. Node
side: a stream that a peer opened becomes a UserJob; what its processes do is told to home on the
stream and to the master for Pdb.
"""

import contextlib
import dataclasses
import os
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from glunix.comm.link import Link
from glunix.comm.logline import Sparse, say
from glunix.comm.loop import Loop
from glunix.comm.network import Network, UnixNetwork
from glunix.comm.rate_limit import RateLimit
from glunix.daemon.accounts import Accounts
from glunix.daemon.authorization import limits_here, owner_here
from glunix.daemon.batchservers import BatchServers, sealing_key
from glunix.daemon.children import Children
from glunix.daemon.chores import Chores
from glunix.daemon.clients import Clients
from glunix.daemon.groups import Groups
from glunix.daemon.handover import Handover
from glunix.daemon.membership import Membership
from glunix.daemon.node_stream import NodeStream
from glunix.daemon.parallel import Parallel
from glunix.daemon.peers import PeerLink, Peers
from glunix.daemon.stages import Stages
from glunix.daemon.start_pacing import Pace
from glunix.daemon.transparent_job import TransparentJob
from glunix.daemon.uplink import Ending, Uplink
from glunix.errors import Refused
from glunix.ids import StreamId, Why
from glunix.msg import client, master, stream
from glunix.msg.base import Message
from glunix.node.input.feeds import MOVED
from glunix.node.spawn.sessions import Sessions
from glunix.settings import DEFAULT_LIMITS, LimitsSection
from glunix.state import home_effects as effects
from glunix.state.homejobs import HomeJobs
from slic.kernel.capabilities import join_new_session_keyring
from slic.kernel.prctl import set_child_subreaper

if TYPE_CHECKING:
    from glunix.trust.member import Member


@dataclasses.dataclass(frozen=True)
class DaemonConfig:
    """What `glunix up` decided for one node."""

    folder: Path
    node: str
    accepts_jobs: bool
    isolated: tuple[str, ...] = ()
    """What the node does not share with the machine: "pid", "uts", "mount"."""
    is_home: bool = False
    """Whether users of this machine find the daemon as home.sock (each has its own, by TLS)."""
    limits: LimitsSection = DEFAULT_LIMITS
    setuid: bool = False
    """Whether transparent jobs may run programs with more rights than their owner has."""


class Daemon:
    """One node. `start` is called inside the loop; everything after is callbacks."""

    def __init__(
        self,
        loop: Loop,
        conf: DaemonConfig,
        ready: Callable[[], None],
        network: Network | None = None,
        member: "Member | None" = None,
    ) -> None:
        self.loop = loop
        self.pace = Pace(loop)
        self.sparse = Sparse(self.log)
        """For what others cause: (who, text)."""
        self.config = conf
        self._ready = ready
        self._boot = secrets.token_hex(8)
        key = sealing_key(conf.folder, conf.node)
        host = socket.gethostname()
        self._home = HomeJobs(conf.node, os.geteuid(), host, conf.limits.jobs, key)
        self._streams: list[NodeStream] = []
        self._stopping = False
        self._reached: dict[str, PeerLink] = {}
        self._chores = Chores(loop, conf.limits.chore_seconds)
        self.stages = Stages(
            conf.folder / "stage", conf.node, self._chores, loop, conf.limits.staged, self.sparse
        )
        self._accounts = Accounts()
        self.groups = Groups(conf.folder, conf.node, conf.limits, self.log)
        self._clients = Clients(
            loop,
            self._home.client_up,
            lambda link, message: self._do(self._home.client_message(link, message)),
            self._client_down,
            lambda link, number, why: self._do(self._home.stream_ended(link, number, why)),
            lambda *asked: self.parallel.asked(*asked),
            self.log,
            conf.limits,
            self._chores,
        )
        self._batch_servers = BatchServers(
            self._clients,
            self._chores,
            conf.limits.tasks,
            lambda link, owner: self._do(self._home.batch.server_up(link, owner)),
            lambda owner, why: self._do(self._home.batch.server_failed(owner, why)),
        )
        self._network = network or UnixNetwork(loop, conf.folder, conf.node, self.log)
        rate_limit = RateLimit(loop, conf.limits.requests)
        self._peers = Peers(
            self._network,
            rate_limit,
            conf.node,
            self._boot,
            self._started,
            self.log,
            lambda mate, message: self.parallel.heard(mate, message),
            lambda mate: self.parallel.link_lost(mate),
        )
        self.parallel = Parallel(
            loop, conf.node, self._peers, lambda: self._streams, self._clients.send
        )
        self.uplink = Uplink(
            loop,
            self._network,
            self._hello,
            self._master_up,
            self._master_message,
            self._master_down,
            self._refused,
            self.log,
            "pid" in conf.isolated,
        )
        self.membership: Membership | None = None
        if member is not None:
            tell, revoked = self.uplink.send, self._peers.revoked
            self.membership = Membership(loop, member, tell, revoked, self.log)
        self.sessions = Sessions(loop, conf.limits.tasks, self.groups.tidy)
        jobs = lambda: [s.job for s in self._streams]  # noqa: E731
        groups = lambda: [s.group for s in self._streams if s.group is not None]  # noqa: E731
        self._children = Children(loop, jobs, self._chores, self.sessions, groups)

    def start(self) -> None:
        """Listen, dial the master, watch children."""
        if os.getpid() != 1:
            set_child_subreaper(True)
        with contextlib.suppress(OSError):  # no keyrings here: then programs have none either
            join_new_session_keyring()  # not that of whoever started us
        self.loop.on_signal(signal.SIGCHLD, self._children.collect)
        self.loop.on_signal(MOVED, self._input_moved)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.on_signal(number, self.stop)
        self._peers.listen()
        self._clients.listen(self.config.folder, self.config.node, self.config.is_home)
        self.groups.begin()  # that the sockets are ours says that no other daemon of this name is
        self.stages.sweep()
        if self.membership is not None:
            self.membership.start()
        self.uplink.connect()

    def close(self) -> None:
        """After the loop: nothing of ours stays but what was kept on purpose."""
        self.groups.end()

    def log(self, text: str) -> None:
        """One line in this daemon's log."""
        say(text)

    def stop(self) -> None:
        """End all jobs here, then the loop."""
        if self._stopping:
            return
        self._stopping = True
        self.log("stopping")
        for node_stream in list(self._streams):  # a kill can be the end of a job
            node_stream.job.kill(signal.SIGKILL, None)
        self.sessions.close()
        self.loop.stop()

    # -- the master --------------------------------------------------------------------------

    def _hello(self, uplink: Link, unsent: list[Ending]) -> master.NodeHello:
        conf = self.config
        return master.NodeHello(
            1,
            0,
            conf.node,
            self._boot,
            self._network.advertised(uplink),
            conf.accepts_jobs,
            os.cpu_count() or 1,
            psutil.virtual_memory().total,
            list(conf.isolated),
            [row for s in self._streams for row in s.rows()],
            self._home.running(),
            unsent,
            self._home.batch.told(),
        )

    def _master_up(self) -> None:
        self._home.master_up = True
        if self.membership is not None:
            self.membership.welcomed()
        self.log("welcomed by the master")
        self._ready()

    def _master_down(self) -> None:
        self.log("lost the master; running jobs go on")
        self._do(self._home.master_down())

    def _refused(self, text: str) -> None:
        self.log(f"the master refuses this daemon: {text}")
        self.stop()

    def _master_message(self, message: Message) -> None:
        if self.membership is not None and self.membership.message(message):
            return
        if isinstance(message, master.KillOrder):
            vnns = list(message.vnns) or None
            for node_stream in list(self._streams):
                if node_stream.start.npid == message.npid:
                    node_stream.job.kill(message.signal, vnns)
        elif isinstance(message, master.NodeLost):
            self._peers.lost(message.node, message.text)
        else:
            self._do(self._home.master_message(message))

    def _client_down(self, link: int) -> None:
        self.parallel.client_down(link)
        self._do(self._home.client_down(link))

    # -- home side ---------------------------------------------------------------------------

    def _do(self, todo: list[effects.DaemonEffect]) -> None:
        for effect in todo:
            if isinstance(effect, effects.ToClient):
                self._clients.send(effect.link, effect.message)
            elif isinstance(effect, effects.ToMaster):
                self.uplink.send(effect.message)
            elif isinstance(effect, effects.Dial):
                self._dial(effect)
            elif isinstance(effect, effects.Join):
                join = self._clients.join(effect.link, effect.stream)
                join.open(self._reached[effect.node], effect.start)
            elif isinstance(effect, effects.CloseJoin):
                self._clients.close_join(effect.link, effect.stream, effect.reason)
            elif isinstance(effect, effects.StartBatchServer):
                self._batch_servers.start(effect.owner)
            elif isinstance(effect, effects.BeginMove):
                self._begin_move(effect)
            elif isinstance(effect, effects.RestoreTty):
                self._clients.restore_terminal(effect.link)
            else:
                self.stop()

    def _dial(self, dial: effects.Dial) -> None:
        self._clients.join(dial.link, dial.stream)  # from now on it keeps early frames

        def done(mate: PeerLink | None, reason: str) -> None:
            if mate is None:
                self._do(self._home.stream_ended(dial.link, dial.stream, reason))
            else:
                self._reached[dial.node] = mate
                self._do(self._home.dialled(dial.npid, dial.stream))

        self._peers.dial(dial.node, dial.address, done)

    def _begin_move(self, move: effects.BeginMove) -> None:
        def dial(done: Callable[[PeerLink | None, str], None]) -> None:
            self._peers.dial(move.node, move.address, done)

        def step(what: str) -> None:
            self._clients.send(move.asker, client.MoveStep(move.request, what))

        def over(moved: bool, pid: int, why: str) -> None:
            text = f"moved to {move.node}" if moved else f"stays: {why}"
            if move.node:
                self.log(f"job {move.npid} {text}")
            self._do(self._home.move_over(move, moved, pid, why))

        join = self._clients.join(move.link, move.stream)
        Handover(self.loop, join, move.start, move.epoch, dial if move.node else None, step, over)

    def spare(self, pid: int) -> None:
        """This child is of no job, and not to be ended with one."""
        self._children.spare(pid)

    # -- node side ---------------------------------------------------------------------------

    def _started(
        self, mate: PeerLink, number: StreamId, start: stream.Start, epoch: int
    ) -> NodeStream:
        node_stream = NodeStream(self, mate, number, start, epoch)
        self._streams.append(node_stream)
        self.parallel.began(node_stream)
        return node_stream

    def _input_moved(self) -> None:
        for node_stream in self._streams:
            if isinstance(node_stream.job, TransparentJob):
                node_stream.job.input_moved()

    def admit(self, start: stream.Start) -> None:
        """Refused when its owner has too much here already."""
        self.groups.admit(start, (s.start for s in self._streams))

    def vetted(self, mate: PeerLink, start: stream.Start) -> stream.Start:
        """The Start as this node may carry it out; Refused when it may not."""
        if self.membership is None:
            return start  # a process of our own user, which could start anything without us
        peer, node = mate.peer, self.config.node
        if peer is None:
            raise Refused(Why.NOT_YOURS, f"{mate.node} has shown no certificate")
        ours = peer.node == node and self._home.owner_of(start.npid) == start.owner
        here = owner_here(self.membership.users, peer, node, start.owner, ours, self._accounts)
        if here.without:
            text = f"uid {here.owner.uid} runs without group {', '.join(here.without)}"
            self.sparse(mate.node, f"job {start.npid} of {mate.node}: {text}")
        kept = start.owner  # who he is on this node does not change what he may not have
        owner = msgspec.structs.replace(
            here.owner, no_new_privs=kept.no_new_privs, bounding=kept.bounding
        )
        # Tools inside the job ask this machine's daemon, not a folder that only home has.
        env = {**start.spec.env, b"GLUNIX_DIR": os.fsencode(self.config.folder)}
        spec = msgspec.structs.replace(limits_here(start.spec), env=env)
        return msgspec.structs.replace(start, owner=owner, spec=spec)

    def job_ended(self, node_stream: NodeStream) -> None:
        """All of this stream was reported: forget it, end what it left behind."""
        self.parallel.forget(node_stream)
        self._streams.remove(node_stream)
        self._children.sweep(node_stream.job, node_stream.group)
        if node_stream.stage is not None and not node_stream.start.spec.keep:
            self.stages.drop(node_stream.stage)


class Ready:
    """Says once that the daemon is ready: a line on a descriptor that `glunix up` reads."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __call__(self) -> None:
        if self._fd >= 0:
            os.write(self._fd, b"ready\n")
            os.close(self._fd)
            self._fd = -1


def run_daemon(conf: DaemonConfig, ready_fd: int) -> int:
    """Serve as a node of an embedded cluster until told to stop. Returns the exit status."""
    loop = Loop()
    daemon = Daemon(loop, conf, Ready(ready_fd))
    try:
        return loop.run(daemon.start)
    finally:
        daemon.close()

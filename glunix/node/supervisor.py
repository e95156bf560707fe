"""The supervisor: beside a transparent job on its node, drives a SLIC engine (DESIGN 5).

Its own process, forked by the daemon; session leader and reaper of the job like a keeper, and also
the job's view of home: its UTS namespace has home's host name, its stand-ins are served from home.
It is the job owner's, with no more rights than he has (glunix.node.privilege).
If it dies the kernel kills the program; if the daemon dies the kernel kills it.
"""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import slic.engines.builtin  # noqa: F401 - loaded once, by the daemon, not by every supervisor
from glunix.ids import StreamId
from glunix.msg import stream
from glunix.msg.base import Body, Message
from glunix.msg.shadows import ShadowSignal, ShadowsMade
from glunix.node import privilege
from glunix.node.bridge import MOVE
from glunix.node.calls.files import HomeFiles as NodeHomeFiles
from glunix.node.calls.mounts import HomePlaces
from glunix.node.calls.reads import ForwardedReads
from glunix.node.calls.router import CallRouter
from glunix.node.calls.stats import CallStats
from glunix.node.descriptors.standins import StandIns
from glunix.node.dispatch import Handlers
from glunix.node.home_connection import WayHome, connect
from glunix.node.interposition import Interposing
from glunix.node.launch import Birth
from glunix.node.migration.migrating import Migrating
from glunix.node.output.channel import Output
from glunix.node.output.reopened import Reopened
from glunix.node.pollreactor import PollReactor, watch_children
from glunix.node.processes.forkwatch import ForkWatch
from glunix.node.processes.groups import JobGroups
from glunix.node.processes.namespace import PidSpace
from glunix.node.processes.pid_allocator import PidAllocator
from glunix.node.processes.program import Program
from glunix.node.spawn.exec import StepFailed, join_terminal
from glunix.node.spawn.going import kept_going
from glunix.node.terminal.keyflush import KeyFlush
from glunix.node.userlevel.process import set_size
from glunix.node.userlevel.session_leader import GRACE, end_descendants
from slic.engine import Launch, Session
from slic.interposers.home.descriptors import HomeFds, IoctlHome
from slic.kernel.pidfd import status_fields
from slic.kernel.prctl import set_child_subreaper
from slic.tracee import Tracee


class Supervisor:
    """Runs in its own process from fork to exit. Is the Host of its engine session."""

    def __init__(
        self,
        start: stream.Start,
        env: dict[bytes, bytes],
        sock: socket.socket,
        fed: Sequence[int],
        setuid: bool,
        entered: Callable[[], None],
        folder: str,
        arriving: bool = False,
    ) -> None:
        """`entered` returns when this process is in the job's control groups; StepFailed. `folder`:
        of the cluster's state, as its daemon knows it. `arriving`: the job
        runs elsewhere, and is to move here."""
        self._folder = folder
        self._start = start
        self._entered = entered
        self._setuid = setuid and privilege.is_needed(start.owner)
        self._spec = start.spec
        self._vnn = start.vnns[0]
        self._env = env
        self._fed = fed
        self._reactor = PollReactor()
        # No line while input goes ahead: the daemon says how much of it was read, and what the
        # program writes must not come before that (glunix.node.input.prefetched).
        way = self._spec.own_line
        line = None if fed or arriving else connect(way, start.owner.uid)
        self._way = WayHome(self._reactor, sock, line, way, self._frame, self._abandoned)
        self._reads = ForwardedReads(
            self._to_home, self, self._reactor, self._way.hear if fed else None
        )
        self._pids = PidAllocator(
            start.npid, self._to_home, self._reactor, self._spec.soft_limit(resource.RLIMIT_NPROC)
        )
        self._forks = ForkWatch(self._reactor)
        self._groups = JobGroups(self._pids, self._to_home, self, self._reactor)
        self._outputs: dict[int, Output] = {}
        self._reopened: Reopened | None = None
        self._session: Session | None = None
        self._engine_reaps = False
        self._engine_fds: list[int] = []
        self._early: list[tuple[StreamId, Body]] = []  # from home, before there was a program
        self._program = Program(self, arriving)
        self._stats = CallStats(time.monotonic) if start.spec.stats else None
        self._migrating = Migrating(self, self._way.say)
        self._router = CallRouter(
            self, self._reads, self._groups, self._outputs, self._stats, self._pids.look
        )
        self._handlers: dict[type[Message], Callable[[Any], object]] = {
            **self._own_handlers(),
            **self._reads.handlers(),
            **self._router.handlers(),
            **self._pids.handlers(),
            **self._groups.handlers(),
        }

    # -- life --------------------------------------------------------------------------------

    def run(self) -> None:
        """Start the program, serve it and what it leaves until all have ended and output is out."""
        os.setsid()
        set_child_subreaper(True)
        try:
            self._stand_ins = StandIns(self._spec, self._fed)
            self._router.stand_ins = self._stand_ins
            self._key_flush = KeyFlush(self._stand_ins, self._reactor, self._flushed)
            if self._spec.stdin == "file":
                self._reads.read_ahead(0)
            noticed = self._spec.pids is not None and self._forks.prepare()
            numbers = None if noticed else self._pids
            caught = Interposing(
                self._spec, self._start.owner, self._stand_ins, numbers, self._setuid
            )
            self._engine_reaps = caught.reaps
            if caught.fds is not None and caught.places is not None:
                self._serve_files(caught.fds, caught.places)
            self._fork_program(caught.launch, caught.places)
        except StepFailed as error:
            self._program.not_forked(error)
            self._finish()
            return
        program = self._program
        watch_children(self._reactor, program.collect)
        for frame in self._early:
            self._frame(*frame)
        program.collect()
        program.look_after()
        while not (program.life.is_over and all(o.closed for o in self._outputs.values())):
            self._reactor.turn()
            self._let_go()
            program.look_after()
            self._way.turned()
        self._finish()

    def _serve_files(self, fds: HomeFds, places: HomePlaces) -> None:
        """The job may open files of home's."""
        way, budget = (self._to_home, self, self._reactor), self._router.budget
        files = NodeHomeFiles(fds, places, *way, budget, self._open_files(fds))
        self._router.serve_files(files)
        self._handlers.update(files.handlers())
        self._stand_ins.hold(self._spec, files.hold)

    def _turn(self) -> None:
        self._reactor.turn()
        self._way.turned()

    def _finish(self) -> None:
        for fd, data in self._reads.left_over():
            self._to_home(stream.Back(fd, data))
        while self._way.pending:
            self._turn()
        if self._session is not None:
            self._session.close()
        self._forks.close()
        self._pids.close()  # the namespace's init waits for the helper in it
        self._program.close()
        end_descendants(GRACE)

    @kept_going()
    def _fork_program(self, launch: Launch | None, places: HomePlaces | None) -> None:
        around, program = self._stand_ins, self._program
        arriving = program.life.is_arriving
        self._entered()
        birth = Birth(self._spec, self._start, self._env, self._setuid)
        first = 0
        if self._spec.pids is not None and not arriving:
            first = self._pids.first(self._turn)
        place = birth.fork(around, launch, first, places, arriving)
        program.watch(birth, place)
        if isinstance(place, PidSpace):
            self._keep_terminal()
            self._pids.open(place, self._forks)
            self._groups.open(around)
            self._forks.open(place.program, self._has_begun, self._pids)
        else:
            self._pids.give_up()
        around.close_theirs()
        if launch is not None:
            self._session = birth.session(launch, self)
            self._engine_fds = self._reactor.drive(self._session, self._folder)
        privilege.settle(self._start.owner)
        for fd, ours in around.outputs:
            self._outputs[fd] = self._output(fd, ours)
        odd = {one.number for one in self._spec.standard}
        for fd in {1, 2} - self._outputs.keys() - odd:  # the same place as the other: one channel
            self._to_home(stream.Out(self._vnn, fd, b""))
        program.forked()

    def _keep_terminal(self) -> None:
        """A terminal of another session's is so here, too: TIOCSCTTY is EPERM (ioctl_tty(2)).

        Not where the program is in our session, which then is not to have it.
        """
        tty, pids = self._spec.tty, self._spec.pids
        if tty is not None and not tty.controls and pids is not None and pids.session:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # to its session's leader, at its hang-up
            join_terminal(self._stand_ins.slave)

    def _has_begun(self, tid: int, is_new: bool) -> None:
        if self._program.life.is_arriving:
            return  # what the stub makes of itself has its shadows already
        held = self._pids.begun(tid, is_new)
        if held is not None:
            self._groups.follow(*held, tid)

    def _open_files(self, fds: HomeFds) -> Reopened:
        files = self._stand_ins.files
        self._reopened = Reopened(fds, self._outputs, files, self._output)
        return self._reopened

    def _output(self, fd: int, ours: int) -> Output:
        def send(data: Body) -> None:
            self._forks.catch_up()  # where a process is that wrote this, home hears first
            self._reads.settle()
            if data:
                self._way.relay(stream.out_head(self._vnn, fd, len(data)), data)
            else:
                self._to_home(stream.Out(self._vnn, fd, b""))
                if reopened is not None:
                    reopened.ended(fd)

        reopened = self._reopened if fd in self._stand_ins.files else None
        before = None if reopened is None else lambda: reopened.before(fd)
        return Output(self._reactor, ours, self._spec.window, send, before)

    # -- the engine's host -------------------------------------------------------------------

    def _let_go(self) -> None:
        """Nobody is left under the engine: what it waits on would be ready for ever."""
        if self._session is not None and self._session.ended:
            while self._engine_fds:
                self._reactor.remove_source(self._engine_fds.pop())

    def ask(self, call_id: int, question: object, tracee: Tracee) -> None:
        """See slic.engine.Host."""
        self._router.ask(call_id, question, tracee)

    def cancelled(self, call_id: int) -> None:
        """See slic.engine.Host."""
        self._router.cancelled(call_id)

    def exited(self, pid: int, wait_status: int) -> None:
        """Engines that reap tell of our children here."""
        self._program.child_state(pid, wait_status)

    def stopped(self, pid: int, signal_number: int) -> None:
        """Engines that reap tell of a stop here."""
        if pid == self._program.pid:
            self._program.stopped(signal_number)
        else:
            self._pids.look(stopped=pid)

    def answer(self, call_id: int, value: Any) -> bool:
        """See asks.Calls."""
        given = self._session is not None and self._session.answer(call_id, value)
        if self._stats is not None:
            self._stats.answered(call_id, value if given else None)
        return given

    def still_valid(self, call_id: int) -> bool:
        """See asks.Calls."""
        return self._session is not None and self._session.still_valid(call_id)

    def immune(self, tid: int, number: int) -> bool:
        """See asks.Calls."""
        try:
            status = status_fields(tid)
        except OSError:
            return False
        return any(int(status[mask], 16) >> (number - 1) & 1 for mask in ("SigBlk", "SigIgn"))

    def unread(self, fd: int, some: bool) -> None:
        """See asks.Calls."""
        self._stand_ins.unread(fd, some)

    def changed(self, question: IoctlHome) -> None:
        """See asks.Calls."""
        self._stand_ins.changed(question.command, question.data)

    # -- home --------------------------------------------------------------------------------

    def _to_home(self, message: Message) -> None:
        self._way.send(message)

    def _present_bill(self) -> None:
        """Before home hears of the program's end, with which its startup may end, too."""
        if self._stats is not None:
            self._to_home(self._stats.message())
            self._stats = None

    def _report(self, message: Message) -> None:
        if isinstance(message, stream.Exited):
            self._present_bill()
        self._reads.drop_ahead()
        self._way.report(message)

    def _frame(self, number: StreamId, body: Body) -> None:
        if number == MOVE:
            self._migrating.frame(body)
            return
        message = stream.home_to_node.decode(body)
        if not self._program.life.is_forked and not isinstance(message, ShadowsMade):
            self._early.append((number, bytes(body)))
        elif (handler := self._handlers.get(type(message))) is not None:
            handler(message)

    def _own_handlers(self) -> Handlers:
        return {
            ShadowSignal: self._shadow_signal,
            stream.In: self._input_ended,
            stream.Resize: self._resize,
            stream.Signal: self._signal,
        }

    def _signal(self, message: stream.Signal) -> None:
        if message.flush:
            self._key_flush.begin()
        self._reads.drop_ahead()
        if message.vnn is not None:
            self._program.signal(message.signal)
        else:
            self._program.kill(message.signal)
        self._key_flush.signalled(message.signal)
        if message.asks:
            self._report(stream.Heard(self._vnn))

    def _resize(self, message: stream.Resize) -> None:
        if self._stand_ins.slave >= 0:
            set_size(self._stand_ins.slave, message.size)

    def _input_ended(self, message: stream.In) -> None:
        """The end of a pipe that the daemon feeds: its turn."""
        self._report(stream.InCredit(0))

    def _shadow_signal(self, message: ShadowSignal) -> None:
        self._reads.drop_ahead()
        if self._pids.signal(message.pid, message.signal) and self._session is not None:
            self._session.sweep()
        self._key_flush.signalled(message.signal)

    def _flushed(self) -> None:
        self._to_home(stream.Flushed(self._vnn, self._stand_ins.terminal_channel))

    def _abandoned(self) -> None:
        """The daemon closed the bridge: the job is over, whatever it does."""
        self._program.kill(signal.SIGKILL)
        end_descendants(0)
        os._exit(1)

"""A transparent job as its node's daemon sees it: a supervisor process and a socket to it.

Has the shape of glunix.node.userlevel.job.UserJob. Relays the stream undecoded both ways; hears of
the process's life on the report stream, and makes up its end if the supervisor dies without a word.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable

from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.daemon.arriving import Arriving
from glunix.daemon.leaving import Leaving
from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg import move, stream
from glunix.msg.base import Body, Message
from glunix.msg.frame import BODY_MAX
from glunix.node.bridge import MOVE, RELAY, REPORT
from glunix.node.input.feeds import Feed, PipeFeed, SocketFeed
from glunix.node.input.prefetched import MakeFeed, PrefetchedInput
from glunix.node.processes.cgroups import JobGroup
from glunix.node.spawn.supervisor import spawn_supervisor
from glunix.node.userlevel.job import job_environment
from glunix.node.userlevel.process import pipe
from glunix.node.userlevel.session_leader import GIVE_UP, GRACE
from slic.kernel.rights import refuse_rights


def _encoded(tag: bytes) -> bytes:
    """A message's tag as MessagePack has it (fixstr): the length first, so a prefix is none."""
    return bytes([0xA0 | len(tag)]) + tag


_INPUT = _encoded(b"in"), _encoded(b"inrecall"), _encoded(b"inanew")
"""The tags of In, InRecall and InAnew."""

_LONGEST = max(map(len, _INPUT))

PATIENCE = 1.0
"""Seconds that a supervisor has to kill its job."""

ENDING_SECONDS = GRACE + GIVE_UP + 1.0
"""The same to clean up after a job that nobody wants any more."""

_TAG_AT = 1
"""Where an encoded message that is a small array has its tag."""

_ROOT = _encoded(b"rootexited")
_ROOT_AT = slice(_TAG_AT, _TAG_AT + len(_ROOT))


class TransparentJob:
    """Made by a Start with `spec.transparent`. `relay` passes a body home undecoded."""

    def __init__(
        self,
        start: stream.Start,
        node: str,
        loop: Loop,
        tell: Callable[[Message], None],
        relay: Callable[[Body], None],
        ended: Callable[[], None],
        setuid: bool,
        arriving: bool = False,
    ) -> None:
        """`arriving`: it runs elsewhere, and is to move here."""
        self.start = start
        self._arriving = arriving
        self.move: Leaving | Arriving | None = None
        """The move that is under way."""
        self._gone = self._is_closed = False
        self._withheld: list[tuple[StreamId, bytes]] = []
        self.spare: Callable[[int], None] = lambda pid: None
        """That child of the daemon is none of a job's."""
        self._setuid = setuid
        self._node = node
        self._loop = loop
        self._tell = tell
        self._relay = relay
        self._ended = ended
        self._pid = 0
        self._reaped = False
        self._told_end = False
        self._abandoned = self._is_wound_up = False
        self._feeds = start.spec.stdin in ("pipe", "socket")
        self._prefetched: PrefetchedInput | None = None
        self._early: list[bytes] = []
        self._early_size = 0
        self._ends: list[int] = []
        """Ends of the input that the supervisor was told of: how many recalls came before."""
        self._link = Link(self._frame, self._closed, f"supervisor of job {start.npid}")
        self.group: JobGroup | None = None
        """Of the job; None: it has none, or only a limit."""
        self.enter: Callable[[], None] | None = None
        """Moves a child into the job's control group."""

    def launch_some(self) -> bool:
        """Fork the supervisor; there is never more to start."""
        if self._abandoned:
            self._loop.call_soon(self._over)
            return False
        if len(self.start.vnns) != 1 or self.start.degree != 1:
            text = "a transparent job is one process (leave out -n)"
            self._tell(stream.Failed(self.start.vnns[0], "engine", 22, text))
            self._loop.call_soon(self._ended)
            return False
        env = job_environment(self.start, self._node, self.start.vnns[0])
        try:
            self._pid, sock = self._spawn(env)
        except OSError as error:  # no descriptors or processes left
            text = f"cannot start a process: {error.strerror}"
            self._tell(stream.Failed(self.start.vnns[0], "session", error.errno or 0, text))
            self._told_end = True
            self._loop.call_soon(self._ended)
            return False
        self._loop.adopt(sock, self._link)
        early, self._early = self._early, []
        for body in early:
            self.frame(body)
        return False

    def _fork(self, env: dict[bytes, bytes], prefetched: list[int]) -> tuple[int, socket.socket]:
        return spawn_supervisor(
            self.start, env, prefetched, self._setuid, self.group, self.enter, self._arriving
        )

    def _spawn(self, env: dict[bytes, bytes]) -> tuple[int, socket.socket]:
        if not self._feeds:
            return self._fork(env, [])
        make: MakeFeed
        if self.start.spec.stdin == "pipe":
            theirs, ours = pipe(self.start.owner)
            with contextlib.ExitStack() as stack:
                stack.callback(os.close, ours)
                try:
                    made = spawn_supervisor(
                        self.start, env, [theirs], self._setuid, self.group, self.enter
                    )
                finally:
                    os.close(theirs)
                stack.pop_all()

            def make(moved: Callable[[], None], gone: Callable[[], None]) -> Feed:
                return PipeFeed(self._loop, ours, moved, gone)
        else:
            one, other = socket.socketpair()
            with contextlib.ExitStack() as stack:
                stack.enter_context(one)
                stack.enter_context(other)
                for end in (one, other):
                    refuse_rights(end)
                if os.geteuid() == 0:  # its user's, as home's is: fchmod(2), leases
                    os.fchown(other.fileno(), self.start.owner.uid, self.start.owner.gid)
                made = self._fork(env, [other.fileno(), one.fileno()])
                stack.pop_all()

            def make(moved: Callable[[], None], gone: Callable[[], None]) -> Feed:
                return SocketFeed(self._loop, one, other, moved)

        self._feed_through(make)
        return made

    def _feed_through(self, make: MakeFeed) -> None:
        self._prefetched = PrefetchedInput(
            self._loop,
            make,
            lambda count: self._tell(stream.InCredit(count)),
            lambda: self._tell(stream.InClosed()),
            lambda number: self._tell(stream.InBack(number)),
        )

    def frame(self, body: Body) -> None:
        """From home."""
        if self._feeds and bytes(body[_TAG_AT : _TAG_AT + _LONGEST]).startswith(_INPUT):
            self._input(body)
        else:
            self._link.relay(RELAY, body)

    # -- standard input that goes ahead ------------------------------------------------------

    def _input(self, body: Body) -> None:
        prefetched = self._prefetched
        if prefetched is None:
            self._early.append(bytes(body))
            self._early_size += len(body)
            if self._early_size > stream.INPUT_WINDOW + BODY_MAX:
                raise FrameError("input without credit")
            return
        data = stream.in_data(body)
        if data is None:
            message = stream.home_to_node.decode(body)
            if isinstance(message, stream.InRecall):
                prefetched.recall()
                return
            if isinstance(message, stream.InAnew):
                prefetched.anew(message.number)
                return
            assert isinstance(message, stream.In)
            data = message.data
        if data:
            self._link.flush()  # the supervisor has what home said before these
            prefetched.feed(data)
        else:
            # A ^C before the end must reach the program before the end does: through the
            # supervisor, which says so when it has done all that came before.
            self._ends.append(prefetched.recalls)
            self._link.relay(RELAY, body)

    def _input_ends(self) -> None:
        if (
            self._prefetched is not None
            and self._ends
            and self._ends.pop(0) == self._prefetched.recalls
        ):
            self._prefetched.feed(b"")

    def input_moved(self) -> None:
        """MOVED: some program read from a pipe that is fed here."""
        if self._prefetched is not None:
            self._prefetched.look()

    # -- a move to or from another node --------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self._pid

    def order(self, what: str) -> None:
        """To the supervisor (glunix.node.migration), after all that came before for it."""
        self._link.send(MOVE, move.Order(what))
        if what == "resume":
            self._let_out()

    def send(self, state: move.State) -> None:
        """What the supervisor at the other node knew."""
        self._link.send(MOVE, state)

    def go_away(self) -> None:
        """The job is another node's now: nobody here tells how it ended."""
        self._told_end = self._gone = True
        self._withheld.clear()
        self.order("gone")
        self._end_supervisor_after(ENDING_SECONDS)
        self._let_out()  # its supervisor may have ended before the decision

    def is_here(self) -> None:
        """It has arrived: from now on it is as one that was started here."""
        self._arriving = False
        self._let_out()

    def _let_out(self) -> None:
        withheld, self._withheld = self._withheld, []
        for number, body in withheld:
            self._frame(self._link, number, body)
        if self._is_closed:
            self._is_closed = False
            self._closed(self._link, "")

    def _moves(self, number: StreamId, body: Body) -> bool:
        """Whether that was of a move, or has to wait for its end."""
        if number == MOVE:
            if self.move is not None:
                self.move.supervisor_said(move.from_supervisor.decode(body))
            return True
        if self._gone:
            return True
        if self._arriving or (isinstance(self.move, Leaving) and self.move.withholds):
            self._withheld.append((number, bytes(body)))
            return True
        return False

    def _failure(self) -> str:
        """Why it could not be started, if its supervisor has said so."""
        for number, body in self._withheld:
            if number == REPORT:
                message = stream.node_to_home.decode(body)
                if isinstance(message, stream.Failed):
                    return message.text
        return ""

    def kill(self, number: int, vnns: list[int] | None) -> int:
        """Signal the program's group, through its supervisor."""
        if self._told_end:
            return 0
        self._link.send(REPORT, stream.Signal(number))
        if number == signal.SIGKILL:
            self._end_supervisor_after(PATIENCE)
        return 1

    def abandon(self) -> None:
        """Home hears nothing any more: the supervisor ends the job when its bridge closes."""
        if self._abandoned:
            return
        self._abandoned = True
        self._link.close("home is gone")
        self._end_supervisor_after(ENDING_SECONDS, self._over)

    def _over(self) -> None:
        """The supervisor has ended after home was gone, and all of the job before it: the master is
        to hear it, or it would wait for this end in vain."""
        if not self._told_end:
            self._told_end = True
            self._tell(stream.Exited(self.start.vnns[0], 0, signal.SIGKILL))
        self._wind_up()

    def _end_supervisor_after(
        self, seconds: float, then: Callable[[], None] = lambda: None
    ) -> None:
        """It is its user's, who may have stopped it: it would never do what it is told to.

        By a descriptor: when the time has come its number may be another's. `then` is called when
        it has ended.
        """
        if not self._pid:
            return  # `launch_some` sees it
        if self._reaped:
            then()
            return
        try:
            supervisor = os.pidfd_open(self._pid)
        except OSError:  # no descriptors left, or it has just ended
            then()
            return

        def has_ended() -> None:
            self._loop.remove_reader(supervisor)
            os.close(supervisor)
            late.cancel()
            then()

        self._loop.add_reader(supervisor, has_ended)
        kill = signal.pidfd_send_signal
        late = self._loop.call_later(seconds, kill, supervisor, signal.SIGKILL)

    def wait_status(self, pid: int, status: int) -> bool:
        """A child of the daemon changed state: is it our supervisor?"""
        if pid != self._pid:
            return False
        self._reaped = not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status)
        return True

    def roots(self) -> list[int]:
        """Our child, if it was not reaped yet."""
        return [] if self._reaped else [self._pid]

    def is_root(self, pid: int) -> bool:
        """Whether `pid` is the supervisor."""
        return pid == self._pid

    def _frame(self, link: Link, number: StreamId, body: Body) -> None:
        if self._moves(number, body):
            return
        if number == RELAY:
            if self._prefetched is not None and body[_ROOT_AT] == _ROOT:
                self._prefetched.recall()
            elif self._prefetched is not None:
                self._prefetched.settle()  # its reader may look at what is left of the input
            self._relay(body)
            return
        if number != REPORT:
            raise FrameError("no such stream on a bridge")
        message = stream.node_to_home.decode(body)
        if isinstance(message, stream.InCredit):
            self._input_ends()
            return
        if isinstance(message, stream.Exited | stream.Failed):
            self._told_end = True
        if isinstance(message, stream.Exited | stream.Stopped) and self._prefetched is not None:
            self._prefetched.recall()  # the shell must find what the job left, and only it
        self._tell(message)

    def _closed(self, link: Link, reason: str) -> None:
        if isinstance(self.move, Leaving) and self.move.withholds and not self._gone:
            self._is_closed = True  # the job may live elsewhere: the decider knows
            return
        if self._arriving:
            self._told_end = True
            if isinstance(self.move, Arriving):
                self.move.failed(self._failure() or "its supervisor has ended")
        self._let_out()
        if not self._told_end and not self._abandoned:
            if self._prefetched is not None:
                self._prefetched.settle()
            vnn = self.start.vnns[0]
            spec = self.start.spec
            answers = spec.stdin == "socket" and spec.sockets == [0]
            for fd in (1, 2, stream.ANSWERS) if answers else (1, 2):
                self._tell(stream.Out(vnn, fd, b""))
            self._told_end = True
            self._tell(stream.Exited(vnn, 0, signal.SIGKILL, orphaned=True))
        if not self._abandoned:
            self._wind_up()

    def _wind_up(self) -> None:
        if self._is_wound_up:
            return
        self._is_wound_up = True
        if self._prefetched is not None:
            self._prefetched.end()
        self._ended()

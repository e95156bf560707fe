"""The job's own PID namespace: its processes find home's numbers (DESIGN 5.1, FACTS "Pids").

The program gets the pid of its startup at home, and finds that one's parent, process group and
session under their numbers. For that, processes of ours stand inside for those at home:

    init      pid 1, reaper; the kernel ends the whole namespace with it, and it with the supervisor
    leader    pid of home's session leader (the user's shell); has the stand-in terminal
    parent    pid of the startup's parent, where that is another one
    group     pid of home's group leader, where that is nobody of these; ends when the group stands
    proxy     in the program's group, for all others who are in it at home (.outbound_signals)

Numbers are chosen by writing ns_last_pid before each fork (proc(5)). Each helper reaps its children
and tells the supervisor, which is outside: it sees the pids of the node.

The init is root's where it can be, so that the job may signal it as little as pid 1 at home; the
other helpers are the job owner's, without any capability (glunix.node.privilege). The supervisor
may not signal the init either: a socket of theirs says by its end that all is over.
"""

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable

from glunix.msg.job import HomePids, Owner
from glunix.msg.stream import Start
from glunix.node.calls.mounts import HomePlaces
from glunix.node.processes.agent import HIRE
from glunix.node.processes.namespace_build import (
    FAILED,
    HELPER,
    PROGRAM,
    REAPED,
    SENT,
    WAIT,
    Builder,
)
from glunix.node.processes.namespace_plan import OUTSIDE, plan
from glunix.node.processes.outbound_signals import OutboundSignals
from glunix.node.processes.tree import Family, descendants, kill_all
from glunix.node.spawn.exec import join_terminal, own_group
from glunix.node.spawn.fork import fork_child
from slic.kernel import prctl
from slic.kernel.libc import SYS_SETNS, syscall
from slic.kernel.pidfd import stat_fields

START_SECONDS = 10.0
SETTLE_SECONDS = 1.0
"""The signal proxy answers at once; a kernel that runs nobody must not hold a stop up for ever."""
_UCRED = struct.Struct("=3i")


class SpaceUnavailable(Exception):
    """The kernel refuses; the job then has the node's pids."""


class PidSpace:
    """A job's namespace as its supervisor sees it, from outside. Pids are the node's."""

    def __init__(
        self,
        home: HomePids,
        tty: int | None,
        program: Callable[[], object],
        owner: Owner,
        first: int = 0,
        places: HomePlaces | None = None,
        proc_flags: int = -1,
    ) -> None:
        """Fork everything; `program` is called in the child that becomes it, in its group, and
        leaves by exec. What it forks has number `first` (0: any) and those after it.
        `proc_flags`: how home's /proc is mounted (glunix.msg.job.Carried). SpaceUnavailable tells
        why it cannot be.
        """
        self.ended = False
        self.number = home.pid
        """The program's pid inside."""
        try:
            todo = plan(home)
        except ValueError as error:
            raise SpaceUnavailable(str(error)) from None
        self._says, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._says.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._orders, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        """To the init: its end is the init's."""
        builder = Builder(
            todo, tty, theirs, orders, program, owner, first, home.highest, places, proc_flags
        )
        if todo.leader == OUTSIDE and tty is not None:
            join_terminal(tty)

        def init() -> None:
            self._orders.close()  # or we would never see its end
            builder.init()

        try:
            self._init = _fork_in_new_namespace(init)
        except OSError as error:
            self._says.close()
            self._orders.close()
            raise SpaceUnavailable(f"no PID namespace: {error.strerror}") from None
        finally:
            theirs.close()
            orders.close()
        self.group_number = todo.group
        """The number inside of the group that the program began in."""
        self._helpers = {self._init}
        leader = 0 if todo.leader == todo.parent else todo.leader
        self.outbound = OutboundSignals(todo.program, todo.group, todo.signal_proxy, leader)
        self._needed = {todo.program, todo.leader, todo.parent}
        self._statuses: list[int] = []
        self.program = self._await_program()
        self._says.setblocking(False)

    def _await_program(self) -> int:
        self._says.settimeout(START_SECONDS)
        program = 0
        while not program or self.outbound.is_awaited:
            try:
                data, rights, _, _ = self._says.recvmsg(4096, socket.CMSG_SPACE(_UCRED.size))
            except TimeoutError:
                data, rights = FAILED + b"it does not get ready", []
            if data[:1] not in (HELPER, PROGRAM, REAPED):
                self.close()
                raise SpaceUnavailable(data[1:].decode("utf-8", "replace") or "its init died")
            pid: int = next(_UCRED.unpack(body)[0] for _, _, body in rights)
            if data[:1] == PROGRAM:
                self.group = self.outbound.begins(pid)  # its own doing from now on
                program = pid
            elif data[:1] == HELPER:
                self._helpers.add(pid)
                self.outbound.stands(int.from_bytes(data[1:], "little"), pid)
            elif self._is_lost(*WAIT.unpack(data[1:])):
                self.close()
                raise SpaceUnavailable("a helper was killed")
        self._says.send(PROGRAM)
        return program

    def _is_lost(self, number: int, status: int) -> bool:
        """Whether this wait status is the end of somebody without whom there is no such job: told
        nobody later, it would be waited for without end. Who only made the group is to end."""
        if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
            return False
        return number != self.group_number or number in self._needed

    def fileno(self) -> int:
        """Readable when a helper reaped."""
        return self._says.fileno()

    def read(self) -> list[int]:
        """The program's wait statuses that came (stops and continues, too)."""
        while not self.ended:
            try:
                data = self._says.recv(256)
            except BlockingIOError:
                break
            if not data:  # nobody holds the other end: all are gone
                break
            self._take(data)
        found, self._statuses = self._statuses, []
        return found

    def _take(self, data: bytes) -> None:
        if data[:1] == SENT:
            self.outbound.sent(*WAIT.unpack(data[1:]))
        elif data[:1] == REAPED:
            number, status = WAIT.unpack(data[1:])
            self.outbound.reaped(number, status)
            self._statuses += [status] if number == self.number else []

    def settle(self) -> None:
        """The program has stopped: what was sent to its group before is told to home when this
        returns. Home hears nothing while it is stopped.
        """
        self._says.settimeout(SETTLE_SECONDS)
        self.outbound.ask()
        with contextlib.suppress(TimeoutError):
            while self.outbound.is_asked and (data := self._says.recv(256)):
                self._take(data)
        self._says.setblocking(False)

    @property
    def init(self) -> int:
        """Pid 1 of it."""
        return self._init

    def hire(self, asks: socket.socket, news: socket.socket, run: range, own: int) -> None:
        """Have the init fork the agent (.agent), which has these sockets. OSError."""
        order = HIRE.pack(run.start, run.stop, own)
        socket.send_fds(self._orders, [order], [asks.fileno(), news.fileno()])

    def helper(self, pid: int) -> None:
        """This process inside is ours, too."""
        self._helpers.add(pid)

    def is_init(self, pid: int) -> bool:
        """Whether this is the child of ours that holds all of it."""
        return pid == self._init

    def look(self) -> Family:
        """Whether anybody but our helpers is there."""
        if self.ended:
            return Family.GONE
        if not self.outbound.is_over:
            return Family.ENDING
        # The program has ended, and may not have been reaped yet; then nobody tells.
        others = {*self._helpers, self.program}
        found = [pid for pid in descendants() if pid not in others]
        if not found:
            return Family.GONE
        return Family.ENDING if all(_is_zombie(pid) for pid in found) else Family.LIVES

    def kill_all(self) -> None:
        """SIGKILL everything: the kernel does it for all of a namespace at once."""
        if not self.ended:
            try:
                os.kill(self._init, signal.SIGKILL)
            except PermissionError:  # root's: it ends by itself
                self._orders.close()

    def close(self) -> None:
        """End it, and wait until nobody is left."""
        if not self.ended:
            self.kill_all()
            os.waitpid(self._init, 0)
            self.ended = True
        self._says.close()
        self._orders.close()


class Plain:
    """A program that has the node's pids. Has the shape of PidSpace as far as both need it."""

    program = 0

    def settle(self) -> None:
        """Nobody stands for home's processes here."""

    @classmethod
    def fork(
        cls, tty: int | None, body: Callable[[], object], places: HomePlaces | None = None
    ) -> "Plain":
        """Fork it as our own child, leading a group in our session, on our terminal."""
        if tty is not None:
            join_terminal(tty)

        def child() -> None:
            own_group(tty)
            prctl.set_parent_death_signal(signal.SIGKILL)
            if places is not None:
                places.enter_alone()
            body()

        found = cls()
        found.program = fork_child(child)
        return found

    @property
    def group(self) -> int:
        """The group that it began in."""
        return self.program

    def look(self) -> Family:
        """Whether anybody of the job is there."""
        return Family.look()

    def kill_all(self) -> None:
        """SIGKILL everything that can be found."""
        kill_all()


def fork_program(
    start: Start,
    tty: int | None,
    body: Callable[[bool], object],
    first: int,
    places: HomePlaces | None = None,
) -> PidSpace | Plain:
    """Fork a job's program, with home's numbers if that can be; `body` becomes it by exec, and is
    told whether it has to see to it that the program ends with us."""
    if start.spec.pids is not None:
        try:
            carried = start.spec.carried
            flags = -1 if carried is None else carried.proc_flags
            program = lambda: body(False)  # noqa: E731 - the kernel does, with the namespace's init
            return PidSpace(start.spec.pids, tty, program, start.owner, first, places, flags)
        except SpaceUnavailable as error:  # `glunix doctor` tells what is lost
            print(f"job {start.npid} has the pids of this node: {error}", flush=True)
    return Plain.fork(tty, lambda: body(True), places)


def _fork_in_new_namespace(body: Callable[[], object]) -> int:
    """Fork the first process of a PID namespace; our later children are in our own. OSError."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        prctl.unshare(prctl.CLONE_NEWPID)
        try:
            return fork_child(body)
        finally:
            syscall(SYS_SETNS, own, prctl.CLONE_NEWPID)
    finally:
        os.close(own)


def _is_zombie(pid: int) -> bool:
    try:
        return stat_fields(pid)[0] in b"ZX"
    except OSError:
        return True

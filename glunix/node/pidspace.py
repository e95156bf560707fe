"""The job's own PID namespace: its processes find home's numbers (DESIGN 5.1, FACTS "Pids").

The program gets the pid of its startup at home, and finds that one's parent, process group and
session under their numbers. For that, processes of ours stand inside for those at home:

    init      pid 1, reaper; the kernel ends the whole namespace with it, and it with the supervisor
    leader    pid of home's session leader (the user's shell); has the stand-in terminal
    parent    pid of the startup's parent, where that is another one
    group     pid of home's group leader, where that is nobody of these; ends when the group stands
    herald    in the program's group, for all others who are in it at home (glunix.node.heralds)

Numbers are chosen by writing ns_last_pid before each fork (proc(5)). Each helper reaps its children
and tells the supervisor, which is outside: it sees the pids of the node.

The init is root's where it can be, so that the job may signal it as little as pid 1 at home; the
other helpers are the job owner's, without any capability (glunix.node.privilege). The supervisor
may not signal the init either: a socket of theirs says by its end that all is over.
"""

import contextlib
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec

from glunix.msg.job import HomePids, Owner
from glunix.msg.stream import Start
from glunix.node import privilege
from glunix.node.become import join_terminal, own_group
from glunix.node.clerk import HIRE
from glunix.node.clerkinside import Inside
from glunix.node.family import Family, descendants, kill_all
from glunix.node.heralds import Heralds, attend, herald
from glunix.node.reaping import changed
from glunix.node.spawn import close_others, fork_child
from slic.kernel import prctl
from slic.kernel.libc import SYS_SETNS, syscall
from slic.kernel.pidfd import stat_fields

START_SECONDS = 10.0
_PID_MAX = Path("/proc/sys/kernel/pid_max")
SETTLE_SECONDS = 1.0
"""The herald answers at once; a kernel that runs nobody must not hold a stop up for ever."""
_UCRED = struct.Struct("=3i")
_WAIT = struct.Struct("<2i")
OUTSIDE = -1
"""The leader of a session that home does not see (getsid is 0): nor is it seen here."""
_HELPER, _PROGRAM, _FAILED, _REAPED, _SENT = b"+", b"!", b"-", b"w", b"s"
"""First bytes of what is said: a number follows the first, more the last three."""


class Plan(NamedTuple):
    """Who has which number. `leader` 0: the program leads its session itself; 1 is init;
    OUTSIDE: the supervisor leads, whom nobody inside sees.
    """

    program: int
    leader: int
    parent: int
    parent_group: int
    """0: the one it inherits."""
    group: int
    makes_group: bool
    """Nobody has the group's number yet: it is made for the program."""

    @property
    def herald(self) -> int:
        """The herald's number, which no process of the user's has; 0: nobody else is in the
        session at home.
        """
        return 0 if self.leader == 0 else next(n for n in range(2, 9) if n not in self[:5])


def plan(home: HomePids) -> Plan:
    """What to build for these numbers; ValueError where there can be no such namespace."""
    if home.pid < 2:
        raise ValueError("the startup is pid 1 at home")
    leader = 0 if home.session == home.pid else home.session or OUTSIDE
    parent = max(home.parent, 1)
    if parent == 1 and leader > 1:
        parent = leader  # init's own children cannot be in another's session
    group = home.group
    if leader == 0 or group < 1 or (group == 1 and leader != 1):
        group = home.pid
    led = {home.pid, leader} | ({parent} if home.parent_group == parent else set())
    makes_group = group not in led
    if makes_group and group == parent:
        return plan(msgspec.structs.replace(home, parent_group=parent))
    parent_group = 0
    if leader and parent not in (1, leader):
        joins = {parent, group} if makes_group else {parent}
        parent_group = home.parent_group if home.parent_group in joins else 0
    return Plan(home.pid, leader, parent, parent_group, group, makes_group)


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
    ) -> None:
        """Fork everything; `program` is called in the child that becomes it, in its group, and
        leaves by exec. What it forks has number `first` (0: any) and those after it.
        SpaceUnavailable tells why it cannot be.
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
        builder = _Builder(todo, tty, theirs, orders, program, owner, first, home.highest)
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
        self.heralds = Heralds(todo.program, todo.group, todo.herald, leader)
        self._statuses: list[int] = []
        self.program = self._await_program()
        self._says.setblocking(False)

    def _await_program(self) -> int:
        self._says.settimeout(START_SECONDS)
        program = 0
        while not program or self.heralds.is_awaited:
            try:
                data, rights, _, _ = self._says.recvmsg(4096, socket.CMSG_SPACE(_UCRED.size))
            except TimeoutError:
                data, rights = _FAILED + b"it does not get ready", []
            if data[:1] not in (_HELPER, _PROGRAM, _REAPED):
                self.close()
                raise SpaceUnavailable(data[1:].decode("utf-8", "replace") or "its init died")
            pid: int = next(_UCRED.unpack(body)[0] for _, _, body in rights)
            if data[:1] == _PROGRAM:
                self.group = self.heralds.begins(pid)  # its own doing from now on
                program = pid
            elif data[:1] == _HELPER:
                self._helpers.add(pid)
                self.heralds.stands(int.from_bytes(data[1:], "little"), pid)
        self._says.send(_PROGRAM)
        return program

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
        if data[:1] == _SENT:
            self.heralds.sent(*_WAIT.unpack(data[1:]))
        elif data[:1] == _REAPED:
            number, status = _WAIT.unpack(data[1:])
            self.heralds.reaped(number, status)
            self._statuses += [status] if number == self.number else []

    def settle(self) -> None:
        """The program has stopped: what was sent to its group before is told to home when this
        returns. Home hears nothing while it is stopped.
        """
        self._says.settimeout(SETTLE_SECONDS)
        self.heralds.ask()
        with contextlib.suppress(TimeoutError):
            while self.heralds.is_asked and (data := self._says.recv(256)):
                self._take(data)
        self._says.setblocking(False)

    @property
    def init(self) -> int:
        """Pid 1 of it."""
        return self._init

    def hire(self, asks: socket.socket, news: socket.socket, run: range) -> None:
        """Have the init fork the agent of glunix.node.clerk, which has these sockets. OSError."""
        order = HIRE.pack(run.start, run.stop)
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
        if not self.heralds.is_over:
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
    def fork(cls, tty: int | None, body: Callable[[], object]) -> "Plain":
        """Fork it as our own child, leading a group in our session, on our terminal."""
        if tty is not None:
            join_terminal(tty)

        def child() -> None:
            own_group(tty)
            prctl.set_parent_death_signal(signal.SIGKILL)
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
    start: Start, tty: int | None, body: Callable[[], object], first: int
) -> PidSpace | Plain:
    """Fork a job's program, with home's numbers if that can be; `body` becomes it by exec."""
    if start.spec.pids is not None:
        try:
            return PidSpace(start.spec.pids, tty, body, start.owner, first)
        except SpaceUnavailable as error:  # `glunix doctor` tells what is lost
            print(f"job {start.npid} has the pids of this node: {error}", flush=True)
    return Plain.fork(tty, body)


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


def _number() -> bytes:
    return os.getpid().to_bytes(4, "little")


def _is_own_pid_max() -> bool:
    """Whether a namespace has a pid_max of its own (Linux 6.14), and not the machine's."""
    major, minor = (int("".join(filter(str.isdigit, n))) for n in os.uname().release.split(".")[:2])
    return (major, minor) >= (6, 14)


def _is_zombie(pid: int) -> bool:
    try:
        return stat_fields(pid)[0] in b"ZX"
    except OSError:
        return True


class _Builder:
    """Runs inside, in each helper from its fork on."""

    def __init__(
        self,
        todo: Plan,
        tty: int | None,
        says: socket.socket,
        orders: socket.socket,
        program: Callable[[], object],
        owner: Owner,
        first: int,
        highest: int,
    ) -> None:
        self._first = first
        self._orders = orders
        self._owner = owner
        self._highest = highest
        self._plan = todo
        self._tty = tty
        self._says = says
        self._program = program

    def init(self) -> None:
        """Pid 1."""
        prctl.set_parent_death_signal(signal.SIGKILL)
        self._step(self._own_proc)
        for number in (*self._plan, self._plan.herald):  # before what cannot be undone
            self._choose(number)
        if self._plan.leader == 1:
            self._step(self._lead)
        if self._plan.leader > 1:
            self._fork(self._plan.leader, self._leader)
        else:
            self._go_on()
        self._rule()

    def _own_proc(self) -> None:
        """A /proc of this namespace: with the node's, pids would mean other processes."""
        prctl.unshare(prctl.CLONE_NEWNS)
        prctl.mount("none", "/", "", prctl.MS_REC | prctl.MS_PRIVATE)
        flags = prctl.MS_NOSUID | prctl.MS_NODEV | prctl.MS_NOEXEC
        prctl.mount("proc", "/proc", "proc", flags)
        if self._highest and _is_own_pid_max():
            _PID_MAX.write_text(str(self._highest))

    def _lead(self) -> None:
        os.setsid()
        if self._tty is not None:
            join_terminal(self._tty)

    def _leader(self) -> None:
        self._says.send(_HELPER + _number())
        self._step(self._lead)
        self._go_on()
        self._serve()

    def _go_on(self) -> None:
        """In who is above the parent, or is the parent."""
        if self._plan.parent == os.getpid():
            self._make_program()
        else:
            self._fork(self._plan.parent, self._parent)

    def _parent(self) -> None:
        self._says.send(_HELPER + _number())
        self._make_program()
        self._serve()

    def _herald(self) -> None:
        self._says.send(_HELPER + _number())
        close_others({self._says.fileno()})
        privilege.give_up(self._owner)
        herald(self._tell)

    def _tell(self, signal_number: int) -> None:
        try:
            self._says.send(_SENT + _WAIT.pack(os.getpid(), signal_number))
        except OSError:
            os._exit(0)  # the supervisor is gone

    def _make_program(self) -> None:
        todo = self._plan
        if todo.makes_group:
            ready, told = os.pipe()

            def stand() -> None:
                os.setpgid(0, 0)
                os.write(told, b"+")

            self._fork(todo.group, stand)
            os.read(ready, 1)
            os.close(ready)
            os.close(told)
        if todo.parent_group:
            self._step(lambda: os.setpgid(0, todo.parent_group))
        if todo.herald:
            self._fork(todo.herald, self._herald)
        self._fork(todo.program, self._become)
        if todo.leader:  # before whoever made the group is reaped, and it with him
            with contextlib.suppress(OSError):  # it has joined by itself, and may have gone on
                os.setpgid(todo.program, todo.group)
            self._step(lambda: os.setpgid(todo.herald, todo.group))

    def _become(self) -> None:
        todo = self._plan
        if todo.leader == 0:
            self._step(self._lead)
        else:
            self._step(lambda: os.setpgid(0, todo.group))
            if self._tty is not None:
                # In the background until this has worked; all signals are blocked (fork_child).
                self._step(lambda: os.tcsetpgrp(self._tty or 0, todo.group))
        if self._first:
            self._choose(self._first)
        self._says.send(_PROGRAM)
        self._says.recv(1)
        self._says.close()
        self._program()

    def _fork(self, number: int, body: Callable[[], object]) -> None:
        self._choose(number)
        got = fork_child(body)
        if got != number:
            self._fail(f"pid {number} became {got}")

    def _choose(self, number: int) -> None:
        """Make this the pid of the next child."""
        text = str(max(number - 1, 0))
        self._step(lambda: Path("/proc/sys/kernel/ns_last_pid").write_text(text))

    def _step(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            self._fail(f"{error.strerror}: {error.filename or work.__name__}")

    def _fail(self, text: str) -> NoReturn:
        self._says.send(_FAILED + text.encode()[:200])
        os._exit(1)

    def _serve(self) -> NoReturn:
        """Stand for a process of home's, and reap."""
        close_others({self._says.fileno()})
        privilege.give_up(self._owner)
        while True:
            self._reap()
            attend(self._tell)

    def _rule(self) -> NoReturn:
        """The same as pid 1: with an ear for the supervisor's orders, and for its end."""
        close_others({self._says.fileno(), self._orders.fileno()})
        privilege.be_init(self._owner)
        self._orders.setblocking(False)
        fcntl.fcntl(self._orders, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(self._orders, fcntl.F_GETFL)
        fcntl.fcntl(self._orders, fcntl.F_SETFL, flags | os.O_ASYNC)
        while True:
            self._obey()  # what came before the descriptor was asynchronous, too
            self._reap()
            attend(self._tell)

    def _obey(self) -> None:
        """Take the supervisor's orders; it is gone: all of the namespace ends with us."""
        with contextlib.suppress(BlockingIOError):
            while True:
                order, fds, _, _ = socket.recv_fds(self._orders, HIRE.size, 2)
                if not order:
                    os._exit(0)
                run = range(*HIRE.unpack(order))
                asks, news = (socket.socket(fileno=fd) for fd in fds)
                fork_child(lambda: Inside(run, asks, news).serve())  # noqa: B023 - at once
                asks.close()
                news.close()

    def _reap(self) -> None:
        """Wait for children, and tell. SIGCHLD is blocked, so none is lost."""
        for pid, status in changed({*self._plan, self._plan.herald}):
            try:
                self._says.send(_REAPED + _WAIT.pack(pid, status))
            except OSError:
                os._exit(0)  # the supervisor is gone

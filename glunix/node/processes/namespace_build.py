"""Building a job's PID namespace from inside (.namespace): each helper from its fork on.

Owns what is said to the supervisor: packets whose first byte is one of those below.
"""

import contextlib
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from glunix.msg.job import Owner
from glunix.node import privilege
from glunix.node.calls.mounts import HomePlaces
from glunix.node.processes.agent import HIRE
from glunix.node.processes.agent_process import AgentProcess
from glunix.node.processes.namespace_plan import Plan
from glunix.node.processes.outbound_signals import attend, signal_proxy
from glunix.node.processes.wait import changed
from glunix.node.spawn.exec import join_terminal
from glunix.node.spawn.fork import close_others, fork_child
from slic.kernel import prctl

WAIT = struct.Struct("<2i")
_PID_MAX = Path("/proc/sys/kernel/pid_max")
HELPER, PROGRAM, FAILED, REAPED, SENT = b"+", b"!", b"-", b"w", b"s"
"""First bytes of what is said: a number follows the first, more the last three."""


def _number() -> bytes:
    return os.getpid().to_bytes(4, "little")


def _is_own_pid_max() -> bool:
    """Whether a namespace has a pid_max of its own (Linux 6.14), and not the machine's."""
    major, minor = (int("".join(filter(str.isdigit, n))) for n in os.uname().release.split(".")[:2])
    return (major, minor) >= (6, 14)


class Builder:
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
        places: HomePlaces | None = None,
        proc_flags: int = -1,
    ) -> None:
        self._first = first
        self._orders = orders
        self._owner = owner
        self._highest = highest
        self._proc_flags = proc_flags
        self._plan = todo
        self._tty = tty
        self._places = places
        self._says = says
        self._program = program

    def init(self) -> None:
        """Pid 1."""
        prctl.set_parent_death_signal(signal.SIGKILL)
        self._step(self._own_proc)
        for number in (*self._plan, self._plan.signal_proxy):  # before what cannot be undone
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
        prctl.mount_proc(self._proc_flags)
        if self._highest and _is_own_pid_max():
            _PID_MAX.write_text(str(self._highest))
        if self._places is not None:
            self._places.enter()

    def _lead(self) -> None:
        os.setsid()
        if self._tty is not None:
            join_terminal(self._tty)

    def _leader(self) -> None:
        self._says.send(HELPER + _number())
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
        self._says.send(HELPER + _number())
        self._make_program()
        self._serve()

    def _signal_proxy(self) -> None:
        self._says.send(HELPER + _number())
        close_others({self._says.fileno()})
        privilege.give_up(self._owner)
        signal_proxy(self._tell)

    def _tell(self, signal_number: int) -> None:
        try:
            self._says.send(SENT + WAIT.pack(os.getpid(), signal_number))
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
        if todo.signal_proxy:
            self._fork(todo.signal_proxy, self._signal_proxy)
        self._fork(todo.program, self._become)
        if todo.leader:  # before whoever made the group is reaped, and it with him
            with contextlib.suppress(OSError):  # it has joined by itself, and may have gone on
                os.setpgid(todo.program, todo.group)
            self._step(lambda: os.setpgid(todo.signal_proxy, todo.group))

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
        self._says.send(PROGRAM)
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
        self._says.send(FAILED + text.encode()[:200])
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
                first, end, own = HIRE.unpack(order)
                run = range(first, end)
                if own:
                    self._choose(own)
                asks, news = (socket.socket(fileno=fd) for fd in fds)
                fork_child(lambda: AgentProcess(run, asks, news, self._owner.uid).serve())  # noqa: B023 - at once
                asks.close()
                news.close()

    def _reap(self) -> None:
        """Wait for children, and tell. SIGCHLD is blocked, so none is lost."""
        for pid, status in changed({*self._plan, self._plan.signal_proxy}):
            try:
                self._says.send(REAPED + WAIT.pack(pid, status))
            except OSError:
                os._exit(0)  # the supervisor is gone

"""The supervisor's part of a move (docs/migration.md), where a job leaves and where it arrives.

Owns the hold: no call of the job is answered while home's frames are cut off and the job is frozen.
Calls that wait unanswered are made again by the kernel wherever the job goes on; what has an effect
at home is awaited before. Orders come from this node's daemon only, on a stream of the bridge that
nobody else can send on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from glunix.msg import move
from glunix.msg.base import Body, Message
from glunix.msg.job import HomePids
from glunix.node.processes.namespace import PidSpace
from glunix.node.processes.tree import descendants
from slic.kernel.pidfd import status_fields

if TYPE_CHECKING:
    from glunix.node.launch import Birth
    from glunix.node.supervisor import Supervisor

LOOK = 0.002
"""Seconds between looks whether what waits for home has come back."""


class Migrating:
    """A part of the supervisor, which looks at the others when they are needed. `send` sends to the
    daemon."""

    def __init__(self, supervisor: Supervisor, send: Callable[[Message], None]) -> None:
        self._of = supervisor
        self._send = send
        self._holds = self._held = False
        self._state: move.State | None = None
        self._door: socket.socket | None = None
        """Of the stub (migration.native.site): its mover takes it."""
        self._orders: dict[str, Callable[[], None]] = {
            "hold": self._hold,
            "still": lambda: self._say("still"),
            "collect": self._collect,
            "resume": self._resume,
            "gone": self._gone,
            "go": self._go,
            "go-stopped": lambda: self._go(stopped=True),
        }

    def frame(self, body: Body) -> None:
        """From the daemon."""
        message = move.to_supervisor.decode(body)
        if isinstance(message, move.State):
            self._adopt(message)
        else:
            self._orders[message.what]()

    def _say(self, what: str, text: str = "", pid: int = 0) -> None:
        self._send(move.Said(what, text, pid))

    # -- leaving -------------------------------------------------------------------------------

    def _hold(self) -> None:
        of = self._of
        if why := self._cannot():
            self._say("refused", why)
            return
        self._holds, self._held = True, False
        if of._engine_fds:
            of._reactor.remove_source(of._engine_fds[0])  # its listener, always
        of._way.leave_line(self._look)

    def _cannot(self) -> str:
        """Why this supervisor cannot let its job go, or not now; empty: it can."""
        of = self._of
        spec = of._spec
        if of._engine_reaps:
            return "the engine of the job traces it (--engine unotify does not)"
        life = of._program.life
        if not isinstance(of._program.place, PidSpace) or spec.pids is None:
            return "the job has the pids of its node"
        if life.has_ended or life.is_over or life.is_doomed:
            return "its program has ended, and others live on"
        if life.is_starting:
            return "it has not begun yet (may pass)"
        if spec.stdin in ("pipe", "file", "socket", "packets", "other"):
            return f"its standard input is a {spec.stdin} of home"
        if spec.home_paths or spec.inherited:
            return "it has files of home open"
        if set(of._outputs) != {of._stand_ins.terminal_channel}:
            return "its output is not the terminal"
        if self._holds:
            return "it is being moved already"
        return ""

    def _look(self) -> None:
        of = self._of
        if not self._holds or self._held:
            return
        if of._reads.is_busy or of._groups.is_busy:
            of._reactor.call_later(LOOK, self._look)
            return
        self._held = True
        self._say("held")

    def _collect(self) -> None:
        """All is frozen, and home is silent: what is known now goes along."""
        of = self._of
        program, place = of._program, of._program.place
        assert isinstance(place, PidSpace)
        drained = [output.drain() for output in of._outputs.values()]
        if not all(drained):
            self._say("failed", "home takes no output now (may pass)")
            return
        place.settle()
        number = of._pids.state()
        around = of._stand_ins
        self._send(
            move.State(
                pid=program.pid,
                tostop=around.tostop,
                flow_stopped=around.flow_stopped,
                size=around.size,
                foreground=_inner_group(place, around.foreground()),
                credit={str(fd): output.credit_left for fd, output in of._outputs.items()},
                kept=[
                    move.Kept(fd, of._reads.kept(fd), readable)
                    for fd, readable in around.readable().items()
                ],
                next_ask=of._reads.next_number,
                **number,  # type: ignore[arg-type]
            )
        )

    def _resume(self) -> None:
        """The job goes on here."""
        of = self._of
        if not self._holds:
            return
        self._holds = self._held = False
        if of._session is not None and not of._session.ended and of._engine_fds:
            of._reactor.add_source(of._engine_fds[0], of._session.sources()[of._engine_fds[0]])
            of._session.sweep()

    def _gone(self) -> None:
        """The job is another node's: nothing of it is left here, and home hears nothing of that."""
        of = self._of
        if of._session is not None:
            of._session.close()
        of._pids.close()
        of._program.close()
        os._exit(0)

    # -- arriving ------------------------------------------------------------------------------

    def born(self, stub: int, birth: Birth) -> None:
        """What is to become the job waits."""
        self._door = birth.door
        self._say("built", f"{birth.door.fileno()} {birth.door_number}", stub)

    def _adopt(self, state: move.State) -> None:
        of = self._of
        self._state = state
        of._reads.adopt(state.next_ask, {one.fd: one.data for one in state.kept})
        around = of._stand_ins
        around.adopt(state.size, state.tostop, state.flow_stopped)
        for one in state.kept:
            around.set_readable(one.fd, one.readable)
        for fd, output in of._outputs.items():
            output.adopt(state.credit.get(str(fd), 0))
        of._pids.adopt(state)
        self._say("adopted")

    def _go(self, stopped: bool = False) -> None:
        of = self._of
        of._forks.catch_up()
        of._program.goes_on_here(stopped)
        if self._state is not None:
            of._pids.watch()
        if self._door is not None:
            self._door.close()
        pids: HomePids | None = of._spec.pids
        of._pids.program_name.begins(of._program.pid, pids)


def _inner_group(place: PidSpace, group: int) -> int:
    """A group's number inside; 0: no process of the namespace is in it."""
    depth = len(status_fields(place.init)["NSpid"].split()) - 1
    for pid in descendants():
        try:
            if os.getpgid(pid) == group:
                return int(status_fields(pid)["NSpgid"].split()[depth])
        except (OSError, KeyError, IndexError):
            continue
    return 0

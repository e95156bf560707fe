"""A job arrives at this node: its stub waits under a supervisor, and a mover makes it the job.

Owns the destination's phase (migration.phases) and carries out what the table says.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.daemon.move_side import MoveSide
from glunix.ids import StreamId
from glunix.msg import move
from glunix.msg.base import Body
from glunix.node.migration.mover import spawn_destination
from glunix.node.migration.talk import TALK
from migration.phases import Destination, Effect, Event

if TYPE_CHECKING:
    from glunix.daemon.transparent_job import TransparentJob

STATE_MAX = 64 * 1024 * 1024
"""Bytes of a supervisor's state."""


class Arriving(MoveSide):
    """One move. `live` is called with the program's pid when the job runs here; `dead` when it
    does not, and never will."""

    def __init__(
        self,
        loop: Loop,
        job: "TransparentJob",
        epoch: int,
        say: Callable[[str, str, int], None],
        taken: Callable[[int], None],
        live: Callable[[int, bool], None],
        dead: Callable[[], None],
    ) -> None:
        """`say` and `taken` send home."""
        super().__init__(loop, Destination.EMPTY, epoch)
        self._job = job
        self._say = say
        self._taken = taken
        self._live = live
        self._dead = dead
        self._mover: Link | None = None
        self._state = bytearray()
        self._stopped = self._adopted = False
        self._pid = 0
        self._effects = {
            Effect.BUILD: lambda: None,  # the job's launch does it
            Effect.FILL: lambda: self._say("built", "", 0),
            Effect.SAY_READY: lambda: self._say("ready", "", self._pid),
            Effect.RUN: self._run,
            Effect.END: self._end,
            Effect.SAY_ABORTED: lambda: self._say("aborted", self._why, 0),
        }
        self._event(Event.PREPARE)

    @property
    def is_live(self) -> bool:
        """Whether the job is here."""
        return self._side.phase is Destination.LIVE

    def order(self, what: str, epoch: int) -> None:
        """Of the home."""
        if epoch == self._side.epoch and what in ("go", "abort"):
            self._event(Event.GO if what == "go" else Event.ABORT)

    def piece(self, message: move.MovePiece) -> None:
        """Of the image."""
        if message.epoch != self._side.epoch or self._mover is None:
            return
        self._mover.send(TALK, move.Part(message.part, message.data))
        if message.part != "state":
            return
        if len(self._state) + len(message.data) > STATE_MAX:
            self._event(Event.FAILED, "the state of its supervisor is too large")
            return
        self._state += message.data
        if not message.data:
            state = move.state.decode(bytes(self._state))
            self._job.send(state)

    def failed(self, why: str) -> None:
        """It cannot be launched here, or its supervisor has ended."""
        self._event(Event.FAILED, why)

    def cut(self) -> None:
        """Home is gone."""
        self._event(Event.CUT, "home is gone")

    # -- supervisor and mover ------------------------------------------------------------------

    def supervisor_said(self, message: move.Said | move.State) -> None:
        """On the job's bridge."""
        if isinstance(message, move.State):
            return
        if message.what == "built":
            self._start_mover(message)
        elif message.what == "adopted":
            self._adopted = True
            self._maybe_ready()

    def _start_mover(self, built: move.Said) -> None:
        try:
            ours, theirs = map(int, built.text.split())
            owner = self._job.start.owner.uid
            pid, sock = spawn_destination(self._job.pid, built.pid, (ours, theirs), owner)
        except (OSError, ValueError) as error:
            self._event(Event.FAILED, f"no mover can be started: {error}")
            return
        self._job.spare(pid)
        self._mover = Link(self._mover_frame, self._mover_closed, "a mover")
        self._loop.adopt(sock, self._mover)
        self._event(Event.BUILT)

    def _mover_frame(self, link: Link, stream: StreamId, body: Body) -> None:
        message = move.from_mover.decode(body)
        if isinstance(message, move.Taken):
            self._taken(message.count)
        elif isinstance(message, move.Said) and message.what == "ready":
            self._pid, self._stopped = message.pid, message.text == "stopped"
            self._maybe_ready()
        elif isinstance(message, move.Said) and message.what in ("refused", "failed"):
            self._event(Event.FAILED, message.text)

    def _maybe_ready(self) -> None:
        if self._pid and self._adopted:
            self._event(Event.COMPLETE)

    def _mover_closed(self, link: Link, reason: str) -> None:
        self._mover = None
        if self._side.phase is not Destination.LIVE:
            self._event(Event.FAILED, "the mover was killed")
            self._event(Event.ABORT)  # of READY: nothing is left that could go on

    def _run(self) -> None:
        self._job.order("go-stopped" if self._stopped else "go")
        if self._mover is not None:
            self._mover.send(TALK, move.Order("go"))
        self._live(self._pid, self._stopped)

    def _end(self) -> None:
        if self._mover is not None:
            self._mover.send(TALK, move.Order("abort"))
        self._dead()

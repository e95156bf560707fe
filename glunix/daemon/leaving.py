"""A job leaves this node: orders of its home on one side, mover and supervisor on the other.

Owns the source's phase (migration.phases) and carries out what the table says. What the supervisor
sends after the job has left is withheld: a job that is frozen for good is killed here, and only the
decider knows whether that is its end.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.daemon.move_side import MoveSide
from glunix.ids import StreamId
from glunix.msg import move
from glunix.msg.base import Body
from glunix.msg.frame import CHUNK
from glunix.node.migration.mover import spawn_source
from glunix.node.migration.talk import TALK
from migration.phases import Effect, Event, Source

if TYPE_CHECKING:
    from glunix.daemon.transparent_job import TransparentJob


class Leaving(MoveSide):
    """One move; `over` is called at its end, with whether the job has gone."""

    def __init__(
        self,
        loop: Loop,
        job: "TransparentJob",
        root: int,
        epoch: int,
        say: Callable[[str, str], None],
        piece: Callable[[str, bytes], None],
        over: Callable[[bool], None],
    ) -> None:
        """`root`: the pid of the job's program; `say` and `piece` send home."""
        super().__init__(loop, Source.RUNNING, epoch)
        self._job = job
        self._root = root
        self._say = say
        self._piece = piece
        self._over = over
        self._mover: Link | None = None
        self.mover_pid = 0
        self._explains = self._collected = self._sent = self._is_over = False
        self._effects = {
            Effect.PROBE: self._probe,
            Effect.COPY: lambda: self._say("movable", ""),
            Effect.HOLD: lambda: self._job.order("hold"),
            Effect.FREEZE: lambda: self._order("freeze"),
            Effect.ARM: lambda: self._order("leave"),
            Effect.SAY_LEFT: lambda: None,  # when the mover has armed it: see `_mover_said`
            Effect.SAY_REFUSED: lambda: self._end("refused"),
            Effect.SAY_ABORTED: lambda: self._end("aborted"),
            Effect.RESUME: self._resume,
            Effect.END: self._end_tasks,
        }

    @property
    def withholds(self) -> bool:
        """Whether what the supervisor says may have to be forgotten."""
        return self._side.phase in (Source.LEFT, Source.GONE)

    def order(self, what: str, epoch: int) -> None:
        """Of the home."""
        if epoch != self._side.epoch:
            return
        if what == "still":
            self._job.order("still")
            return
        if what == "copy":
            self._order("copy")
            return
        self._explains |= what == "explain"
        events = {
            "ask": Event.ASK,
            "explain": Event.ASK,
            "hold": Event.CONVERGED,
            "gone": Event.GONE,
            "abort": Event.ABORT,
        }
        if what in events:
            self._event(events[what])

    def taken(self, count: int) -> None:
        """The destination takes more."""
        if self._mover is not None:
            self._mover.send(TALK, move.Taken(count))

    def cut(self) -> None:
        """Home is gone: so is the job, and the mover with it."""
        if self._mover is not None:
            self._mover.close("home is gone")

    # -- the mover -----------------------------------------------------------------------------

    def _probe(self) -> None:
        if os.geteuid():
            self._event(Event.REFUSED, "only root's daemons can move a job: they choose pids")
            return
        try:
            self.mover_pid, sock = spawn_source(self._root)
        except OSError as error:
            self._event(Event.REFUSED, f"no mover can be started: {error.strerror}")
            return
        self._job.spare(self.mover_pid)
        self._mover = Link(self._mover_frame, self._mover_closed, "a mover")
        self._loop.adopt(sock, self._mover)
        self._order("probe")

    def _order(self, what: str) -> None:
        if self._mover is not None:
            self._mover.send(TALK, move.Order(what))

    def _mover_frame(self, link: Link, stream: StreamId, body: Body) -> None:
        message = move.from_mover.decode(body)
        if isinstance(message, move.Part):
            self._piece(message.part, message.data)
        elif isinstance(message, move.Said):
            self._mover_said(message)

    def _mover_said(self, said: move.Said) -> None:
        match said.what:
            case "movable" if self._explains:
                self._say("movable", "")
                self._order("abort")
                self._over(False)
            case "movable":
                self._event(Event.MOVABLE)
            case "copied":
                self._say("copied", "")
            case "refused":
                self._event(Event.REFUSED, said.text)
            case "frozen":
                self._job.order("collect")
            case "sent":
                self._sent = True
                self._maybe_leave()
            case "left":
                self._say("left", "")
            case "committed":
                self._is_committed()
            case "failed":
                self._event(Event.FAILED, said.text)
            case "aborted":
                self._job.order("resume")
                self._event(Event.FAILED, "the mover gave up")

    def _end_tasks(self) -> None:
        if self._mover is None:
            self._is_committed()
        else:
            self._order("commit")

    def _is_committed(self) -> None:
        """Nothing of the job is here any more: it has gone, or is lost."""
        if self._is_over:
            return
        self._is_over = True
        gone = self._side.phase is Source.GONE
        self._over(gone)
        if gone:
            self._job.go_away()
        else:
            self._job.order("resume")

    def _maybe_leave(self) -> None:
        if self._sent and self._collected:
            self._event(Event.SENT)

    def _mover_closed(self, link: Link, reason: str) -> None:
        """Before it has left the job goes on by itself; afterwards the decider says what is."""
        self._mover = None
        if self._side.phase in (Source.GONE, Source.KILLED):
            self._is_committed()
        elif self._side.phase is not Source.LEFT:
            self._event(Event.FAILED, "the mover was killed")

    # -- the supervisor ------------------------------------------------------------------------

    def supervisor_said(self, message: move.Said | move.State) -> None:
        """On the job's bridge."""
        if isinstance(message, move.State):
            data = move.encode_state(message)
            for at in range(0, len(data), CHUNK):
                self._piece("state", data[at : at + CHUNK])
            self._piece("state", b"")
            self._collected = True
            self._maybe_leave()
        elif message.what == "held":
            self._say("quiet", "")
        elif message.what == "still":
            self._event(Event.QUIET)
        else:
            self._event(Event.FAILED, message.text)

    def _resume(self) -> None:
        """The mover lets it go on first; if there is none it does so already."""
        if self._mover is None:
            self._job.order("resume")
        else:
            self._order("abort")

    def _end(self, said: str) -> None:
        self._say(said, self._why)
        self._order("abort")
        self._over(False)

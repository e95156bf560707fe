"""A job of this home moves from one node to another: the decider (migration.phases.Decider).

Owns the order of things between the two nodes and the startup, and the one decision. The job dies
with this daemon anyway, so a lost decider keeps nobody waiting. Pieces of the image are passed on
undecoded, as far as the destination has taken earlier ones.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from glunix.comm.loop import Loop
from glunix.daemon.peers import PeerLink
from glunix.ids import StreamId
from glunix.msg import move, peer
from glunix.msg.base import Body
from glunix.msg.stream import Restore, Start
from migration.phases import Decider, Decision, Effect

if TYPE_CHECKING:
    from glunix.daemon.stream_relay import StreamRelay

PREPARE_WITHIN = 30.0
"""Seconds until source and destination are ready to freeze. Each has shorter deadlines."""

COPY_WITHIN = 130.0
"""The same while memory is copied and the job runs."""

FREEZE_WITHIN = 180.0
"""The same until one of them says that it is done: the image has to travel."""

_REPORTS = {
    "left": Effect.SAY_LEFT,
    "ready": Effect.SAY_READY,
    "refused": Effect.SAY_REFUSED,
    "aborted": Effect.SAY_ABORTED,
}


class Handover:
    """One move. `step` is told how far it is; `done` its end: the node (empty: it stays where it
    is), the program's pid there, and why."""

    def __init__(
        self,
        loop: Loop,
        join: "StreamRelay",
        start: Start,
        epoch: int,
        dial: Callable[[Callable[[PeerLink | None, str], None]], None] | None,
        step: Callable[[str], None],
        done: Callable[[bool, int, str], None],
    ) -> None:
        """`dial` has a link to the destination; None: only ask whether the job could move."""
        self._loop = loop
        self._join = join
        self._start = start
        self._decider = Decider(epoch)
        self._dial = dial
        self._step = step
        self._done = done
        self._over = self._left = self._committed = False
        self._lost = ""
        """Why the source is gone, after it had left."""
        self._pid = 0
        self._destination: tuple[PeerLink, StreamId] | None = None
        self._late = loop.call_later(PREPARE_WITHIN, self._abort, "it takes too long")
        join.move = self
        self._to_source("explain" if dial is None else "ask")

    # -- orders --------------------------------------------------------------------------------

    def _to_source(self, order: str) -> None:
        end = self._join.end
        if end is not None:
            mate, stream = end
            mate.say(move.MoveOrder(stream, self._decider.epoch, order))  # type: ignore[arg-type]

    def _to_destination(self, order: str) -> None:
        if self._destination is not None:
            mate, stream = self._destination
            mate.say(move.MoveOrder(stream, self._decider.epoch, order))  # type: ignore[arg-type]

    # -- the source ----------------------------------------------------------------------------

    def source_says(self, message: peer.Moving) -> None:
        """The node that the job is on."""
        if self._over or message.epoch != self._decider.epoch:
            return
        if isinstance(message, move.MovePiece):
            if self._destination is not None:
                mate, stream = self._destination
                mate.say(move.MovePiece(stream, message.epoch, message.part, message.data))
        elif isinstance(message, move.MoveSaid):
            self._source_said(message)

    def _source_said(self, said: move.MoveSaid) -> None:
        if said.said in ("movable", "copied", "quiet", "left"):
            self._step(said.said)
        if said.said == "movable":
            if self._dial is None:
                self._finish(False, 0, "")
            else:
                self._dial(self._dialled)
        elif said.said == "copied":
            self._rearm(PREPARE_WITHIN)
            self._to_source("hold")
        elif said.said == "quiet":
            if not self._join.be_still():
                self._abort("what the startup sent is still under way (may pass)")
                return
            self._rearm(FREEZE_WITHIN)
            self._to_source("still")
        elif said.said in _REPORTS:
            self._left |= said.said == "left"
            self._report(_REPORTS[said.said], said.text)

    def source_lost(self, why: str) -> bool:
        """The stream is over. True: the job lives, because it had left; `why` empty: it has ended
        by itself."""
        if self._over:
            return False
        if not why or not self._left:
            self._abort(why or "it has ended")
            return False
        self._lost = why
        decision = self._decider.lost(True, self._loop.now())
        if decision is not Decision.WAIT:
            self._lost = ""
            self._decide(decision, why)
            return self._committed
        return True

    # -- the destination -----------------------------------------------------------------------

    def _dialled(self, mate: PeerLink | None, reason: str) -> None:
        if self._over:
            return
        if mate is None:
            self._abort(reason)
            return
        epoch = self._decider.epoch
        self._destination = mate, mate.open(self, Restore(self._start, epoch))

    def opened(self) -> None:
        """Never: nodes open no streams to a home (peers.Route)."""

    def frame(self, body: Body) -> None:
        """A job that has not arrived says nothing; a refusal ends the stream."""

    def moving(self, message: peer.Moving) -> None:
        """The destination says."""
        if self._over or message.epoch != self._decider.epoch:
            return
        if isinstance(message, move.MoveTaken):
            end = self._join.end
            if end is not None:
                end[0].say(move.MoveTaken(end[1], message.epoch, message.count))
        elif isinstance(message, move.MoveSaid):
            if message.said == "built":
                self._step("built")
                self._rearm(COPY_WITHIN)
                self._to_source("copy")
            elif message.said in _REPORTS:
                self._pid = message.pid
                if message.said == "ready":
                    self._step("ready")
                self._report(_REPORTS[message.said], message.text)

    def closed(self, text: str, lost: bool) -> None:
        """The destination is gone, or has given the stream up."""
        if not self._over:
            why = text or "the destination gave up"
            self._decide(self._decider.lost(False, self._loop.now()), why)

    # -- the decision --------------------------------------------------------------------------

    def _report(self, effect: Effect, why: str) -> None:
        self._decide(self._decider.report(effect, self._decider.epoch, self._loop.now()), why)
        if not self._over and self._decider.due is not None:
            self._rearm(self._decider.due - self._loop.now())

    def _rearm(self, seconds: float) -> None:
        self._late.cancel()
        why = "no answer in time"
        self._late = self._loop.call_later(max(seconds, 0.0), self._abort, why)

    def _decide(self, decision: Decision, why: str) -> None:
        if self._over or decision is Decision.WAIT:
            return
        if decision is Decision.COMMIT:
            self._commit()
        else:
            self._abort(why)

    def _commit(self) -> None:
        """Once, for good: from here on the source is never told to go on."""
        assert self._destination is not None
        self._committed = True
        old = self._join.end
        if old is not None:
            self._to_source("gone")
            old[0].routes.pop(old[1], None)  # what it may still say is of no job
        mate, stream = self._destination
        self._to_destination("go")
        mate.routes[stream] = self._join
        self._finish(True, self._pid, "")
        self._join.go_on(self._destination)

    def _abort(self, why: str) -> None:
        if self._over:
            return
        self._decider.decided = Decision.ABORT
        self._to_destination("abort")
        if self._destination is not None:
            mate, stream = self._destination
            mate.close_stream(stream, why)
        self._to_source("abort")
        self._finish(False, 0, why or "it was given up")
        if self._lost:
            self._join.lost(self._lost)
        else:
            self._join.go_on()

    def _finish(self, moved: bool, pid: int, why: str) -> None:
        self._over = True
        self._late.cancel()
        self._join.move = None
        self._done(moved, pid, why)

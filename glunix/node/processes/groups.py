"""setpgid, setsid and tcsetpgrp of a transparent job: made at home first, by the shadow.

So a process and its shadow are in groups and sessions of the same numbers, and what home's kernel
sends to a group (^C, SIGTTIN, kill -PGID) reaches the shadows of its members. The kernel here has
the last word about every call; home is only told what is about to be.

Numbers are home's and the job's own, except where said.
"""

import os
from collections.abc import Callable
from signal import SIGTTOU

from glunix.msg.base import Message
from glunix.msg.shadows import ShadowMove, ShadowMoved
from glunix.node.calls.reads import Calls
from glunix.node.descriptors.standins import StandIns
from glunix.node.dispatch import Handlers, Questions
from glunix.node.processes.pid_allocator import PidAllocator
from glunix.node.reactor import Reactor
from slic.interposers.home.groups import Move, MoveShadow

PATIENCE = 3.0
"""Seconds that a call waits for home: a shadow may have been stopped by somebody."""

_TTY = os.makedev(5, 0)
"""/dev/tty: the controlling terminal (tty(4))."""


class JobGroups:
    """Does nothing until `open`."""

    def __init__(
        self, numbers: PidAllocator, send: Callable[[Message], None], calls: Calls, reactor: Reactor
    ) -> None:
        self._numbers = numbers
        self._send = send
        self._calls = calls
        self._reactor = reactor
        self._stand_ins: StandIns | None = None
        self._device = 0
        self._next = 1
        self._asked: dict[int, int] = {}
        """ask -> the call that waits."""
        self._followed: dict[int, int] = {}
        """ask for which no call waits -> whose shadow moves."""
        self._after: dict[int, list[ShadowMove]] = {}
        """Process whose shadow moves so -> what is to be done with it then."""

    def open(self, stand_ins: StandIns) -> None:
        """The job has home's numbers. `stand_ins` has its terminal."""
        self._stand_ins = stand_ins
        if stand_ins.slave >= 0:
            self._device = os.fstat(stand_ins.slave).st_rdev

    def handlers(self) -> Handlers:
        """Which method takes which answer of home's."""
        return {ShadowMoved: self.done}

    def questions(self) -> Questions:
        """Which method takes which question of an interposer's."""
        return {MoveShadow: self._ask}

    def _ask(self, call: int, question: MoveShadow, tid: int) -> None:
        """A process (pid `tid` of the node) is about to move."""
        self._numbers.catch_up()  # it was forked somewhere first
        moved = self._message(question, tid)
        if moved is None:
            self._calls.answer(call, None)
            return
        self._asked[moved.ask] = call
        self._begin(moved)

    def follow(self, number: int, group: int, tid: int) -> None:
        """A process has begun in this group. It does not wait for its shadow, but what it does next
        about groups and sessions does."""
        moved = self._message(MoveShadow(Move.GROUP, number, group), tid)
        if moved is not None:
            self._followed[moved.ask] = moved.pid
            self._begin(moved)
            self._after.setdefault(moved.pid, [])

    def _begin(self, moved: ShadowMove) -> None:
        self._next = moved.ask % 0xFFFFFFFF + 1
        if moved.pid in self._after:
            self._after[moved.pid].append(moved)
        else:
            self._send(moved)
        self._reactor.call_later(PATIENCE, self.done, ShadowMoved(moved.ask, 0))

    def _message(self, question: MoveShadow, tid: int) -> ShadowMove | None:
        """What home is to do; None: nothing."""
        if self._stand_ins is None or not self._numbers.can_move:
            return None
        if question.move is Move.FOREGROUND:
            self._numbers.look()  # a shell that does this has often seen a stop, or will end one
            return self._foreground(question, tid)
        caller, session = self._numbers.number_and_session(tid)
        pid = question.pid or caller
        if question.move is Move.GROUP:  # whose caller is in the same session (setpgid(2))
            move = ShadowMove(self._next, pid, question.group or pid, session)
            self._numbers.moved(pid, move.group, session)
        else:
            move = ShadowMove(self._next, pid, 0)
            self._numbers.moved(pid, pid, pid)
        return move if self._numbers.has_shadow(pid) else None

    def _foreground(self, question: MoveShadow, tid: int) -> ShadowMove | None:
        around = self._stand_ins
        if around is None or self._device == 0 or question.device not in (self._device, _TTY):
            return None
        if question.device == _TTY and not around.is_terminal_of(tid):
            return None
        if around.in_background(tid) and not self._calls.immune(tid, SIGTTOU):
            return None  # the kernel here stops it
        return ShadowMove(self._next, 0, question.group)

    @property
    def is_busy(self) -> bool:
        """Whether home has not answered something."""
        return bool(self._asked)

    def numbers_are_homes(self, tid: int) -> bool:
        """Whether home's foreground group is this thread's terminal's, by the same number."""
        around = self._stand_ins
        return around is not None and self._numbers.can_move and around.is_terminal_of(tid)

    def done(self, message: ShadowMoved) -> None:
        """Home has done it, or could not."""
        if (moved := self._followed.pop(message.ask, 0)) and moved in self._after:
            for waiting in self._after.pop(moved):
                self._send(waiting)
        call = self._asked.pop(message.ask, None)
        if call is not None:
            self._calls.answer(call, None)

    def cancelled(self, call: int) -> None:
        """The call is gone."""
        for ask in [ask for ask, other in self._asked.items() if other == call]:
            del self._asked[ask]

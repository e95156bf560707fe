"""Which of the node's halves answers a question of an interposer, and when it may go home.

Owns the questions that wait for output: what the program wrote before a question is sent before it
(DESIGN 5). They are answered by .reads, .files, and
glunix.node.processes.groups.
"""

import termios
from collections.abc import Callable, Mapping
from signal import SIGTTOU

from glunix.node.calls.files import HomeFiles
from glunix.node.calls.reads import Calls, ForwardedReads
from glunix.node.calls.stats import CallStats
from glunix.node.descriptors.standins import StandIns
from glunix.node.output.channel import Output
from glunix.node.output.write_budget import WriteBudget
from glunix.node.processes.groups import JobGroups
from slic.interposers.home.descriptors import IoctlHome, Native, PagesHome, ReadHome, SeekHome
from slic.interposers.home.groups import MoveShadow
from slic.interposers.home.ioctls import STOPPING_IOCTLS, TCFLSH, TCXONC, TIOCGPGRP
from slic.interposers.home.questions import CallHome, HavePlace, MayStream, RaiseSignal
from slic.tracee import Tracee

_ON_A_DESCRIPTOR = ReadHome | IoctlHome | PagesHome
_ON_A_FILE = ReadHome | SeekHome | CallHome | MayStream


class CallRouter:
    """`outputs` are the job's channels, which come with the program; so do `stand_ins`."""

    stand_ins: StandIns

    def __init__(
        self,
        calls: Calls,
        reads: ForwardedReads,
        groups: JobGroups,
        outputs: Mapping[int, Output],
        stats: CallStats | None,
        stops: Callable[[], object],
    ) -> None:
        """`stops` is called when some process is about to be stopped."""
        self._calls = calls
        self._reads = reads
        self._groups = groups
        self._outputs = outputs
        self._stats = stats
        self._stops = stops
        self.home_files: HomeFiles | None = None
        self.budget = WriteBudget()
        self._deferred: list[tuple[int, object, int, bool]] = []
        """Questions after output that home has not taken: `_put`'s arguments."""

    def ask(self, call_id: int, question: object, tracee: Tracee) -> None:
        """A handler asks."""
        if isinstance(question, MoveShadow):
            self._groups.ask(call_id, question, tracee.tid)
            return
        if self._reads.knows(call_id, question):
            return
        if self._stats is not None:
            self._stats.asked(call_id, question)
        around = self.stand_ins
        tid, may_write = tracee.tid, False
        if isinstance(question, _ON_A_DESCRIPTOR) and question.fd == around.terminal_fd:
            if _is_of(question, TIOCGPGRP) and not self._groups.numbers_are_homes(tid):
                self._calls.answer(call_id, Native())
                return
            if isinstance(question, IoctlHome):
                may_write = question.command in STOPPING_IOCTLS and self._calls.immune(tid, SIGTTOU)
            if not may_write and _is_natives(question) and around.in_background(tid):
                self._calls.answer(call_id, Native())
                self._stops()  # the kernel here does it
                return
        if _drops_output(question):
            around.drop_output()
        elif not self._has_gone(question) and not _is_of(question, *_AT_ONCE):
            self._deferred.append((call_id, question, tid, may_write))
            return
        self._put(call_id, question, tid, may_write)

    def _has_gone(self, question: object) -> bool:
        """Whether home was sent what was written before; False: it has to take some of it."""
        around = self.stand_ins
        channels: list[int] = []
        if isinstance(question, _ON_A_DESCRIPTOR) and question.fd == around.terminal_fd:
            channels = [around.terminal_channel]
        elif around.files and isinstance(question, _ON_A_FILE):
            streams = isinstance(question, MayStream)
            channels = [fd for fd in around.files if not streams or fd != question.fd]
        gone = [self._outputs[channel].drain() for channel in channels]  # of all, come what may
        return all(gone)

    def _put(self, call_id: int, question: object, tid: int, may_write: bool) -> None:
        if isinstance(question, MayStream):
            self._calls.answer(call_id, self.budget.take(question.fd, question.count, tid))
        elif (
            isinstance(question, CallHome | HavePlace | RaiseSignal) and self.home_files is not None
        ):
            self.home_files.ask(call_id, question, tid)
        else:
            self._reads.ask(call_id, question, tid, may_write)

    def ask_deferred(self) -> None:
        """Home took more output: questions that were made after it can go."""
        while self._deferred and self._has_gone(self._deferred[0][1]):
            self._put(*self._deferred.pop(0))

    def cancelled(self, call_id: int) -> None:
        """A call that asked is gone."""
        self._deferred = [held for held in self._deferred if held[0] != call_id]
        self._reads.cancelled(call_id)
        self._groups.cancelled(call_id)
        if self._stats is not None:
            self._stats.answered(call_id, None)
        if self.home_files is not None:
            self.home_files.cancelled(call_id)


_AT_ONCE = TCXONC, TIOCGPGRP
"""Output may be waiting for just the first (tcflow(3)); the second has nothing to do with it."""


def _is_of(question: object, *commands: int) -> bool:
    return isinstance(question, IoctlHome) and question.command in commands


def _drops_output(question: object) -> bool:
    """Whether this throws away what was written: then nothing waits for it (tcflush(3))."""
    return (
        isinstance(question, IoctlHome)
        and question.command == TCFLSH
        and question.argument in (termios.TCOFLUSH, termios.TCIOFLUSH)
    )


def _is_natives(question: object) -> bool:
    stops = isinstance(question, IoctlHome) and question.command in STOPPING_IOCTLS
    return stops or isinstance(question, ReadHome)

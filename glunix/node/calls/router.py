"""Which of the node's halves answers a question of an interposer, and when it may go home.

Owns the questions that wait for output: what the program wrote before a question is sent before it
(DESIGN 5). They are answered by .reads, .files, and
glunix.node.processes.groups.
"""

import termios
from collections.abc import Callable, Mapping
from signal import SIGTTOU

from glunix.msg import stream
from glunix.node.calls.files import HomeFiles
from glunix.node.calls.reads import Calls, ForwardedReads
from glunix.node.calls.stats import CallStats
from glunix.node.descriptors.standins import StandIns
from glunix.node.dispatch import Handlers, Questions
from glunix.node.output.channel import Output
from glunix.node.output.write_budget import WriteBudget
from glunix.node.processes.groups import JobGroups
from slic.interposers.home.descriptors import IoctlHome, Native, PagesHome, ReadHome, SeekHome
from slic.interposers.home.groups import MoveShadow
from slic.interposers.home.ioctls import STOPPING_IOCTLS, TCFLSH, TCXONC, TIOCGPGRP
from slic.interposers.home.questions import CallHome, MayStream
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
        self._questions: dict[type, Callable[..., None]] = {
            **reads.questions(),
            **groups.questions(),
            **self.questions(),
        }
        self._deferred: list[tuple[int, object, int, bool]] = []
        """Questions after output that home has not taken: `_put`'s arguments."""

    def questions(self) -> Questions:
        """Which method takes which question of an interposer's, of this part."""
        return {MayStream: self._may_stream}

    def handlers(self) -> Handlers:
        """Which method takes which message of home's about output and readiness."""
        return {
            stream.Credit: self._credit,
            stream.Flow: self._flow,
            stream.Ready: self._ready,
            stream.Refuse: self._refuse,
            stream.Unwritten: self._unwritten,
        }

    def serve_files(self, files: HomeFiles) -> None:
        """The job may speak of home's files from now on."""
        self.home_files = files
        self._questions.update(files.questions())

    def ask(self, call_id: int, question: object, tracee: Tracee) -> None:
        """A handler asks."""
        if isinstance(question, MoveShadow):
            self._put(call_id, question, tracee.tid, False)
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
        handler = self._questions.get(type(question))
        if handler is None:
            raise TypeError(f"nobody answers {question!r}")
        if may_write:  # an ioctl of the terminal's
            handler(call_id, question, tid, may_write)
        else:
            handler(call_id, question, tid)

    def _may_stream(self, call: int, question: MayStream, tid: int) -> None:
        self._calls.answer(call, self.budget.take(question.fd, question.count, tid))

    # -- what home says of output and readiness ------------------------------------------------

    def _ready(self, message: stream.Ready) -> None:
        around = self.stand_ins
        if message.hung_up:
            around.hang_up()
            self._outputs[around.terminal_channel].close()
            self.ask_deferred()
        if message.readable:  # who waits in a read first: it is one journey more for it
            self._reads.retry(message.fd)
        around.set_readable(message.fd, message.readable)
        if self.home_files is not None:
            self.home_files.set_readable(message.fd, message.readable)

    def _flow(self, message: stream.Flow) -> None:
        self.stand_ins.set_flow(message.stopped)

    def _credit(self, message: stream.Credit) -> None:
        if message.fd in self._outputs:  # one opened once more may have ended
            self._outputs[message.fd].credit(message.count)
        self.ask_deferred()

    def _unwritten(self, message: stream.Unwritten) -> None:
        self.budget.failed(message.fd)

    def _refuse(self, message: stream.Refuse) -> None:
        if message.fd in self._outputs:
            self._outputs[message.fd].close()
        self.ask_deferred()

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

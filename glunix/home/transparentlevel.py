"""A transparent job's side of its startup (DESIGN 5): the contract is glunix.home.level.

Owns what stands between the loop and the parts of home's half: its shadow, the supervisor's own
line, the calls that are made here (glunix.home.transparent). The program's shadow, not this
process, is what the shell knows: it is stopped, continued and ended in our place.
"""

from __future__ import annotations

import _signal
import select

from glunix import config
from glunix.home.calls.dispatch import CallDispatch
from glunix.home.transparent import HomeCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.errors import NotRunning
    from glunix.home.jobview import ProcessView
    from glunix.home.level import Handlers, Way
    from glunix.home.processes.root_shadow import HomeHalf
    from glunix.home.startup import Startup
    from glunix.home.submit import Opening
    from glunix.home.wire import Value

LOOK = 0.5
"""Seconds until our shadow is looked at again: it may have been stopped (processes.root_shadow)."""


class Transparent:
    """See glunix.home.level.Level."""

    def __init__(self, startup: Startup, opening: Opening, half: HomeHalf) -> None:
        self._startup = startup
        self._half = half
        self._tty = startup.tty
        self._line = opening.line
        self._inherited = opening.standard + opening.inherited
        self._checked_writes = opening.checked_writes
        self.signals = half.signals
        self.way: Way = startup.link if opening.line is None else opening.line
        self._calls: HomeCalls | None = None
        self._dispatch: CallDispatch | None = None
        self._written: dict[int, int] | None = None
        """What is to be written before the shadow of an outlived job may end."""

    # -- the loop ------------------------------------------------------------------------------

    def begin(self) -> None:
        """See Level."""
        startup = self._startup
        given = (startup.job.streams[0], startup.send, startup.send_data)
        calls = HomeCalls(self._tty, *given, startup.options, self._inherited, self._half)
        self._calls = calls
        calls.before_end = self._hear_shadow
        calls.begin()
        self._dispatch = CallDispatch(calls, startup.outputs)
        startup.outputs.open(
            startup.job, self._tty, calls.answers, self._inherited, self._checked_writes
        )
        self._half.catch()

    def fds(self) -> dict[int, int]:
        """See Level."""
        half, line, calls, come = self._half, self._line, self._calls, select.POLLIN
        wanted = {} if half.is_alone else {half.fileno(): come}
        if calls is None:
            return wanted
        if line is not None and line.fileno() >= 0:
            wanted[line.fileno()] = come | (select.POLLOUT if line.blocked else 0)
        if calls.wants():
            wanted[calls.fileno()] = come
        return wanted

    def waits(self) -> list[float]:
        """See Level."""
        waits = [] if self._dispatch is None else self._dispatch.waits()
        waits += [] if self._line is None else self._line.patience()
        return waits if self._half.is_alone else [*waits, LOOK]

    def before_turn(self) -> None:
        """See Level."""
        if not self._half.is_alone and self._startup.job.outlived():
            self._part()

    def look(self, ready: set[int]) -> None:
        """See Level."""
        half = self._half
        if half.is_alone:
            return
        if self._calls is None:
            if half.fileno() in ready:
                half.die(_signal.SIGKILL)  # as our shadow was
        elif half.fileno() in ready and half.is_gone():
            self._lost_shadow()
        elif half.take_newly_stopped():
            self._startup.signal_job(_signal.SIGSTOP, alone=True)

    def receive(self, ready: set[int]) -> None:
        """See Level."""
        calls = self._calls
        if calls is not None and calls.wants() and calls.fileno() in ready:
            calls.read()
        if self._line is not None and self._line.fileno() in ready:
            self._take_line(settles=False)

    def turned(self) -> None:
        """See Level."""
        if self._line is not None:
            self._line.check(self._startup.job.over())
        if self._dispatch is not None:
            self._dispatch.turn()

    # -- messages ------------------------------------------------------------------------------

    def before_send(self) -> None:
        """See Level."""
        if self._calls is not None and self._calls.modes is not None:
            self._calls.modes.look()

    def before_daemon(self) -> None:
        """See Level. What the supervisor said on its own line it said before."""
        self._take_line(settles=True)

    def _take_line(self, settles: bool) -> None:
        stream = self._startup.job.streams[0]
        while self._line is not None and (messages := self._line.receive(settles)):
            for message in messages:
                self._startup.take_stream(stream, message)
            if self._line.dry:
                return

    def take(self, stream: int, tag: str, fields: list[Value]) -> bool:
        """See Level."""
        return self._dispatch is not None and self._dispatch.take(tag, fields)

    def events(self) -> Handlers:
        """See Level."""
        return {"rootexited": self._root_exited}

    def lost(self, why: str) -> None:
        """See Level."""
        if self._tty is not None:
            self._tty.undo()
        self._startup.complain(why)
        self._startup.job.lost(config.exit_error(), _signal.SIGKILL)

    def lost_way(self, error: NotRunning) -> None:
        """See Level."""
        self.lost(str(error))

    # -- processes -----------------------------------------------------------------------------

    def continued(self) -> None:
        """See Level."""
        self._half.free()
        self.hear([])
        self._look_again()

    def exited(self, orphaned: bool) -> None:
        """See Level."""
        if self._calls is not None:
            self._calls.maybe_over(self._startup.job)
        if orphaned and self._tty is not None:
            self._tty.undo()

    def _root_exited(
        self, process: ProcessView, code: int, signal: int, core: bool = False
    ) -> None:
        self._startup.job.parted(process, code, signal)
        if self._half.is_alone:
            if self._tty is not None:
                self._tty.undo_late()  # what it did while it was being killed
            self._look_again()  # not before: nothing goes ahead to what is being killed

    def _part(self) -> None:
        """The program has ended, and so does its shadow once all that was written is written."""
        startup = self._startup
        if self._written is None:
            self._written = startup.outputs.mark()
        if startup.outputs.reached(self._written):
            self.leave_terminal()
            if self._line is not None:
                self._line.flush()
            startup.show_stats()
            self._half.end(startup.own_status(), startup.job.killed_by, alone=True)
            startup.outputs.go_on_alone()
            self._look_again()

    def _lost_shadow(self) -> None:
        """Somebody killed it: so ends the program, as it would at home, and nothing else."""
        startup = self._startup
        self._half.go_on_alone()
        if self._tty is not None:
            self._tty.undo_late()
            startup.send(0, ["tty", False])
        startup.outputs.go_on_alone()
        for process in startup.job.live():
            startup.send(process.stream, ["signal", _signal.SIGKILL, process.vnn])
        startup.must_start_or_end(_signal.SIGKILL)

    # -- signals -------------------------------------------------------------------------------

    def hear(self, numbers: list[int]) -> None:
        """See Level. Our shadow has got these; and may have gone on before."""
        if self._half.goes_on(bool(numbers)):
            self._goes_on(numbers)
        else:
            for number in numbers:
                self._startup.signal(number)

    def _hear_shadow(self) -> None:
        """What ended our input (^C for all of a pipeline) may have been for our shadow, too."""
        self.hear(self._half.settled())

    def _goes_on(self, heard: list[int]) -> None:
        """Our shadow does, because somebody at home wants it, or because the program does."""
        half, startup = self._half, self._startup
        by_home = not half.take_freed()
        if by_home:
            startup.job.goes_on()
        self._look_again()
        come = heard + half.settled()
        if by_home and _signal.SIGCONT not in come:
            # Ignored, or a stop that came at once took it back; else we pass on what it caught.
            startup.signal_job(_signal.SIGCONT)
        for number in come:
            startup.signal(number)
        half.swallows()  # or such a stop took ours back
        startup.outputs.release()

    def swallows(self, number: int) -> bool:
        """See Level."""
        return number == _signal.SIGCONT and self._half.swallows()

    def passed_on(self, number: int) -> int:
        """See Level."""
        return number

    @property
    def signals_program_alone(self) -> bool:
        """See Level. Processes that the program forked have shadows of their own."""
        return self._calls is not None and self._calls.has_shadows

    def before_signal(self) -> None:
        """See Level."""
        if self._calls is not None:
            self._calls.look_ahead(end=False)

    def after_signal(self) -> None:
        """See Level."""
        if self._calls is not None:
            self._calls.look_ahead()

    def woken(self) -> None:
        """See Level."""
        if self._half.is_alone:
            self._startup.outputs.release()
            self._look_again()

    def stop(self, number: int) -> bool:
        """See Level."""
        return self._half.stop(number)

    def die(self, number: int) -> None:
        """See Level."""
        self.leave_terminal()
        self._half.die(number)

    def end(self) -> None:
        """See Level."""
        if self._startup.job.killed_by:
            self._half.end(0, self._startup.job.killed_by, alone=False)  # so that the shell says so

    # -- the terminal --------------------------------------------------------------------------

    def _look_again(self) -> None:
        if self._calls is not None:
            self._calls.look_again()

    def enter_terminal(self) -> None:
        """See Level. Its modes stay home's until the job changes them."""

    def leave_terminal(self) -> None:
        """See Level."""
        startup, tty = self._startup, self._tty
        if tty is not None:
            tty.leave(startup.is_placed and (startup.job.over() or startup.job.outlived()))
            startup.send(0, ["tty", False])  # the modes it leaves are its own, as at home

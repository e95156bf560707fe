"""A transparent job's side of its startup (DESIGN 5): the contract is glunix.home.level.

Owns what stands between the loop and the parts of home's half: its shadow, the supervisor's own
line, the calls that are made here (glunix.home.transparent). The program's shadow, not this
process, is what the shell knows: it is stopped, continued and ended in our place.
"""

from __future__ import annotations

import _signal
import select
import time

from glunix import config
from glunix.home.calls.dispatch import CallDispatch
from glunix.home.processes import lifecycle
from glunix.home.transparent import HomeCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.errors import NotRunning
    from glunix.home.jobview import ProcessView
    from glunix.home.level import Handlers, Way
    from glunix.home.processes.root_shadow import HomeHalf, Performers
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
        self._life = half.life
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
        self._performers = half.performers() | self._own_performers()

    # -- the life of the job -------------------------------------------------------------------

    def _happens(self, name: str, *fields: object) -> None:
        """An event of the job's life: what follows from it is done, in order."""
        for effect, *given in self._life.handle((name, *fields), time.monotonic()):
            self._performers[effect](*given)

    def _own_performers(self) -> Performers:
        """What performs the effects that are not the shadow's (glunix.home.processes.lifecycle)."""
        startup = self._startup
        return {
            lifecycle.ASK_SHADOW: self._ask_shadow,
            lifecycle.CONTINUE_JOB: lambda: startup.signal_job(_signal.SIGCONT),
            lifecycle.DROP_INPUT: self._drop_input,
            lifecycle.FLUSH_LINE: self._flush_line,
            lifecycle.JOB_GOES_ON: lambda: startup.job.goes_on(),
            lifecycle.KILL_PROGRAM: self._kill_program,
            lifecycle.LEAVE_TERMINAL: self.leave_terminal,
            lifecycle.LOOK_AGAIN: self._look_again,
            lifecycle.LOOK_AT_SHADOW: lambda: self.hear([]),
            lifecycle.OUTPUTS_ALONE: startup.outputs.go_on_alone,
            lifecycle.RELEASE: startup.outputs.release,
            lifecycle.SHOW_STATS: startup.show_stats,
            lifecycle.SIGNAL: startup.pass_on,
            lifecycle.STOP_PROGRAM: lambda: startup.signal_job(_signal.SIGSTOP, alone=True),
            lifecycle.TERMINAL_FREE: self._free_terminal,
            lifecycle.UNDO_MODES: self._undo_modes,
            lifecycle.UNDO_MODES_LATE: self._undo_modes_late,
        }

    def _note_end(self) -> None:
        """However it came about that nothing of the job lives, what comes now finds it so."""
        if not self._startup.job.live():
            self._happens(lifecycle.LOST)

    def _ask_shadow(self, answer: str, before: list[int]) -> None:
        self._happens(answer, before + self._half.settled())

    def _drop_input(self) -> None:
        if self._calls is not None:
            self._calls.maybe_over(self._startup.job)

    def _flush_line(self) -> None:
        if self._line is not None:
            self._line.flush()

    def _kill_program(self) -> None:
        """Its shadow was killed: so ends the program, as it would at home, and nothing else."""
        startup = self._startup
        for process in startup.job.live():
            startup.send(process.stream, ["signal", _signal.SIGKILL, process.vnn])
        startup.must_start_or_end(_signal.SIGKILL)

    def _free_terminal(self) -> None:
        if self._tty is not None:
            self._startup.send(0, ["tty", False])

    def _undo_modes(self) -> None:
        if self._tty is not None:
            self._tty.undo()

    def _undo_modes_late(self) -> None:
        if self._tty is not None:
            self._tty.undo_late()

    # -- the loop ------------------------------------------------------------------------------

    def begin(self) -> None:
        """See Level."""
        startup = self._startup
        given = (startup.job.streams[0], startup.send, startup.send_data)
        calls = HomeCalls(self._tty, *given, startup.options, self._inherited, self._half)
        self._calls = calls
        self._happens(lifecycle.PLACED, _signal.getsignal(_signal.SIGCONT) != _signal.SIG_IGN)
        calls.before_end = self._hear_shadow
        calls.begin()
        self._dispatch = CallDispatch(calls, startup.outputs)
        startup.outputs.open(
            startup.job, self._tty, calls.answers, self._inherited, self._checked_writes
        )
        self._half.catch()

    def fds(self) -> dict[int, int]:
        """See Level."""
        line, calls, come = self._line, self._calls, select.POLLIN
        wanted = {} if self._life.is_alone else {self._half.fileno(): come}
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
        return waits if self._life.is_alone else [*waits, LOOK]

    def before_turn(self) -> None:
        """See Level."""
        if not self._life.is_parting:
            return
        startup = self._startup
        if self._written is None:
            self._written = startup.outputs.mark()
        if startup.outputs.reached(self._written):
            self._happens(lifecycle.PARTED, startup.own_status(), startup.job.killed_by)

    def look(self, ready: set[int]) -> None:
        """See Level."""
        half, life = self._half, self._life
        if life.is_alone:
            return
        if not life.is_placed:
            if half.fileno() in ready:
                self._happens(lifecycle.KILLED_EARLY)
        elif half.fileno() in ready and half.is_gone():
            self._happens(lifecycle.SHADOW_KILLED)
        elif life.is_due(time.monotonic()):
            halted = half.is_halted()
            self._happens(lifecycle.SEEN_HALTED if halted else lifecycle.SEEN_RUNNING)

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

    def stopped(self, number: int) -> None:
        """See Level."""
        self._happens(lifecycle.STOPS, number)

    def continued(self) -> None:
        """See Level."""
        self._happens(lifecycle.CONTINUES)

    def exited(self, orphaned: bool) -> None:
        """See Level."""
        self._happens(lifecycle.ORPHANED if orphaned else lifecycle.ENDS)

    def _root_exited(
        self, process: ProcessView, code: int, signal: int, core: bool = False
    ) -> None:
        self._startup.job.parted(process, code, signal)
        self._happens(lifecycle.EXITS)

    # -- signals -------------------------------------------------------------------------------

    def hear(self, numbers: list[int]) -> None:
        """See Level. Our shadow has got these; and may have gone on before."""
        self._note_end()
        life = self._life
        if life.is_held:
            self._half.take_answers()
            halted = bool(life.unanswered) and self._half.is_halted()
            self._happens(lifecycle.LOOKED, halted, numbers)
        elif numbers:
            self._happens(lifecycle.HEARD, numbers)

    def _hear_shadow(self) -> None:
        """What ended our input (^C for all of a pipeline) may have been for our shadow, too."""
        self.hear(self._half.settled())

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

    def stop(self, by: int) -> None:
        """See Level."""
        self._binds(lifecycle.WRITTEN)

    def blocked(self) -> None:
        """See Level."""
        self._note_end()
        self._binds(lifecycle.BLOCKED)

    def _binds(self, event: str) -> None:
        if self._life.may_bind(event):
            self._happens(event, self._half.is_halted())

    def end(self) -> None:
        """See Level."""
        if self._startup.job.killed_by:
            self._half.end(0, self._startup.job.killed_by)  # so that the shell says so

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

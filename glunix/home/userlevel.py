"""A user-level job's side of its startup (paper 4.2, 4.3): the contract is glunix.home.level.

Owns the job's input, the raw terminal meanwhile, and the stop of the startup itself: it is the
process that the shell knows.
"""

from __future__ import annotations

import _signal
import select

from glunix import config
from glunix.home.signals import HARMLESS, STOPPING, Signals, die_of
from glunix.home.stdin import Input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.errors import NotRunning
    from glunix.home.level import Handlers, Way
    from glunix.home.startup import Startup
    from glunix.home.wire import Value

BACKGROUND_LOOK = 0.25
"""Seconds between looks whether we have come to the foreground: the kernel tells nobody."""


class UserLevel:
    """See glunix.home.level.Level."""

    def __init__(self, startup: Startup) -> None:
        self._startup = startup
        self._tty = startup.tty
        self.signals = Signals()
        self.way: Way = startup.link
        self._in_back = False
        """Whether the terminal is to become raw once we are in the foreground."""
        self._input: Input | None = None
        self._watches = False
        """Whether this turn's poll asked for input."""
        self._stop_signal = 0
        """The signal by which a user asked for the next stop: the shell sees that one."""
        self._handlers: Handlers = {}

    # -- the loop ------------------------------------------------------------------------------

    def begin(self) -> None:
        """See Level."""
        startup = self._startup
        streams = startup.job.streams
        self._input = Input(startup.options, startup.terminal, streams, startup.send_data)
        self._handlers = {"incredit": self._input.credit, "inclosed": self._input.closed}
        startup.outputs.open(startup.job, None)
        self.signals.catch()

    def fds(self) -> dict[int, int]:
        """See Level."""
        source = self._input
        self._watches = source is not None and source.wants(self.way.pending)
        return {source.fileno(): select.POLLIN} if source is not None and self._watches else {}

    def waits(self) -> list[float]:
        """See Level."""
        in_back = self._in_back or (self._input is not None and self._input.in_background())
        return [BACKGROUND_LOOK] if in_back else []

    def before_turn(self) -> None:
        """See Level."""

    def look(self, ready: set[int]) -> None:
        """See Level."""
        if self._in_back and self._tty is not None and self._tty.in_foreground():
            self.enter_terminal()  # a shell's `fg` sends SIGCONT only to what was stopped

    def receive(self, ready: set[int]) -> None:
        """See Level."""
        if self._watches and self._input is not None and self._input.fileno() in ready:
            self._input.read()

    def turned(self) -> None:
        """See Level."""

    # -- messages ------------------------------------------------------------------------------

    def before_send(self) -> None:
        """See Level."""

    def before_daemon(self) -> None:
        """See Level."""

    def take(self, stream: int, tag: str, fields: list[Value]) -> bool:
        """See Level."""
        handler = self._handlers.get(tag)
        if handler is None:
            return False
        handler(stream, *fields)
        return True

    def events(self) -> Handlers:
        """See Level."""
        return {}

    def lost(self, why: str) -> None:
        """See Level."""
        self._startup.complain(why)
        self._startup.job.lost(config.exit_error(), 0)

    def lost_way(self, error: NotRunning) -> None:
        """See Level."""
        raise error

    # -- processes -----------------------------------------------------------------------------

    def stopped(self, number: int) -> None:
        """See Level. N processes stop one by one: JobView says when all have."""

    def continued(self) -> None:
        """See Level."""
        self.enter_terminal()

    def exited(self, orphaned: bool) -> None:
        """See Level."""
        if self._input is not None:
            self._input.maybe_over(self._startup.job)

    # -- signals -------------------------------------------------------------------------------

    def hear(self, numbers: list[int]) -> None:
        """See Level."""
        for number in numbers:
            self._signal(number)

    def _signal(self, number: int) -> None:
        live = self._startup.job.live()
        if number in STOPPING:
            if not live:
                return  # see `blocked`
            self._stop_signal = number
            number = _signal.SIGTSTP  # whatever stopped us: the job has a terminal of its own
        elif not live and number not in HARMLESS:
            self._die(number)  # only output that nobody takes is left
        self._startup.pass_on(number)
        if number == _signal.SIGCONT:
            self.enter_terminal()

    signals_program_alone = False

    def before_signal(self) -> None:
        """See Level."""

    def after_signal(self) -> None:
        """See Level."""

    def stop(self, by: int) -> None:
        """See Level. Returns when we go on."""
        self._stop(self._stop_signal or (by if by in STOPPING else _signal.SIGSTOP))
        self._stop_signal = 0

    def blocked(self) -> None:
        """See Level. Returns when we go on."""
        self._stop(_signal.SIGTTOU)

    def _stop(self, number: int) -> None:
        startup = self._startup
        self.leave_terminal()
        from glunix.home.processes.waking import stop_until_news

        woken = stop_until_news(startup.link, number)
        come = self.signals.read()
        if woken:
            come = [one for one in come if one != _signal.SIGCONT]
        else:
            startup.job.goes_on()
            if _signal.SIGCONT not in come:  # it is ignored, or a stop that came at once took it
                come.append(_signal.SIGCONT)
        self.hear(come)
        startup.outputs.release()

    def _die(self, number: int) -> None:
        self.leave_terminal()
        die_of(number)

    def end(self) -> None:
        """See Level."""
        if self._startup.job.interrupted:
            die_of(_signal.SIGINT)  # a shell's loop ends by that, not by a status

    # -- the terminal --------------------------------------------------------------------------

    def enter_terminal(self) -> None:
        """See Level."""
        tty = self._tty
        if tty is None or tty.is_raw or not tty.can_be_raw:
            return
        self._startup.send(0, ["tty", True])
        self._in_back = not tty.make_raw()
        if self._in_back:
            self._startup.send(0, ["tty", False])

    def leave_terminal(self) -> None:
        """See Level."""
        if self._tty is not None and self._tty.is_raw:
            self._tty.restore()
            self._startup.send(0, ["tty", False])

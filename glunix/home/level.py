"""What a startup asks of the level of its job: the contract that both levels keep.

A job is either as published (glunix.home.userlevel) or interposed (glunix.home.transparentlevel).
`Startup` owns what is the same for both: placement, the poll loop, processes, outputs, timers, the
order in which things are sent. It asks the level for the rest, and never asks which one it is.

The order within a turn of the loop is part of the contract: `before_turn`, poll(2) over `fds`
among others, `look`, then signals (`hear`), outputs, `receive`, what the daemon says (before each
message of the job `before_daemon`), `turned`. Nothing here blocks, except `stop` at user level,
where the startup itself is stopped.
"""

from __future__ import annotations

from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.errors import NotRunning
    from glunix.home.signals import Signals
    from glunix.home.wire import Value

    Handlers = dict[str, Callable[..., None]]
    """Tag of a message -> what is called with its fields, which the parameters name. A field that
    an older node does not send has a default."""


class Way(Protocol):
    """How messages of the job's streams go to its nodes."""

    @property
    def pending(self) -> int:
        """Bytes that no socket took yet."""

    def send(self, stream: int, message: list[object]) -> None:
        """Send one message, or keep it until the socket takes it."""


class Level(Protocol):
    """One job's level."""

    signals: Signals
    """Where the signals of this job come."""
    way: Way

    # -- the loop ------------------------------------------------------------------------------

    def begin(self) -> None:
        """The job was placed: open its input and outputs, catch signals."""

    def fds(self) -> dict[int, int]:
        """Descriptor -> events of poll(2), beside the daemon's link, signals and outputs."""

    def waits(self) -> list[float]:
        """Seconds until something is to be looked at again, if anything is."""

    def before_turn(self) -> None:
        """Before each poll, and before it is seen whether the job is over."""

    def look(self, ready: set[int]) -> None:
        """First of all after a poll; also before `begin`, for the descriptors of then."""

    def receive(self, ready: set[int]) -> None:
        """Take input, and what comes by the level's own way."""

    def turned(self) -> None:
        """At the end of a turn."""

    # -- messages ------------------------------------------------------------------------------

    def before_send(self) -> None:
        """A message of the job is about to be sent."""

    def before_daemon(self) -> None:
        """A daemon has brought a message of the job: what was said before it comes first."""

    def take(self, stream: int, tag: str, fields: list[Value]) -> bool:
        """A message of the job; False when it tells of one of its processes."""

    def events(self) -> Handlers:
        """What this level hears of a process beyond what every job does; first field: it."""

    def lost(self, why: str) -> None:
        """The job is lost with its node."""

    def lost_way(self, error: NotRunning) -> None:
        """The daemon, or the own way, is gone and the job was placed; may raise `error`."""

    # -- processes -----------------------------------------------------------------------------

    def stopped(self, number: int) -> None:
        """A process of the job was stopped by this signal."""

    def continued(self) -> None:
        """A process of the job goes on."""

    def exited(self, orphaned: bool) -> None:
        """A process has ended; `orphaned`: what served it was killed, and has set nothing right."""

    # -- signals -------------------------------------------------------------------------------

    def hear(self, numbers: list[int]) -> None:
        """These signals came, in this order. The level gives on what is the job's."""

    @property
    def signals_program_alone(self) -> bool:
        """Whether what came is for the program and not for its group: others hear by themselves."""

    def before_signal(self) -> None:
        """A signal is about to be sent to the job."""

    def after_signal(self) -> None:
        """It was."""

    def stop(self, by: int) -> None:
        """The job was stopped by this signal, and what it wrote is out: so stops what the shell
        sees of it, unless it has."""

    def blocked(self) -> None:
        """The program has ended, but the terminal takes no output from the background: so stops
        what the shell sees of it, as by SIGTTOU."""

    def end(self) -> None:
        """The job is over: the shell is to see by which signal, where that matters."""

    # -- the terminal --------------------------------------------------------------------------

    def enter_terminal(self) -> None:
        """The job has the terminal from now on, as far as its level changes anything there."""

    def leave_terminal(self) -> None:
        """Give it back; idempotent."""

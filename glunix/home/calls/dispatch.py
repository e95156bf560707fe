"""Messages by which a transparent job asks something of home, told apart and passed on.

Owns what has to wait until the terminal shows what the program wrote before. What is done about a
message is glunix.home.transparent's, and its parts': each has `handlers()`.
"""

from __future__ import annotations

from glunix.home.link import kept
from glunix.home.outputs import Outputs
from glunix.home.terminal.flow import TCXONC
from glunix.home.transparent import HomeCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.wire import Value

TCFLSH, _DROP_OUTPUT = 0x540B, (1, 2)
"""tcflush(3): TCOFLUSH, TCIOFLUSH."""

_ON_THE_TERMINAL = ("want", "ioctl", "ioctlpages")


class CallDispatch:
    """`take` each message of the job's stream, `turn` after each round of the loop."""

    def __init__(self, calls: HomeCalls, outputs: Outputs) -> None:
        self._calls = calls
        self._outputs = outputs
        calls.begins_output, outputs.ends = outputs.add, calls.output_ended
        self._handlers = calls.handlers()
        self._before: dict[str, Callable[..., bool]] = {
            "ioctl": self._before_ioctl,
            "homecall": self._before_call,
        }
        """What is to be done first; True: that is all."""
        self._deferred: list[tuple[str, list[Value]]] = []

    def turn(self) -> None:
        """The terminal may have taken more: what was asked after it was written can be done."""
        while self._deferred and not self._outputs.terminal_waits:
            self.take(*self._deferred.pop(0))

    def waits(self) -> list[float]:
        """Look at what the kernel tells nobody; seconds until the next time, if any."""
        modes, flow = self._calls.modes, self._calls.flow
        found = [] if modes is None else modes.turn()
        if flow is not None:
            found += flow.turn(*self._outputs.for_terminal())
        return found

    def take(self, tag: str, fields: list[Value]) -> bool:
        """Do what is asked; False when it is another message."""
        handler = self._handlers.get(tag)
        if handler is None:
            return False
        before = self._before.get(tag)
        if before is not None and before(*fields):
            return True
        flows = tag == "ioctl" and fields[2] == TCXONC  # what waits may wait for just that
        if tag in _ON_THE_TERMINAL and not flows and self._outputs.terminal_waits:
            # What was written before is on the screen before this acts.
            self._deferred.append((tag, [kept(value) for value in fields]))
        else:
            handler(*fields)
        return True

    def _before_ioctl(
        self,
        ask: int,
        fd: int,
        command: int,
        argument: int,
        data: Value,
        may_write: bool = False,
        watch: bool = False,
    ) -> bool:
        if command == TCFLSH and argument in _DROP_OUTPUT:
            self._calls.drops_output(may_write, self._outputs.drop_terminal)
        return False

    def _before_call(self, ask: int, call: str, fd: int, *rest: Value) -> bool:
        """Whether a write fails because an earlier one did, which could not be told then."""
        error = self._outputs.take_error(fd) if call == "write" else 0
        if error:
            self._calls.fail(ask, error)
        return bool(error)

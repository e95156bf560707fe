"""Messages by which a transparent job asks something of home, told apart and passed on.

Owns what has to wait until the terminal shows what the program wrote before. What is done about a
message is glunix.home.transparent's.
"""

from __future__ import annotations

from glunix.home.link import blob, integer, kept, text
from glunix.home.outputs import Outputs
from glunix.home.terminal.flow import TCXONC
from glunix.home.transparent import HomeCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        self._deferred: list[list[Value]] = []

    def turn(self) -> None:
        """The terminal may have taken more: what was asked after it was written can be done."""
        while self._deferred and not self._outputs.terminal_waits:
            held = self._deferred.pop(0)
            self.take(held[0], held)

    def waits(self) -> list[float]:
        """Look at what the kernel tells nobody; seconds until the next time, if any."""
        modes, flow = self._calls.modes, self._calls.flow
        found = [] if modes is None else modes.turn()
        if flow is not None:
            found += flow.turn(*self._outputs.for_terminal())
        return found

    def take(self, tag: Value, message: list[Value]) -> bool:
        """Do what is asked; False when it is another message."""
        flows = tag == "ioctl" and message[3] == TCXONC  # what waits may wait for just that
        if tag == "ioctl" and message[3] == TCFLSH and message[4] in _DROP_OUTPUT:
            self._calls.drops_output(message[6] is True, self._outputs.drop_terminal)
        if self._outputs.terminal_waits and tag in _ON_THE_TERMINAL and not flows:
            # What was written before is on the screen before this acts.
            self._deferred.append([kept(value) for value in message])
        elif tag in ("want", "seek", "ioctl"):
            self._call(tag, message)
        elif tag == "incredit":
            self._calls.took(integer(message[1]))
        elif tag == "inclosed":
            self._calls.closed()
        elif tag == "inback":
            self._calls.back(integer(message[1]))
        elif tag == "back":
            self._calls.give_back(integer(message[1]), blob(message[2]))
        elif tag == "homecall" and message[2] == "write" and self._is_told(message):
            pass
        else:
            return self._calls.rare(text(tag), message)
        return True

    def _is_told(self, message: list[Value]) -> bool:
        """Whether a write fails because an earlier one did, which could not be told then."""
        error = self._outputs.take_error(integer(message[3]))
        if error:
            self._calls.fail(integer(message[1]), error)
        return bool(error)

    def _call(self, tag: Value, message: list[Value]) -> None:
        ask, fd, third = (integer(value) for value in message[1:4])
        if tag == "want":
            self._calls.want(ask, fd, third, message[4] is True, integer(message[5]))
        elif tag == "seek":
            self._calls.seek(ask, fd, third, integer(message[4]))
        else:
            may_write = message[6] is True
            watch = len(message) > 7 and message[7] is True
            self._calls.ioctl(
                ask, fd, third, integer(message[4]), blob(message[5]), may_write, watch
            )

"""The home terminal's modes and size, as home last said: a query of them needs no journey.

Owns that knowledge and how long it is good. Home says them before it answers a question with
`watch`, and from then on before anything else that it sends, when they have become others
(glunix.home.terminal.modes): what the program learns from home it learns after them. A program that
has no word from home may see what is up to home's LOOK and the way here old.
"""

import time
from collections.abc import Callable

from glunix.msg.stream import TERMIOS2_SIZE, WINSIZE_SIZE, Modes
from slic.interposers.home.descriptors import IoctlHome

TERMIOS_SIZE = 36
"""Bytes of struct termios, with which struct termios2 begins (asm-generic, x86-64)."""

GOOD_FOR = 1.0
"""Seconds; home looks longer (glunix.home.terminal.modes.WATCH). A home's half that is stopped is
silent, and is asked again after this."""

_PARTS = {
    0x5401: slice(TERMIOS_SIZE),  # TCGETS
    0x802C542A: slice(TERMIOS2_SIZE),  # TCGETS2
    0x5413: slice(TERMIOS2_SIZE, None),  # TIOCGWINSZ
}
"""Which bytes of `Modes.data` each query is answered with. None of them acts, or ever stops."""


def is_query(command: int) -> bool:
    """Whether this ioctl asks for modes or size."""
    return command in _PARTS


class KnownModes:
    """`now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._fd = -1
        self._data = b""
        self._until = 0.0

    def told(self, message: Modes) -> None:
        """Home says them, or (empty) that it does not know any more."""
        whole = len(message.data) == TERMIOS2_SIZE + WINSIZE_SIZE
        self._data = message.data if whole else b""
        self._fd = message.fd
        self._until = self._now() + GOOD_FOR

    def answer(self, question: IoctlHome) -> tuple[int, bytes] | None:
        """As home would answer; None: ask it."""
        part = _PARTS.get(question.command)
        if part is None or question.fd != self._fd or self._now() > self._until or not self._data:
            return None
        return 0, self._data[part]

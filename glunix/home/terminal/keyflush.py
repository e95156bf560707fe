"""Output that a key throws away: `^C`, `^\\` and `^Z` empty the terminal's queue (termios(3)).

Owns the recognition of such a key by home's half of a transparent job. The kernel sends the key's
signal to the foreground group, where home's half is while the job has the terminal, and empties the
terminal's own queue; what waits before it, here and on the node, is thrown away as well. These
signals are blocked and taken one by one, because only then the kernel says who sent them: what
kill(2) sends throws nothing away.
"""

from __future__ import annotations

import _signal
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.terminal.tty import HomeTerminal

KEYS = {_signal.SIGINT, _signal.SIGQUIT, _signal.SIGTSTP}
_LFLAG = 12
"""Where the low byte of c_lflag begins in struct termios."""


class KeyFlush:
    """Home's half hears these signals for this alone: the shadows tell them to the program."""

    def __init__(self, terminal: HomeTerminal) -> None:
        self._terminal = terminal
        _signal.pthread_sigmask(_signal.SIG_BLOCK, KEYS)

    def pressed(self) -> bool:
        """Whether such a key was pressed since the last call, and empties the queue (NOFLSH)."""
        found = False
        while (info := _signal.sigtimedwait(KEYS, 0)) is not None:
            found |= info.si_code > 0  # the kernel's
        return found and not self._keeps()

    def _keeps(self) -> bool:
        modes = self._terminal.modes()
        return bool(modes and modes[_LFLAG] & termios.NOFLSH)

    def end(self) -> None:
        """Home's half stands for the job by itself: it hears all signals as they come."""
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, KEYS)

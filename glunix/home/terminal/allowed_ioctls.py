"""Which ioctls a transparent job may make on descriptors of home, whatever its node asks for.

Owns the allow-list of the terminal: queries, modes, flow, breaks and the window's size, each with
the exact bytes that it reads and writes. What types (TIOCSTI), loads (keymaps, fonts, line
disciplines) or reconfigures a terminal is refused, with the errno that a kernel gives a process
without that right. A node that is not home's may have a malicious root, so nothing here depends on
what the interposers of an honest node would have asked.

An ioctl outside the table can be made only by a bare process (glunix.home.calls.isolated), and only
on descriptors that the user gave or listed; on a terminal at which somebody types, on none.
"""

from __future__ import annotations

import errno
import os
import termios
from fcntl import ioctl

from glunix.home.terminal.tty import device_of

TIOCSTI, TIOCSETD, TIOCSLCKTRMIOS = 0x5412, 0x5423, 0x5457

SIZES = {
    0x5401: (0, 36), 0x5402: (36, 0), 0x5403: (36, 0), 0x5404: (36, 0),
    0x5405: (0, 18), 0x5406: (18, 0), 0x5407: (18, 0), 0x5408: (18, 0),
    0x5409: (0, 0), 0x540A: (0, 0), 0x540B: (0, 0), 0x540C: (0, 0), 0x540D: (0, 0),
    0x540F: (0, 4), 0x5411: (0, 4),
    TIOCSTI: (1, 0), 0x5413: (0, 8), 0x5414: (8, 0), 0x541B: (0, 4), TIOCSETD: (4, 0),
    0x5424: (0, 4), 0x5425: (0, 0), 0x5427: (0, 0), 0x5428: (0, 0), 0x5456: (0, 36),
    TIOCSLCKTRMIOS: (36, 0), 0x802C542A: (0, 44), 0x402C542B: (44, 0), 0x402C542C: (44, 0),
    0x402C542D: (44, 0), 0x80045432: (0, 4), 0x80045440: (0, 4),
}  # fmt: skip
"""command -> bytes that it reads and writes: slic.interposers.home.ioctls.TERMINAL_IOCTLS."""

MODE_CHANGES = frozenset(
    (0x5402, 0x5403, 0x5404, 0x5406, 0x5407, 0x5408, 0x402C542B, 0x402C542C, 0x402C542D)
)
"""TCSETS and its relatives."""

STOPPING = MODE_CHANGES | {0x5409, 0x540A, 0x540B, 0x5412, 0x5423, 0x5425, 0x5427, 0x5428}
"""A background process that tries is stopped (SIGTTOU): also TCSBRK, TCXONC, TCFLSH, TIOCSTI,
TIOCSETD, TIOCSBRK and TIOCCBRK."""

QUERIES = frozenset((0x5401, 0x802C542A, 0x5405, 0x5411, 0x5413, 0x541B, 0x5424, 0x80045432))
"""Those that change nothing: TCGETS, TCGETS2, TCGETA, TIOCOUTQ, TIOCGWINSZ, FIONREAD, TIOCGETD,
TIOCGDEV."""

_REFUSED = {
    TIOCSTI: errno.EIO,  # as with dev.tty.legacy_tiocsti=0
    0x541C: errno.EPERM,  # TIOCLINUX: selects, pastes, changes the console's keys
    0x541D: errno.EPERM,  # TIOCCONS: takes the console's output
    0x541A: errno.EPERM,  # TIOCSSOFTCAR
    0x541F: errno.EPERM,  # TIOCSSERIAL
    TIOCSETD: errno.EPERM,
    0x5437: errno.EPERM,  # TIOCVHANGUP
    TIOCSLCKTRMIOS: errno.EPERM,
}
"""On every terminal, listed or not."""

_CONSOLE = frozenset((0x4B, 0x56))
"""Second bytes of KD... and VT... (ioctl_console(2)): keymaps, fonts, modes, which one is shown."""

_PSEUDO, _VIRTUAL, _LAST_VIRTUAL = range(136, 144), 4, 63


def is_typed_at(device: int) -> bool:
    """Whether this is a pseudo-terminal or a virtual console."""
    major, minor = os.major(device), os.minor(device)
    return major in _PSEUDO or (major == _VIRTUAL and minor <= _LAST_VIRTUAL)


class TerminalRights:
    """`terminal` is the home terminal's device (0: none); `may_type`: the user asked for TIOCSTI
    (glurun --allow-tiocsti)."""

    def __init__(self, terminal: int, may_type: bool) -> None:
        self._terminal = terminal
        self._may_type = may_type

    def buffer(self, fd: int, command: int, data: bytes) -> bytearray:
        """What a known ioctl of this descriptor reads and writes: of the table's size, however
        much the node sent. OSError: it may not be made."""
        if command not in SIZES:
            raise _failed(errno.ENOTTY)
        reads, writes = SIZES[command]
        if reads and len(data) != reads:
            raise _failed(errno.EINVAL)
        if command in _REFUSED and device_of(fd):
            self._refuse(fd, command, data)
        return bytearray(data if reads else bytes(writes))

    def _refuse(self, fd: int, command: int, data: bytes) -> None:
        if command == TIOCSTI and self._may_type:
            return
        if command == TIOCSETD and ioctl(fd, termios.TIOCGETD, bytes(4)) == data:
            return  # it has this line discipline
        raise _failed(_REFUSED[command])

    def check_any(self, fd: int, command: int) -> None:
        """OSError: an ioctl of no table may not be made on this descriptor."""
        device = device_of(fd)
        if not device:
            return  # no terminal: the user gave it, or listed it
        if command in _REFUSED or command >> 8 in _CONSOLE:
            raise _failed(_REFUSED.get(command, errno.EPERM))
        if device == self._terminal or is_typed_at(device):
            raise _failed(errno.ENOTTY)

    @staticmethod
    def results(command: int, buffer: bytearray) -> bytes:
        """The bytes that the kernel wrote: no others go to the node."""
        return bytes(buffer[: SIZES[command][1]])


def _failed(number: int) -> OSError:
    return OSError(number, os.strerror(number))

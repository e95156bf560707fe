"""ioctls of home descriptors: which memory each needs, and which are this node's own business.

An ioctl is one of four kinds (ioctl(2), ioctl_tty(2), x86-64 numbers):
- NATIVE: it is about the descriptor, or about job control, which is native on the node, but for
  who is in the foreground: of a job in the background that is somebody of home's;
- LEADING_ELSEWHERE: it names another descriptor, which home does not have: refused;
- TERMINAL_IOCTLS: known; the few bytes it uses travel, one question each;
- any other: made at home against the program's own pages at their own addresses. Its memory is
  what its argument points to, as much as the command's encoding says (_IOC_SIZE), and what the
  words there point to; more when the kernel at home misses some (EFAULT). Then a number that is
  no pointer, or a structure that no table knows, is right without being understood.

Limit: a command that names descriptors and is not listed here means home's descriptors.
"""

import errno
from typing import NamedTuple

from slic.tracee import BadAddress, Tracee

PAGE = 4096
PAGES_MAX = 64
"""Pages that one question carries at most."""

NATIVE = frozenset(
    {
        0x540E,  # TIOCSCTTY
        0x5410,  # TIOCSPGRP
        0x5421,  # FIONBIO
        0x5422,  # TIOCNOTTY
        0x5429,  # TIOCGSID
        0x5450,  # FIONCLEX
        0x5451,  # FIOCLEX
        0x5452,  # FIOASYNC
    }
)

LEADING_ELSEWHERE = {
    0x5441: errno.EIO,  # TIOCGPTPEER: as on the slave, which is all a home terminal can be
    0x40049409: errno.EXDEV,  # FICLONE
    0x4020940D: errno.EXDEV,  # FICLONERANGE
    0xC0189436: errno.EXDEV,  # FIDEDUPERANGE
}


class Fixed(NamedTuple):
    """How one known ioctl uses its argument: bytes read from and written to memory."""

    name: str
    reads: int
    writes: int


TERMINAL_IOCTLS: dict[int, Fixed] = {
    0x5401: Fixed("TCGETS", 0, 36),
    0x5402: Fixed("TCSETS", 36, 0),
    0x5403: Fixed("TCSETSW", 36, 0),
    0x5404: Fixed("TCSETSF", 36, 0),
    0x5405: Fixed("TCGETA", 0, 18),
    0x5406: Fixed("TCSETA", 18, 0),
    0x5407: Fixed("TCSETAW", 18, 0),
    0x5408: Fixed("TCSETAF", 18, 0),
    0x5409: Fixed("TCSBRK", 0, 0),
    0x540A: Fixed("TCXONC", 0, 0),
    0x540B: Fixed("TCFLSH", 0, 0),
    0x540C: Fixed("TIOCEXCL", 0, 0),
    0x540D: Fixed("TIOCNXCL", 0, 0),
    0x540F: Fixed("TIOCGPGRP", 0, 4),
    0x5411: Fixed("TIOCOUTQ", 0, 4),
    0x5412: Fixed("TIOCSTI", 1, 0),
    0x5413: Fixed("TIOCGWINSZ", 0, 8),
    0x5414: Fixed("TIOCSWINSZ", 8, 0),
    0x541B: Fixed("FIONREAD", 0, 4),
    0x5423: Fixed("TIOCSETD", 4, 0),
    0x5424: Fixed("TIOCGETD", 0, 4),
    0x5425: Fixed("TCSBRKP", 0, 0),
    0x5427: Fixed("TIOCSBRK", 0, 0),
    0x5428: Fixed("TIOCCBRK", 0, 0),
    0x5456: Fixed("TIOCGLCKTRMIOS", 0, 36),
    0x5457: Fixed("TIOCSLCKTRMIOS", 36, 0),
    0x802C542A: Fixed("TCGETS2", 0, 44),
    0x402C542B: Fixed("TCSETS2", 44, 0),
    0x402C542C: Fixed("TCSETSW2", 44, 0),
    0x402C542D: Fixed("TCSETSF2", 44, 0),
    0x80045432: Fixed("TIOCGDEV", 0, 4),
    0x80045440: Fixed("TIOCGEXCL", 0, 4),
}
"""The fast path, sorted by number."""

STOPPING_IOCTLS = frozenset(
    number
    for number, how in TERMINAL_IOCTLS.items()
    if how.name.startswith(("TCSET", "TCSB", "TCX", "TCF", "TIOCSTI", "TIOCSETD"))
    or how.name in ("TIOCSBRK", "TIOCCBRK")
)
"""Those for which a background process is stopped (SIGTTOU; termios(3), tty_check_change)."""

TCXONC, TCFLSH = 0x540A, 0x540B
TIOCGPGRP = 0x540F
FIONREAD = 0x541B
FIGETBSZ = 2
TIOCOUTQ = 0x5411
_OF_SOCKETS = frozenset({FIONREAD, TIOCOUTQ})
"""SIOCINQ and SIOCOUTQ (tcp(7), unix(7)) have the numbers of terminal ioctls."""


def is_natives(kind: str, command: int) -> bool:
    """Whether the stand-in of this kind answers as home's descriptor would, without asking."""
    if command in NATIVE:
        return True
    if kind == "tty" and command == FIGETBSZ:
        return True
    if kind == "tty" or command not in TERMINAL_IOCTLS:
        return False
    return command not in (_OF_SOCKETS if kind == "socket" else {FIONREAD})  # else ENOTTY


# -- the generic kind ----------------------------------------------------------------------------

_UNKNOWN_SIZE = 256
"""Bytes looked at behind an argument whose command does not tell a size."""
_WORD = 8
_USER_END = 1 << 47


def encoded_size(command: int) -> int:
    """Bytes that the argument points to as the command says (_IOC_SIZE); 0: it does not say."""
    return command >> 16 & 0x3FFF if command >> 30 else 0


class ProgramPages:
    """The pages of a program that an ioctl may use; grown as it turns out that more are needed."""

    def __init__(self, tracee: Tracee, command: int, argument: int) -> None:
        self._tracee = tracee
        self._pages: dict[int, bytes] = {}
        self._seen = [(argument, encoded_size(command) or _UNKNOWN_SIZE)]
        """What was followed last: (address, bytes)."""
        self._ends: list[int] = []
        """Where each piece taken ends; there it grows."""
        self._step = PAGE
        self._take(*self._seen[0])
        self._follow()

    def _take(self, address: int, size: int) -> bool:
        """Read the pages of a piece, up to the first that cannot be; whether any is new."""
        new = False
        at = address & -PAGE
        while at < address + size and len(self._pages) < PAGES_MAX:
            if at not in self._pages:
                try:
                    page = self._tracee.read_some(at, PAGE)
                except BadAddress:
                    break
                self._pages[at] = page
                new = True
            at += PAGE
        if at > address:
            self._ends.append(at)
        return new

    def _bytes(self, address: int, size: int) -> bytes:
        found = b""
        while len(found) < size:
            at = address + len(found)
            page = self._pages.get(at & -PAGE)
            if page is None:
                break
            found += page[at % PAGE :][: size - len(found)]
        return found

    def _follow(self) -> bool:
        """Take what the words of the pieces seen last point to; whether any of it is new."""
        last, self._seen = self._seen, []
        for address, size in last:
            there = self._bytes(address, size)
            for at in range(0, len(there) - _WORD + 1, _WORD):
                word = int.from_bytes(there[at : at + _WORD], "little")
                if PAGE <= word < _USER_END and self._take(word, _UNKNOWN_SIZE):
                    self._seen.append((word, _UNKNOWN_SIZE))
        return bool(self._seen)

    def grow(self) -> bool:
        """More may be needed: what lies behind, and one level of pointers; False: there is none."""
        ends, self._ends = self._ends, []
        behind = [self._take(end, self._step) for end in ends]
        self._step *= 2
        return self._follow() or any(behind)

    def pieces(self) -> list[tuple[int, bytes]]:
        """(address, whole pages), apart from each other, in order."""
        found: list[tuple[int, bytes]] = []
        for at in sorted(self._pages):
            if found and found[-1][0] + len(found[-1][1]) == at:
                found[-1] = (found[-1][0], found[-1][1] + self._pages[at])
            else:
                found.append((at, self._pages[at]))
        return found

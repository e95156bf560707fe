"""The home terminal: its modes, size and foreground; raw while a user-level job has it.

Owns every change made to the user's terminal and takes each one back (`restore` is idempotent).
"""

import _signal
import posix
import termios
from fcntl import ioctl

from glunix.home.sinks import in_foreground

_TERMIOS_SIZE = 36
"""Bytes of the kernel's struct termios (asm-generic, x86-64)."""

_TIOCGDEV = 0x80045432
_PTS_MAJOR = 136

_IFLAG, _OFLAG, _LFLAG = 0, 4, 12
"""Where three of its flag words begin, least significant byte first."""

_SANE = {
    _IFLAG: termios.ICRNL | termios.IXON,
    _OFLAG: termios.OPOST | termios.ONLCR,
    _LFLAG: termios.ISIG | termios.ICANON | termios.IEXTEN | termios.ECHO | termios.ECHOE
    | termios.ECHOK | termios.ECHOCTL | termios.ECHOKE,
}  # fmt: skip


class HomeTerminal:
    """The home terminal: `fd` is home's descriptor of it, `fds` those of 0-2 that the job has."""

    def __init__(self, fd: int, fds: list[int]) -> None:
        self.fd = fd
        self.fds = fds
        self.saved = ioctl(fd, termios.TCGETS, bytes(_TERMIOS_SIZE))
        if not self.in_foreground():
            self.saved = sane(self.saved)  # the shell's, which is just editing a line
        self.is_raw = False
        self.controls = True
        """It is the controlling terminal of our session (tty_ioctl(4))."""
        self.changed = False
        """A transparent job changed its modes."""
        self.left = b""
        """As it left them the last time."""
        self.told = self.size()
        """The size that the node knows."""

    def resized(self) -> bool:
        """Whether it has another size than `told`, which then is that."""
        before, self.told = self.told, self.size()
        return self.told != before

    def size(self) -> list[int]:
        """[rows, columns, x pixels, y pixels] (ioctl_tty(2), TIOCGWINSZ)."""
        packed = ioctl(self.fd, termios.TIOCGWINSZ, bytes(8))
        return [int.from_bytes(packed[i : i + 2], "little") for i in (0, 2, 4, 6)]

    @property
    def can_be_raw(self) -> bool:
        """Whether the job has it for both input and output: else it stays as the user has it."""
        return {0, 1} <= set(self.fds)

    def spec(self, transparent: bool) -> list[object]:
        """As glunix.msg.job.TtySpec."""
        modes = bytearray(self.saved)
        if not transparent and not self.can_be_raw:
            # Line ends are made once: here, where the terminal is not raw.
            modes[_OFLAG] &= ~termios.OPOST
        seen = [*self._identity(), self.controls] if transparent else []
        return [self.fds, bytes(modes), self.told, *seen]

    def _identity(self) -> list[object]:
        """[N of /dev/pts/N or -1, permissions, group]: /dev/tty has these of its own."""
        device = device_of(self.fd)
        number = device & 0xFF | device >> 12 & 0xFFF00
        none: list[object] = [-1, 0o600, -1]
        if device >> 8 & 0xFFF != _PTS_MAJOR:
            return none
        try:
            seen = posix.stat(f"/dev/pts/{number}")
        except OSError:
            return none  # of another mount namespace
        return [number, seen.st_mode & 0o777, seen.st_gid]

    def in_foreground(self) -> bool:
        """Whether we may read it and change its modes without being stopped."""
        return in_foreground(self.fd)

    def make_raw(self) -> bool:
        """Hand every keystroke on as it is (cfmakeraw(3)); False in the background."""
        if not self.in_foreground():
            return False
        try:
            self.saved = ioctl(self.fd, termios.TCGETS, bytes(_TERMIOS_SIZE))
            mode = termios.tcgetattr(self.fd)
        except (OSError, termios.error):
            return False  # it was hung up
        mode[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        mode[1] &= ~termios.OPOST
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.fd, termios.TCSADRAIN, mode)
        self.is_raw = True
        return True

    def restore(self) -> None:
        """Give back the modes it had; nothing when they were never changed."""
        if self.is_raw and self.in_foreground():
            self._give_back()
        self.is_raw = False

    def _give_back(self) -> None:
        try:
            ioctl(self.fd, termios.TCSETS, self.saved)
        except OSError:
            pass  # it was hung up: nobody misses its modes

    def modes(self) -> bytes:
        """Those that it has now; empty when it was hung up."""
        try:
            return ioctl(self.fd, termios.TCGETS, bytes(_TERMIOS_SIZE))
        except OSError:
            return b""

    def note_modes(self) -> None:
        """A transparent job has just changed them."""
        self.left = self.modes()

    def undo(self) -> None:
        """Give back the modes from before a transparent job that could not end by itself."""
        self.is_raw = self.changed
        self.restore()

    def leave(self, over: bool) -> None:
        """A transparent job has ended; it is `over` by itself if its modes are its own choice."""
        if not over:
            self.undo()
        self.changed = False

    def undo_late(self) -> None:
        """`undo` when the shell may have taken the terminal back: nothing stops us for it.

        Not if the shell has given it modes of its own, of which it is editing a line: that job was
        stopped, or in the background.
        """
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGTTOU])
        if self.changed and self.modes() == self.left:
            self._give_back()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        self.changed = False


def device_of(fd: int) -> int:
    """Which terminal this is (ioctl_tty(2), TIOCGDEV), by whatever name it was opened; else 0."""
    try:
        return int.from_bytes(ioctl(fd, _TIOCGDEV, bytes(4)), "little")
    except OSError:
        return 0


def sane(modes: bytes) -> bytes:
    """The modes with those that a program expects to find set, as stty(1) `sane` does."""
    found = bytearray(modes)
    for at, flags in _SANE.items():
        now = int.from_bytes(found[at : at + 4], "little")
        found[at : at + 4] = (now | flags).to_bytes(4, "little")
    return bytes(found)


def transparent_terminal(fds: dict[int, int]) -> HomeTerminal | None:
    """The one that a transparent job has a stand-in of; `fds` are those of 0-2 that are terminals.

    It is what /dev/tty leads to (tty(4)), though none of fds 0-2 may; without that, as after
    setsid(1), it is the first of these, and no session's of the job. Other ones are served call by
    call (glunix.home.descriptors.inherited).
    """
    try:
        own = posix.open("/dev/tty", posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC)
    except OSError:
        if not fds:
            return None
        first = min(fds)
        device = device_of(fds[first])
        terminal = HomeTerminal(fds[first], [n for n in fds if device_of(fds[n]) == device])
        terminal.controls = False
        return terminal
    device = device_of(own)
    same = [number for number in fds if device_of(fds[number]) == device]
    if not same:
        return HomeTerminal(own, [])
    posix.close(own)
    return HomeTerminal(fds[same[0]], same)

"""Stand-ins: what a transparent job finds behind descriptors 0-2 (DESIGN, "A stand-in terminal").

Owns their making and their readiness. Home's terminal becomes a pseudo-terminal that passes bytes
raw (home's own line discipline does the work, once), so isatty, ttyname, /dev/tty and job control
are native. A home pipe becomes a pipe, a file an empty file of the same size, /dev/null itself.
Readiness is mirrored with a token byte in the stand-in, so that poll, select and epoll stay native;
the token is never read by the program, because its reads are answered from home.
"""

import contextlib
import os
import termios

from glunix.msg.job import JobSpec
from glunix.node.become import StepFailed
from glunix.node.process import open_terminal, pipe
from slic.interposers.homefds import StandIn

TOKEN = b"\0"


class StandIns:
    """The descriptors of one transparent job. `theirs` are the child's 0, 1, 2."""

    def __init__(self, spec: JobSpec, uid: int) -> None:
        self.theirs: dict[int, int] = {}
        self.outputs: list[tuple[int, int]] = []
        """(home's descriptor, our end) of each output channel."""
        self.interposed: list[StandIn] = []
        self.slave = -1
        self._token_in = -1
        self._token_set = False
        self._is_tty_input = False
        if spec.tty is not None:
            self._make_terminal(spec, uid)
        if 0 not in self.theirs:
            self._make_input(spec)
        self._make_outputs(spec)

    def _make_terminal(self, spec: JobSpec, uid: int) -> None:
        assert spec.tty is not None
        master, self.slave = open_terminal(spec.tty, uid)
        _make_transparent(self.slave)
        for fd in spec.tty.fds:
            self.theirs[fd] = self.slave
        device = os.fstat(self.slave).st_rdev
        self.interposed.append(StandIn(spec.tty.fds[0], "tty", device, 0))
        shown = min((fd for fd in spec.tty.fds if fd in (1, 2)), default=0)
        if shown:
            self.outputs.append((shown, master))
        self.master = master
        self._token_in = os.dup(master)
        self._is_tty_input = True

    def _make_input(self, spec: JobSpec) -> None:
        if spec.stdin in ("null", "closed"):
            self.theirs[0] = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            return
        if spec.stdin == "file":
            fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
            with contextlib.suppress(OSError):  # a size our limits do not allow is only cosmetic
                os.ftruncate(fd, spec.stdin_size)
            self.theirs[0] = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            os.close(fd)
        else:
            self.theirs[0], ours = pipe()
            if self._token_in < 0:
                self._token_in = ours
        seen = os.fstat(self.theirs[0])
        self.interposed.append(StandIn(0, spec.stdin, seen.st_dev, seen.st_ino))

    def _make_outputs(self, spec: JobSpec) -> None:
        for fd in (1, 2):
            if fd in self.theirs:
                continue
            if fd == 2 and spec.one_output and 1 in self.theirs:
                self.theirs[2] = self.theirs[1]
                continue
            ours, self.theirs[fd] = pipe()
            self.outputs.append((fd, ours))

    def close_theirs(self) -> None:
        """After the fork: only the job holds its ends, and we the slave, to take tokens back."""
        keep = {self.slave}
        if not self._is_tty_input and 0 in self.theirs and self._token_in >= 0:
            keep.add(self.theirs[0])
        for fd in set(self.theirs.values()) - keep:
            os.close(fd)

    def set_readable(self, readable: bool) -> None:
        """Make poll on the stand-in say what poll at home says."""
        if readable == self._token_set or self._token_in < 0:
            return
        self._token_set = readable
        if readable:
            os.write(self._token_in, TOKEN)
        elif self._is_tty_input:
            termios.tcflush(self.slave, termios.TCIFLUSH)
        else:
            os.read(self.theirs[0], 1)


def _make_transparent(slave: int) -> None:
    """No processing in the stand-in: home's terminal does all of it. Signals come from home."""
    try:
        mode = termios.tcgetattr(slave)
    except termios.error as error:
        raise StepFailed("tty", error.args[0], f"no stand-in terminal: {error.args[1]}") from None
    mode[0] = mode[1] = 0
    mode[3] = 0
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(slave, termios.TCSANOW, mode)

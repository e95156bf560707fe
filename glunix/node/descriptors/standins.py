"""Stand-ins: what a transparent job finds behind descriptors 0-2 (DESIGN, "A stand-in terminal").

Owns their making and their readiness. Home's terminal becomes a pseudo-terminal that passes bytes
raw (home's own line discipline does the work, once), so isatty, ttyname, /dev/tty and job control
are native. A home pipe becomes a pipe, a socket a socket, a file an empty file of the same size,
/dev/null and its kin themselves. Readiness is mirrored with a token byte in the stand-in, so that
poll, select and epoll stay native; the token is never read by the program, because its reads are
answered from home.
"""

import contextlib
import errno
import os
import socket
import termios
import threading
from collections.abc import Callable, Sequence
from fcntl import ioctl

from glunix.msg.job import ALSO_READ, AT_HOME, Inherited, JobSpec
from glunix.msg.stream import ANSWERS
from glunix.node.spawn.exec import StepFailed
from glunix.node.terminal.devpts import stand_in_terminal
from glunix.node.userlevel.process import pipe
from slic.interposers.home.descriptors import FILE_OUTPUT, OUTPUTS, StandIn
from slic.kernel.pidfd import terminal_of

TOKEN = b"\0"

TERMINAL_FD = 3
"""The number under which home knows the terminal when none of fds 0-2 is it."""

TIOCGSID = 0x5429
"""ioctl_tty(2); Python has no name for it."""

_TCSETS = (0x5402, 0x5403, 0x5404, 0x402C542B, 0x402C542C, 0x402C542D)
"""TCSETS and TCSETS2 with their waiting and flushing forms; all begin with four words of flags."""

_DEVICES = ("null", "zero", "full", "random", "urandom")


class _Token:
    """The byte that makes poll say "readable", in one stand-in."""

    def __init__(self) -> None:
        self._home = False
        self._kept = False
        self._is_set = False

    def home(self, readable: bool) -> None:
        """Poll at home says so."""
        self._home = readable
        self._update()

    def kept(self, some: bool) -> None:
        """There are bytes on the node that left home already."""
        self._kept = some
        self._update()

    def _update(self) -> None:
        wanted = self._home or self._kept
        if wanted != self._is_set:
            self._is_set = wanted
            (self._put if wanted else self._take)()

    def _put(self) -> None:
        raise NotImplementedError

    def _take(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nobody asks for readiness any more."""


class _TerminalToken(_Token):
    def __init__(self, master: int, slave: int) -> None:
        super().__init__()
        self._master, self._slave = master, slave

    def _put(self) -> None:
        os.write(self._master, TOKEN)

    def _take(self) -> None:
        termios.tcflush(self._slave, termios.TCIFLUSH)

    def close(self) -> None:
        os.close(self._master)


class _PipeToken(_Token):
    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__()
        self._ours = ours
        # An open file of our own: O_NONBLOCK on theirs would be the program's, too.
        self._reader = os.open(
            f"/proc/self/fd/{theirs}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )

    def _put(self) -> None:
        os.write(self._ours, TOKEN)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 1)


class SocketToken(_Token):
    """In one of a pair of sockets, `theirs`."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        super().__init__()
        self._ours, self._theirs = ours, theirs

    def _put(self) -> None:
        self._ours.send(TOKEN)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._theirs.recv(1, socket.MSG_DONTWAIT)


class StandIns:
    """The descriptors of one transparent job. `theirs` are the child's 0, 1, 2."""

    def __init__(self, spec: JobSpec, fed: Sequence[int]) -> None:
        self.theirs: dict[int, int] = {}
        self.outputs: list[tuple[int, int]] = []
        """(channel, our end) of each output; channel 0 is a terminal that is neither 1 nor 2."""
        self.interposed: list[StandIn] = []
        self.files: set[int] = set()
        """Channels whose end at home is a file."""
        self.slave = self._master = -1
        self._last_foreground = 0
        self.terminal_fd = -1
        """Home's number of the terminal."""
        self.terminal_channel = -1
        self._tokens: dict[int, _Token] = {}
        self._kept: list[socket.socket] = []
        self._spare: list[int] = []
        if spec.tty is not None:
            self._make_terminal(spec)
        if 0 not in self.theirs:
            self._make_input(spec, fed)
        self._make_outputs(spec)
        for one in spec.inherited:
            self._inherit(one)

    def _make_terminal(self, spec: JobSpec) -> None:
        assert spec.tty is not None
        fds = spec.tty.fds
        master, self.slave, self._spare = stand_in_terminal(spec.tty)
        _make_transparent(self.slave)
        for fd in fds:
            self.theirs[fd] = self.slave
        self.terminal_fd = min(fds, default=TERMINAL_FD)
        self.terminal_channel = min((fd for fd in fds if fd in (1, 2)), default=0)
        device = os.fstat(self.slave).st_rdev
        self.interposed.append(StandIn(self.terminal_fd, "tty", device, 0))
        self._tokens[self.terminal_fd] = _TerminalToken(os.dup(master), self.slave)
        self._master = os.dup(master)
        self.outputs.append((self.terminal_channel, master))

    def _make_input(self, spec: JobSpec, fed: Sequence[int]) -> None:
        if spec.stdin in _DEVICES or spec.stdin == "closed":
            name = spec.stdin if spec.stdin in _DEVICES else "null"
            self.theirs[0] = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
            return
        if spec.stdin == "file":
            self.theirs[0] = _file(spec.stdin_size)
        elif spec.stdin == "packets":
            ours, theirs = socket.socketpair()
            self._kept += [ours, theirs]
            self.theirs[0] = theirs.fileno()
            self._tokens[0] = SocketToken(ours, theirs)
        elif spec.stdin == "pipe":
            self.theirs[0] = fed[0]  # read without our help (glunix.node.input.prefetched)
            return
        elif spec.stdin == "socket":
            for fd in {0, *spec.sockets} - self.theirs.keys():
                self.theirs[fd] = fed[0]
            channel = min((fd for fd in spec.sockets if fd), default=ANSWERS)
            self.outputs.append((channel, fed[1]))
            return
        else:
            self.theirs[0], pipe_end = pipe()
            self._tokens[0] = _PipeToken(pipe_end, self.theirs[0])
        seen = os.fstat(self.theirs[0])
        self.interposed.append(StandIn(0, spec.stdin, seen.st_dev, seen.st_ino))

    def _make_outputs(self, spec: JobSpec) -> None:
        for fd in (1, 2):
            if fd in self.theirs:
                continue
            if fd == 2 and spec.one_output and 1 in self.theirs:
                self.theirs[2] = self.theirs[1]
                continue
            kind = dict(enumerate(spec.outputs, 1)).get(fd, "")
            if kind.removesuffix(ALSO_READ) in _DEVICES:
                how = os.O_RDWR if kind.endswith(ALSO_READ) else os.O_WRONLY
                device = f"/dev/{kind.removesuffix(ALSO_READ)}"
                self.theirs[fd] = os.open(device, how | os.O_CLOEXEC)
                continue
            ours, self.theirs[fd] = _socket_output() if kind == "socket" else pipe()
            self.outputs.append((fd, ours))
            seen = os.fstat(self.theirs[fd])
            if kind == "file":
                self.files.add(fd)
            kind = FILE_OUTPUT if kind == "file" else "out"
            self.interposed.append(StandIn(fd, kind, seen.st_dev, seen.st_ino))

    def _inherit(self, one: Inherited) -> None:
        """A descriptor above 2, in the same ways."""
        if one.kind in AT_HOME:
            return  # see `hold`
        if one.kind == "as":
            if one.size in self.theirs:
                self.theirs[one.number] = self.theirs[one.size]
            return
        if one.kind == "tty":
            if self.slave >= 0:
                self.theirs[one.number] = self.slave
            return
        if one.kind in _DEVICES:
            self.theirs[one.number] = os.open(f"/dev/{one.kind}", os.O_RDWR | os.O_CLOEXEC)
            return
        if one.kind in OUTPUTS:
            ours, self.theirs[one.number] = pipe()
            self.outputs.append((one.channel, ours))
            if one.kind == FILE_OUTPUT:
                self.files.add(one.channel)
        elif one.kind == "file":
            self.theirs[one.number] = _file(one.size)
        elif one.kind == "pipe":
            self.theirs[one.number], pipe_end = pipe()
            self._tokens[one.channel] = _PipeToken(pipe_end, self.theirs[one.number])
        else:
            raise StepFailed("stdin", errno.EINVAL, f"no such descriptor: {one.kind}")
        seen = os.fstat(self.theirs[one.number])
        self.interposed.append(StandIn(one.channel, one.kind, seen.st_dev, seen.st_ino))

    def hold(self, spec: JobSpec, make: Callable[[Inherited], int]) -> None:
        """Descriptors above 2 whose every call is asked of home: `make` makes the stand-ins."""
        for one in spec.inherited:
            if one.kind in AT_HOME:
                self.theirs[one.number] = make(one)
        for one in spec.inherited:
            if one.kind == "as" and one.size in self.theirs:
                self.theirs.setdefault(one.number, self.theirs[one.size])

    @property
    def inherited(self) -> dict[int, int]:
        """The program's descriptors above 2: number -> ours."""
        return {number: fd for number, fd in self.theirs.items() if number > 2}

    @property
    def read_files(self) -> set[int]:
        """The program's descriptors that stand for files to be read."""
        places = {(s.device, s.inode) for s in self.interposed if s.kind == "file"}
        seen = {number: os.fstat(fd) for number, fd in self.theirs.items()}
        return {number for number, s in seen.items() if (s.st_dev, s.st_ino) in places}

    def close_theirs(self) -> None:
        """After the fork: only the job holds its ends, and we the slave, to take tokens back."""
        keep = {self.slave, *(sock.fileno() for sock in self._kept)}
        for fd in set(self.theirs.values()) - keep:
            os.close(fd)

    def started(self) -> None:
        """The program runs: what has time until now is done beside it."""
        spare, self._spare = self._spare, []
        if spare:
            threading.Thread(target=_close_all, args=(spare,), daemon=True).start()

    def set_readable(self, fd: int, readable: bool) -> None:
        """Make poll on the stand-in of home's `fd` say what poll at home says."""
        if fd in self._tokens:
            self._tokens[fd].home(readable)

    def unread(self, fd: int, some: bool) -> None:
        """Bytes of home's `fd` that left home are (not) kept on the node."""
        if fd in self._tokens:
            self._tokens[fd].kept(some)

    def native_names(self) -> list[bytes]:
        """Names of the stand-in terminal: opening them opens it."""
        if self.slave < 0:
            return [b"/dev/tty"]
        return [b"/dev/tty", os.fsencode(os.ttyname(self.slave))]

    def hang_up(self) -> None:
        """The home terminal is gone: with the last master the kernel hangs the stand-in up."""
        if self.slave < 0:
            return
        self._last_foreground = self.foreground()
        self._tokens.pop(self.terminal_fd).close()
        os.close(self._master)
        os.close(self.slave)
        self.slave = self._master = -1

    # -- job control on the node -------------------------------------------------------------

    def foreground(self) -> int:
        """The stand-in terminal's foreground group; 0 when there is none."""
        if self.slave < 0:
            return self._last_foreground
        try:
            return os.tcgetpgrp(self._master)  # may be asked from outside of its session
        except OSError:
            return 0

    def is_terminal_of(self, tid: int) -> bool:
        """Whether the stand-in is this thread's controlling terminal: in its session some may have
        given it up (TIOCNOTTY)."""
        if self.slave < 0:
            return False
        own = os.fstat(self.slave).st_rdev
        try:
            return terminal_of(tid) == (os.major(own), os.minor(own))
        except OSError:
            return False

    def in_background(self, tid: int) -> bool:
        """Whether the kernel would stop this thread for a read (tty_ioctl(4), job control)."""
        if self.slave < 0:
            return False
        try:
            session = int.from_bytes(ioctl(self._master, TIOCGSID, bytes(4)), "little")
            return os.getsid(tid) == session and os.getpgid(tid) != self.foreground()
        except OSError:  # nobody's terminal, or the thread is gone
            return False

    def changed(self, command: int, data: bytes) -> None:
        """The job has set something of home's terminal: here too, what this kernel acts upon."""
        if self.slave < 0:
            return
        if command == termios.TIOCSWINSZ:
            with contextlib.suppress(OSError):  # hung up
                # SIGWINCH has come when the call returns (tty_ioctl(4)); home's own tells no news.
                ioctl(self.slave, termios.TIOCSWINSZ, data)
        elif command in _TCSETS:
            self._set_tostop(bool(int.from_bytes(data[12:16], "little") & termios.TOSTOP))

    def set_flow(self, stopped: bool) -> None:
        """Home's terminal does (not) take output: nor does the stand-in."""
        if self.slave >= 0:
            with contextlib.suppress(OSError, termios.error):  # hung up
                termios.tcflow(self.slave, termios.TCOOFF if stopped else termios.TCOON)

    def _set_tostop(self, wanted: bool) -> None:
        """Background writers are stopped by this kernel."""
        mode = termios.tcgetattr(self.slave)
        if bool(mode[3] & termios.TOSTOP) != wanted:
            mode[3] ^= termios.TOSTOP
            termios.tcsetattr(self.slave, termios.TCSANOW, mode)


def _socket_output() -> tuple[int, int]:
    """(our end, theirs) of a socket that is written to; nothing comes from home for it."""
    ours, theirs = socket.socketpair()
    ours.shutdown(socket.SHUT_WR)
    return ours.detach(), theirs.detach()


def _file(size: int) -> int:
    """An empty file, to be read, that looks as large as home's."""
    fd = os.memfd_create("home", os.MFD_CLOEXEC)
    with contextlib.suppress(OSError):  # a size our limits do not allow is only cosmetic
        os.ftruncate(fd, size)
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(fd)


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _make_transparent(slave: int) -> None:
    """No processing in the stand-in: home's terminal does all of it. Signals come from home."""
    try:
        mode = termios.tcgetattr(slave)
    except termios.error as error:
        raise StepFailed("tty", error.args[0], f"no stand-in terminal: {error.args[1]}") from None
    mode[0] = mode[1] = 0
    mode[3] &= termios.TOSTOP
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(slave, termios.TCSANOW, mode)

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
import stat
import struct
import termios
import threading
from collections.abc import Callable, Sequence
from fcntl import F_GETFL, F_SETFL, fcntl, ioctl

from msgspec.structs import replace

from glunix.msg.job import ALSO_READ, AT_HOME, Inherited, JobSpec, OpenState
from glunix.msg.stream import ANSWERS
from glunix.node.spawn.exec import StepFailed
from glunix.node.terminal.devpts import stand_in_terminal
from glunix.node.userlevel.process import pipe
from slic.interposers.home.descriptors import FILE_OUTPUT, OUTPUTS, StandIn
from slic.kernel.pidfd import terminal_of

TOKEN = b"\0"

TERMINAL_FD = 3
"""The number under which home knows the terminal when none of fds 0-2 is it."""

O_LARGEFILE = 0o100000
"""open(2); Python says 0, because the C library always means it (x86-64)."""

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

    @property
    def is_home(self) -> bool:
        """What poll at home said last."""
        return self._home

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


def _let_nobody_read(output: int) -> None:
    """Of the pipe that an output to a file is: opened by name (/dev/fd/2), it would give to its
    reader what was written, and have him wait for the rest."""
    os.fchmod(output, 0o200)


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
        self._controls = True
        """The terminal is the controlling one of the job's session."""
        self._last_foreground = 0
        self.flow_stopped = self._paused = False
        """Whether home's terminal takes no output; whether none is taken for a moment."""
        self.terminal_fd = -1
        """Home's number of the terminal."""
        self.terminal_channel = -1
        self._tokens: dict[int, _Token] = {}
        self._kept: list[socket.socket] = []
        self._spare: list[int] = []
        self._access = [one.flags & os.O_ACCMODE for one in spec.opened]
        odd = {one.number for one in spec.standard}
        if spec.tty is not None:
            self._make_terminal(spec)
        for given in spec.standard:
            if given.kind != "as":
                self._inherit(given)
        if not {0} & (odd | self.theirs.keys()):
            self._make_input(spec, fed)
        self._make_outputs(spec, {1, 2} - odd)
        self._open_large(spec)
        for one in [*(s for s in spec.standard if s.kind == "as"), *spec.inherited]:
            self._inherit(one)

    def _open_large(self, spec: JobSpec) -> None:
        """A pipe that home has by its name (mkfifo, bash's `<(...)`) shows O_LARGEFILE, which none
        of pipe(2) does, and which only an open gives."""
        for fd, state in enumerate(spec.opened):
            own = self.theirs.get(fd, -1)
            if own < 0 or not state.flags & O_LARGEFILE or not stat.S_ISFIFO(os.fstat(own).st_mode):
                continue
            flags = fcntl(own, F_GETFL)
            if flags & O_LARGEFILE:
                continue  # the other one is the same
            how = flags & os.O_ACCMODE | os.O_NONBLOCK | os.O_CLOEXEC
            opened = os.open(f"/proc/self/fd/{own}", how)
            fcntl(opened, F_SETFL, flags)
            os.dup2(opened, own, inheritable=False)
            os.close(opened)

    def _make_terminal(self, spec: JobSpec) -> None:
        assert spec.tty is not None
        fds = spec.tty.fds
        self._controls = spec.tty.controls
        master, self.slave, self._spare = stand_in_terminal(spec.tty)
        _make_transparent(self.slave)
        for fd in fds:
            self.theirs[fd] = self._opened(fd)
        self.terminal_fd = min(fds, default=TERMINAL_FD)
        self.terminal_channel = min((fd for fd in fds if fd in (1, 2)), default=0)
        device = os.fstat(self.slave).st_rdev
        self.interposed.append(StandIn(self.terminal_fd, "tty", device, 0))
        self._tokens[self.terminal_fd] = _TerminalToken(os.dup(master), self.slave)
        self._master = os.dup(master)
        self.outputs.append((self.terminal_channel, master))

    def _opened(self, fd: int) -> int:
        """The slave as home's terminal is open there: `</dev/tty` cannot be written."""
        access = self._how(fd, os.O_RDWR)
        if access == os.O_RDWR:
            return self.slave
        same = (n for n in self.theirs if self._how(n, os.O_RDWR) == access)
        for other in same:
            return self.theirs[other]
        return os.open(f"/proc/self/fd/{self.slave}", access | os.O_NOCTTY | os.O_CLOEXEC)

    def _how(self, fd: int, usual: int) -> int:
        """How home has it open (O_ACCMODE); `usual` where an older startup does not say."""
        return self._access[fd] if fd < len(self._access) else usual

    def _make_input(self, spec: JobSpec, fed: Sequence[int]) -> None:
        if spec.stdin in _DEVICES or spec.stdin == "closed":
            name = spec.stdin if spec.stdin in _DEVICES else "null"
            how = self._how(0, os.O_RDONLY) if spec.stdin != "closed" else os.O_RDONLY
            self.theirs[0] = os.open(f"/dev/{name}", how | os.O_CLOEXEC)
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

    def _make_outputs(self, spec: JobSpec, fds: set[int]) -> None:
        for fd in sorted(fds):
            if fd in self.theirs:
                continue
            if fd == 2 and spec.one_output and 1 in self.theirs:
                self.theirs[2] = self.theirs[1]
                continue
            kind = dict(enumerate(spec.outputs, 1)).get(fd, "")
            if kind.removesuffix(ALSO_READ) in _DEVICES:
                how = self._how(fd, os.O_RDWR if kind.endswith(ALSO_READ) else os.O_WRONLY)
                device = f"/dev/{kind.removesuffix(ALSO_READ)}"
                self.theirs[fd] = os.open(device, how | os.O_CLOEXEC)
                continue
            ours, self.theirs[fd] = _socket_output() if kind == "socket" else pipe()
            self.outputs.append((fd, ours))
            seen = os.fstat(self.theirs[fd])
            if kind == "file":
                _let_nobody_read(self.theirs[fd])
                self.files.add(fd)
            both = kind == "file" and self._how(fd, os.O_WRONLY) == os.O_RDWR
            kind = FILE_OUTPUT if kind == "file" else "out"
            self.interposed.append(StandIn(fd, kind, seen.st_dev, seen.st_ino, is_read=both))

    def _inherit(self, one: Inherited) -> None:
        """A descriptor above 2, or one of 0-2 that is open in its own way."""
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
                _let_nobody_read(self.theirs[one.number])
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
        """Descriptors whose every call is asked of home: `make` makes the stand-ins."""
        given = [*spec.standard, *spec.inherited]
        for one in given:
            if one.kind in AT_HOME:
                self.theirs[one.number] = make(one)
        for one in given:
            if one.kind == "as" and one.size in self.theirs:
                self.theirs.setdefault(one.number, self.theirs[one.size])

    def states(self, spec: JobSpec) -> dict[int, OpenState]:
        """What fds 0-2 are to show of themselves, as far as this kernel does it."""
        written = {(s.device, s.inode) for s in self.interposed if s.kind == FILE_OUTPUT}
        shown = {
            fd: state
            for fd, state in enumerate(spec.opened)
            if fd not in spec.closed and not state.flags & os.O_PATH
        }
        for fd in list(shown):
            seen = os.fstat(self.theirs[fd])
            if (seen.st_dev, seen.st_ino) in written:  # its flags are asked of home (HomeStdio)
                shown[fd] = replace(shown[fd], flags=fcntl(self.theirs[fd], F_GETFL))
        return shown

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
        if not self._controls:
            return 0  # the session's that keeps it from the job's
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
        self.flow_stopped = stopped
        self._update_flow()

    def pause_output(self, paused: bool) -> None:
        """Take no output for a moment."""
        self._paused = paused
        self._update_flow()

    def drop_output(self) -> None:
        """Throw away what was written to the terminal and has not gone home (tcflush(3))."""
        if self.slave >= 0:
            with contextlib.suppress(termios.error):  # hung up
                termios.tcflush(self.slave, termios.TCOFLUSH)

    def _update_flow(self) -> None:
        stopped = self.flow_stopped or self._paused
        if self.slave >= 0:
            with contextlib.suppress(OSError, termios.error):  # hung up
                termios.tcflow(self.slave, termios.TCOOFF if stopped else termios.TCOON)

    # -- a move to another node ----------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Of the stand-in terminal (struct winsize)."""
        data = ioctl(self.slave, termios.TIOCGWINSZ, bytes(8)) if self.slave >= 0 else bytes(8)
        rows, cols, xpixel, ypixel = struct.unpack("4H", data)
        return rows, cols, xpixel, ypixel

    @property
    def tostop(self) -> bool:
        """Whether background writers are stopped."""
        return self.slave >= 0 and bool(termios.tcgetattr(self.slave)[3] & termios.TOSTOP)

    def readable(self) -> dict[int, bool]:
        """Home's descriptors whose readiness is mirrored, and what home last said of it."""
        return {fd: token.is_home for fd, token in self._tokens.items()}

    def adopt(self, size: tuple[int, int, int, int], tostop: bool, flow_stopped: bool) -> None:
        """Be as the stand-in of another node was."""
        if self.slave >= 0:
            ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", *size))
            self._set_tostop(tostop)
            if flow_stopped:
                self.set_flow(True)

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

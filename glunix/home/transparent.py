"""Home's half of interposed calls: reads, seeks and ioctls that a transparent job asks for.

Owns which home descriptors are read and what the node was told of their readiness. Each `want` is
one read(2) of at most that count, without waiting; when there is nothing, the node is told by
`ready` once there is. What the node believes is corrected before an answer that might have changed
it, so that its poll never promises what a read will not find.
"""

from __future__ import annotations

import _signal
import errno
import os
import posix
import select
from fcntl import ioctl

from glunix.errors import FrameError
from glunix.home.descriptors.inherited import AT_HOME, is_file, is_read_output
from glunix.home.descriptors.kinds import same_sockets, stdin_kind
from glunix.home.input.source import Source
from glunix.home.jobview import JobView
from glunix.home.options import is_open
from glunix.home.report import complain
from glunix.home.signals import STOPPED, BeingStopped, as_background
from glunix.home.sinks import to_nowhere
from glunix.home.terminal.allowed_ioctls import (
    MODE_CHANGES,
    QUERIES,
    STOPPING,
    TIOCSTI,
    TerminalRights,
)
from glunix.home.terminal.flow import TCXONC, FlowWatch
from glunix.home.terminal.modes import ModeWatch
from glunix.home.terminal.tty import HomeTerminal, device_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from glunix.home.calls.pages import RareCalls
    from glunix.home.descriptors.forwarded import Forwarded
    from glunix.home.descriptors.inherited import Inherited
    from glunix.home.input.prefetch import InputPrefetch
    from glunix.home.level import Handlers
    from glunix.home.options import Options
    from glunix.home.processes.outbound_signals import OutboundSignals
    from glunix.home.processes.root_shadow import HomeHalf
    from glunix.home.processes.shadows import Shadows
    from glunix.home.wire import Bytes, Value

    Send = Callable[[int, list[object]], None]

_INT_MAX = 2**31 - 1

RARE = ("homecall", "homeclose", "ioctlpages", "unwant")
"""Messages of glunix.home.calls.pages."""

TERMINAL_FD = 3
"""The number by which the node asks for the controlling terminal when none of fds 0-2 is it."""


class HomeCalls:
    """Answers the one node stream of a transparent job: `handlers` for
    glunix.home.calls.dispatch; `wants`, `fileno` and `read` for the startup's poll loop."""

    def __init__(
        self,
        terminal: HomeTerminal | None,
        stream: int,
        send: Send,
        send_data: Callable[[int, bytes | memoryview], None],
        options: Options,
        inherited: list[Inherited],
        half: HomeHalf,
    ) -> None:
        """`options`: which paths of home may be opened (--home), and whether the job may type."""
        self._half = half
        self._inherited = {one.channel: one.number for one in inherited}
        self._paths = options.home
        self._terminal = terminal
        device = 0 if terminal is None else device_of(terminal.fd)
        self._rights = TerminalRights(device, options.allow_tiocsti)
        self._stream = stream
        self._send_on = send
        self._send_data = send_data
        self._over = False
        self._sources: dict[int, Source] = {}
        self._by_own: dict[int, Source] = {}
        self._epoll = select.epoll()
        self._rare: RareCalls | None = None
        self.modes: ModeWatch | None = None
        self.flow: FlowWatch | None = None
        self._began = posix.getppid(), posix.getpgrp(), half.parent
        """The program's shadow, group and parent: they may change."""
        self._outward: OutboundSignals | None = None
        self._job_shadows: Shadows | None = None
        self.begins_output: Callable[[int, int], None] = lambda number, fd: None
        """Called when the job has opened an output here: its channel, our descriptor."""
        self.before_end: Callable[[], None] = lambda: None
        """Called before the node hears that what goes ahead has ended."""
        if terminal is not None:
            number = min(terminal.fds, default=TERMINAL_FD)
            self._add(number, Source(terminal.fd, terminal))
            self.modes = ModeWatch(number, terminal, self._send)
            self.flow = FlowWatch(terminal, self._send, self._epoll)
        self._prefetch: InputPrefetch | None = None
        self.answers = False
        """Whether what the program writes into its fd 0 is an output of its own."""
        others = {one.number for one in inherited}
        for fd in {1, 2} - others:
            if is_read_output(fd):
                self._add(fd, Source(fd, None))
        if is_open(0) and 0 not in self._sources and 0 not in others:
            kind = stdin_kind(0, False)[0]
            if kind in ("pipe", "socket"):
                from glunix.home.input.prefetch import PipePrefetch, SocketPrefetch

                make = PipePrefetch if kind == "pipe" else SocketPrefetch
                self._prefetch = make(0, self._send_ahead, self._send, self._complain)
                news = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
                self._epoll.register(self._prefetch, news)
                self.answers = kind == "socket" and not {1, 2} & set(same_sockets())
            else:
                self._add(0, Source(0, None))
        self._forwarded: Forwarded | None = None
        """Inherited ones whose every call is made here."""
        if any(one.kind in AT_HOME for one in inherited):
            self._hold(inherited)
        for one in inherited:
            if one.kind in ("file", "pipe"):
                self._add(one.channel, Source(one.number, None))

    def _hold(self, inherited: list[Inherited]) -> None:
        from glunix.home.descriptors.forwarded import Forwarded

        self._forwarded = Forwarded(inherited)
        for channel, source in self._forwarded.sources().items():
            self._add(channel, source)

    def _complain(self, line: str) -> None:
        complain(line, self._terminal)

    def _add(self, fd: int, source: Source) -> None:
        self._sources[fd] = source
        self._by_own[source.fileno()] = source
        try:
            self._epoll.register(source, select.EPOLLIN | select.EPOLLET)
        except PermissionError:
            pass  # a file: always ready (epoll_ctl(2))

    def begin(self) -> None:
        """The job was placed: say what is ready already."""
        self._shadows().begin()
        for fd, source in self._sources.items():
            self._refresh(fd, source)
        self.look_ahead()

    def handlers(self) -> Handlers:
        """Who does what the node asks for: of this and of all parts."""
        return {
            "back": self.give_back,
            "inback": self.back,
            "inclosed": self.closed,
            "incredit": self.took,
            "ioctl": self.ioctl,
            "seek": self.seek,
            "shadowkill": self._kill,
            "want": self.want,
            **self._shadows().handlers(),
            **{tag: self._rarely(tag) for tag in RARE},
        }

    # -- input that goes ahead ---------------------------------------------------------------

    def look_ahead(self, end: bool = True) -> None:
        """Before the node hears of anything else: what came before it is on its way.

        Without the `end`, which may have come with it: who was killed by a ^C closes his pipe.
        """
        if self._prefetch is not None:
            self._prefetch.look(end)

    def _send_ahead(self, data: bytes | memoryview) -> None:
        if not data:
            self.before_end()
        self._send_data(self._stream, data)

    def took(self, count: int) -> None:
        """The program read `count` bytes of what went ahead."""
        if self._prefetch is not None:
            self._prefetch.took(count)

    def back(self, number: int) -> None:
        """What went ahead and was not read is void."""
        if self._prefetch is not None:
            self._prefetch.back(number)

    def closed(self) -> None:
        """Nobody in the job can read what goes ahead any more."""
        if self._prefetch is not None:
            self._epoll.unregister(self._prefetch)
            self._prefetch.close()
            self._prefetch = None
            to_nowhere(0)  # who writes into it hears that, as at home

    def _send(self, message: list[object]) -> None:
        self._send_on(self._stream, message)

    # -- the startup's poll loop ---------------------------------------------------------------

    def wants(self) -> bool:
        """Whether news of input is of interest."""
        return not self._over

    def fileno(self) -> int:
        """For poll: readable when input came on any source."""
        return self._epoll.fileno()

    def read(self) -> None:
        """Input came: tell the node. Nothing is read."""
        for own, events in self._epoll.poll(0):
            if self._prefetch is not None and own == self._prefetch.fileno():
                self._prefetch.look()
                continue
            if self.flow is not None and own == self.flow.fileno():
                self.flow.look()
                continue
            if self._rare is not None and self._rare.ended(own):
                continue
            if self._job_shadows is not None and self._job_shadows.read(own):
                continue
            if own not in self._by_own:
                continue  # a fork server has just gone
            source = self._by_own[own]
            fd = next(fd for fd, other in self._sources.items() if other is source)
            if events & select.EPOLLHUP and source.terminal is not None:
                source.told = True
                self._send(["ready", fd, True, True])
            elif source.wants_edge or not source.told:
                self._tell(fd, source, True)

    def maybe_over(self, job: JobView) -> None:
        """A process ended: with the last one nothing more is asked."""
        if not job.live():
            self._over = True
            if self._rare is not None:
                self._rare.end()
            if self._job_shadows is not None:
                self._job_shadows.end()

    # -- readiness ---------------------------------------------------------------------------

    def _tell(self, fd: int, source: Source, ready: bool) -> None:
        source.told = ready
        self._send(["ready", fd, ready])

    def _refresh(self, fd: int, source: Source) -> None:
        ready = source.is_ready()
        if ready != source.told:
            self._tell(fd, source, ready)

    def look_again(self) -> None:
        """We went on after a stop: the modes and the input may be others."""
        if self._prefetch is not None:
            self._prefetch.anew()
        for fd, source in self._sources.items():
            self._tell(fd, source, source.is_ready())

    # -- calls -------------------------------------------------------------------------------

    def want(self, ask: int, fd: int, count: int, nonblock: bool = False, offset: int = -1) -> None:
        """One read of home's `fd`. EAGAIN tells the node to wait for `ready`."""
        source = self._sources.get(fd)
        if source is None:
            self._send(["got", ask, errno.EBADF, b"", 0])
            return
        error, data, tenths = source.read(count, nonblock, offset)
        waits = error == errno.EAGAIN and not nonblock
        if offset < 0:
            source.gave(data)
        if not waits:  # a node that is to wait must hear so before it hears that it need not
            self._refresh(fd, source)
        self._send(["got", ask, error, data, tenths])
        if waits:
            self._refresh(fd, source)

    def seek(self, ask: int, fd: int, offset: int, whence: int) -> None:
        """lseek(2) on the user's own open file: its offset is shared with the user's shell."""
        try:
            if self._rare is None or fd <= 2 or fd in self._inherited:
                moved = posix.lseek(self._home_fd(fd), offset, whence)
            else:
                moved = self._rare.files.seek(fd, offset, whence)
            self._send(["ioctled", ask, moved, 0, b""])
        except OSError as error:
            self._send(["ioctled", ask, 0, error.errno or errno.EIO, b""])

    def ioctl(
        self,
        ask: int,
        fd: int,
        command: int,
        argument: int,
        data: Bytes,
        may_write: bool = False,
        watch: bool = False,
    ) -> None:
        """A terminal ioctl, as if the program made it here.

        `may_write`: the program blocks or ignores SIGTTOU, so it may from the background, too.
        `watch`: the node wants to hear of modes (glunix.home.terminal.modes).
        """
        source = self._sources.get(fd)
        if watch and self.modes is not None and source is not None and source.terminal is not None:
            self.modes.begin()
        try:
            home_fd = self._home_fd(fd)
            buffer = self._rights.buffer(home_fd, command, bytes(data))
        except OSError as refused:
            self._send(["ioctled", ask, 0, refused.errno or errno.EIO, b""])
            return

        def call() -> int:
            if buffer:
                return int(ioctl(home_fd, command, buffer, True))
            return ioctl(home_fd, command, min(argument, _INT_MAX))

        if command in MODE_CHANGES and self._terminal is not None:
            # Said before it is done: if we are killed in between, the daemon puts it right.
            self._terminal.changed = True
            self._send_on(0, ["tty", True])
        value = error = 0
        try:
            value = self._make(call, command, may_write)
            if command in MODE_CHANGES and self._terminal is not None:
                self._terminal.note_modes()
                self._send_on(0, ["tty", True, self._terminal.left])
        except (BeingStopped, InterruptedError):
            error = STOPPED
        except OSError as failed:
            error = failed.errno or errno.EIO
        if command == TCXONC and self.flow is not None:
            self.flow.look()
        if source is not None and command not in QUERIES:
            self._refresh(fd, source)  # other modes make other input readable
        written = b"" if error else self._rights.results(command, buffer)
        self._send(["ioctled", ask, value, error, written])

    def drops_output(self, may_write: bool, drop: Callable[[], None]) -> None:
        """tcflush(3) empties the terminal's queue, if it is made (`_make`): also what is ahead."""
        if self._terminal is not None and (may_write or self._terminal.in_foreground()):
            drop()

    def _make(self, call: Callable[[], int], command: int, may_write: bool) -> int:
        if command not in STOPPING or self._terminal is None or self._terminal.in_foreground():
            return call()
        if not may_write:
            return as_background(_signal.SIGTTOU, call)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGTTOU])
        try:
            return call()
        finally:
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGTTOU])

    def fail(self, ask: int, error: int) -> None:
        """A call on a file has failed before it was made."""
        self._send(["homedone", ask, 0, error, [], b""])

    def _rarely(self, tag: str) -> Callable[..., None]:
        """The handler of calls that few programs make: the first one loads what makes them."""

        def handle(*fields: Value) -> None:
            if self._rare is None:
                if tag == "unwant":
                    raise FrameError("unexpected 'unwant'")
                self._rare = self._rare_calls()
            self._rare.handlers()[tag](*fields)

        return handle

    def _rare_calls(self) -> RareCalls:
        from glunix.home.calls.files import HomeFiles
        from glunix.home.calls.pages import RareCalls

        given = {fd: fd for fd in (0, 1, 2) if is_file(fd)}
        given |= {channel: fd for channel, fd in self._inherited.items() if is_file(fd)}
        if self._terminal is not None:
            given[min(self._terminal.fds, default=TERMINAL_FD)] = self._terminal.fd
        paths = self._paths
        if self._forwarded is not None:
            given |= self._forwarded.descriptors
            paths = [*paths, *self._forwarded.directories()]
        how = (self._opened, self._closed, given, self._begins, self._again)
        files = HomeFiles(paths, self._send, self._epoll, *how)
        return RareCalls(self._send, self._epoll, self._fd_for_any, files)

    def _again(self, number: int) -> None:
        """What was read there may have been all."""
        source = self._sources.get(number)
        if source is not None:
            self._refresh(number, source)

    def _begins(self, number: int, fd: int) -> None:
        self.begins_output(number, fd)

    def output_ended(self, number: int) -> None:
        """Nobody in the job has this output any more."""
        if self._rare is not None:
            self._rare.files.close(number)

    def _kill(self, pid: int, signal: int, group: int, spared: list[int]) -> None:
        from glunix.home.processes.outbound_signals import OutboundSignals

        if self._outward is None:
            self._outward = OutboundSignals(*self._began)
        self._outward.kill(pid, signal, group, spared)

    def _shadows(self) -> Shadows:
        if self._job_shadows is None:
            from glunix.home.processes.shadows import Shadows

            around = (self._terminal, self._half, lambda: self.before_end())
            self._job_shadows = Shadows(self._send, self._epoll, *around)
        return self._job_shadows

    @property
    def has_shadows(self) -> bool:
        """Whether processes that the program forked hear their signals by themselves."""
        return self._job_shadows is not None and self._job_shadows.is_there()

    def _opened(self, fd: int, own: int) -> None:
        """The job has opened a file here, under this number."""
        source = Source(own, None)
        self._add(fd, source)
        self._refresh(fd, source)

    def _closed(self, fd: int) -> None:
        source = self._sources.pop(fd, None)
        if source is not None:
            del self._by_own[source.fileno()]
            try:
                self._epoll.unregister(source)
            except OSError:
                pass  # a file: see _add; or let go of already, as an output
            source.close()
        if self._forwarded is not None:
            self._forwarded.close(fd)

    def _home_fd(self, fd: int) -> int:
        """Our descriptor of what the node calls `fd`; OSError EBADF."""
        source = self._sources.get(fd)
        if source is not None:
            return source.fd
        if fd <= 2:
            return fd
        if fd in self._inherited:
            return self._inherited[fd]
        if self._rare is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._rare.files.descriptor(fd)

    def _fd_for_any(self, fd: int, command: int) -> int:
        """Our descriptor for an ioctl that no table knows; OSError: it may not be made there."""
        found = self._home_fd(fd)
        self._rights.check_any(found, command)
        return found

    def give_back(self, fd: int, data: Bytes) -> None:
        """Bytes the job fetched and never took: to the terminal's input, or a file's offset.

        Only the last of what it was given: else a node could type what it likes (Source.takes).
        """
        source = self._sources.get(fd)
        try:
            if source is None or not source.takes(bytes(data)):
                return
            if source.terminal is not None:
                for byte in bytes(data):
                    ioctl(source.fd, TIOCSTI, bytes((byte,)))
            else:
                posix.lseek(source.fd, -len(data), os.SEEK_CUR)
        except OSError:
            pass  # a pipe takes nothing back; the kernel may refuse TIOCSTI

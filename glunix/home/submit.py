"""The first words of a startup: connect to this node's daemon and submit the job (paper 4.2.1).

Owns everything up to the Submit and as few imports as that takes; the rest of the startup is
imported while the cluster places and starts the job, so that this time costs the user nothing.
"""

from __future__ import annotations

import _signal
import errno
import posix
import time

from glunix import config
from glunix.errors import GlunixError
from glunix.home.jobspec import (
    environment,
    is_tight,
    settle_fds,
    submit_message,
    working_directory,
)
from glunix.home.link import HomeLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.callstats import CallStats
    from glunix.home.descriptors.inherited import Inherited
    from glunix.home.direct import Line
    from glunix.home.options import Options
    from glunix.home.processes.root_shadow import HomeHalf
    from glunix.home.terminal.tty import HomeTerminal


class Opening:
    """A submitted job. NotRunning (one line) when no daemon answers."""

    def __init__(self, options: Options, environ: dict[bytes, bytes]) -> None:
        self.times = [("imports", time.perf_counter())]
        """What was done, and when: the paper's Figure 6."""
        self.terminal = _find_terminal(options)
        """The home terminal, if the job has anything to do with it."""
        self.tty = self.terminal if options.degree == 1 else None
        """The terminal that the job gets one of its own for."""
        node = config.decoded(posix.environ.get(b"GLUNIX_NODE") or config.HOME_NODE.encode())
        self.link = HomeLink(config.state_folder(), f"{node}.sock")
        self.times.append(("connect", time.perf_counter()))
        self.stats = self._make_stats(options)
        self.line = self._listen(options)
        """The way that frames take where the node is this machine."""
        spec = self.tty.spec(options.transparent) if self.tty is not None else None
        fd = self.tty.fd if self.tty is not None else -1
        line = self.line.spec if self.line is not None else b""
        self.standard = self._survey(options, fd)
        """Those of fds 0-2 that go the ways of what is inherited."""
        self.inherited = self._inherit(options, fd)
        self.checked_writes = self._needs_checked_writes(options)
        path, removed, self.giver = working_directory(options)
        where = path, removed, self.giver.spec if self.giver is not None else b""
        rows, odd = ([one.row() for one in found] for found in (self.inherited, self.standard))
        message = submit_message(
            options, spec, environ, line, rows, odd, self.checked_writes, where
        )
        self.link.send_first(message)
        self.times.append(("submit", time.perf_counter()))

    def _survey(self, options: Options, terminal_fd: int) -> list[Inherited]:
        if not options.transparent:
            return []
        from glunix.home.descriptors.inherited import standard

        return standard(terminal_fd)

    def _inherit(self, options: Options, terminal_fd: int) -> list[Inherited]:
        """The program's descriptors above 2."""
        if not options.transparent:
            return []
        from glunix.home.descriptors.inherited import inherited

        left_out: list[int] = []
        found = inherited(terminal_fd, left_out, len(self.standard))
        if left_out:
            numbers = ", ".join(map(str, left_out))
            _complain(f"not passed on to the job: descriptor {numbers}", self.terminal)
        return found

    def _needs_checked_writes(self, options: Options) -> bool:
        if not options.transparent:
            return False
        from glunix.home.descriptors.inherited import needs_checked_writes

        return needs_checked_writes([*self.standard, *self.inherited])

    def _make_stats(self, options: Options) -> CallStats | None:
        if not options.stats:
            return None
        from glunix.home.callstats import CallStats

        return CallStats()

    def _listen(self, options: Options) -> Line | None:
        if not options.transparent or is_tight():
            return None
        from glunix.home.descriptors.kinds import stdin_kind
        from glunix.home.direct import Line

        if stdin_kind(options.fds[0], False)[0] in ("pipe", "socket"):
            return None  # its bytes go ahead to the daemon, and must not be overtaken
        try:
            return Line(self.link)
        except OSError:  # no descriptors left, or no sockets allowed: frames go through the daemons
            return None


def _complain(line: str, terminal: HomeTerminal | None = None) -> None:
    from glunix.home.report import complain  # not for jobs that go well

    complain(line, terminal)


def _find_terminal(options: Options) -> HomeTerminal | None:
    """The terminal of the job's fds 0-2, if one is; a transparent job's is the session's first."""
    found = [number for number, home_fd in options.fds.items() if posix.isatty(home_fd)]
    if not found and not options.transparent:
        return None  # a pipeline pays for no terminal code
    from glunix.home.terminal.tty import HomeTerminal, transparent_terminal

    if options.transparent:
        return transparent_terminal({number: options.fds[number] for number in found})
    return HomeTerminal(options.fds[found[0]], found)


def run(options: Options) -> int:
    """Run a job for the user; returns the exit status. Prints GLUnix's own failures."""
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:  # as a shell's `cmd &` has it
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    try:
        settle_fds(options)
        around = environment()
        if options.env:
            around[b"GLUNIX_ENV"] = options.env.encode()
        opening = Opening(options, around)
        half = None
        if options.transparent:
            from glunix.home.processes.root_shadow import split_startup

            half = split_startup()
        if opening.giver is not None:
            opening.giver.start()
    except GlunixError as error:
        _complain(str(error))
        return config.exit_error()
    except OSError as error:
        return _lacks(error)
    status = _go_on(options, opening, half)
    if half is not None:
        half.end(status, 0)
        posix._exit(status)
    return status


def _go_on(options: Options, opening: Opening, half: HomeHalf | None) -> int:
    try:
        from glunix.home.startup import Startup

        if options.transparent:
            from glunix.home.shapes import TRANSPARENT

            opening.link.shapes = TRANSPARENT
        return Startup(options, opening, half).run()
    except GlunixError as error:
        _complain(str(error))
        return config.exit_error()
    except OSError as error:
        return _lacks(error)


_LACKING = {errno.EMFILE: "n", errno.EAGAIN: "u", errno.ENOMEM: "v"}
"""What a limit of the user's makes fail, and the option of ulimit that it has."""


def _lacks(error: OSError) -> int:
    """Our own part of a job cannot live within its limits; other errors are raised."""
    option = _LACKING.get(error.errno or 0)
    if option is None:
        raise error
    _complain(f"home's part of the job: {error.strerror} (ulimit -{option})")
    return config.exit_error()

"""The session server: a user's own process that starts his programs, in a session of their own.

It is forked by root's daemon for one user (glunix.node.spawn.sessions), becomes that user at once
and leads a new session. Its programs are its children, each in a process group of its own: a parent
in the same session keeps the group from being orphaned (setpgid(2)), so that SIGTSTP stops it; and
nobody of another user can join the group or continue what is stopped, as within one session.

Owns starting, reaping in order, and the hang-up of what is left of an ended program's group. It
serves one user who may stop or kill it: the daemon never waits for it. Its memory is a copy of the
daemon's, keys and all, so it is not dumpable: its user can neither trace nor read it. It holds no
descriptor but its socket to the daemon and what belongs to its programs.

Where children can begin in the control group of their job (slic.kernel.clone), the server stands in
its user's own groups of other hierarchies, and holds CAP_DAC_OVERRIDE, permitted, not effective: it
is raised for that fork alone, into a folder that the daemon has opened, and the child drops it
before anything else.

What happens to a program is said on a status socket of its own: "started" after its exec, "failed",
"wait" for each change; with the first of them comes a pidfd. When the daemon closes its end of it,
the program is killed.
"""

import contextlib
import dataclasses
import gc
import os
import select
import signal
import socket
from collections.abc import Iterator

from glunix.errors import FrameError
from glunix.msg.frame import BODY_MAX
from glunix.msg.job import Carried, Owner
from glunix.msg.session import FDS_MAX, FIXED, StartProgram, requests
from glunix.node.processes.cgroups import limit_tasks
from glunix.node.processes.wait import changed
from glunix.node.spawn.carried import raise_oom
from glunix.node.spawn.exec import StepFailed, enter_groups, enter_user
from glunix.node.spawn.fork import (
    Report,
    Surroundings,
    close_others,
    decode_report,
    encode_report,
    receive,
    report_failure,
    spawn_direct,
)
from slic.kernel import capabilities
from slic.kernel.prctl import set_parent_death_signal

NAME = b"glunix-session"
"""As ps(1) shows it, at most 15 bytes."""

_ALL_PIDS = range(1, 1 << 22)
"""Every child is to be reaped only after its end was reported (proc(5): pid_max)."""

_FAULTS = {
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS,
    signal.SIGTRAP,
}  # fmt: skip


@dataclasses.dataclass
class _Program:
    pid: int
    status: socket.socket
    keep: bool
    beginning: socket.socket | None
    """Ends when the child has become the program; a packet before says why it could not."""
    carried: Carried | None = None
    is_let_go: bool = False
    """The daemon wants to hear no more of it."""


def serve(
    daemon: socket.socket, owner: Owner, tasks: int, groups: tuple[int, ...], begins: bool
) -> None:
    """Run in the forked child until the daemon closes its end. `groups`: cgroup.procs files of its
    user's own; `begins`: programs begin in their groups."""
    failure: StepFailed | None = None
    os.setsid()
    set_parent_death_signal(signal.SIGKILL)
    try:
        enter_groups(groups)
    except StepFailed as error:
        failure = error
    close_others({daemon.fileno()})
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number, inheritable=True)
    os.close(null)
    gc.freeze()  # no finalizer of the daemon's may close a number that is something else now
    _name_self()
    os.chdir("/")
    limit_tasks(tasks)
    try:
        enter_user(owner, capabilities.CAP_DAC_OVERRIDE if begins else 0)
    except StepFailed as error:
        failure = error
    except OSError as error:
        failure = StepFailed("user", error.errno or 0, f"cannot become the user: {error.strerror}")
    capabilities.set_dumpable(capabilities.NOT_DUMPABLE)
    SessionServer(daemon, failure, os.getppid() == 1).run()


def _name_self() -> None:
    with contextlib.suppress(OSError), open("/proc/self/comm", "wb") as file:
        file.write(NAME)


class SessionServer:
    """The loop. `failure`: why nothing can be started, told for each request."""

    def __init__(
        self, daemon: socket.socket, failure: StepFailed | None, ends_with_init: bool
    ) -> None:
        self._daemon = daemon
        self._failure = failure
        self._ends_with_init = ends_with_init
        self._programs: dict[int, _Program] = {}
        self._by_fd: dict[int, _Program] = {}
        """By the descriptors of status sockets and beginnings."""
        self._poll = select.poll()

    def run(self) -> None:
        """Until the daemon closes its end: then programs that still run are killed with us."""
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Caught, not ignored: what is ignored would stay so for the programs (signal(7)).
        caught = signal.valid_signals() - _FAULTS - {signal.SIGKILL, signal.SIGSTOP}
        for number in caught - {signal.SIGPIPE, signal.SIGXFSZ}:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._poll.register(wake_r, select.POLLIN)
        self._poll.register(self._daemon, select.POLLIN)
        while True:
            for fd, _ in self._poll.poll():
                if fd == wake_r:
                    os.read(wake_r, 4096)
                    self._collect()
                elif fd != self._daemon.fileno():
                    self._event(fd)
                elif not self._request():
                    return

    # -- starting ----------------------------------------------------------------------------

    def _request(self) -> bool:
        """Take one request; False at the end of all."""
        data, fds = receive(self._daemon, 16, FDS_MAX)
        if not data:
            return False
        try:
            if len(fds) < FIXED:
                return True
            with socket.socket(fileno=os.dup(fds[1])) as status:
                self._start(_read(fds[0]), status, fds[2:])
        except FrameError:  # the daemon's fault; its end of the status socket says so
            pass
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _start(self, what: StartProgram, status: socket.socket, fds: list[int]) -> None:
        if self._failure is not None:
            report_failure(status, self._failure)
            return
        if _is_hung_up(status):
            return  # killed before its turn came
        spec = what.spec
        stdin, stdout, stderr, *groups = fds
        line = groups.pop(0) if what.has_line and groups else -1
        into = groups.pop() if what.begins else -1
        around = Surroundings(
            spec,
            what.owner,
            what.env,
            stdin,
            stdout,
            stderr,
            groups=tuple(groups),
            into=into,
            line=line,
        )
        try:
            with _raised() if into >= 0 else contextlib.nullcontext():
                born = _lowered if into >= 0 else None
                pid, beginning = spawn_direct(around, self._ends_with_init, born)
        except OSError as error:
            text = f"cannot start a process: {error.strerror}"
            report_failure(status, StepFailed("session", error.errno or 0, text))
            return
        kept = socket.socket(fileno=os.dup(status.fileno()))
        program = _Program(pid, kept, spec.keep, beginning, spec.carried)
        self._programs[pid] = program
        self._watch(program, kept, 0)
        pidfd = os.pidfd_open(pid)
        try:
            self._watch(program, beginning, select.POLLIN)
            self._say(program, Report("forked", pid), [pidfd])
        finally:
            os.close(pidfd)

    def _watch(self, program: _Program, sock: socket.socket, events: int) -> None:
        self._by_fd[sock.fileno()] = program
        self._poll.register(sock, events)  # that the other end is closed is always reported

    def _unwatch(self, sock: socket.socket) -> None:
        self._by_fd.pop(sock.fileno(), None)
        self._poll.unregister(sock)
        sock.close()

    # -- what happens to programs ------------------------------------------------------------

    def _event(self, fd: int) -> None:
        program = self._by_fd.get(fd)
        if program is None:
            return  # closed in this very turn
        if program.beginning is not None and fd == program.beginning.fileno():
            self._begun(program)
        elif _is_hung_up(program.status):  # its number may have been another's in this very turn
            self._let_go(program)

    def _begun(self, program: _Program) -> None:
        assert program.beginning is not None
        try:
            packet = program.beginning.recv(65536)
        except BlockingIOError:
            return  # stopped on its way
        except ConnectionResetError:
            packet = b""
        self._unwatch(program.beginning)
        program.beginning = None
        if not packet:
            raise_oom(program.carried, program.pid)
        self._say(program, decode_report(packet) if packet else Report("started", program.pid), [])

    def _say(self, program: _Program, report: Report, fds: list[int]) -> None:
        if program.is_let_go:
            return
        try:
            socket.send_fds(program.status, [encode_report(report)], fds)
        except OSError:
            self._let_go(program)

    def _let_go(self, program: _Program) -> None:
        """The daemon has given it up: kill it. Its number is its own until `_collect` reaps it."""
        program.is_let_go = True
        self._unwatch(program.status)
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(program.pid, signal.SIGKILL)

    def _collect(self) -> None:
        for pid, status in changed(_ALL_PIDS):
            program = self._programs.get(pid)
            if program is None:
                continue
            if program.beginning is not None:
                self._begun(program)
            self._say(program, Report("wait", status), [])
            if not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
                self._ended(program)

    def _ended(self, program: _Program) -> None:
        del self._programs[program.pid]
        if program.beginning is not None:
            self._unwatch(program.beginning)
        if not program.is_let_go:
            self._unwatch(program.status)
        if not program.keep:  # not reaped yet: the group is certainly its own
            for number in (signal.SIGHUP, signal.SIGCONT):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(program.pid, number)


@contextlib.contextmanager
def _raised() -> Iterator[None]:
    """With all that is permitted: to fork into a group of root's."""
    have = capabilities.get()
    capabilities.set(have._replace(effective=have.permitted))
    try:
        yield
    finally:
        capabilities.set(have)


def _lowered() -> None:
    """In the child, which inherits what was raised. Root's own programs have root's rights."""
    if os.geteuid() != 0:
        capabilities.set(capabilities.Caps(0, 0, 0))


def _read(fd: int) -> StartProgram:
    size = os.fstat(fd).st_size
    if size > BODY_MAX:
        raise FrameError("too large")
    data = b""
    while piece := os.pread(fd, size - len(data), len(data)):
        data += piece
    found: StartProgram = requests.decode(data)
    return found


def _is_hung_up(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))

"""The keeper: session leader and reaper beside a job that has a terminal.

Owns: the job's session and controlling terminal, its descendants (child subreaper), and their end.
Also beside a job without one, where there are no control groups: whose an orphan is, only its own
reaper then knows. (reaper.c does this without a fork of the daemon, for the simple cases.)
It runs no loop of the daemon's; it polls two descriptors: packets from the daemon (one signal
number each) and the state of its children. When the program has ended it ends what was left behind
(SIGHUP, then SIGKILL after GRACE; paper 4.2.3); if the job asked to keep it, the keeper waits for
its end.
If the daemon dies the keeper is killed by the kernel, and the terminal hangs up.
"""

import errno
import os
import select
import signal
import socket
import time

from glunix.node.spawn.exec import StepFailed, become, join_terminal, own_group, place_fds
from glunix.node.spawn.fork import (
    Report,
    Surroundings,
    close_others,
    encode_report,
    fork_child,
    report_failure,
)
from slic.kernel.prctl import set_child_subreaper, set_parent_death_signal

GRACE = 1.0
"""Seconds between SIGHUP and SIGKILL for what a program left behind."""

GIVE_UP = 10.0
"""Seconds after which a process that even SIGKILL does not end (state D) is left to the kernel."""


def children_of_self() -> list[int]:
    """The pids of this thread's children (proc(5), task/TID/children)."""
    fd = os.open("/proc/thread-self/children", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while piece := os.read(fd, 4096):
            text += piece
    finally:
        os.close(fd)
    return [int(pid) for pid in text.split()]


def spawn_kept(around: Surroundings, tty_fd: int) -> tuple[int, socket.socket]:
    """Start a process on the terminal `tty_fd` (-1: none) under a keeper.

    Returns (keeper pid, its socket).

    Packets from the keeper are Reports; packets to it are one byte, a signal for the job's group.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)

    def body() -> None:
        set_parent_death_signal(signal.SIGKILL)
        fds = {around.stdin, around.stdout, around.stderr, around.line, tty_fd, theirs.fileno()}
        close_others(fds)
        ours.detach()
        Keeper(around, tty_fd, theirs).run()

    try:
        return fork_child(body), ours
    finally:
        theirs.close()


class Keeper:
    """Runs in its own process from fork to exit."""

    def __init__(self, around: Surroundings, tty_fd: int, daemon: socket.socket) -> None:
        self._around = around
        self._tty_fd = tty_fd
        self._daemon = daemon
        self._main = 0

    def run(self) -> None:
        """Start the program, relay signals and states until it has ended, then clean up."""
        os.setsid()
        set_child_subreaper(True)
        try:
            self._around.enter_group()
            if self._tty_fd >= 0:
                join_terminal(self._tty_fd)
            self._start()
        except (OSError, StepFailed) as error:
            if isinstance(error, OSError):
                error = StepFailed("tty", error.errno or errno.EIO, f"no terminal: {error}")
            report_failure(self._daemon, error)
            return
        if self._tty_fd >= 0:
            os.close(self._tty_fd)
        around = self._around
        theirs = {around.stdin, around.stdout, around.stderr, around.line}
        for fd in theirs - {self._tty_fd, -1}:
            os.close(fd)
        self._watch()
        self._daemon.close()
        if not self._around.spec.keep:
            end_descendants(GRACE)
        else:
            _wait_for_all()

    def _start(self) -> None:
        exec_end, keeper_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def body() -> None:
            try:
                own_group(self._tty_fd if self._tty_fd >= 0 else None)
                set_parent_death_signal(signal.SIGKILL)
                around = self._around
                place_fds(around.stdin, around.stdout, around.stderr, around.line)
                become(self._around.spec, self._around.owner, self._around.env)
            except StepFailed as error:
                report_failure(exec_end, error)
                os._exit(127)
            except OSError as error:
                report_failure(exec_end, StepFailed("tty", error.errno or errno.EIO, str(error)))
                os._exit(127)

        self._main = fork_child(body)
        exec_end.close()
        packet = keeper_end.recv(65536)
        keeper_end.close()
        if packet:
            os.waitpid(self._main, 0)
            self._daemon.send(packet)
            os._exit(127)
        self._daemon.send(encode_report(Report("started", self._main)))

    def _watch(self) -> None:
        # SIGCHLD is blocked (fork_child); signalfd has no binding here, so a wake-up pipe serves.
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in signal.valid_signals() - {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        poll = select.poll()
        poll.register(wake_r, select.POLLIN)
        poll.register(self._daemon, select.POLLIN)
        while self._collect():
            for fd, _ in poll.poll():
                if fd == wake_r:
                    os.read(wake_r, 4096)
                else:
                    self._obey()

    def _obey(self) -> None:
        packet = self._daemon.recv(16)
        number = packet[0] if packet else signal.SIGKILL
        try:
            os.killpg(self._main, number)
            if number == signal.SIGKILL:  # a group of one's own making (setpgid) must not escape
                os.kill(self._main, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # a setuid program: not ours to signal
            pass

    def _collect(self) -> bool:
        """Reap; report the main process; False when it has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._daemon.send(encode_report(Report("wait", status)))
                if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                    return False


def end_descendants(grace: float) -> None:
    """End every remaining descendant of this subreaper: SIGHUP and SIGCONT, then SIGKILL."""
    deadline = time.monotonic() + grace
    give_up = deadline + GIVE_UP
    told: set[int] = set()
    while (pids := children_of_self()) and time.monotonic() < give_up:
        late = time.monotonic() >= deadline
        for pid in pids:
            if late or pid not in told:
                told.add(pid)
                _signal(pid, [signal.SIGKILL] if late else [signal.SIGHUP, signal.SIGCONT])
        _wait_some(0.2 if late else max(0.0, deadline - time.monotonic()))


def _wait_for_all() -> None:
    """Until there is no child: the kernel's word for what was kept is that it is below us."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _signal(pid: int, numbers: list[signal.Signals]) -> None:
    for number in numbers:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def _wait_some(seconds: float) -> None:
    """Reap one child, or give up after `seconds` (SIGCHLD ends the wait early)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    pid, _ = _reap()
    if pid == 0:
        signal.sigtimedwait([signal.SIGCHLD], seconds)
        _reap()


def _reap() -> tuple[int, int]:
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return -1, 0

"""One process of a user-level job on this node: its descriptors, its life, its reports home.

Owns the pipes or pseudo-terminals (two of them, as the paper had: one for stdin and stdout, one
for stderr, so that the two output streams stay apart), the keeper or direct child, and the order
of what home hears: output before its end, everything before Exited is complete.
"""

import contextlib
import dataclasses
import fcntl
import os
import signal
import socket
import struct
import termios
from collections.abc import Callable
from pathlib import Path

from glunix.msg import stream
from glunix.msg.base import Body, Message
from glunix.msg.job import Owner, TtySpec, WinSize
from glunix.node.output.channel import Input, Output
from glunix.node.output.packets import PacketOutput
from glunix.node.reactor import Reactor, Timer
from glunix.node.spawn.directory import empty_directory
from glunix.node.spawn.exec import LINE
from glunix.node.spawn.fork import Report, Surroundings, decode_report, spawn_direct
from glunix.node.spawn.posix_spawn import spawn_quickly
from glunix.node.spawn.served import Program
from glunix.node.spawn.sessions import Sessions
from glunix.node.userlevel.session_leader import GRACE, spawn_kept

Begin = Callable[[], contextlib.AbstractContextManager[tuple[int, list[Path]]]]

PIPE_SIZE = 1024 * 1024

FINISH_AFTER = GRACE + 0.5
"""Seconds after its end at which whoever still holds a process's output was kept on purpose."""


def pipe(owner: Owner | None = None) -> tuple[int, int]:
    """A pipe (read end, write end), as large as the user may have it.

    It becomes `owner`'s, who can then open it once more: /dev/stdin (proc(5), /proc/PID/fd).
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    if owner is not None and os.geteuid() == 0:
        os.fchown(read_end, owner.uid, owner.gid)
    with contextlib.suppress(OSError):  # over the user's pipe limit: a small pipe is only slower
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return read_end, write_end


def set_size(fd: int, size: WinSize) -> None:
    """TIOCSWINSZ; the kernel sends SIGWINCH to the foreground group when it changed."""
    packed = struct.pack("HHHH", size.rows, size.cols, size.xpixel, size.ypixel)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, packed)


def open_terminal(tty: TtySpec, uid: int) -> tuple[int, int]:
    """A pseudo-terminal (master, slave) with home's modes and size, belonging to `uid`."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TCSETS, tty.termios)
    set_size(slave, tty.size)
    if os.geteuid() == 0:
        os.fchown(slave, uid, -1)
    return master, slave


def pmi_environment(start: stream.Start, vnn: int) -> dict[bytes, bytes]:
    """What an MPI program finds of its line (MPICH's PMI-1)."""
    return {
        b"PMI_FD": b"%d" % LINE,
        b"PMI_RANK": b"%d" % vnn,
        b"PMI_SIZE": b"%d" % start.degree,
    }


class Process:
    """One process of a job. `tell(message)` and `output(vnn, fd, data)` send home.

    `over(self)` is called once at the end.
    """

    def __init__(
        self,
        vnn: int,
        start: stream.Start,
        env: dict[bytes, bytes],
        reactor: Reactor,
        tell: Callable[[Message], None],
        output: Callable[[int, int, Body], None],
        input_moved: Callable[[], None],
        over: Callable[["Process"], None],
        sessions: Sessions | None = None,
    ) -> None:
        self.vnn = vnn
        self.pid = 0
        self.ended = False
        """The program is over (or never began); output may still be draining."""
        self._start = start
        self._env = env
        self._reactor = reactor
        self._tell = tell
        self._output = output
        self._input_moved = input_moved
        self._over = over
        self._sessions = sessions
        self._served: Program | None = None
        """The program of a session server, which is not our child."""
        self._outputs: dict[int, Output] = {}
        self._drained: Output | None = None
        self.input: Input | None = None
        self._terminals: list[int] = []
        self._status: socket.socket | None = None
        self._kept = False
        self._child = 0
        self._pending: list[int] = []
        self._told_over = False
        self._timer: Timer | None = None

    @property
    def is_kept(self) -> bool:
        """Whether a keeper stands between the daemon and the program."""
        return self._kept

    # -- start -------------------------------------------------------------------------------

    def launch(
        self,
        enter: Callable[[], None] | None = None,
        begin: Begin | None = None,
        apart: bool = False,
        line: int = -1,
    ) -> int:
        """Make descriptors and start. Returns the pid of our direct child: the program or keeper; 0
        for the program of a session server.

        `enter`: into the job's control groups; `begin`: JobGroup.begin; `apart`: with a keeper in
        any case; `line`: its line to the PMI server.
        """
        spec, env = self._start.spec, self._env
        if line >= 0:
            env = {**env, **pmi_environment(self._start, self.vnn)}
        with contextlib.ExitStack() as stack:
            fds = self._make_fds(spec.tty, stack)
            stdin, stdout, stderr, terminal = fds
            around = Surroundings(
                spec, self._start.owner, env, stdin, stdout, stderr, enter, line=line
            )
            if spec.tty is not None or apart:
                self._launch_kept(around, terminal)
            else:
                self._launch_direct(around, begin, stack)
        if self._status is not None:
            self._reactor.add_reader(self._status.fileno(), self._report_ready)
        return self._child

    def _launch_direct(
        self, around: Surroundings, begin: Begin | None, stack: contextlib.ExitStack
    ) -> None:
        into, entries = (-1, []) if begin is None else stack.enter_context(begin())
        if self._sessions is not None and self._sessions.serves(around.owner):
            groups = [os.open(entry, os.O_WRONLY | os.O_CLOEXEC) for entry in entries]
            for fd in groups:
                stack.callback(os.close, fd)
            around = dataclasses.replace(around, enter=None, groups=tuple(groups), into=into)
            self._served = self._sessions.start(around, self._take, self._lost)
            return
        if into >= 0 and not entries:
            around = dataclasses.replace(around, enter=None, into=into)
        self._child, self._status = spawn_direct(around)
        self.pid = self._child

    def _launch_kept(self, around: Surroundings, terminal: int) -> None:
        self._kept = True
        started = spawn_quickly(around) if terminal < 0 else None
        if started is None:
            self._child, self._status = spawn_kept(around, terminal)
        else:
            self._child, self._status, report = started
            self._take(report)

    def _make_fds(self, tty: TtySpec | None, stack: contextlib.ExitStack) -> list[int]:
        """[stdin, stdout, stderr, controlling terminal] of the child; ours are kept and wired."""
        tty_fds = set(tty.fds) if tty is not None else set()
        theirs: dict[int, int] = {}
        master = slave = -1
        if tty is not None:
            master, slave = open_terminal(tty, self._start.owner.uid)
            stack.callback(os.close, slave)
            self._terminals.append(os.dup(master))
            for fd in tty_fds & {0, 1}:
                theirs[fd] = slave
            if 2 in tty_fds:
                theirs[2] = self._stderr_terminal(tty, stack)
        if 0 in tty_fds:
            self._wire_input(os.dup(master), is_tty=True)
        elif self._start.spec.stdin == "dir":
            theirs[0] = empty_directory()
            stack.callback(os.close, theirs[0])
        else:
            theirs[0], ours = pipe(self._start.owner)
            stack.callback(os.close, theirs[0])
            self._wire_input(ours, is_tty=False)
        kinds = dict(enumerate(self._start.spec.outputs, 1))
        for fd in (1, 2):
            if fd not in theirs:
                ours, theirs[fd] = pipe(self._start.owner)
                stack.callback(os.close, theirs[fd])
                self._wire_output(fd, ours)
                if kinds.get(fd) == "dir":  # what nobody writes ends at once
                    theirs[fd] = empty_directory()
                    stack.callback(os.close, theirs[fd])
        if tty is not None:
            if 1 in tty_fds:
                self._wire_output(1, master, is_tty=True)
            else:
                # Nobody at home shows this terminal's echo; drain it, or the job would block.
                self._drain(master)
        return [theirs[0], theirs[1], theirs[2], slave]

    def _stderr_terminal(self, tty: TtySpec, stack: contextlib.ExitStack) -> int:
        master, slave = open_terminal(tty, self._start.owner.uid)
        stack.callback(os.close, slave)
        self._terminals.append(os.dup(master))
        self._wire_output(2, master, is_tty=True)
        return slave

    def _wire_output(self, fd: int, ours: int, is_tty: bool = False) -> None:
        def send(data: Body) -> None:
            self._output(self.vnn, fd, data)
            if not data:
                self._maybe_over()

        def flushed() -> None:
            self._tell(stream.Flushed(self.vnn, fd))

        window = self._start.spec.window
        if is_tty and self._start.spec.flushes:
            self._outputs[fd] = PacketOutput(self._reactor, ours, window, send, flushed)
        else:
            self._outputs[fd] = Output(self._reactor, ours, window, send)

    def _wire_input(self, ours: int, is_tty: bool) -> None:
        self.input = Input(self._reactor, ours, is_tty, self._input_moved, self._input_moved)
        if is_tty:
            self.input.hold()  # a ^C that nobody is there for yet would be lost

    def _drain(self, master: int) -> None:
        self._drained = Output(self._reactor, master, 1 << 62, lambda _: None)

    # -- what home says ----------------------------------------------------------------------

    def credit(self, fd: int, count: int) -> None:
        """Home can take more of this channel."""
        if fd in self._outputs:  # none if it could not be started
            self._outputs[fd].credit(count)

    def refuse(self, fd: int) -> None:
        """Home's reader is gone: so is ours."""
        if fd in self._outputs:
            self._outputs[fd].close()

    def resize(self, size: WinSize) -> None:
        """The home terminal changed its size."""
        for fd in self._terminals:
            set_size(fd, size)

    def kill(self, number: int) -> None:
        """Signal the process's group; remembered until the program runs."""
        if self.ended or number == 0:
            return
        if self._served is not None:
            self._served.kill(number)
            return
        if not self._child:
            return
        if self._kept:
            assert self._status is not None
            with contextlib.suppress(OSError):
                self._status.send(bytes((number,)))
        elif self._status is not None and number != signal.SIGKILL:
            self._pending.append(number)  # before exec a signal would meet Python's handlers
        else:
            # PermissionError: a setuid program that a daemon without root cannot signal.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child, number)

    # -- what the child says -----------------------------------------------------------------

    def _report_ready(self) -> None:
        assert self._status is not None
        try:
            packet = self._status.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if packet:
            self._take(decode_report(packet))
            return
        if self._kept:
            self._close_status()
            self._lost()
            return
        self._close_status()
        if not self.ended:
            self._tell(stream.Started(self.vnn, self._child))
            for number in self._pending:
                self.kill(number)

    def _lost(self) -> None:
        """The keeper or session server died, and the program with it; or both were killed."""
        if not self.ended:
            self._end(stream.Exited(self.vnn, 0, signal.SIGKILL))

    def _take(self, report: Report) -> None:
        if report.kind == "started":
            self.pid = report.a
            if self.input is not None:
                self.input.release()
            self._tell(stream.Started(self.vnn, report.a))
        elif report.kind == "failed":
            self._end(stream.Failed(self.vnn, report.step, report.a, report.text))
        else:
            self.wait_status(report.a)

    def wait_status(self, status: int) -> None:
        """The program changed state: waitpid(2)'s status, from the keeper or our own reaper."""
        if self._status is not None and not self._kept:
            self._report_ready()  # "failed", or the end that means exec worked, was sent before
        if self.ended:
            return
        if os.WIFSTOPPED(status):
            self._tell(stream.Stopped(self.vnn, os.WSTOPSIG(status)))
        elif os.WIFCONTINUED(status):
            self._tell(stream.Continued(self.vnn))
        elif os.WIFEXITED(status):
            self._end(stream.Exited(self.vnn, os.WEXITSTATUS(status), 0))
        else:
            core = os.WCOREDUMP(status)
            self._end(stream.Exited(self.vnn, 0, os.WTERMSIG(status), core))

    def _end(self, message: Message) -> None:
        self.ended = True
        self._tell(message)
        if self.input is not None:
            self.input.close()
        self._maybe_over()
        if not self._told_over:
            self._timer = self._reactor.call_later(FINISH_AFTER, self._finish_outputs)

    def _close_status(self) -> None:
        if self._status is not None:
            self._reactor.remove_reader(self._status.fileno())
            self._status.close()
            self._status = None

    def never_started(self) -> None:
        """It was killed before its turn to start came."""
        self._end(stream.Exited(self.vnn, 0, signal.SIGKILL))

    def not_started(self, error: OSError) -> None:
        """This node has no descriptors or processes left."""
        self.close_outputs()
        text = f"cannot start a process: {error.strerror}"
        self._end(stream.Failed(self.vnn, "session", error.errno or 0, text))

    def close_outputs(self) -> None:
        """Nobody at home takes output any more."""
        for output in self._outputs.values():
            output.close()

    def _finish_outputs(self) -> None:
        """Do not wait for the end of output any more: what holds it was left behind on purpose."""
        for output in list(self._outputs.values()):
            output.finish()

    def _maybe_over(self) -> None:
        if self._told_over or not self.ended or not all(o.closed for o in self._outputs.values()):
            return
        self._told_over = True
        if self._timer is not None:
            self._timer.cancel()
        for fd in self._terminals:
            os.close(fd)
        self._terminals.clear()
        if self._drained is not None:
            self._drained.close()
        if not self._kept:
            self._close_status()
        self._over(self)

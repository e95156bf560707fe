"""Runs one command under the home shell (homeshell.c) with scripted streams, to its end.

Owns the descriptors, the pseudo-terminal and the deadline of a run. It waits for what the command
says or does (a `ready` line, a stop), never for time to pass, and leaves no process behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glunix.compare.build import homeshell
from glunix.compare.guest import Do, StdinKind, Step

CHUNK = 65536
EVENTS = ("stopped", "continued")


@dataclass(frozen=True)
class Outcome:
    """What the user at home saw.

    stdout: all that came from the terminal when stdout is one; text, other bytes escaped.
    status: as subprocess's, -N when signal N ended it.
    stops: the names of the signals that stopped it, as its shell saw them.
    left: processes that outlived it (and were killed by the runner).
    """

    stdout: str
    stderr: str
    status: int
    stops: tuple[str, ...] = ()
    left: int = 0


class Late(AssertionError):
    """The deadline passed; tells what was seen and what was waited for."""


@dataclass(frozen=True)
class Launch:
    """One run: argv in cwd with the given environment and streams; deadline in seconds."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    stdin: StdinKind = StdinKind.NULL
    input: bytes = b""
    tty: bool = False
    stdout_tty: bool = False
    stderr_tty: bool = False
    steps: tuple[Step, ...] = ()
    deadline: float = 10.0


@dataclass
class _Stream:
    """One thing that is read: its bytes so far and how far triggers have used them."""

    fd: int
    data: bytearray = field(default_factory=bytearray)
    used: int = 0


class _Running:
    """The state of one run; `finish` drives it to its end."""

    def __init__(self, plan: Launch, stack: contextlib.ExitStack) -> None:
        self.plan = plan
        self.stack = stack
        self.selector = stack.enter_context(selectors.DefaultSelector())
        self.open: set[int] = set()
        stack.callback(self.close_all)
        self.steps = list(plan.steps)
        self.to_write = plan.input if plan.stdin in (StdinKind.PIPE, StdinKind.PATTERN) else b""
        self.input_fd = -1
        self.master = -1
        self.streams: dict[str, _Stream] = {}
        self.reports = bytearray()
        self.events: list[tuple[str, int]] = []
        self.events_used = 0
        self.status: int | None = None
        self.left: int | None = None
        self.end = time.monotonic() + plan.deadline
        self.start()

    # -- descriptors ---------------------------------------------------------------------------

    def own(self, *fds: int) -> tuple[int, ...]:
        self.open.update(fds)
        return fds

    def close(self, fd: int) -> None:
        if fd in self.open:
            with contextlib.suppress(KeyError):
                self.selector.unregister(fd)
            self.open.remove(fd)
            os.close(fd)

    def close_all(self) -> None:
        for fd in list(self.open):
            self.close(fd)

    def start(self) -> None:
        """Makes the streams and starts the home shell."""
        plan = self.plan
        slave = -1
        if plan.tty:
            self.master, slave = self.own(*os.openpty())
            self.resize(24, 80)
            os.set_blocking(self.master, False)
        stdin = self.make_stdin(slave)
        stdout = slave if plan.stdout_tty else self.make_output("stdout")
        stderr = slave if plan.stderr_tty else self.make_output("stderr")
        if plan.tty:
            name = "stdout" if plan.stdout_tty else "terminal"
            self.streams[name] = _Stream(self.master)
        report_r, report_w = self.own(*os.pipe())
        control_r, self.control = self.own(*os.pipe())
        self.report = report_r
        os.set_blocking(report_r, False)
        # No session of its own here: the home shell makes one, and may not lead a group before.
        self.shell = subprocess.Popen(
            [str(homeshell()), str(report_w), str(control_r), str(slave), "--", *plan.argv],
            stdin=stdin, stdout=stdout, stderr=stderr, cwd=plan.cwd, env=dict(plan.environment),
            pass_fds=tuple(fd for fd in (report_w, control_r, slave) if fd >= 0),
        )  # fmt: skip
        self.stack.callback(self.reap)
        for fd in {stdin, stdout, stderr, slave, report_w, control_r}:
            self.close(fd)
        self.selector.register(report_r, selectors.EVENT_READ)
        held = any(step.action is Do.READ_STDOUT for step in plan.steps)
        for name, stream in self.streams.items():
            if not (held and name == "stdout"):
                self.selector.register(stream.fd, selectors.EVENT_READ)
        if plan.stdin in (StdinKind.PIPE, StdinKind.PATTERN):
            os.set_blocking(self.input_fd, False)
            self.selector.register(self.input_fd, selectors.EVENT_WRITE)

    def make_output(self, name: str) -> int:
        reader, writer = self.own(*os.pipe())
        os.set_blocking(reader, False)
        self.streams[name] = _Stream(reader)
        return writer

    def make_stdin(self, slave: int) -> int:
        """The descriptor that is the command's stdin; sets `input_fd`, its other end."""
        match self.plan.stdin:
            case StdinKind.NULL:
                return self.own(os.open(os.devnull, os.O_RDONLY))[0]
            case StdinKind.TTY:
                self.input_fd = self.master
                return slave
            case StdinKind.FILE:
                with tempfile.NamedTemporaryFile() as file:
                    file.write(self.plan.input)
                    file.flush()
                    return self.own(os.open(file.name, os.O_RDONLY))[0]
            case StdinKind.SOCKET:
                ours, theirs = socket.socketpair()
                self.input_fd = self.own(ours.detach())[0]
                return self.own(theirs.detach())[0]
            case StdinKind.PIPE | StdinKind.OPEN_PIPE | StdinKind.PATTERN:
                reader, self.input_fd = self.own(*os.pipe())
                return reader

    def reap(self) -> None:
        """The end of the control pipe makes the home shell kill what is left and go."""
        self.close(self.control)
        try:
            self.shell.wait(timeout=10)
        finally:
            if self.shell.returncode is None:
                self.shell.kill()
                self.shell.wait()

    # -- events --------------------------------------------------------------------------------

    def pump(self, timeout: float) -> bool:
        """Handles what is ready; False when nothing was within `timeout` seconds."""
        ready = self.selector.select(timeout)
        for key, _ in ready:
            if key.fd == self.report:
                self.take_report()
            elif key.fd == self.input_fd and self.input_fd != self.master:
                self.write_input()
            else:
                stream = next((s for s in self.streams.values() if s.fd == key.fd), None)
                if stream is not None:
                    self.take_output(stream)
        self.do_steps()
        return bool(ready)

    def take_output(self, stream: _Stream) -> None:
        try:
            data = os.read(stream.fd, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal without a slave: its end of file
                raise
            data = b""
        stream.data += data
        if not data:
            self.selector.unregister(stream.fd)

    def take_report(self) -> None:
        data = os.read(self.report, CHUNK)
        if not data:
            self.fail("the home shell ended without a report")
        self.reports += data
        while b"\n" in self.reports:
            line, _, rest = self.reports.partition(b"\n")
            self.reports = bytearray(rest)
            word, _, value = line.decode().partition(" ")
            match word:
                case "exited":
                    self.status = int(value)
                case "killed":
                    self.status = -int(value)
                case "left":
                    self.left = int(value)
                case "stopped" | "continued":
                    self.events.append((word, int(value or 0)))
                case _:
                    self.fail(f"the home shell said: {line.decode()}")

    def write_input(self) -> None:
        try:
            written = os.write(self.input_fd, self.to_write[:CHUNK])
        except BrokenPipeError:
            self.to_write = b""
        else:
            self.to_write = self.to_write[written:]
        if not self.to_write:
            self.close(self.input_fd)

    def triggered(self, step: Step) -> bool:
        if step.trigger in EVENTS:
            for index in range(self.events_used, len(self.events)):
                if self.events[index][0] == step.trigger:
                    self.events_used = index + 1
                    return True
            return False
        for stream in self.streams.values():
            for ending in (b"\r\n", b"\n"):
                line = b"ready " + step.trigger.encode() + ending
                found = stream.data.find(line, stream.used)
                if found >= 0:
                    stream.used = found + len(line)
                    return True
        return False

    def do_steps(self) -> None:
        while self.steps and self.triggered(self.steps[0]):
            self.act(self.steps.pop(0))

    def act(self, step: Step) -> None:
        match step.action:
            case Do.TYPE:
                self.type(step.value)
            case Do.EOF if self.plan.stdin is StdinKind.SOCKET:
                with socket.socket(fileno=os.dup(self.input_fd)) as end:
                    end.shutdown(socket.SHUT_WR)
            case Do.EOF:
                self.close(self.input_fd)
            case Do.RESIZE:
                self.resize(*step.size)
            case Do.HANGUP:
                self.close(self.master)
            case Do.SIGNAL | Do.GROUP:
                self.tell(f"{step.action.value} {step.number}")
            case Do.FG | Do.BG:
                self.tell(step.action.value)
            case Do.CLOSE_STDOUT:
                self.close(self.streams["stdout"].fd)
            case Do.READ_STDOUT:
                self.selector.register(self.streams["stdout"].fd, selectors.EVENT_READ)

    def type(self, data: bytes) -> None:
        scripted = (StdinKind.TTY, StdinKind.OPEN_PIPE, StdinKind.SOCKET)
        target = self.input_fd if self.plan.stdin in scripted else self.master
        with contextlib.suppress(BrokenPipeError):  # it may have ended; its status tells
            if os.write(target, data) != len(data):
                self.fail(f"could not type {data!r} at once")

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("4H", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def tell(self, line: str) -> None:
        os.write(self.control, line.encode() + b"\n")

    # -- the end -------------------------------------------------------------------------------

    def fail(self, why: str) -> None:
        seen = {name: bytes(s.data[-2000:]) for name, s in self.streams.items()}
        raise Late(
            f"{why}\n  argv: {list(self.plan.argv)}\n  streams: {seen}\n  events: {self.events}"
            f"\n  status: {self.status}\n  steps not yet done: {self.steps}"
        )

    def drain(self) -> None:
        """All writers are gone: takes what is still in the streams."""
        for stream in self.streams.values():
            if stream.fd not in self.open:
                continue
            with contextlib.suppress(ValueError, KeyError):  # registered, or a held stdout
                self.selector.register(stream.fd, selectors.EVENT_READ)
            while True:
                before = len(stream.data)
                with contextlib.suppress(KeyError):
                    self.take_output(stream)
                if len(stream.data) == before:
                    break

    def finish(self) -> Outcome:
        while self.left is None:
            remaining = self.end - time.monotonic()
            if remaining <= 0:
                self.fail(f"it did not end within {self.plan.deadline:.0f} s")
            self.pump(remaining)
        self.drain()
        assert self.status is not None
        out = {name: _text(stream.data) for name, stream in self.streams.items()}
        return Outcome(
            stdout=out["stdout"],
            stderr=out.get("stderr", ""),
            status=self.status,
            stops=tuple(
                signal.Signals(number).name for word, number in self.events if word == "stopped"
            ),
            left=self.left,
        )


def _text(data: bytearray) -> str:
    return data.decode("utf-8", "backslashreplace")


def launch(plan: Launch) -> Outcome:
    """Runs `plan` to its end; `Late` when its deadline passes first (all of it is then killed)."""
    with contextlib.ExitStack() as stack:
        return _Running(plan, stack).finish()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="guest-") as folder:
        yield Path(folder)


Wrap = Callable[[list[str]], list[str]]

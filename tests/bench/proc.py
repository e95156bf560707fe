"""Processes of a benchmark: timed runs, and nothing left behind.

Owns how a measured command is started, timed and reaped, and how strays are found. Every
process started here carries MARK in its environment, so that `leftovers()` finds it again
wherever it was re-parented. Must never end a process that does not carry this run's mark.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .harness import BenchError

MARK = "GLUNIX_BENCH_RUN"
_TOKEN = f"{os.getpid()}.{time.time_ns()}"


def marked(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment plus `extra` plus the mark of this run."""
    return {**os.environ, **(extra or {}), MARK: _TOKEN}


def leftovers() -> list[int]:
    """Pids of living processes that carry this run's mark (zombies carry nothing)."""
    return carrying(MARK, _TOKEN)


def carrying(name: str, value: str) -> list[int]:
    """Pids of living processes, this one excepted, whose environment began with name=value."""
    needle = f"{name}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:  # gone meanwhile, or another user's
            continue
        if needle in environ.split(b"\0"):
            found.append(int(entry.name))
    return sorted(found)


def describe(pid: int) -> str:
    """`PID (command line)`, for a message about a process that should not be there."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        raw = b""
    command = raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return f"{pid} ({command[:80]})"


def end(pid: int, grace: float = 3.0) -> None:
    """SIGTERM, then SIGKILL after `grace` seconds; returns when the process is gone.

    Works for processes that are not our children: the wait is on a pidfd.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                signal.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                return
            if exited(pidfd, grace):
                return
    finally:
        os.close(pidfd)
    raise BenchError(f"process {describe(pid)} survived SIGKILL for {grace:g} s")


def end_all(find: Callable[[], list[int]], grace: float = 3.0) -> tuple[str, ...]:
    """End what `find` finds until it finds nothing; the descriptions of what was ended.

    More than once, because what was found may start another before its end. BenchError: there
    is no end to it.
    """
    told: list[str] = []
    for _ in range(10):
        found = find()
        if not found:
            return tuple(told)
        told += [describe(pid) for pid in found]
        for pid in found:
            end(pid, grace)
    raise BenchError(f"processes come back as they are ended: {', '.join(told)}")


def exited(pidfd: int, timeout: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(timeout * 1000))


@dataclass(frozen=True)
class Timed:
    """One measured command: wall seconds from spawn to reaped, and what it wrote to stderr."""

    seconds: float
    stderr: str
    bytes_out: int = 0


def timed(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    deadline: float = 60.0,
    stdin: int | None = None,
    stdout: int | None = None,
    count_output: bool = False,
) -> Timed:
    """Run `argv` (argv[0] an absolute path) to its end.

    stdin and stdout default to /dev/null; with `count_output` stdout is a pipe that is read
    and counted here. A status other than 0, or no exit within `deadline` seconds, is a
    BenchError with the end of the command's stderr.
    """
    with ExitStack() as stack:
        null = stack.enter_context(open(os.devnull, "r+b")).fileno()
        errors = stack.enter_context(tempfile.TemporaryFile())
        reader = writer = None
        if count_output:
            reader, writer = (stack.enter_context(open(fd, "r+b", 0)) for fd in os.pipe())
            stdout = writer.fileno()
        fds = [null if stdin is None else stdin, null if stdout is None else stdout]
        fds.append(errors.fileno())
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds)]
        begin = time.perf_counter()
        try:
            pid = os.posix_spawn(argv[0], list(argv), dict(env), file_actions=actions)
        except OSError as error:
            raise BenchError(f"{argv[0]}: {error.strerror}") from error
        counted = 0
        if reader is not None and writer is not None:
            writer.close()
            counted = _count(reader.fileno(), begin + deadline)
        status = _reap(pid, max(0.0, begin + deadline - time.perf_counter()))
        seconds = time.perf_counter() - begin
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    if status is None:
        raise BenchError(f"`{shlex.join(argv)}` did not end within {deadline:g} s{_tail(text)}")
    if status != 0:
        raise BenchError(f"`{shlex.join(argv)}` ended with {status}{_tail(text)}")
    return Timed(seconds, text, counted)


def _count(fd: int, end_by: float) -> int:
    """Bytes read from `fd` until its end, or until the clock reads `end_by`."""
    buffer = bytearray(1 << 20)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    total = 0
    while True:
        if not poller.poll(max(0.0, end_by - time.perf_counter()) * 1000):
            return total
        got = os.readv(fd, [buffer])
        if got == 0:
            return total
        total += got


def _reap(pid: int, deadline: float) -> int | None:
    """Exit code of our child (negative: signal), or None when it had to be killed."""
    pidfd = os.pidfd_open(pid)
    try:
        in_time = exited(pidfd, deadline)
        if not in_time:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(status) if in_time else None


def _tail(text: str) -> str:
    last = [line for line in text.splitlines() if line.strip()][-3:]
    return ": " + " | ".join(last) if last else ""


def call(argv: Sequence[str], env: Mapping[str, str], deadline: float = 30.0) -> str:
    """Run a set-up command to its end and return its stdout; failures are BenchErrors.

    Its output goes to a file: a daemon that it leaves behind cannot hold a pipe open.
    """
    with tempfile.TemporaryFile() as output:
        timed(argv, env, deadline=deadline, stdout=output.fileno())
        output.seek(0)
        return output.read().decode(errors="replace")


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports nobody listens on at 127.0.0.1 now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A private folder with a short path (Unix socket names end at 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix=f"glub-{name}-", dir="/tmp") as path:
        yield Path(path)

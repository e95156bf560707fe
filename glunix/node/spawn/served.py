"""One program that a session server started, as the daemon sees it (glunix.node.spawn.sessions).

Owns its status socket and its pidfd: what is reported of it, and how it is signalled and ended,
even while its server does not answer.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable

from glunix.node.reactor import Reactor, Timer
from glunix.node.spawn.fork import Report, decode_report, receive

REPORT_WITHIN = 1.0
"""Seconds in which a server reports the end of a program that the daemon has killed."""

_PROCESS_GROUP = 1 << 2
"""pidfd_send_signal(2) PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9."""


def signal_group(pidfd: int, pid: int, number: int) -> None:
    """Signal the process group that the process leads or led; nothing when it is gone.

    The group is found by the pidfd, so that no number can mean another one meanwhile. Older
    kernels: by number, if the process is not reaped, which keeps the number its own.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        try:
            signal.pidfd_send_signal(pidfd, number, None, _PROCESS_GROUP)
        except OSError as error:
            if isinstance(error, ProcessLookupError | PermissionError):
                raise
            signal.pidfd_send_signal(pidfd, 0)
            os.killpg(pid, number)


class Program:
    """One program of a session server, as the daemon sees it.

    `report(Report)` is called in order, and `gone()` instead of the last one when there is none:
    its server has ended, and the program with it, or it was killed and its server is stopped.
    `settled` is called before either, with whether its server is stopped.
    """

    def __init__(
        self,
        reactor: Reactor,
        status: socket.socket,
        report: Callable[[Report], None],
        gone: Callable[[], None],
        settled: Callable[[bool], None],
    ) -> None:
        self._reactor = reactor
        self._status: socket.socket | None = status
        self._report = report
        self._gone = gone
        self._settled = settled
        self._pid = 0
        self._pidfd = -1
        self._has_begun = self._is_late = False
        self._pending: list[int] = []
        self._timer: Timer | None = None
        status.setblocking(False)
        reactor.add_reader(status.fileno(), self._readable)

    def kill(self, number: int) -> None:
        """Signal the program's group; before its exec only SIGKILL, the others after it."""
        if number == signal.SIGKILL:
            self._kill()
        elif not self._has_begun:
            self._pending.append(number)
        elif self._pidfd >= 0:
            signal_group(self._pidfd, self._pid, number)

    def _kill(self) -> None:
        while self._pidfd < 0 and self._read():
            pass  # "forked" may be waiting to be read
        if self._status is None:
            return
        if self._pidfd < 0:  # not started: when its turn comes, its server finds our end closed
            self._lose_soon(0.0)
            return
        self._end_processes()
        if self._timer is None:
            self._reactor.add_reader(self._pidfd, self._ended)

    def _end_processes(self) -> None:
        signal_group(self._pidfd, self._pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)  # also in another group

    def _ended(self) -> None:
        """It has ended; its server will say so, unless it is stopped."""
        self._reactor.remove_reader(self._pidfd)
        self._is_late = True
        self._lose_soon(REPORT_WITHIN)

    def _lose_soon(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._reactor.call_later(seconds, self._lose)

    def _lose(self) -> None:
        if self._status is not None:
            self._close(is_stopped=self._is_late)
            self._gone()

    def _readable(self) -> None:
        self._read()

    def _read(self) -> bool:
        """Take one packet; False when there was none, or no more will come."""
        if self._status is None:
            return False
        try:
            packet, fds = receive(self._status, 65536, 1)
        except BlockingIOError:
            return False
        except OSError:
            packet, fds = b"", []
        if fds:
            self._pidfd = fds[0]
        if not packet:
            self._server_ended()
            return False
        report = decode_report(packet)
        if report.kind in ("forked", "started"):
            self._pid = report.a
        if report.kind == "forked":
            return True
        is_last = report.kind == "failed" or _is_end(report)
        if is_last:
            self._close()
        self._report(report)
        if report.kind == "started":
            self._has_begun = True
            for number in self._pending:
                self.kill(number)
            self._pending.clear()
        return not is_last

    def _server_ended(self) -> None:
        self._is_late = False
        if self._pidfd >= 0:
            self._end_processes()
        self._lose()

    def _close(self, is_stopped: bool = False) -> None:
        """Let go: if it still runs, its server kills it."""
        if self._status is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._reactor.remove_reader(self._status.fileno())
        self._status.close()
        self._status = None
        if self._pidfd >= 0:
            self._reactor.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._settled(is_stopped)


def _is_end(report: Report) -> bool:
    return report.kind == "wait" and not (os.WIFSTOPPED(report.a) or os.WIFCONTINUED(report.a))

"""A transparent job as its node's daemon sees it: a supervisor process and a socket to it.

Has the shape of glunix.node.userjob.UserJob. Relays the stream undecoded both ways; hears of the
process's life on the report stream, and makes up its end if the supervisor dies without a word.
"""

import os
import signal
from collections.abc import Callable

from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.errors import FrameError
from glunix.ids import StreamId
from glunix.msg import stream
from glunix.msg.base import Body, Message
from glunix.node.bridge import RELAY, REPORT
from glunix.node.supervisor import spawn_supervisor
from glunix.node.userjob import job_environment


class SupervisedJob:
    """Made by a Start with `spec.transparent`. `relay` passes a body home undecoded."""

    def __init__(
        self,
        start: stream.Start,
        node: str,
        loop: Loop,
        tell: Callable[[Message], None],
        relay: Callable[[Body], None],
        ended: Callable[[], None],
    ) -> None:
        self.start = start
        self._node = node
        self._loop = loop
        self._tell = tell
        self._relay = relay
        self._ended = ended
        self._pid = 0
        self._reaped = False
        self._told_end = False
        self._abandoned = False
        self._link = Link(self._frame, self._closed, f"supervisor of job {start.npid}")

    def launch_some(self) -> bool:
        """Fork the supervisor; there is never more to start."""
        if self._abandoned:
            self._loop.call_soon(self._ended)
            return False
        if len(self.start.vnns) != 1 or self.start.degree != 1:
            text = "a transparent job is one process (leave out -n)"
            self._tell(stream.Failed(self.start.vnns[0], "engine", 22, text))
            self._loop.call_soon(self._ended)
            return False
        env = job_environment(self.start, self._node, self.start.vnns[0])
        try:
            self._pid, sock = spawn_supervisor(self.start, env)
        except OSError as error:  # no descriptors or processes left
            text = f"cannot start a process: {error.strerror}"
            self._tell(stream.Failed(self.start.vnns[0], "session", error.errno or 0, text))
            self._told_end = True
            self._loop.call_soon(self._ended)
            return False
        self._loop.adopt(sock, self._link)
        return False

    def frame(self, body: Body) -> None:
        """From home."""
        self._link.relay(RELAY, body)

    def kill(self, number: int, vnns: list[int] | None) -> int:
        """Signal the program's group, through its supervisor."""
        if self._told_end:
            return 0
        self._link.send(REPORT, stream.Signal(number))
        return 1

    def abandon(self) -> None:
        """Home hears nothing any more: the supervisor ends the job when its bridge closes."""
        self._abandoned = True
        self._link.close("home is gone")

    def wait_status(self, pid: int, status: int) -> bool:
        """A child of the daemon changed state: is it our supervisor?"""
        if pid != self._pid:
            return False
        self._reaped = not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status)
        return True

    def roots(self) -> list[int]:
        """Our child, if it was not reaped yet."""
        return [] if self._reaped else [self._pid]

    def is_root(self, pid: int) -> bool:
        """Whether `pid` is the supervisor."""
        return pid == self._pid

    def owns(self, pid: int) -> bool:
        """Orphans come to the daemon only when the supervisor died: its session tells."""
        try:
            return os.getsid(pid) == self._pid
        except ProcessLookupError:
            return False

    def _frame(self, link: Link, number: StreamId, body: Body) -> None:
        if number == RELAY:
            self._relay(body)
            return
        if number != REPORT:
            raise FrameError("no such stream on a bridge")
        message = stream.node_to_home.decode(body)
        if isinstance(message, stream.Exited | stream.Failed):
            self._told_end = True
        self._tell(message)

    def _closed(self, link: Link, reason: str) -> None:
        if not self._told_end and not self._abandoned:
            vnn = self.start.vnns[0]
            for fd in (1, 2):
                self._tell(stream.Out(vnn, fd, b""))
            self._told_end = True
            self._tell(stream.Exited(vnn, 0, signal.SIGKILL, orphaned=True))
        self._ended()

"""The daemon's link to the master: hello, load reports, and back again when the master was away.

Owns the reconnecting and the heartbeat. Jobs run on without a master; what was reported meanwhile
is told again by the next hello (paper 4.2.3).
"""

import errno
import os
import random
from collections import deque
from collections.abc import Callable

import psutil

from glunix import config
from glunix.comm.link import Link
from glunix.comm.loop import Loop
from glunix.comm.network import Network
from glunix.errors import FrameError
from glunix.ids import CONTROL, StreamId
from glunix.msg import master
from glunix.msg.base import MAJOR, Body, Message
from glunix.node.userlevel.session_leader import children_of_self

RETRY_FIRST = 0.05
RETRY_MOST = 2.0
Ending = master.ProcExited | master.JobOver
UNSENT_MAX = 60_000
"""Ends that are remembered while the master is away; the oldest are forgotten first."""

LOAD_STEP = 0.25
"""Change of load that is reported at once instead of with the next heartbeat."""

SAMPLE = 256
"""Processes that are looked at; a job may have thousands, and the loop has other work."""

_BUSY = (b" R", b" D")
"""States of runnable and of uninterruptible processes (proc(5), /proc/PID/stat)."""


def _is_busy(pid: str) -> bool:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # gone meanwhile
    try:
        return os.read(fd, 512).rpartition(b")")[2][:2] in _BUSY
    except OSError:
        return False
    finally:
        os.close(fd)


def measure_load(own_pid_namespace: bool) -> float:
    """Runnable processes: of this node's own PID namespace, else of the machine (getloadavg)."""
    if not own_pid_namespace:
        return os.getloadavg()[0]
    if not children_of_self():
        return 0.0  # we are its init: whoever runs here is our child, or a descendant
    me = str(os.getpid())
    pids = [p for p in os.listdir("/proc") if p.isdecimal() and p != me]
    some = random.sample(pids, SAMPLE) if len(pids) > SAMPLE else pids
    return sum(map(_is_busy, some)) * len(pids) / max(1, len(some))


class Uplink:
    """Keeps one link to the master. `up(welcome)`, `message(m)` and `down()` are the shell's."""

    def __init__(
        self,
        loop: Loop,
        network: Network,
        hello: Callable[[Link, list[Ending]], master.NodeHello],
        up: Callable[[], None],
        message: Callable[[Message], None],
        down: Callable[[], None],
        refused: Callable[[str], None],
        log: Callable[[str], None],
        own_pid_namespace: bool,
    ) -> None:
        self._loop = loop
        self._network = network
        self._log = log
        self._why = ""
        self._hello = hello
        self._up = up
        self._message = message
        self._down = down
        self._refused = refused
        self._own_pids = own_pid_namespace
        self._link: Link | None = None
        self._welcome = False
        self._retry = RETRY_FIRST
        self._beat = 0
        self._heartbeat = config.HEARTBEAT
        self._last_load = -1.0
        self._unsent: deque[Ending] = deque(maxlen=UNSENT_MAX)

    def connect(self) -> None:
        """Dial the master; keep trying with growing pauses."""
        link = Link(self._frame, self._closed, "the master")

        def done(reason: str) -> None:
            if reason:
                self._say(reason)
                self._again()
                return
            link.send(CONTROL, self._hello(link, list(self._unsent)))
            self._link = link  # whatever is sent from now on comes after the hello

        self._network.dial_master(link, done)

    def _say(self, why: str) -> None:
        """Each reason once: the next try is due in two seconds at the most."""
        if why != self._why:
            self._log(f"no link to the master: {why}")
        self._why = why

    def _again(self) -> None:
        self._loop.call_later(self._retry, self.connect)
        self._retry = min(self._retry * 2, RETRY_MOST)

    def send(self, message: Message) -> None:
        """Send to the master; while there is none, what ended is kept for the next hello."""
        if self._link is not None:
            self._link.send(CONTROL, message)
        elif isinstance(message, Ending):
            self._unsent.append(message)

    def _frame(self, link: Link, stream: StreamId, body: Body) -> None:
        if stream != CONTROL:
            raise FrameError("the master opens no streams")
        message = master.master_to_daemon.decode(body)
        if isinstance(message, master.Welcome):
            if message.major != MAJOR:
                raise FrameError(f"the master speaks protocol {message.major}, we {MAJOR}")
            self._welcome = True
            self._unsent.clear()
            self._retry = RETRY_FIRST
            self._why = ""
            self._heartbeat = message.heartbeat
            self._up()
            self._report_load(self._beat)
        elif isinstance(message, master.Goodbye):
            self._refused(message.text)
        else:
            self._message(message)

    def _closed(self, link: Link, reason: str) -> None:
        was_welcome, self._welcome = self._welcome, False
        self._link = None
        self._beat += 1
        if was_welcome:
            self._down()
        else:
            self._say(reason)
        self._again()

    def _report_load(self, beat: int, quiet: float = 0.0) -> None:
        if beat != self._beat:
            return
        try:
            load = measure_load(self._own_pids)
            free = psutil.virtual_memory().available
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            load, free = self._last_load, 0  # no descriptor left: jobs have taken them all
        step = self._heartbeat / 4
        if abs(load - self._last_load) >= LOAD_STEP or quiet + step >= self._heartbeat:
            self._last_load = load
            quiet = 0.0
            self.send(master.LoadReport(max(load, 0.0), free))
        else:
            quiet += step
        self._loop.call_later(step, self._report_load, beat, quiet)

"""The startup: the process that stands for a job on its home node (paper 4.2, 4.3).

Owns the user's descriptors while the job runs: keystrokes go to the job, its output comes back,
signals are forwarded, the terminal is raw meanwhile and restored on every path out. One poll loop;
never blocks on an output; reads input only as far as the node has given credit. What is different
under -T is the level's (glunix.home.level).

Under -T this is a child of what the shell started (glunix.home.processes.root_shadow).
"""

from __future__ import annotations

import _signal
import posix
import select
import sys
import time

from glunix import config
from glunix.errors import FrameError, GlunixError, NotRunning, Refused
from glunix.home.jobview import JobView, ProcessView, placed_streams
from glunix.home.link import integer, text, view
from glunix.home.options import Options
from glunix.home.outputs import Outputs
from glunix.home.signals import PollSet
from glunix.home.userlevel import UserLevel
from glunix.home.wire import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.level import Handlers, Level
    from glunix.home.processes.root_shadow import HomeHalf
    from glunix.home.submit import Opening
    from glunix.home.timers import TimeLimit, Unheard, Unstarted

PATIENCE_MAX = 86400.0
"""Seconds of one poll(2) at most: it takes an int of milliseconds."""


class Startup:
    """A submitted job. `run` returns the exit status; errors are GlunixError with one line.

    What is public here is for the level.
    """

    job: JobView
    """From its placement on (`is_placed`)."""

    def __init__(self, options: Options, opening: Opening, half: HomeHalf | None) -> None:
        self.options = options
        self.link = opening.link
        self.terminal = opening.terminal
        self.tty = opening.tty
        self._times = opening.times
        self._time("more imports")
        self.outputs = Outputs(options, self.send)
        self.is_placed = False
        self._poll = PollSet()
        self._limit: TimeLimit | None = None
        self._unstarted: Unstarted | None = None
        self._unheard: Unheard | None = None
        self._stats = opening.stats
        self._level = self._make_level(opening, half)
        self._events = self._own_events() | self._level.events()

    def _make_level(self, opening: Opening, half: HomeHalf | None) -> Level:
        if half is None:
            return UserLevel(self)
        from glunix.home.transparentlevel import Transparent

        return Transparent(self, opening, half)

    # -- the life of the job -----------------------------------------------------------------

    def run(self) -> int:
        """Serve the submitted job until it is over."""
        try:
            self._place()
            self._serve()
        except NotRunning as error:
            if not self.is_placed:
                raise
            self._level.lost_way(error)
        finally:
            self._level.leave_terminal()
        return self._end()

    def _end(self) -> int:
        self._time("exited")
        self.show_stats()
        if self.options.times:
            from glunix.home.report import times_told

            sys.stderr.write(times_told(self._times, self.options.times))
        if self._limit is not None and self._limit.is_over:
            return self._limit.status
        self._level.end()
        return self.outputs.status(self.job.status())

    def show_stats(self) -> None:
        """Write the job's bill, once, if it was asked for."""
        if self._stats is not None:
            self._stats.tell(self.options.stats == "json")

    def own_status(self) -> int:
        """The job's exit status, or that of a time limit that ended it."""
        limit = self._limit
        return limit.status if limit is not None and limit.is_over else self.job.status()

    def _place(self) -> None:
        """Wait for Placed; the deadline covers a daemon or master that does not answer."""
        deadline = time.monotonic() + config.PLACE_TIMEOUT
        while True:
            events = select.POLLIN | (select.POLLOUT if self.link.pending else 0)
            left = deadline - time.monotonic()
            wanted = {**self._level.fds(), self.link.fileno(): events}
            ready = self._poll.wait(wanted, left * 1000) if left > 0 else set()
            if not ready:
                raise GlunixError("no answer from the cluster: is the master alive?")
            self._level.look(ready)
            self.link.flush()
            messages = self.link.receive()
            for number, (stream, message) in enumerate(messages):
                if stream != 0:
                    raise FrameError("job data before the job was placed")
                self._placed(message)
                self._early = messages[number + 1 :]
                return

    def _placed(self, message: list[Value]) -> None:
        if message[0] == "refused":
            raise Refused(text(message[2]), text(message[3]))
        if message[0] != "placed":
            raise FrameError(f"expected placed, got {message[0]!r}")
        self._time("placed")
        self.job = JobView(integer(message[2]), placed_streams(message))
        self.is_placed = True
        if self.options.npid_fd >= 0:
            posix.write(self.options.npid_fd, b"%d\n" % self.job.npid)
            posix.close(self.options.npid_fd)
        self._level.begin()
        self._level.enter_terminal()
        if self.options.time_limit is not None:
            from glunix.home.timers import TimeLimit

            self._limit = TimeLimit(self.options.time_limit, self.signal_job)

    def _serve(self) -> None:
        """Until the job is over."""
        for stream, message in self._early:
            self._take(stream, message)
        while not (self.job.over() and not self.outputs.waiting):
            # Looked at first: its end can have come together with its placement.
            self._level.before_turn()
            self._turn()

    def _turn(self) -> None:
        """One round of the poll loop; its order is glunix.home.level's."""
        link, signals = self.link, self._level.signals
        wanted = self._level.fds()
        wanted[link.fileno()] = select.POLLIN | (select.POLLOUT if link.pending else 0)
        wanted[signals.fileno()] = select.POLLIN
        sinks = self.outputs.waiting_sinks()
        for sink in sinks:
            wanted[sink.fileno()] = select.POLLOUT
        ready = self._poll.wait(wanted, self._patience())
        self._check_timers()
        self._level.look(ready)
        self._level.hear(signals.read() if signals.fileno() in ready else [])
        for sink in sinks:
            if sink.fileno() in ready:
                self.outputs.write(sink, ready=True)
        self._level.receive(ready)
        if link.fileno() in ready:
            link.flush()
            for stream, message in link.receive():
                self._take(stream, message)
        self._level.turned()
        self._maybe_stop()

    def _patience(self) -> float | None:
        """Milliseconds that poll may wait."""
        waits = self._level.waits()
        for timer in (self._limit, self._unstarted, self._unheard):
            if timer is not None and timer.at is not None:
                waits.append(max(0.0, timer.at - time.monotonic()))
        return min(*waits, PATIENCE_MAX) * 1000 if waits else None

    # -- messages ----------------------------------------------------------------------------

    def send(self, stream: int, message: list[object]) -> None:
        """Send a message; stream 0: to this node's daemon."""
        if stream:
            self._level.before_send()
        if message[0] in ("signal", "shadowsignal"):
            self.outputs.look_for_keys()  # what a key threw away came before its signal
        (self._level.way if stream else self.link).send(stream, message)

    def send_data(self, stream: int, data: bytes | memoryview) -> None:
        """Send input of the job; empty is its end."""
        self._level.before_send()
        self.link.send_data(stream, "in", data)

    def _take(self, stream: int, message: list[Value]) -> None:
        if stream == 0:
            self._take_control(message)
        else:
            self._level.before_daemon()
            self.take_stream(stream, message)

    def _take_control(self, message: list[Value]) -> None:
        if message[0] == "lost":
            self._level.lost(text(message[3]))
        elif message[0] == "refused":
            raise Refused(text(message[2]), text(message[3]))
        else:
            raise FrameError(f"unexpected {message[0]!r}")

    def take_stream(self, stream: int, message: list[Value]) -> None:
        """A message of one of the job's nodes. Its form is known (glunix.home.wire.checked)."""
        if self._stats is not None and self._stats.saw(message):
            return
        tag, fields = text(message[0]), message[1:]
        if self._level.take(stream, tag, fields):
            return
        process = self.job.processes.get((stream, integer(fields[0]))) if fields else None
        if process is None:
            raise FrameError("a process that is not of this job")
        event = self._events.get(tag)
        if event is None:
            raise FrameError(f"unexpected {tag!r}")
        event(process, *fields[1:])

    # -- what happens to a process -------------------------------------------------------------

    def _own_events(self) -> Handlers:
        return {
            "continued": self._continued,
            "exited": self._exited,
            "failed": self._failed,
            "flushed": self._flushed,
            "heard": self._heard,
            "out": self._out,
            "started": self._started,
            "stopped": self._stopped,
        }

    def _out(self, process: ProcessView, fd: int, data: Value) -> None:
        self.outputs.take(process, fd, view(data))

    def _started(
        self, process: ProcessView, pid: int, flushes: bool = False, hears: bool = False
    ) -> None:
        process.started, process.hears = True, hears
        self.outputs.watch_keys(process.stream, flushes)
        if self.job.all_started():
            self._time("started")

    def _stopped(self, process: ProcessView, signal: int) -> None:
        process.stopped = signal
        self._level.stopped(signal)

    def _continued(self, process: ProcessView) -> None:
        process.stopped = 0
        self._level.continued()

    def _heard(self, process: ProcessView) -> None:
        if self._unheard is not None:
            self._unheard.heard(process.stream)

    def _flushed(self, process: ProcessView, fd: int) -> None:
        self.outputs.flushed()

    def _exited(
        self,
        process: ProcessView,
        code: int,
        signal: int,
        core: bool = False,
        orphaned: bool = False,
        aborts: bool = False,
    ) -> None:
        self.job.exited(process, code, signal, aborts)
        if self._unheard is not None and not any(
            one.stream == process.stream for one in self.job.live()
        ):
            self._unheard.heard(process.stream)
        self._level.exited(orphaned)
        if orphaned:
            process.channels.clear()  # nobody is left to say that they have ended
            self.complain(f"what served the job on {process.node} was killed")

    def _failed(self, process: ProcessView, step: str, error: int, text: str) -> None:
        from glunix.home.report import not_started

        self.job.failed(process, step, error, config.exit_error())
        self.complain(not_started(step, error, text, process.vnn, process.node, self.options))

    def complain(self, line: str) -> None:
        """Tell the user, on standard error."""
        from glunix.home.report import complain

        complain(line, self.terminal)

    # -- signals, stops, time ----------------------------------------------------------------

    def pass_on(self, number: int) -> None:
        """A signal came for the job, as its level gives it on."""
        if number == _signal.SIGWINCH and self.tty is not None and self.tty.resized():
            for stream in {p.stream for p in self.job.live()}:
                self.send(stream, ["resize", self.tty.told])
            return
        self.signal_job(number, self._level.signals_program_alone)
        if not self.job.all_started():
            self.must_start_or_end(number)

    def signal_job(self, number: int, alone: bool = False) -> None:
        """Send a signal on; `alone`: to the program, not to its group."""
        self._level.before_signal()
        hearing = self._hearing(number)
        if alone:
            for process in self.job.live():
                if not process.parted:
                    self._send_signal(process.stream, number, process.vnn, hearing)
        else:
            for stream in {p.stream for p in self.job.live()}:
                self._send_signal(stream, number, None, hearing)
        self._level.after_signal()

    def _send_signal(self, stream: int, number: int, vnn: int | None, hearing: set[int]) -> None:
        asks = [False, True] if stream in hearing else []
        self.send(stream, ["signal", number, vnn, *asks])

    def _hearing(self, number: int) -> set[int]:
        """The streams of which it is to be known that this signal came through. Those of an
        earlier one keep their time."""
        if number not in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM):
            return set()
        live = self.job.live()
        deaf = {p.stream for p in live if not p.hears or p.parted}
        hearing = {p.stream for p in live} - deaf
        if hearing and (self._unheard is None or self._unheard.at is None):
            from glunix.home.timers import Unheard

            self._unheard = Unheard(number, set(hearing), self._give_up)
        return hearing

    def _give_up(self, number: int, stream: int) -> None:
        process = next((p for p in self.job.live() if p.stream == stream), None)
        if process is None:
            return
        self._level.lost(f"{process.node} does not answer: the job is given up, signal {number}")
        self.job.lost(128 + number, 0)
        self.job.killed_by = number

    def _maybe_stop(self) -> None:
        """When the job is stopped, so is its startup: the user's shell must see it (paper 4.3)."""
        ended = self.job.outlived() and not self.outputs.alone
        if self.outputs.blocked_by_tostop and (ended or not self.job.live()):
            self._level.blocked()  # ended, but the terminal takes no output yet
        by = self.job.stopped_by()
        if not by or self._level.way.pending or self.outputs.writable:
            return  # a blocked reader may be stopped too: it must not keep us from stopping
        self._level.stop(by)

    def _check_timers(self) -> None:
        for timer in (self._limit, self._unstarted, self._unheard):
            if timer is not None and timer.at is not None and time.monotonic() >= timer.at:
                timer.due()
                if timer is self._limit:
                    self.must_start_or_end(_signal.SIGTERM)

    def must_start_or_end(self, number: int) -> None:
        """The job is to end by this signal. If it has not started it may take a moment to."""
        from glunix.home.timers import ENDING, Unstarted

        if number in ENDING and self._unstarted is None and not self.job.all_started():
            self._unstarted = Unstarted(number, self.job)

    def _time(self, name: str) -> None:
        self._times.append((name, time.perf_counter()))

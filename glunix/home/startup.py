"""The startup: the process that stands for a job on its home node (paper 4.2, 4.3).

Owns the user's descriptors while the job runs: keystrokes go to the job, its output comes back,
signals are forwarded, the terminal is raw meanwhile and restored on every path out. One poll loop;
never blocks on an output; reads input only as far as the node has given credit.

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
from glunix.home.report import complain, not_started, times_told
from glunix.home.signals import HARMLESS, STOPPING, PollSet, Signals, die_of
from glunix.home.stdin import Input
from glunix.home.wire import Value

TYPE_CHECKING = False
LOOK = 0.5
"""Seconds until our shadow is looked at again: it may have been stopped (processes.root_shadow)."""

if TYPE_CHECKING:
    from glunix.home.calls.dispatch import CallDispatch
    from glunix.home.processes.root_shadow import HomeHalf
    from glunix.home.submit import Opening
    from glunix.home.terminal.modes import ModeWatch
    from glunix.home.timers import TimeLimit, Unstarted
    from glunix.home.transparent import HomeCalls

PATIENCE_MAX = 86400.0
"""Seconds of one poll(2) at most: it takes an int of milliseconds."""

BACKGROUND_LOOK = 0.25
"""Seconds between looks whether we have come to the foreground: the kernel tells nobody."""


class Startup:
    """A submitted job. `run` returns the exit status; errors are GlunixError with one line."""

    def __init__(self, options: Options, opening: Opening, half: HomeHalf | None) -> None:
        self._options = options
        self._link = opening.link
        self._line = opening.line
        self._terminal = opening.terminal
        self._tty = opening.tty
        self._times = opening.times
        self._inherited, self._checked_writes = (
            opening.standard + opening.inherited,
            opening.checked_writes,
        )
        self._time("more imports")
        self._half = half
        self._signals = Signals() if half is None else half.signals
        self._outputs = Outputs(options, self._send)
        self._stop_signal = 0
        self._in_back = False
        """Whether the terminal is to become raw once we are in the foreground."""
        self._dispatch: CallDispatch | None = None
        """What a transparent job asks of home."""
        self._modes: ModeWatch | None = None
        self._poll = PollSet()
        self._limit: TimeLimit | None = None
        self._unstarted: Unstarted | None = None
        self._stats = opening.stats
        self._written: dict[int, int] | None = None
        """What is to be written before the shadow of an outlived job may end."""

    # -- the life of the job -----------------------------------------------------------------

    def run(self) -> int:
        """Serve the submitted job until it is over."""
        try:
            self._place()
            self._serve()
        except NotRunning as error:
            if not self._options.transparent or not hasattr(self, "_job"):
                raise
            if self._tty is not None:
                self._tty.undo()
            complain(str(error), self._terminal)
            self._job.lost(config.exit_error(), _signal.SIGKILL)
        finally:
            self._leave_terminal()
        return self._end()

    def _end(self) -> int:
        self._time("exited")
        if self._stats is not None:
            self._stats.tell(self._options.stats == "json")
        if self._options.times:
            sys.stderr.write(times_told(self._times, self._options.times))
        if self._limit is not None and self._limit.is_over:
            return self._limit.status
        if self._half is not None and self._job.killed_by:
            self._half.end(0, self._job.killed_by, alone=False)  # so that the shell says so
        if self._half is None and self._job.interrupted:
            die_of(_signal.SIGINT)  # a shell's loop ends by that, not by a status
        return self._outputs.status(self._job.status())

    def _place(self) -> None:
        """Wait for Placed; the deadline covers a daemon or master that does not answer."""
        wanted = {} if self._half is None else {self._half.fileno(): select.POLLIN}
        deadline = time.monotonic() + config.PLACE_TIMEOUT
        while True:
            events = select.POLLIN | (select.POLLOUT if self._link.pending else 0)
            left = deadline - time.monotonic()
            wanted = {**wanted, self._link.fileno(): events}
            ready = self._poll.wait(wanted, left * 1000) if left > 0 else set()
            if not ready:
                raise GlunixError("no answer from the cluster: is the master alive?")
            if self._half is not None and self._half.fileno() in ready:
                self._half.die(_signal.SIGKILL)  # as our shadow was
            self._link.flush()
            messages = self._link.receive()
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
        streams = placed_streams(message)
        self._stream = streams[0][0]
        self._job = JobView(integer(message[2]), streams)
        if self._options.npid_fd >= 0:
            posix.write(self._options.npid_fd, b"%d\n" % self._job.npid)
            posix.close(self._options.npid_fd)
        self._input = self._make_input([stream for stream, _, _ in streams])
        answers = not isinstance(self._input, Input) and self._input.answers
        tty = self._tty if self._options.transparent else None
        self._outputs.open(self._job, tty, answers, self._inherited, self._checked_writes)
        if self._half is None:
            self._signals.catch()
        else:
            self._half.catch()
        self._enter_terminal()
        if self._options.time_limit is not None:
            from glunix.home.timers import TimeLimit

            self._limit = TimeLimit(self._options.time_limit, self._signal_job)

    def _make_input(self, streams: list[int]) -> Input | HomeCalls:
        if self._half is None:
            return Input(self._options, self._terminal, streams, self._send_data)
        from glunix.home.calls.dispatch import CallDispatch
        from glunix.home.transparent import HomeCalls

        given = (streams[0], self._send, self._send_data, self._options, self._inherited)
        calls = HomeCalls(self._tty, *given, self._half)
        self._modes = calls.modes
        calls.before_end = self._hear_shadow
        calls.begin()
        self._dispatch = CallDispatch(calls, self._outputs)
        return calls

    def _serve(self) -> None:
        """Until the job is over."""
        for stream, message in self._early:
            self._take(stream, message)
        while not (self._job.over() and not self._outputs.waiting):
            # Looked at first: its end can have come together with its placement.
            if self._half is not None and not self._half.is_alone and self._job.outlived():
                self._part(self._half)
            self._turn()

    def _part(self, half: HomeHalf) -> None:
        """The program has ended, and so does its shadow once all that was written is written."""
        if self._written is None:
            self._written = self._outputs.mark()
        if self._outputs.reached(self._written):
            self._leave_terminal()
            if self._line is not None:
                self._line.flush()
            if self._stats is not None:
                self._stats.tell(self._options.stats == "json")
            by = self._job.killed_by
            limit = self._limit
            status = limit.status if limit and limit.is_over else self._job.status()
            half.end(status, by, alone=True)
            self._outputs.go_on_alone()
            self._look_again()

    def _lost_shadow(self, half: HomeHalf) -> None:
        """Somebody killed it: so ends the program, as it would at home, and nothing else."""
        half.go_on_alone()
        if self._tty is not None:
            self._tty.undo_late()
            self._send(0, ["tty", False])
        self._outputs.go_on_alone()
        for process in self._job.live():
            self._send(process.stream, ["signal", _signal.SIGKILL, process.vnn])
        self._must_start_or_end(_signal.SIGKILL)

    def _turn(self) -> None:
        """One round of the poll loop."""
        link, come, line = self._link, select.POLLIN, self._line
        wanted = {link.fileno(): come | (select.POLLOUT if link.pending else 0)}
        if line is not None and line.fileno() >= 0:
            wanted[line.fileno()] = come | (select.POLLOUT if line.blocked else 0)
        wanted[self._signals.fileno()] = come
        half = self._half if self._half is not None and not self._half.is_alone else None
        if half is not None:
            wanted[half.fileno()] = come
        watch_input = self._input.wants(self._unsent())
        if watch_input:
            wanted[self._input.fileno()] = come
        sinks = self._outputs.waiting_sinks()
        for sink in sinks:
            wanted[sink.fileno()] = select.POLLOUT
        ready = self._poll.wait(wanted, self._patience())
        self._check_timers()
        if self._in_back and self._tty is not None and self._tty.in_foreground():
            self._enter_terminal()  # a shell's `fg` sends SIGCONT only to what was stopped
        if half is not None and half.fileno() in ready and half.is_gone():
            self._lost_shadow(half)
        elif half is not None and half.take_newly_stopped():
            self._signal_job(_signal.SIGSTOP, alone=True)
        self._hear(self._signals.read() if self._signals.fileno() in ready else [])
        for sink in sinks:
            if sink.fileno() in ready:
                self._outputs.write(sink, ready=True)
        if watch_input and self._input.fileno() in ready:
            self._input.read()
        if self._line is not None and self._line.fileno() in ready:
            self._take_line(settles=False)
        if self._link.fileno() in ready:
            self._link.flush()
            for stream, message in self._link.receive():
                self._take(stream, message)
        if self._line is not None:
            self._line.check(self._job.over())
        if self._dispatch is not None:
            self._dispatch.turn()
        self._maybe_stop()

    def _patience(self) -> float | None:
        """Milliseconds that poll may wait."""
        waits = [] if self._dispatch is None else self._dispatch.waits()
        waits += [] if self._line is None else self._line.patience()
        for timer in (self._limit, self._unstarted):
            if timer is not None and timer.at is not None:
                waits.append(max(0.0, timer.at - time.monotonic()))
        if self._in_back or self._input.in_background():
            waits.append(BACKGROUND_LOOK)
        if self._half is not None and not self._half.is_alone:
            waits.append(LOOK)
        return min(*waits, PATIENCE_MAX) * 1000 if waits else None

    # -- messages ----------------------------------------------------------------------------

    def _send(self, stream: int, message: list[object]) -> None:
        if stream and self._modes is not None:
            self._modes.look()
        if message[0] in ("signal", "shadowsignal"):
            self._outputs.look_for_keys()  # what a key threw away came before its signal
        if stream and self._line is not None:
            self._line.send(stream, message)
        else:
            self._link.send(stream, message)

    def _unsent(self) -> int:
        """Bytes that no socket took yet."""
        return self._link.pending if self._line is None else self._line.pending

    def _take_line(self, settles: bool = True) -> None:
        """What the supervisor said on its own line comes before anything that a daemon says."""
        while self._line is not None and (messages := self._line.receive(settles)):
            for message in messages:
                self._take(self._stream, message, direct=True)
            if self._line.dry:
                return

    def _send_data(self, stream: int, data: bytes | memoryview) -> None:
        if self._modes is not None:
            self._modes.look()
        self._link.send_data(stream, "in", data)

    def _take(self, stream: int, message: list[Value], direct: bool = False) -> None:
        if stream and not direct:
            self._take_line()
        try:
            if stream == 0:
                self._take_control(message)
            else:
                self._take_stream(stream, message)
        except IndexError:
            raise FrameError(f"message {message[0]!r} is cut short") from None

    def _take_control(self, message: list[Value]) -> None:
        if message[0] == "lost":
            if self._tty is not None and self._options.transparent:
                self._tty.undo()
            complain(text(message[3]), self._terminal)
            by = _signal.SIGKILL if self._options.transparent else 0
            self._job.lost(config.exit_error(), by)
        elif message[0] == "refused":
            raise Refused(text(message[2]), text(message[3]))
        else:
            raise FrameError(f"unexpected {message[0]!r}")

    def _take_stream(self, stream: int, message: list[Value]) -> None:
        tag = message[0]
        if self._stats is not None and self._stats.saw(message):
            return
        if self._dispatch is not None:
            if self._dispatch.take(tag, message):
                return
        elif isinstance(self._input, Input):
            if tag == "incredit":
                self._input.credit(stream, integer(message[1]))
                return
            if tag == "inclosed":
                self._input.closed(stream)
                return
        process = self._job.processes.get((stream, integer(message[1])))
        if process is None:
            raise FrameError("a process that is not of this job")
        if tag == "out":
            self._outputs.take(process, integer(message[2]), view(message[3]))
        else:
            self._process_event(process, tag, message)

    def _process_event(self, process: ProcessView, tag: Value, message: list[Value]) -> None:
        if tag == "started":
            process.started = True
            self._outputs.watch_keys(process.stream, message[3:] == [True])
            if self._job.all_started():
                self._time("started")
        elif tag == "stopped":
            process.stopped = integer(message[2])
        elif tag == "continued":
            process.stopped = 0
            if self._half is None:
                self._enter_terminal()
            else:
                self._half.free()
                self._hear([])
            self._look_again()
        elif tag == "flushed":
            self._outputs.flushed()
        elif tag == "exited":
            aborts = len(message) > 6 and message[6] is True
            self._job.exited(process, integer(message[2]), integer(message[3]), aborts)
            self._input.maybe_over(self._job)
            if len(message) > 5 and message[5] is True:
                process.channels.clear()  # nobody is left to say that they have ended
                if self._tty is not None:
                    self._tty.undo()
                complain(f"what served the job on {process.node} was killed", self._terminal)
        elif tag == "rootexited":
            self._job.parted(process, integer(message[2]), integer(message[3]))
            if self._half is not None and self._half.is_alone:
                if self._tty is not None:
                    self._tty.undo_late()  # what it did while it was being killed
                self._look_again()  # not before: nothing goes ahead to what is being killed
        elif tag == "failed":
            self._job.failed(process, text(message[2]), integer(message[3]), config.exit_error())
            why = (text(message[2]), integer(message[3]), text(message[4]))
            complain(not_started(*why, process.vnn, process.node, self._options), self._terminal)
        else:
            raise FrameError(f"unexpected {tag!r}")

    # -- signals, stops, time ----------------------------------------------------------------

    def _hear(self, numbers: list[int]) -> None:
        """Our shadow, if we have one, has got these; and may have gone on before."""
        if self._half is not None and self._half.goes_on(bool(numbers)):
            self._goes_on(self._half, numbers)
        else:
            for number in numbers:
                self._signal(number)

    def _signal(self, number: int) -> None:
        if number in STOPPING and not self._job.live():
            return  # see _maybe_stop
        if number == _signal.SIGCONT and self._half is not None and self._half.swallows():
            return
        if not self._job.live() and number not in HARMLESS:
            self._leave_terminal()  # only output that nobody takes is left: nothing to forward to
            (die_of if self._half is None else self._half.die)(number)
        if number == _signal.SIGWINCH and self._tty is not None and self._tty.resized():
            for stream in {p.stream for p in self._job.live()}:
                self._send(stream, ["resize", self._tty.told])
            return
        if number in STOPPING:
            self._stop_signal = number
            if not self._options.transparent:
                number = _signal.SIGTSTP
        # Where others have shadows of their own, what ours got is for the program alone.
        self._signal_job(number, not isinstance(self._input, Input) and self._input.has_shadows)
        if not self._job.all_started():
            self._must_start_or_end(number)
        if number == _signal.SIGCONT:
            self._enter_terminal()
            if self._half is not None and self._half.is_alone:
                self._outputs.release()
                self._look_again()

    def _hear_shadow(self) -> None:
        """What ended our input (^C for all of a pipeline) may have been for our shadow, too."""
        if self._half is not None:
            self._hear(self._half.settled())

    def _signal_job(self, number: int, alone: bool = False) -> None:
        """Send a signal on; `alone`: to the program, not to its group."""
        if not isinstance(self._input, Input):
            self._input.look_ahead(end=False)
        if alone:
            for process in self._job.live():
                if not process.parted:
                    self._send(process.stream, ["signal", number, process.vnn])
        else:
            for stream in {p.stream for p in self._job.live()}:
                self._send(stream, ["signal", number, None])
        if not isinstance(self._input, Input):
            self._input.look_ahead()

    def _maybe_stop(self) -> None:
        """When the job is stopped, so is its startup: the user's shell must see it (paper 4.3)."""
        ended = self._job.outlived() and not self._outputs.alone
        if self._outputs.blocked_by_tostop and (ended or not self._job.live()):
            self._stop(_signal.SIGTTOU)  # it has ended, but the terminal takes no output yet
        by = self._job.stopped_by()
        if not by or self._unsent() or self._outputs.writable:
            return  # a blocked reader may be stopped too: it must not keep us from stopping
        if self._stop(self._stop_signal or (by if by in STOPPING else _signal.SIGSTOP)):
            self._stop_signal = 0

    def _stop(self, number: int) -> bool:
        """Be stopped by this signal until we go on, or have our shadow stopped, if it is not."""
        if self._half is not None:
            return self._half.stop(number)
        self._leave_terminal()
        from glunix.home.processes.waking import stop_until_news

        woken = stop_until_news(self._link, number)
        come = self._signals.read()
        if woken:
            come = [one for one in come if one != _signal.SIGCONT]
        else:
            self._job.goes_on()
            if _signal.SIGCONT not in come:  # it is ignored, or a stop that came at once took it
                come.append(_signal.SIGCONT)
        for one in come:
            self._signal(one)
        self._outputs.release()
        return True

    def _goes_on(self, half: HomeHalf, heard: list[int]) -> None:
        """Our shadow does, because somebody at home wants it, or because the program does."""
        by_home = not half.take_freed()
        if by_home:
            self._job.goes_on()
        self._look_again()
        come = heard + half.settled()
        if by_home and _signal.SIGCONT not in come:
            # Ignored, or a stop that came at once took it back; else we pass on what it caught.
            self._signal_job(_signal.SIGCONT)
        for number in come:
            self._signal(number)
        half.swallows()  # or such a stop took ours back
        self._outputs.release()

    def _look_again(self) -> None:
        if not isinstance(self._input, Input):
            self._input.look_again()

    def _check_timers(self) -> None:
        for timer in (self._limit, self._unstarted):
            if timer is not None and timer.at is not None and time.monotonic() >= timer.at:
                timer.due()
                if timer is self._limit:
                    self._must_start_or_end(_signal.SIGTERM)

    def _must_start_or_end(self, number: int) -> None:
        """The job is to end by this signal. If it has not started it may take a moment to."""
        from glunix.home.timers import ENDING, Unstarted

        if number in ENDING and self._unstarted is None and not self._job.all_started():
            self._unstarted = Unstarted(number, self._job)

    # -- the terminal ------------------------------------------------------------------------

    def _enter_terminal(self) -> None:
        tty = self._tty
        if tty is None or tty.is_raw or not tty.can_be_raw or self._options.transparent:
            return
        self._send(0, ["tty", True])
        self._in_back = not tty.make_raw()
        if self._in_back:
            self._send(0, ["tty", False])

    def _leave_terminal(self) -> None:
        tty = self._tty
        if tty is not None and self._options.transparent:
            tty.leave(hasattr(self, "_job") and (self._job.over() or self._job.outlived()))
            self._send(0, ["tty", False])  # the modes it leaves are its own, as at home
        if tty is not None and tty.is_raw:
            tty.restore()
            self._send(0, ["tty", False])

    def _time(self, name: str) -> None:
        self._times.append((name, time.perf_counter()))

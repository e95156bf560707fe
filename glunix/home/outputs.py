"""The job's output at home: two streams kept apart, labelled if asked, credited when written.

Owns the sinks of fds 1 and 2 and the credit owed to each channel (stream, vnn, fd).
"""

from __future__ import annotations

import _signal
import errno
import posix
import select

from glunix import config
from glunix.errors import FrameError
from glunix.home.jobspec import ignored_signals, output_window, same_output
from glunix.home.jobview import JobView, ProcessView
from glunix.home.options import Options
from glunix.home.sinks import Labeller, Sink, gone

TYPE_CHECKING = False  # importing typing or collections.abc costs 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from glunix.home.descriptors.inherited import Inherited
    from glunix.home.terminal.keyflush import KeyFlush
    from glunix.home.terminal.tty import HomeTerminal

    Send = Callable[[int, list[object]], None]


Channel = tuple[int, int, int]

FILE_OUTPUT = "file-out"
"""As glunix.home.descriptors.inherited."""

_ANSWERS = 3


class Outputs:
    """Takes Out messages; writes them without blocking."""

    def __init__(self, options: Options, send: Send) -> None:
        self._options = options
        self._send = send
        self._batch = output_window(options.degree) // 2
        """Bytes that a channel may owe before it is told: the node never runs out of credit."""
        self._sinks: dict[int, Sink] = {}
        self._labels: dict[Channel, Labeller] = {}
        self._owed: dict[Channel, int] = {}
        self.alone = False
        """The program has ended and its startup with it: we are what the processes left have."""
        self._ended: set[int] = set()
        """Channels that have ended and whose descriptor at home is still open."""
        self._lost = False
        self._too_large = False
        """A file has got over the limit of size (ulimit -f), and the job was sent SIGXFSZ."""
        self._checked_writes = False
        self._keys: KeyFlush | None = None
        self._discards = 0
        """How many times what the terminal's channels carry is void until the node says `flushed`.
        """
        self._added: set[int] = set()
        """Channels that began while the job ran."""
        self.ends: Callable[[int], None] = lambda fd: None
        """Called when one of these has ended, and its descriptor is not needed any more."""

    def open(
        self,
        job: JobView,
        terminal: HomeTerminal | None,
        answers: bool = False,
        inherited: Sequence[Inherited] = (),
        checked_writes: bool = False,
    ) -> None:
        """Make the sinks; a descriptor the user closed refuses its channels at once.

        `terminal` is a transparent job's, which may be neither fd 1 nor 2: that is channel 0.
        `answers`: it may write into its fd 0, a socket: channel 3 (glunix.msg.stream.ANSWERS).
        `inherited`: its descriptors above 2, and those of 0-2 that go the same ways.
        `careful`: glunix.msg.job.JobSpec.careful.
        """
        fds = self._options.fds
        odd = {one.number for one in inherited}
        for fd in {1, 2} - odd:
            self._sinks[fd] = Sink(fds[fd])
        for process in job.processes.values():
            process.channels -= odd
        if terminal is not None and not {1, 2} & set(terminal.fds):
            self._sinks[0] = Sink(terminal.fd)
        if answers:
            self._sinks[_ANSWERS] = Sink(0)
            for process in job.processes.values():
                process.channels.add(_ANSWERS)
        for one in inherited:
            if one.kind in ("out", FILE_OUTPUT):
                self._sinks[one.channel] = Sink(one.number)
                for process in job.processes.values():
                    process.channels.add(one.channel)
        self._checked_writes = checked_writes
        for sink in self._sinks.values():
            sink.keeps_on = checked_writes
        self._terminal = terminal
        self._job = job
        self._one = same_output()

    def add(self, fd: int, own: int) -> None:
        """The job has one more channel, which leads to our descriptor `own`."""
        sink = self._sinks[fd] = Sink(own)
        sink.keeps_on = self._checked_writes
        self._added.add(fd)
        for process in self._job.processes.values():
            process.channels.add(fd)

    @property
    def waiting(self) -> bool:
        """Whether there is output that has not been written."""
        return any(sink.waiting for sink in self._sinks.values())

    @property
    def writable(self) -> bool:
        """Whether some of the waiting output could be written now."""
        poll = select.poll()
        for sink in self.waiting_sinks():
            poll.register(sink, select.POLLOUT)
        return bool(poll.poll(0))

    def waiting_sinks(self) -> list[Sink]:
        """The sinks to poll for room."""
        return [
            sink for sink in self._sinks.values() if sink.waiting and not sink.blocked_by_tostop
        ]

    @property
    def terminal_waits(self) -> bool:
        """Whether the terminal has not shown yet what was written before."""
        if self._terminal is None:
            return False
        return any(
            sink.waiting for fd, sink in self._sinks.items() if fd in self._terminal.fds or fd == 0
        )

    def for_terminal(self) -> tuple[bool, int]:
        """(whether it has not taken all that it could, bytes that it has taken)."""
        if self._terminal is None:
            return False, 0
        own = [s for fd, s in self._sinks.items() if fd in self._terminal.fds or fd == 0]
        return any(s.waiting and not s.blocked_by_tostop for s in own), sum(s.written for s in own)

    @property
    def blocked_by_tostop(self) -> bool:
        """Whether the terminal does not take our output: we are in the background (tostop)."""
        return any(sink.blocked_by_tostop for sink in self._sinks.values())

    def release(self) -> None:
        """We went on after a stop: try again what the terminal did not take."""
        for sink in self._sinks.values():
            sink.blocked_by_tostop = False

    def take(self, process: ProcessView, fd: int, data: memoryview) -> None:
        """Output of one process on fd 1 or 2; empty is the end of that channel."""
        channel = (process.stream, process.vnn, fd)
        sink = self._sinks.get(fd)
        if sink is None and fd in (1, 2):  # one that only a younger node knows how to serve
            if data:
                self._send(process.stream, ["refuse", process.vnn, fd])
            return
        if sink is None:
            raise FrameError(f"output on channel {fd}, which this job has not")
        payload = self._labelled(process, channel, data)
        if not data:
            process.channels.discard(fd)
            if self._options.transparent:
                self._ended.add(fd)
        if not sink.is_open:
            if data:
                self._send(process.stream, ["refuse", process.vnn, fd])
            return
        if self._discards and sink.is_tty and data:
            self._owe(channel, len(data))
        elif payload:
            sink.put(payload, channel, len(data))
            self.write(sink, ready=False)
            sink.own()
        elif data:
            self._owe(channel, len(data))  # kept by the labeller, which bounds it
        if self._ended:
            self.let_go()

    # -- output that a key throws away -------------------------------------------------------

    def watch_keys(self, stream: int, is_known: bool) -> None:
        """Whether the node of a transparent job, on this stream, knows what to do about them."""
        if not is_known or self._terminal is None or self._keys is not None:
            return
        from glunix.home.terminal.keyflush import KeyFlush

        self._keys, self._stream = KeyFlush(self._terminal), stream
        for sink in self._sinks.values():
            sink.look = self.look_for_keys

    def look_for_keys(self) -> None:
        """Before anything is sent or written that came after such a key."""
        if self._keys is not None and self._keys.pressed():
            self._discards += 1
            self._send(self._stream, ["signal", 0, None, True])
            self.drop_terminal()

    def drop_terminal(self) -> None:
        """What waits for the terminal is not shown."""
        for sink in self._sinks.values():
            for channel, count in sink.drop() if sink.is_tty else []:
                assert isinstance(channel, tuple)
                self._owe(channel, count)

    def flushed(self) -> None:
        """The node says so: by a key of which it was told, or one that its terminal saw."""
        if self._keys is not None:
            self._discards = max(0, self._discards - 1)
            return
        self.drop_terminal()
        for sink in self._sinks.values():
            if sink.is_tty:
                sink.flush()

    def let_go(self) -> None:
        """Close what nobody in the job can write to any more, as the kernel would at home.

        Not a terminal, where nobody can tell; and not the startup's standard error.
        """
        for fd in sorted(self._ended):
            sink = self._sinks[fd]
            if sink.waiting or not sink.is_open or (fd == 2 and not self._stderr_too()):
                continue
            self._ended.discard(fd)
            if fd in self._added:
                self._remove(fd)
            elif fd and (self._terminal is None or fd not in self._terminal.fds):
                sink.close()

    def _remove(self, fd: int) -> None:
        sink = self._sinks.pop(fd)
        self._added.discard(fd)
        if sink.error:
            self._complain(OSError(sink.error, posix.strerror(sink.error)))
        self.ends(fd)

    def go_on_alone(self) -> None:
        """The shadow has ended with the program: see `alone`."""
        self.alone = True
        if self._keys is not None:
            self._keys.end()
        self.let_go()

    def _stderr_too(self) -> bool:
        return self.alone and not (self._one and self._sinks[1].is_open)

    def mark(self) -> dict[int, int]:
        """What there is to write now; for `reached`."""
        return {fd: sink.written + sink.queued for fd, sink in self._sinks.items()}

    def reached(self, mark: dict[int, int]) -> bool:
        """Whether all that there was has been written, or can never be."""
        return all(sink.written >= mark[fd] or not sink.waiting for fd, sink in self._sinks.items())

    def _labelled(
        self, process: ProcessView, channel: Channel, data: memoryview
    ) -> bytes | memoryview:
        kind = self._options.label
        if not kind:
            return data
        labeller = self._labels.get(channel)
        if labeller is None:
            label = process.node if kind == "host" else str(process.vnn)
            labeller = self._labels[channel] = Labeller(f"{label}: ".encode())
        return labeller.feed(data)

    def write(self, sink: Sink, ready: bool) -> None:
        """Write what goes; give credit for it. A reader that is gone refuses all channels."""
        before = sink.error
        try:
            for channel, count in sink.write(ready):
                assert isinstance(channel, tuple)
                self._owe(channel, count)
        except OSError as error:
            self._refuse(sink, error)
        if sink.error and not before:
            fd = self._channel(sink)
            for process in self._job.processes.values():
                self._send(process.stream, ["unwritten", fd])
        if self._ended:
            self.let_go()

    def _refuse(self, sink: Sink, error: OSError) -> None:
        if error.errno == errno.EFBIG and self._ends_by_size():
            self._too_large = True
        elif not gone(error):
            self._complain(error)
        fd = self._channel(sink)
        for process in self._job.processes.values():
            if fd in process.channels:
                self._send(process.stream, ["refuse", process.vnn, fd])

    def _ends_by_size(self) -> bool:
        """A user-level job whose write was over its limit gets the signal that goes with it."""
        if self._options.transparent or _signal.SIGXFSZ in ignored_signals():
            return False  # writes of a transparent one fail as at home
        for stream in {process.stream for process in self._job.live()}:
            self._send(stream, ["signal", _signal.SIGXFSZ, None])
        return True

    def _channel(self, sink: Sink) -> int:
        return next(n for n, s in self._sinks.items() if s is sink)

    def take_error(self, fd: int) -> int:
        """The error of a write that the program was not told of, and is now; 0: there is none."""
        sink = self._sinks.get(fd)
        if sink is None:
            return 0
        error, sink.error = sink.error, 0
        return error

    def status(self, own: int) -> int:
        """The job's, whose programs ended with `own`. Output may be lost because a file could not
        take it (a full disk), and the program does not know it: says so to the user."""
        for sink in self._sinks.values():
            if sink.error:
                self._complain(OSError(sink.error, posix.strerror(sink.error)))
        if self._too_large:  # also when all was written before we could say so
            return max(own, 128 + int(_signal.SIGXFSZ))
        if self._lost and not self._options.transparent:
            # Whether the program got SIGPIPE for it, or had written all before, is chance.
            return config.exit_error()
        return own or (config.exit_error() if self._lost else 0)

    def _complain(self, error: OSError) -> None:
        from glunix.home.report import complain

        complain(f"cannot write output: {error.strerror}", None)
        self._lost = True

    def _owe(self, channel: Channel, count: int) -> None:
        owed = self._owed.get(channel, 0) + count
        if owed >= self._batch:
            stream, vnn, fd = channel
            self._send(stream, ["credit", vnn, fd, owed])
            owed = 0
        self._owed[channel] = owed

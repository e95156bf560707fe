"""Many jobs over one connection, on a plain non-blocking socket and a selector.

Owns the home end of every job it submitted: its input, its output credit, its end (paper 4.3).
Never waits except in `poll`, and there only for the connection.
"""

import errno
import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from glunix import config
from glunix.api.ask import ANSWER, connect, refusal
from glunix.api.job import Job, OutputHandler, Proc
from glunix.errors import FrameError, NotRunning, Refused
from glunix.ids import CONTROL, Why
from glunix.msg import client as wire
from glunix.msg import stream as flow
from glunix.msg.base import Message, encode
from glunix.msg.frame import CHUNK, Deframer, encode_frame
from glunix.msg.job import JobSpec, fair_window

_READ = 256 * 1024
_FLUSH_AT = 64 * 1024


@dataclass(slots=True, eq=False)
class _Stream:
    """One (job, node) on the link: which processes, and how far their input has got."""

    number: int
    job: Job
    vnns: list[int]
    sent: int = 0
    credit: int = flow.INPUT_WINDOW
    input_open: bool = True


class Client:
    """Many jobs over one connection (Glib_Initialize). Not thread-safe; one per thread.

    Nothing happens behind the caller's back: `poll`, `wait` and `map` move bytes, `submit` and
    `signal` only queue them. Closing the client ends its unfinished jobs (paper 4.2.3: the home
    end of a job is its life line).
    """

    def __init__(
        self,
        folder: Path | None = None,
        timeout: float = ANSWER,
        connection: socket.socket | None = None,
    ) -> None:
        """Connect to this node's daemon, or speak on a `connection` that it gave; NotRunning."""
        self._socket = connect(folder, timeout) if connection is None else connection
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._writing = False
        self._out = bytearray()
        self._deframer = Deframer()
        self._waiting: dict[int, Job] = {}
        self._streams: dict[int, _Stream] = {}
        self._finished: list[Job] = []
        self._request = 0
        self._open = 0
        self._gone: NotRunning | None = None

    decoder = wire.daemon_to_client
    """Of what the daemon says on stream 0; who uses more of it has more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection; jobs that have not ended are ended by their daemons."""
        self._selector.close()
        self._socket.close()
        self._gone = NotRunning("this client is closed")

    def fileno(self) -> int:
        """The connection, for a caller's own selector: call `poll(0)` when it is readable."""
        return self._socket.fileno()

    def submit(
        self,
        spec: JobSpec,
        degree: int = 1,
        *,
        nodes: Iterable[str] = (),
        exclude: Iterable[str] = (),
        stdin: bytes = b"",
        collect: bool = True,
        on_output: OutputHandler | None = None,
    ) -> Job:
        """Queue a job (Glib_Spawn) and return it at once; NotRunning when the link is gone.

        Every process gets `stdin`, then end of file. Output goes to `on_output`, else into
        `Job.output` unless `collect` is False, else nowhere; it is always taken from the job.
        """
        if self._gone is not None:
            raise self._gone
        self._request += 1
        window = fair_window(degree, spec.window)
        if window != spec.window:
            spec = msgspec.structs.replace(spec, window=window)
        message = wire.Submit(self._request, spec, degree, list(nodes), list(exclude))
        try:
            self._send(CONTROL, message)
        except ValueError as error:
            raise Refused(Why.BAD_REQUEST, f"the job is too large: {error}") from None
        job = Job(self._request, spec, degree, stdin=stdin, collect=collect, handler=on_output)
        self._waiting[job.request] = job
        self._open += 1
        if len(self._out) >= _FLUSH_AT:
            self._flush()
        return job

    def signal(self, job: Job, signal: int, vnn: int | None = None) -> None:
        """Queue a signal for a job or one of its processes (Glib_SendSig); none if it is over."""
        message = flow.Signal(signal, vnn)
        if job.request in self._waiting:
            job.early_signals.append(message)
        for number in job.streams:
            if vnn is None or vnn in self._streams[number].vnns:
                self._send(number, message)

    def poll(self, timeout: float | None = 0.0) -> list[Job]:
        """Move bytes both ways for at most `timeout` seconds; return the jobs that are over.

        Returns as soon as anything arrived, perhaps with an empty list. Each job is returned by
        exactly one `poll`.
        """
        if self._gone is None:
            self._flush()
        if self._gone is None and not self._finished:
            for _, events in self._selector.select(timeout):
                if events & selectors.EVENT_WRITE:
                    self._flush()
                if events & selectors.EVENT_READ:
                    self._receive()
            if self._out and self._gone is None:
                self._flush()
        finished, self._finished = self._finished, []
        return finished

    def wait(self, timeout: float | None = None) -> list[Job]:
        """Poll until every submitted job is over; TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        finished: list[Job] = []
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self._finished = finished + self._finished
                raise TimeoutError(f"{self.unfinished} jobs are not over after {timeout:g} s")
            finished += self.poll(left if self.unfinished else 0.0)
            if not self.unfinished and not self._finished:
                return finished

    def map(
        self, specs: Iterable[JobSpec], in_flight: int = 64, collect: bool = True
    ) -> Iterator[Job]:
        """Run every specification, at most `in_flight` at a time; yield jobs as they end."""
        pending = iter(specs)
        more = True
        while more or self.unfinished:
            while more and self.unfinished < in_flight:
                spec = next(pending, None)
                if spec is None:
                    more = False
                else:
                    self.submit(spec, collect=collect)
            yield from self.poll(None if self.unfinished else 0.0)

    @property
    def unfinished(self) -> int:
        """How many submitted jobs are not over."""
        return self._open

    def _send(self, stream: int, message: Message) -> None:
        self._out += encode_frame(stream, encode(message))

    def _flush(self) -> None:
        """Write what the kernel takes now; ask to be told when it takes more."""
        sent = 0
        view = memoryview(self._out)
        try:
            while sent < len(view):
                sent += self._socket.send(view[sent : sent + _READ])
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(f"lost the daemon: {error.strerror}")
        finally:
            view.release()
        del self._out[:sent]
        writing = bool(self._out) and self._gone is None
        if writing != self._writing and self._gone is None:
            self._writing = writing
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
            self._selector.modify(self._socket, events)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(f"lost the daemon: {error.strerror}")
            return
        if not data:
            self._lose("the daemon closed the link")
            return
        try:
            for number, body in self._deframer.feed(data):
                if number == CONTROL:
                    self._control(self.decoder.decode(body))
                elif number in self._streams:
                    stream = self._streams[number]
                    self._event(stream, flow.node_to_home.decode(body))
        except FrameError as error:
            self._lose(f"the daemon sent nonsense: {error}")

    def _lose(self, text: str) -> None:
        """The link is gone, and with it every job that is not over."""
        self._gone = NotRunning(text)
        self._selector.unregister(self._socket)
        unfinished = {job.request: job for job in self._waiting.values()}
        unfinished |= {stream.job.request: stream.job for stream in self._streams.values()}
        for job in unfinished.values():
            job.error = self._gone
            self._finish(job)

    def _finish(self, job: Job) -> None:
        self._waiting.pop(job.request, None)
        for number in job.streams:
            self._streams.pop(number, None)
        job.streams.clear()
        job.done = True
        self._open -= 1
        self._finished.append(job)

    def _control(self, message: Any) -> None:
        match message:
            case wire.Placed():
                self._placed(message)
            case wire.Refused():
                job = self._waiting.get(message.request)
                if job is not None:
                    job.error = refusal(message)
                    self._finish(job)
            case wire.StreamLost():
                stream = self._streams.get(message.stream)
                if stream is not None:
                    self._lost(stream.job, message)
            case _:
                raise FrameError(f"unexpected {type(message).__name__}")

    def _placed(self, message: wire.Placed) -> None:
        job = self._waiting.pop(message.request, None)
        if job is None:
            raise FrameError(f"an answer to request {message.request}, which is not open")
        self._begin(job, message.npid, message.streams)

    def _begin(self, job: Job, npid: int, streams: Iterable[wire.StreamOf]) -> None:
        """The job has its number and its nodes: from now on its streams are heard."""
        job.npid = npid
        for part in streams:
            stream = _Stream(part.stream, job, part.vnns)
            self._streams[part.stream] = stream
            job.streams.add(part.stream)
            for vnn in part.vnns:
                job.procs[vnn] = Proc(vnn, part.node)
            for early in job.early_signals:
                if early.vnn is None or early.vnn in part.vnns:
                    self._send(part.stream, early)
            if not job.spec.transparent:
                self._feed(stream)
        if not job.procs:
            raise FrameError(f"job {npid} was placed without a process")

    def _lost(self, job: Job, message: wire.StreamLost) -> None:
        """A node is gone, and so the whole job is over (paper 4.2.3): nothing more will come."""
        job.error = Refused(Why.NODE_LOST, message.text)
        for proc in job.procs.values():
            if not proc.over:
                proc.failure = message.text
                proc.over = True
        self._finish(job)

    def _feed(self, stream: _Stream) -> None:
        """Send as much standard input as credit allows, then its end."""
        data = stream.job.stdin
        while stream.input_open:
            size = min(len(data) - stream.sent, stream.credit, CHUNK)
            if size > 0:
                self._send(stream.number, flow.In(data[stream.sent : stream.sent + size]))
                stream.sent += size
                stream.credit -= size
            elif stream.sent < len(data):
                return
            else:
                self._send(stream.number, flow.In(b""))
                stream.input_open = False

    def _event(self, stream: _Stream, message: Any) -> None:
        match message:
            case flow.Out():
                self._output(stream, self._proc(stream, message.vnn), message)
            case flow.Exited():
                proc = self._proc(stream, message.vnn)
                proc.code, proc.signal, proc.exited = message.code, message.signal, True
                self._check_over(stream, proc)
            case flow.Started():
                self._proc(stream, message.vnn).pid = message.pid
            case flow.Failed():
                proc = self._proc(stream, message.vnn)
                proc.code, proc.failure = start_status(message.step, message.error), message.text
                proc.exited = True
                proc.open_fds.clear()
                self._check_over(stream, proc)
            case flow.InCredit():
                stream.credit += message.count
                self._feed(stream)
            case flow.InClosed():
                stream.input_open = False
            case flow.Want():
                self._serve(stream, message)
            case flow.Ioctl():
                answer = flow.IoctlDone(message.ask, -1, errno.ENOTTY, b"")
                self._send(stream.number, answer)
            case flow.Stopped() | flow.Continued() | flow.Unwant():
                pass

    def _proc(self, stream: _Stream, vnn: int) -> Proc:
        if vnn not in stream.vnns:
            raise FrameError(f"stream {stream.number} does not carry VNN {vnn}")
        return stream.job.procs[vnn]

    def _output(self, stream: _Stream, proc: Proc, message: flow.Out) -> None:
        """Take output; give credit back by the half window, so that few frames carry it."""
        job = stream.job
        if not message.data:
            proc.open_fds.discard(message.fd)
            self._check_over(stream, proc)
            return
        if job.handler is not None:
            job.handler(job, proc.vnn, message.fd, message.data)
        elif job.collect:
            proc.output[message.fd] += message.data
        unpaid = proc.unpaid[message.fd] + len(message.data)
        if unpaid * 2 >= job.spec.window:
            self._send(stream.number, flow.Credit(proc.vnn, message.fd, unpaid))
            unpaid = 0
        proc.unpaid[message.fd] = unpaid

    def _serve(self, stream: _Stream, message: flow.Want) -> None:
        """Transparent jobs read their input on demand, each byte once; other fds are not here."""
        job = stream.job
        if message.fd != 0:
            self._send(stream.number, flow.Got(message.ask, errno.EBADF, b""))
            return
        data = job.stdin[job.taken : job.taken + min(message.count, CHUNK)]
        job.taken += len(data)
        self._send(stream.number, flow.Got(message.ask, 0, data))

    def _check_over(self, stream: _Stream, proc: Proc) -> None:
        if proc.exited and not proc.open_fds and not proc.over:
            proc.over = True
            if all(stream.job.procs[vnn].over for vnn in stream.vnns):
                self._end_stream(stream)

    def _end_stream(self, stream: _Stream) -> None:
        self._streams.pop(stream.number, None)
        stream.job.streams.discard(stream.number)
        if not stream.job.streams:
            self._finish(stream.job)


def start_status(step: str, error: int) -> int:
    """Exit status for a program that could not be started (env(1)): 127, 126, or GLUnix's own."""
    if step == "exec":
        return 127 if error in (errno.ENOENT, errno.ENOTDIR) else 126
    return config.exit_error()

"""`trace`: shows calls as strace -f does, or a table with `summary`.

    -i trace                        every call, to standard error
    -i trace:openat,read            these calls
    -i trace:summary                calls, errors and time per call when all is over
    -i trace:out=FILE,openat        to a file (`slic run -o FILE`)
    -i trace:json,openat            one JSON object a line (`slic run --json`)

Never answers or changes a call. Lines are strace's own in every part that `slic.decoding` knows:
names of flags, strings up to 32 bytes, structures in short. `slic run` takes an engine that shows
results and ends; with `--engine unotify` neither are shown, a line ends without `=` unless an
interposer below has answered, and what a call writes is an address. Limits: signals are shown by
name only. Times include the supervisor's own, but on
`ebpf`, where the kernel takes them; there a buffer or structure may be an address.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Self

from slic.decoding.shown import NEVER_RETURN, Begun
from slic.interposer import (
    EVERY,
    Call,
    Count,
    Event,
    Handler,
    Interposer,
    Kind,
    ProcessEvent,
    after,
    on,
    on_event,
    on_signal,
)
from slic.interposers.support.images import is_our_fork
from slic.interposers.support.tracelines import Lines, Objects
from slic.syscalls import BY_NAME
from slic.tracee import Tracee
from slic.verdict import PASS, Capability, Verdict

WORDS = ("summary", "json")


class Trace(Interposer):
    """See the module. `write` gets text, whole lines or parts of them in order."""

    confines = False

    def __init__(
        self,
        write: Callable[[str], object],
        calls: Iterable[str] = (),
        summary: bool = False,
        to_file: bool = False,
        as_json: bool = False,
    ) -> None:
        self._write = write
        self._calls = tuple(calls) or (EVERY,)
        self._summary = summary
        self._to_file, self._as_json = to_file, as_json
        self._lines: Lines | Objects = self._form()
        self._results = False
        self._begun: dict[int, Begun] = {}
        self._tasks: set[int] = set()
        self.counts: dict[str, Count] = {}
        self._launched: int | None = None  # the process that still has to execute the program

    def _form(self) -> Lines | Objects:
        return Objects(self._write) if self._as_json else Lines(self._write, self._to_file)

    def show_in(self, path: str | None, as_json: bool) -> None:
        """`slic run -o PATH --json`: the same as in the argument. OSError."""
        if path is not None:
            self._write, self._to_file = _Output.to(path), True
        self._as_json |= as_json
        self._lines = self._form()

    def _launching(self, pid: int) -> bool:
        """Is it still the supervisor's own fork, which has to execute the program?"""
        if self._launched is None:
            self._launched = pid
        if self._launched and pid == self._launched:
            if is_our_fork(pid):
                return True
            self._launched = 0
        return False

    @on(EVERY, needs=Capability.INSPECT, observes=True)
    def called(self, tracee: Tracee, call: Call) -> Verdict:
        launching = self._launched != 0 and self._launching(tracee.pid)
        if launching and call.name not in ("execve", "execveat"):
            return PASS
        begun = Begun(tracee, call)
        if self._results:
            self._begun[tracee.tid] = begun
            if launching:
                return PASS  # the one that finds the program is shown
        self._shown(tracee, begun)
        if self._summary:
            return PASS
        if not self._results:
            self._lines.alone(tracee.tid, begun, tracee)
        elif call.name in NEVER_RETURN:
            self._lines.never(tracee.tid, self._begun.pop(tracee.tid), tracee)
        return PASS

    def _shown(self, tracee: Tracee, begun: Begun) -> None:
        """A call begins, and is the program's."""
        self.counts.setdefault(begun.call.name, Count()).calls += 1
        self._live(tracee.tid)
        if self._results and not self._summary:
            self._lines.begin(tracee.tid, begun)

    @after(EVERY, optional=True, observes=True)
    def returned(self, tracee: Tracee, call: Call, result: int) -> None:
        begun = self._begun.pop(tracee.tid, None)
        if self._launched != 0:
            if self._launching(tracee.pid):
                return
            if begun is not None:
                self._shown(tracee, begun)
        count = self.counts.setdefault(call.name, Count())
        count.errors += -4096 < result < 0
        count.time += tracee.now() - begun.started if begun else 0
        if self._summary:
            return
        if begun is not None:
            self._lines.end(tracee.tid, begun, tracee, result)
        else:
            self._lines.answered(tracee.tid, call, tracee, result)

    @on_event(ProcessEvent.FORK, optional=True)
    def forked(self, event: Event) -> None:
        self._live(event.other)

    @on_event(ProcessEvent.EXIT, optional=True)
    def ended(self, event: Event) -> None:
        begun = self._begun.pop(event.tid, None)
        if not self._summary:
            if begun is not None:
                self._lines.never(event.tid, begun, None)
            self._lines.exited(event.tid, event.value)
        self._tasks.discard(event.tid)
        self._lines.tasks = len(self._tasks)

    @on_signal(optional=True, observes=True)
    def signalled(self, tid: int, signal: int) -> int:
        if not self._summary and self._launched == 0:
            self._lines.signal(tid, signal)
        return signal

    def _live(self, tid: int) -> None:
        self._tasks.add(tid)
        self._lines.tasks = len(self._tasks)

    def declarations(self) -> Iterable[Handler]:
        for handler in type(self).handlers:
            chosen = handler.kind in (Kind.CALL, Kind.RESULT)
            yield replace(handler, calls=self._calls) if chosen else handler

    def tally(self) -> dict[str, Count] | None:
        return self.counts if self._summary else None

    def started(self, capabilities: Capability) -> None:
        self._results = Capability.EXIT in capabilities

    def finished(self) -> None:
        if self._summary:
            self._write(self.table())

    def table(self) -> str:
        """The summary, the most expensive calls first."""
        lines = [f"{'call':20} {'calls':>9} {'errors':>7} {'us/call':>9} {'total ms':>9}"]
        for name, c in sorted(self.counts.items(), key=lambda n: (-n[1].time, -n[1].calls)):
            each, total = f"{c.time / c.calls / 1e3:9.1f}", f"{c.time / 1e6:9.2f}"
            times = f"{each} {total}" if c.time else f"{'-':>9} {'-':>9}"
            lines.append(f"{name:20} {c.calls:9} {c.errors or '':>7} {times}")
        return "\n".join(lines) + "\n"

    @classmethod
    def from_argument(cls, text: str) -> Self:
        words = [word for word in text.split(",") if word]
        out = [word.removeprefix("out=") for word in words if word.startswith("out=")]
        calls = [w for w in words if w not in WORDS and not w.startswith("out=")]
        if unknown := [name for name in calls if name not in BY_NAME]:
            raise ValueError(f"there is no call {', '.join(unknown)}")
        write = _Output.to(out[-1]) if out else _Output(2, "standard error")
        return cls(write, calls, "summary" in words, bool(out), "json" in words)


class _Output:
    """Writes text, unbuffered. When it cannot be written, says so once and writes no more.

    The program traced must not suffer from a full disk or a reader that has left (`| head`).
    """

    def __init__(self, file: int, name: str) -> None:
        self._file = file
        self._name = name

    @classmethod
    def to(cls, path: str) -> Self:
        """To a file. Unbuffered: what was traced is there even if the supervisor is killed."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        return cls(os.open(path, flags, 0o666), path)

    def __call__(self, text: str) -> None:
        if self._file < 0:
            return
        left = text.encode(errors="surrogateescape")
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self._file = -1
            try:
                message = f"slic: trace: {self._name}: {error.strerror}: no more is shown\n"
                os.write(2, message.encode())
            except OSError:
                return

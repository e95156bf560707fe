"""The supervisor's side of the `ebpf` engine: events of the ring become what the policy is told.

A call whose text the kernel did not have at hand as it began (the page was not there) is told
together with its result, when it had been fetched; every other one as it begins.
"""

import errno
import os
import select
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import GeneratorType, TracebackType
from typing import Any, Self

from msgspec.structs import replace

from slic.ebpf import events
from slic.ebpf.events import Called
from slic.ebpf.monitor import Monitor, Watch
from slic.engine import Host
from slic.engines.tracee import TaskTracee
from slic.interposer import EVERY, Call, Count, Event, ProcessEvent
from slic.policy import Policy
from slic.syscalls import BY_NAME, BY_NUMBER, by_number
from slic.tracee import BadAddress, CallGone

BATCH = 256
RT_SIGRETURN = BY_NAME["rt_sigreturn"].number
"""Has no result: what the kernel shows at its end is the program's own register."""
SWEEP_SECONDS = 1.0
_TEXT_MAX = 4096


class ObservedTracee(TaskTracee):
    """The caller of a call that goes on meanwhile: its texts are copies, the rest as it is now."""

    __slots__ = ("_alive", "_called", "_pid")

    def __init__(self, called: Called, alive: Callable[[int], bool]) -> None:
        super().__init__(called.tid)
        self._pid = called.pid
        self._called = called
        self._alive = alive

    @property
    def pid(self) -> int:
        return self._pid

    def still_valid(self) -> bool:
        """Whether the thread lives, as far as events have told."""
        return self._alive(self.tid)

    def now(self) -> int:
        return self._called.time

    def _copied(self, address: int) -> bytes:
        for index, text in self._called.texts.items():
            if self._called.arguments[index] == address:
                return text
        raise BadAddress(f"{address:#x} was not copied")

    def read_some(self, address: int, size: int) -> bytes:
        return self._copied(address)[:size]

    def cstring(self, address: int, limit: int = _TEXT_MAX) -> bytes:
        text, end, _ = self._copied(address).partition(b"\0")
        if not end or len(text) > limit:
            raise OSError(errno.ENAMETOOLONG, f"string at {address:#x}")
        return text

    def write(self, address: int, data: bytes) -> None:
        raise BadAddress("an engine that holds nothing writes nothing")


class EbpfSession:
    """One watch and one policy. `tasks` are the threads that live, and their processes."""

    reaps = False

    def __init__(self, policy: Policy, host: Host, monitor: Monitor, watch: Watch) -> None:
        """Takes over the monitor."""
        self.ended = False
        self._policy = policy
        self._host = host
        self._monitor = monitor
        self._watch = watch
        self._depth = len(policy.interposers)
        self._next_id = 1
        self._begun: dict[int, Call] = {}
        """The call that a thread is in, as it was told."""
        self._untold: dict[int, Called] = {}
        """By thread: a call whose text is still to come."""
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._leaving = self._closed = False
        self._told: dict[type, Callable[[Any], None]] = {
            Called: self._called,
            events.Delivered: self._delivered,
            events.Executed: self._executed,
            events.Exited: self._exited,
            events.Forked: self._forked,
            events.Stopped: self._stopped,
        }

    @property
    def tasks(self) -> dict[int, int]:
        return self._watch.tasks

    # -- the loop's side ---------------------------------------------------------------------
    def fileno(self) -> int:
        return self._monitor.fileno()

    def sources(self) -> Mapping[int, Callable[[int], object]]:
        return {self.fileno(): lambda _: self._some(BATCH)}

    def poller(self, *folders: str) -> None:
        """None: no call waits for anything."""

    def step(self) -> bool:
        return not self.ended and self._some(1)

    def _some(self, most: int) -> bool:
        found = False
        for event in self._monitor.read(most):
            found = True
            if (told := self._told.get(type(event))) is not None:
                told(event)
        if not self.tasks:
            self._end()
        return found

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not (self.ended or self._leaving):
            if not poll.poll(SWEEP_SECONDS * 1000):
                self.sweep()
            elif not self._some(BATCH):
                os.sched_yield()  # a record is being written
        if lost := self.lost:
            message = f"slic: ebpf: {lost} events came too fast and were lost\n"
            os.write(2, message.encode())

    def leave(self) -> None:
        """Have `serve` return soon; for a signal handler."""
        self._leaving = True
        os.eventfd_write(self._wake, 1)

    @property
    def lost(self) -> int:
        """Events that found no room, up to now."""
        return self._monitor.losses().lost

    def answer(self, call_id: int, value: Any) -> bool:
        return False  # nobody has asked

    def still_valid(self, call_id: int) -> bool:
        return False

    def sweep(self) -> None:
        """Find lives whose events were lost."""
        while self._some(BATCH):
            pass
        if not self.ended:
            for event in self._monitor.sweep(self._watch):
                self._told[type(event)](event)
            if not self.tasks:
                self._end()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self._fill_tallies()

    def _fill_tallies(self) -> None:
        counts = None
        for interposer in self._policy.interposers:
            if (tally := interposer.tally()) is None:
                continue
            names = {name for handler in interposer.declarations() for name in handler.calls}
            if counts is None:
                counts = self._monitor.counts(self._watch)
            tally.clear()
            for number, count in counts.items():
                name = by_number(number).name
                if name in names or EVERY in names:
                    tally[name] = Count(*count)

    def close(self) -> None:
        """Unload the programs; what they observed goes on."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as all_of_it:
            all_of_it.callback(os.close, self._wake)
            all_of_it.callback(self._monitor.close)
            if not self.ended:
                self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- events ------------------------------------------------------------------------------
    def _called(self, event: Called) -> None:
        if not event.returned:
            self._flush(event.tid)
            if event.missed:
                self._untold[event.tid] = event
            else:
                self._begin(event)
            return
        waited = self._untold.pop(event.tid, None)
        if waited is not None:
            self._begin(replace(waited, texts={**waited.texts, **event.texts}))
        call = self._begun.pop(event.tid, None)
        if event.call == RT_SIGRETURN:
            return
        if call is None or call.syscall.number != event.call:
            call = self._call(event)  # its beginning was before ours, or lost
        tracee = ObservedTracee(event, self._is_alive)
        try:
            self._policy.result(call, tracee, event.value, self._depth)
        except CallGone:
            pass

    def _begin(self, event: Called) -> None:
        call = self._begun[event.tid] = self._call(event)
        try:
            decided = self._policy.decide(call, ObservedTracee(event, self._is_alive))
        except CallGone:
            return
        if isinstance(decided, GeneratorType):
            decided.close()
            raise TypeError(f"a handler of {call.name} asks, and no call waits for an answer")

    def _call(self, event: Called) -> Call:
        call_id, self._next_id = self._next_id, self._next_id + 1
        syscall = BY_NUMBER.get(event.call) or by_number(event.call)
        return Call(syscall, event.arguments, call_id)

    def _flush(self, tid: int) -> None:
        """Tell a call as it is: nothing more comes of it."""
        if (event := self._untold.pop(tid, None)) is not None:
            self._begin(event)

    def _is_alive(self, tid: int) -> bool:
        return tid in self.tasks

    def _forked(self, event: events.Forked) -> None:
        kind = ProcessEvent.FORK
        self._policy.event(Event(kind, event.by_tid, event.tid, int(event.thread)))

    def _executed(self, event: events.Executed) -> None:
        self._flush(event.old_tid)
        if event.old_tid != event.tid and (call := self._begun.pop(event.old_tid, None)):
            self._begun[event.tid] = call  # its result comes under the new number
        self._policy.event(Event(ProcessEvent.EXEC, event.tid, event.old_tid))

    def _exited(self, event: events.Exited) -> None:
        self._flush(event.tid)
        self._begun.pop(event.tid, None)
        self._policy.event(Event(ProcessEvent.EXIT, event.tid, value=event.status))

    def _stopped(self, event: events.Stopped) -> None:
        self._policy.event(Event(ProcessEvent.STOP, event.tid, value=event.signal))

    def _delivered(self, event: events.Delivered) -> None:
        self._policy.signal(event.tid, event.signal)

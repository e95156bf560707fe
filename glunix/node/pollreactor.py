"""A Reactor on poll(2), for the supervisor: one thread, no asyncio, few imports."""

import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from slic.engine import Poller, Session


class _Timer:
    def __init__(self, at: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.at = at
        self._callback: Callable[..., Any] | None = callback
        self._args = args

    def cancel(self) -> None:
        """Take it back."""
        self._callback = None

    def fire(self) -> None:
        """Make the call, unless it was taken back."""
        if self._callback is not None:
            self._callback(*self._args)


_Call = tuple[Callable[..., Any], tuple[Any, ...]]


class PollReactor:
    """See glunix.node.reactor.Reactor."""

    def __init__(self) -> None:
        self._readers: dict[int, _Call] = {}
        self._writers: dict[int, _Call] = {}
        self._sources: dict[int, Callable[[int], object]] = {}
        self._timers: list[_Timer] = []
        self._poll: Poller = select.poll()

    def drive(self, session: Session, *folders: str) -> list[int]:
        """Step a session; its descriptors, to be removed when it has ended.

        The loop waits as the session does best (`folders` as for `Session.poller`).
        """
        if (poller := session.poller(*folders)) is not None:
            self._poll = poller
            for fd in self._readers.keys() | self._writers.keys():
                self._register(fd)
            for fd in self._sources:
                poller.register(fd, select.POLLIN)
        sources = session.sources()
        for fd, ready in sources.items():
            self.add_source(fd, ready)
        return list(sources)

    def _register(self, fd: int) -> None:
        events = (select.POLLIN if fd in self._readers else 0) | (
            select.POLLOUT if fd in self._writers else 0
        )
        if events:
            self._poll.register(fd, events)
        else:
            try:
                self._poll.unregister(fd)
            except KeyError:
                pass

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """See Reactor."""
        self._readers[fd] = (callback, args)
        self._register(fd)

    def remove_reader(self, fd: int) -> None:
        """See Reactor."""
        self._readers.pop(fd, None)
        self._register(fd)

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """See Reactor."""
        self._writers[fd] = (callback, args)
        self._register(fd)

    def remove_writer(self, fd: int) -> None:
        """See Reactor."""
        self._writers.pop(fd, None)
        self._register(fd)

    def add_source(self, fd: int, callback: Callable[[int], object]) -> None:
        """Call back with the events (poll(2)) of `fd` whenever it is readable or hung up."""
        self._sources[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def remove_source(self, fd: int) -> None:
        """Stop that."""
        del self._sources[fd]
        self._poll.unregister(fd)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> _Timer:
        """See Reactor."""
        timer = _Timer(time.monotonic() + delay, callback, args)
        self._timers.append(timer)
        return timer

    def turn(self) -> None:
        """Wait for readiness or a timer, and make the calls that are due."""
        wait = None
        if self._timers:
            wait = max(0.0, min(t.at for t in self._timers) - time.monotonic()) * 1000
        ready = self._poll.poll(wait)
        if len(ready) > 1:  # what was written before a caught call need not wait for its handler
            ready.sort(key=lambda one: one[0] in self._sources)
        for fd, events in ready:
            source = self._sources.get(fd)
            if source is not None:
                source(events)
                continue
            reader, writer = self._readers.get(fd), self._writers.get(fd)
            if reader is not None and events & ~select.POLLOUT:
                reader[0](*reader[1])
            if writer is not None and events & ~select.POLLIN and fd in self._writers:
                writer[0](*writer[1])
        if not self._timers:
            return
        now = time.monotonic()
        due = [t for t in self._timers if t.at <= now]
        if due:
            self._timers = [t for t in self._timers if t.at > now]
            for timer in due:
                timer.fire()


def watch_children(reactor: PollReactor, callback: Callable[[], None]) -> None:
    """Call back in the loop after each SIGCHLD; ignore every other signal but KILL and STOP.

    The caller's children are forked before this: ignored dispositions would be inherited.
    """
    wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    for number in signal.valid_signals() - {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def woken() -> None:
        os.read(wake_r, 4096)
        callback()

    reactor.add_reader(wake_r, woken)

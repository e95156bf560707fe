"""The event loop: the one place where asyncio is held. Readiness, time, signals, links.

Shells (glunix.master, glunix.daemon) use this instead of asyncio; glunix.node sees it as a Reactor.
An exception in a callback is a bug: it is logged with its traceback and ends the process, because
a daemon that lost an event can no longer say what runs.
"""

import asyncio
import gc
import os
import socket
import ssl
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from glunix.addresses import Address
from glunix.comm.link import Link
from glunix.comm.logline import say
from glunix.comm.sockets import Listener, dial_unix
from glunix.comm.tls import Admit, TlsListener, dial_tls
from glunix.errors import GlunixError

COLLECT = (700, 10, 10)
"""When a service looks for garbage: Python's own defaults (gc.set_threshold)."""


class Loop:
    """Owns one asyncio loop for the life of the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._bug)
        self._tasks: set[asyncio.Task[None]] = set()
        self.status = 0
        """Exit status of `run`: 0, or 70 (EX_SOFTWARE) after a bug."""

    def run(self, start: Callable[[], None]) -> int:
        """Call `start` inside the loop, then serve until `stop`. Returns the exit status."""
        self._loop.call_soon(start)
        gc.freeze()  # what was imported stays: no collection need look at it again
        # A tool that starts a service looks for garbage seldom (glunix.cli.launchers). A TLS
        # connection that came to nothing is garbage with cycles, and 100 KiB of it.
        gc.set_threshold(*COLLECT)
        try:
            self._loop.run_forever()
        finally:
            for task in list(self._tasks):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()
        return self.status

    def stop(self) -> None:
        """End `run` after what was sent so far had its chance to go out."""
        self._loop.call_later(0.01, self._loop.stop)

    def _bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ConnectionError):
            return
        lines = [f"bug: {context.get('message')}"]
        if error is not None:
            lines += "".join(traceback.format_exception(error)).splitlines()
        say("\n".join(lines))
        self.status = 70
        self._loop.stop()

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        """See glunix.node.reactor.Reactor."""
        return self._loop.call_later(delay, callback, *args)

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call on the next turn."""
        self._loop.call_soon(callback, *args)

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """See glunix.node.reactor.Reactor."""
        self._loop.add_reader(fd, callback, *args)

    def remove_reader(self, fd: int) -> None:
        """See glunix.node.reactor.Reactor."""
        self._loop.remove_reader(fd)

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """See glunix.node.reactor.Reactor."""
        self._loop.add_writer(fd, callback, *args)

    def remove_writer(self, fd: int) -> None:
        """See glunix.node.reactor.Reactor."""
        self._loop.remove_writer(fd)

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call back when the signal arrives."""
        self._loop.add_signal_handler(number, callback)

    def listen(
        self,
        sock: socket.socket,
        accepted: Listener.Accepted,
        dispose: Callable[[int], None] = os.close,
    ) -> Listener:
        """Accept connections on a listening Unix socket (see Listener)."""
        return Listener(sock, accepted, dispose)

    def adopt(self, sock: socket.socket, link: Link) -> None:
        """Run a link over an already connected socket (a supervisor's bridge)."""
        sock.setblocking(False)

        async def work() -> None:
            await self._loop.connect_accepted_socket(lambda: link, sock)

        self._spawn(work())

    def dial(self, path: Path, link: Link, done: Callable[[str], None]) -> None:
        """Connect a link; `done("")` when it is up, `done(reason)` when it cannot be."""

        self._dial(dial_unix(path, link), done)

    def listen_tls(
        self,
        sock: socket.socket,
        context: Callable[[], ssl.SSLContext],
        admit: Admit,
        refused: Callable[[str, str], None],
        silence: float,
    ) -> TlsListener:
        """Accept TLS connections on a listening TCP socket (see TlsListener)."""
        return TlsListener(sock, context, admit, refused, silence)

    def dial_tls(
        self,
        address: Address,
        context: ssl.SSLContext,
        check: Callable[[bytes], object],
        link: Link,
        silence: float,
        done: Callable[[str], None],
    ) -> None:
        """`dial` over TLS; `check` sees the other side's certificate before anything is sent."""
        self._dial(dial_tls(address, context, check, link, silence), done)

    def _dial(self, dialling: Coroutine[Any, Any, None], done: Callable[[str], None]) -> None:
        async def work() -> None:
            try:
                await dialling
            except GlunixError as error:
                done(str(error))
            else:
                done("")

        self._spawn(work())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._bug(self._loop, {"message": "in a task", "exception": task.exception()})

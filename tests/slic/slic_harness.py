"""Drives one session in the test's own loop, the way GLUnix's supervisor does."""

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from slic.engine import Engine, Session
from slic.interposer import Interposer
from slic.policy import Policy
from slic.tracee import Tracee

DEADLINE = 20.0


class Recorder:
    """A host that writes down what it hears; `reply` answers a question at once if given."""

    def __init__(self, reply: Callable[[Any], Any] | None = None) -> None:
        self.asked: list[tuple[int, Any]] = []
        self.gone: list[int] = []
        self.ended: dict[int, int] = {}
        self.stops: list[int] = []
        self.reply = reply
        self.session: Session | None = None

    def ask(self, call_id: int, question: Any, tracee: Tracee) -> None:
        self.asked.append((call_id, question))
        if self.reply is not None:
            assert self.session is not None
            assert self.session.answer(call_id, self.reply(question))

    def cancelled(self, call_id: int) -> None:
        self.gone.append(call_id)

    def exited(self, pid: int, wait_status: int) -> None:
        self.ended[pid] = wait_status

    def stopped(self, pid: int, signal_number: int) -> None:
        self.stops.append(signal_number)


class Running:
    """One guest under one engine and policy. Use as a context manager."""

    def __init__(
        self,
        engine: Engine,
        stack: Sequence[Interposer],
        argv: Sequence[str],
        reply: Callable[[Any], Any] | None = None,
    ) -> None:
        self.engine = engine
        self.host = Recorder(reply)
        self.output = b""
        self.status: int | None = None
        launch = engine.prepare(Policy(stack))
        self._out, theirs = os.pipe()
        self._in_theirs, self.stdin = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(theirs, 1)
                os.dup2(self._in_theirs, 0)
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                launch.install()
                os.execv(argv[0], list(argv))
            finally:
                os._exit(126)
        os.close(theirs)
        os.close(self._in_theirs)
        self.session = launch.session(self.host)
        self.host.session = self.session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        if self.status is None and self.pid not in self.host.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.stdin)
        os.close(self._out)

    def until(self, condition: Callable[[], Any], what: str = "the condition") -> None:
        """Step until the condition holds; AssertionError after the deadline."""
        poll = select.poll()
        poll.register(self.session.fileno(), select.POLLIN)
        poll.register(self._out, select.POLLIN)
        deadline = time.monotonic() + DEADLINE
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"{what}: output {self.output!r}, asked {self.host.asked}"
            # Some conditions (a state in /proc) have no descriptor: look again every 20 ms.
            for fd, _ in poll.poll(20):
                if fd == self._out:
                    if not (data := os.read(self._out, 65536)):
                        poll.unregister(self._out)
                    self.output += data
                else:
                    self.session.step()

    def prints(self, text: str) -> None:
        self.until(lambda: text.encode() in self.output, f"{text!r} printed")

    def asks(self, count: int) -> None:
        self.until(lambda: len(self.host.asked) >= count, f"{count} questions")

    def finish(self) -> tuple[int, str]:
        """Serve to the end; (exit code or -signal, output)."""
        self.until(lambda: self.session.ended, "the end")
        if self.engine.reaps:
            self.status = self.host.ended[self.pid]
        else:
            self.status = os.waitpid(self.pid, 0)[1]
        while data := os.read(self._out, 65536):
            self.output += data
        return os.waitstatus_to_exitcode(self.status), self.output.decode()


def result_of(
    engine: Engine,
    stack: Sequence[Interposer],
    argv: Sequence[str],
    reply: Callable[[Any], Any] | None = None,
) -> tuple[int, str]:
    """Run to the end."""
    with Running(engine, stack, argv, reply) as running:
        return running.finish()

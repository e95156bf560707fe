"""Calls whose handler has asked and waits: the part of paragraphs 3 and 4 all engines share.

Owns the table of suspended generators. The engine says how a decision is carried out and how it
knows that a call still waits; this module never touches the kernel.
"""

import os
from collections import deque
from collections.abc import Callable, KeysView
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import Any

from slic.engine import Host
from slic.engines.tracee import TaskTracee, in_thread
from slic.interposer import Call
from slic.policy import Deciding, Decision
from slic.tracee import CallGone
from slic.verdict import Blocking, Inject

Carry = Callable[[Call, TaskTracee, Decision], bool]


@dataclass(slots=True)
class Pending:
    """One call that waits for an answer."""

    call: Call
    tracee: TaskTracee
    deciding: Deciding
    told: bool = False  # has the host been asked (and must hear of the end)?


class PendingCalls:
    """The suspended calls of one session.

    `calls` is by call id. `wake` is an eventfd that becomes readable when a helper thread has
    finished: then `collect`.
    """

    def __init__(
        self,
        host: Host,
        carry: Carry,
        inject: Callable[[Pending, Inject], None] | None = None,
        forgotten: Callable[[Pending], None] | None = None,
    ) -> None:
        self._host = host
        self._carry = carry
        self._inject = inject
        self._forgotten = forgotten
        self.calls: dict[int, Pending] = {}
        self._by_tid: dict[int, int] = {}
        self._finished: deque[tuple[int, Any, Blocking]] = deque()
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waking = Lock()  # helper threads write to `wake`, which `close` closes

    def of_task(self, tid: int) -> int | None:
        """The id of the call a task waits in."""
        return self._by_tid.get(tid)

    def tids(self) -> KeysView[int]:
        """The tasks that wait."""
        return self._by_tid.keys()

    def start(self, call: Call, tracee: TaskTracee, deciding: Deciding) -> bool:
        """A handler turned out to be a generator: run it to its first question or its end."""
        pending = Pending(call, tracee, deciding)
        self.calls[call.id] = pending
        self._by_tid[tracee.tid] = call.id
        return self._drive(pending, None)

    def answer(self, call_id: int, value: Any) -> bool:
        """Contract paragraph 3. The caller has checked that the call still waits."""
        pending = self.calls.get(call_id)
        return pending is not None and self._drive(pending, value)

    def cancel(self, call_id: int) -> None:
        """The call is gone: close its handler, tell the host."""
        pending = self._forget(call_id)
        if pending is None:
            return
        try:
            pending.deciding.close()
        finally:
            if pending.told:
                self._host.cancelled(call_id)

    def collect(self) -> None:
        """Take what helper threads finished."""
        os.eventfd_read(self.wake)
        while self._finished:
            call_id, value, question = self._finished.popleft()
            pending = self.calls.get(call_id)
            if pending is not None and pending.tracee.still_valid():
                self._drive(pending, value)
                continue
            self.cancel(call_id)
            _undo(value, question)

    def cancel_all(self) -> None:
        """Cancel every call, whatever handlers and host raise; the last exception comes out."""
        with ExitStack() as each:
            for call_id in self.calls:
                each.callback(self.cancel, call_id)

    def close(self) -> None:
        with ExitStack() as each:
            each.callback(self._discard_finished)
            with self._waking:
                os.close(self.wake)
                self.wake = -1
            self.cancel_all()

    def _discard_finished(self) -> None:
        while self._finished:
            _, result, question = self._finished.popleft()
            _undo(result, question)

    def _forget(self, call_id: int) -> Pending | None:
        pending = self.calls.pop(call_id, None)
        if pending is not None:
            if self._by_tid.get(pending.tracee.tid) == call_id:
                del self._by_tid[pending.tracee.tid]
            if self._forgotten is not None:
                self._forgotten(pending)
        return pending

    def _drive(self, pending: Pending, value: Any) -> bool:
        """Resume the handler; True if the call was answered or another question is out."""
        call_id = pending.call.id
        try:
            if isinstance(value, BaseException):
                question = pending.deciding.throw(value)
            else:
                question = pending.deciding.send(value)
        except StopIteration as stop:
            decision: Decision = stop.value
            if self._carry(pending.call, pending.tracee, decision):
                self._forget(call_id)
                return True
            self.cancel(call_id)
            return False
        except CallGone:
            self.cancel(call_id)
            return False
        except BaseException:
            self._forget(call_id)
            raise
        self._put(pending, question)
        return True

    def _put(self, pending: Pending, question: object) -> None:
        call_id = pending.call.id
        if isinstance(question, Blocking):
            in_thread(question.work, lambda result: self._done(call_id, result, question))
        elif isinstance(question, Inject) and self._inject is not None:
            self._inject(pending, question)
        else:
            pending.told = True
            self._host.ask(call_id, question, pending.tracee)

    def _done(self, call_id: int, result: Any, question: Blocking) -> None:
        """In the helper thread: hand the result over, unless the session has been closed."""
        with self._waking:
            if self.wake >= 0:
                self._finished.append((call_id, result, question))
                os.eventfd_write(self.wake, 1)
                return
        _undo(result, question)


def _undo(result: Any, question: Blocking) -> None:
    if question.undo is not None and not isinstance(result, BaseException):
        question.undo(result)

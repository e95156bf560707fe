"""What `trace` writes: lines as strace -f has them, or one JSON object a line. Pure.

A call's line begins when the call does, so that a program that hangs shows where. When another
task's line comes in between, the first ends with `<unfinished ...>` and goes on as
`<... NAME resumed>`. Labels: `[pid N] ` while there is more than one task; in a file always `N `.
"""

import json
import os
from collections.abc import Callable
from typing import Any

from slic.decoding.shown import COLUMN, NEVER_RETURN, Begun, result_text
from slic.decoding.text import signal_name
from slic.interposer import Call
from slic.tracee import Tracee

Write = Callable[[str], object]


class Lines:
    """The text form."""

    def __init__(self, write: Write, to_file: bool) -> None:
        self._write = write
        self._to_file = to_file
        self._open = 0  # the task whose line has no end yet
        self._column = 0
        self._interrupted: set[int] = set()
        self.tasks = 0  # that live; more than one: lines say whose they are

    def begin(self, tid: int, begun: Begun) -> None:
        """A call begins."""
        self._break()
        self._put(tid, begun.shown)
        self._open = tid

    def end(self, tid: int, begun: Begun, tracee: Tracee, result: int) -> None:
        """It returns."""
        call = begun.call
        rest = begun.rest(tracee, result)
        self._resume(tid, call)
        text = f"{rest} ".ljust(max(0, COLUMN - self._column))
        self._finish(f"{text}= {result_text(tracee, call, result)}")

    def never(self, tid: int, begun: Begun, tracee: Tracee | None) -> None:
        """It does not return: exit, or its task has died in it."""
        self._resume(tid, begun.call)
        rest = begun.rest(tracee, None) if tracee is not None else ")"
        self._finish(f"{rest} ".ljust(max(0, COLUMN - self._column)) + "= ?")

    def alone(self, tid: int, begun: Begun, tracee: Tracee) -> None:
        """It begins, and nothing will tell of its end: an engine that does not see results."""
        self.begin(tid, begun)
        ending = " = ?" if begun.call.name in NEVER_RETURN else ""
        self._finish(begun.rest(tracee, None) + ending)

    def answered(self, tid: int, call: Call, tracee: Tracee, result: int) -> None:
        """An interposer below has answered a call that is shown already."""
        self.message(tid, f"<... {call.name} answered> = {result_text(tracee, call, result)}")

    def signal(self, tid: int, number: int) -> None:
        """A signal is about to be delivered."""
        self.message(tid, f"--- {signal_name(number)} ---")

    def exited(self, tid: int, status: int) -> None:
        """A task has ended."""
        self.message(tid, f"+++ {status_text(status)} +++")

    def message(self, tid: int, text: str) -> None:
        """A line of its own."""
        self._break()
        self._put(tid, text)
        self._finish("")

    # -- the open line -----------------------------------------------------------------------
    def _put(self, tid: int, text: str) -> None:
        if self._to_file:
            label = f"{tid:<5} "
        else:
            label = f"[pid {tid:5}] " if self.tasks > 1 else ""
        self._column = len(label) + len(text)
        self._write(label + text)

    def _finish(self, text: str) -> None:
        self._open = 0
        self._write(text + "\n")

    def _break(self) -> None:
        if self._open:
            self._interrupted.add(self._open)
            self._open = 0
            self._write(" <unfinished ...>\n")

    def _resume(self, tid: int, call: Call) -> None:
        if self._open == tid:
            return
        self._break()
        self._interrupted.discard(tid)
        self._put(tid, f"<... {call.name} resumed>")


class Objects:
    """The JSON form: `call`, `args`, `raw`, `result`, `errno`, `took` (nanoseconds)."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.tasks = 0

    def begin(self, tid: int, begun: Begun) -> None:
        """Nothing is known yet that `end` would not say."""

    def end(self, tid: int, begun: Begun, tracee: Tracee, result: int) -> None:
        told: dict[str, Any] = {"args": begun.all(tracee, result), "raw": list(begun.call.args)}
        told |= _result(tracee, begun.call, result)
        self._say(tid, call=begun.call.name, **told, took=tracee.now() - begun.started)

    def never(self, tid: int, begun: Begun, tracee: Tracee | None) -> None:
        shown = begun.all(tracee, None) if tracee is not None else []
        self._say(tid, call=begun.call.name, args=shown, raw=list(begun.call.args), result=None)

    def alone(self, tid: int, begun: Begun, tracee: Tracee) -> None:
        shown = begun.all(tracee, None)
        self._say(tid, call=begun.call.name, args=shown, raw=list(begun.call.args))

    def answered(self, tid: int, call: Call, tracee: Tracee, result: int) -> None:
        self._say(tid, answered=call.name, **_result(tracee, call, result))

    def signal(self, tid: int, number: int) -> None:
        self._say(tid, signal=signal_name(number))

    def exited(self, tid: int, status: int) -> None:
        if os.WIFSIGNALED(status):
            self._say(tid, killed=signal_name(os.WTERMSIG(status)))
        else:
            self._say(tid, exited=os.WEXITSTATUS(status))

    def _say(self, tid: int, **told: Any) -> None:
        self._write(json.dumps({"pid": tid, **told}) + "\n")


def _result(tracee: Tracee, call: Call, result: int) -> dict[str, Any]:
    if -4096 < result < 0:
        words = result_text(tracee, call, result).split()
        return {"result": -1, "errno": words[1]}
    return {"result": result}


def status_text(status: int) -> str:
    """A wait status in strace's words."""
    if os.WIFSIGNALED(status):
        core = " (core dumped)" if os.WCOREDUMP(status) else ""
        return f"killed by {signal_name(os.WTERMSIG(status))}{core}"
    return f"exited with {os.WEXITSTATUS(status)}"

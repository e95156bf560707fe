"""A mover for tests: a process of its own that freezes, dumps, restores, as it is told.

It is forked, not started: the imports are paid once. One line a command through a pipe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from migration import image
from migration.engine import Refused
from migration.native.frozen import freeze
from migration.native.restore import RestoredJob, restore

DEADLINE = 20.0


class Mover:
    """One job's. `pid` is its root as we see it; it changes with each move."""

    def __init__(self, pid: int, stdio: bool = False) -> None:
        self.pid = pid
        ours, theirs = socket.socketpair()
        ours.settimeout(120)
        self._child = os.fork()
        if self._child == 0:
            ours.close()
            _serve(theirs, pid, stdio)
        theirs.close()
        self._socket = ours
        self._link = ours.makefile("rw", buffering=1, encoding="utf-8", errors="replace")

    def _ask(self, word: str) -> str:
        self._link.write(word + "\n")
        try:
            answer = self._link.readline()
        except TimeoutError:
            answer = ""
        if not answer:
            raise AssertionError(f"the mover gave no answer to {word!r}")
        kind, _, text = answer.rstrip("\n").partition(" ")
        text = text.replace("\x1f", "\n")
        if kind == "refused":
            raise Refusal(text)
        assert kind == "done", f"{word}: {text}"
        return text

    def move(self) -> None:
        """Freeze, dump, end, restore, go."""
        self.pid = int(self._ask("move"))

    def abort(self) -> None:
        """Freeze, dump, let go on."""
        self._ask("abort")

    def end(self) -> str:
        """Wait for the job: its exit status as init tells it; only after a move."""
        return self._ask("end")

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._link.close()
        self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)


class Refusal(Exception):
    """The job had to stay; the reasons, one a line."""


@contextlib.contextmanager
def mover(pid: int, stdio: bool = False) -> Iterator[Mover]:
    made = Mover(pid, stdio)
    try:
        yield made
    finally:
        made.close()


def _serve(link: socket.socket, pid: int, stdio: bool) -> None:
    """In the child: carry out commands. Does not return."""
    restored: RestoredJob | None = None
    stream = link.makefile("rw", buffering=1, encoding="utf-8", errors="replace")
    standard = {"stdin": 0, "stdout": 1, "stderr": 2}
    try:
        for line in stream:
            try:
                match line.strip():
                    case "move":
                        before = restored
                        restored = _move(pid, standard, stdio)
                        if before is not None:
                            before.wait()
                        pid = restored.root
                        answer = f"done {pid}"
                    case "abort":
                        _abort(pid, stdio)
                        answer = "done"
                    case "end":
                        assert restored is not None
                        answer = f"done {os.waitstatus_to_exitcode(restored.wait())}"
                    case other:
                        answer = f"error no command {other}"
            except Refused as refused:
                answer = f"refused {refused}"
            except BaseException:
                answer = f"error {traceback.format_exc()}"
            stream.write(answer.replace("\n", "\x1f") + "\n")
    finally:
        os._exit(0)


def _move(pid: int, standard: dict[str, int], stdio: bool) -> RestoredJob:
    with tempfile.TemporaryDirectory(prefix="mig-test-") as base:
        folder = str(Path(base) / "image")
        image.make_folder(folder)
        with freeze(pid, DEADLINE, stdio) as frozen:
            frozen.dump(folder)
            frozen.leave()
            frozen.commit()
        restored = restore(folder, standard)
    restored.go()
    return restored


def _abort(pid: int, stdio: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="mig-test-") as base:
        folder = str(Path(base) / "image")
        image.make_folder(folder)
        with freeze(pid, DEADLINE, stdio) as frozen:
            frozen.dump(folder)

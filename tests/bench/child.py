"""A peer's daemon in the foreground, as our child: awaited by what it says, ended by pid."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .harness import BenchError

_STORY_LINES = 12


class ForegroundDaemon:
    """A peer's daemon kept in the foreground as our child; its log is read and remembered.

    Ended by pid on leaving the context. A daemon that ends early, or does not print its
    readiness line in time, raises BenchError with the last lines of its log.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *, stdin: bool = False):
        self.name = Path(argv[0]).name
        self._log: deque[str] = deque(maxlen=400)
        self._news = threading.Condition()
        self._closed = False
        try:
            self._child = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ^C is for the bench, which then ends this in order
            )
        except OSError as error:
            raise BenchError(f"{argv[0]}: {error.strerror}") from error
        # The reader goes on after readiness: a full pipe would stop the daemon.
        self._reader = threading.Thread(target=self._read_log, name=self.name, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        stream = self._child.stdout
        assert stream is not None
        for raw in stream:
            with self._news:
                self._log.append(raw.decode(errors="replace").rstrip())
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def __enter__(self) -> ForegroundDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def stdin(self) -> IO[bytes]:
        assert self._child.stdin is not None
        return self._child.stdin

    def wait_for(self, pattern: str, deadline: float = 20.0) -> str:
        """Return the first log line that matches `pattern`, within `deadline` seconds."""
        wanted = re.compile(pattern)

        def hit() -> str | None:
            return next((line for line in self._log if wanted.search(line)), None)

        with self._news:
            self._news.wait_for(lambda: hit() is not None or self._closed, deadline)
            line = hit()
        if line is None:
            why = "ended" if self._closed else f"said nothing like {pattern!r} in {deadline:g} s"
            raise BenchError(f"{self.name} {why}; its log: {self.story()}")
        return line

    def forget_log(self) -> None:
        """Forget the log so far, so that the next `wait_for` sees only what is new."""
        with self._news:
            self._log.clear()

    def story(self) -> str:
        """The last lines of the log, on one line."""
        return " | ".join(list(self._log)[-_STORY_LINES:]) or "(empty)"

    def stop(self, grace: float = 5.0) -> None:
        """End the child and reap it; each step is given `grace` seconds.

        A child with a stdin is told by its end, then, like any other, by SIGTERM, then SIGKILL.
        """
        if self._child.stdin is not None:
            try:
                self._child.stdin.close()
            except BrokenPipeError:
                pass
            self._wait(grace)
        self._child.terminate()
        if not self._wait(grace):
            self._child.kill()
            self._child.wait(grace)
        self._reader.join(grace)
        if not self._reader.is_alive() and self._child.stdout is not None:
            self._child.stdout.close()

    def _wait(self, seconds: float) -> bool:
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

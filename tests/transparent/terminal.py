"""A home terminal with an interactive bash in it, seen as its user sees it: a screen.

Owns the pseudo-terminal and its emulator (pyte). Everything that waits has a deadline and waits
for something to be on the screen.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect
import pyte
from e2e.cluster import Cluster, as_tested_user, is_of_ours, is_shadow, until

from .compare import PYTHON

DEADLINE = 15.0
QUIET = 0.25
"""Seconds without output after which a native screen counts as settled: the oracle is then taken;
the screen under test must become equal to it, however long that takes within DEADLINE."""

Cells = tuple[tuple[tuple[object, ...], ...], tuple[int, int]]


class Terminal:
    """`level` is what `$G` stands for in lines typed here."""

    def __init__(
        self,
        cluster: Cluster,
        level: str,
        folder: Path,
        rows: int = 24,
        cols: int = 80,
        words: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`words` and `env`: another shell than the tested user's bash, and its environment."""
        self.screen = pyte.Screen(cols, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.folder = folder
        more = {"G": level, "PS1": "$ ", "TERM": "linux", "PYTHON": PYTHON, "HOME": str(folder)}
        more |= {"HISTFILE": "", "INPUTRC": "/dev/null", "LESSHISTFILE": "-"}
        env = {**(cluster.environment() if env is None else env), **more}
        own, prepare = as_tested_user(["bash", "--norc", "--noprofile", "-i"])
        if words:
            own, prepare = list(words), None
        self.child = pexpect.spawn(
            own[0],
            own[1:],
            env=env,
            cwd=str(folder),
            dimensions=(rows, cols),
            timeout=DEADLINE,
            preexec_fn=prepare,
        )
        self.child.delaybeforesend = None
        self.child.ptyproc.delayafterclose = self.child.ptyproc.delayafterterminate = 0.02
        self.prompt()

    # -- what the user does ------------------------------------------------------------------

    def type(self, keys: str | bytes) -> None:
        """Press keys."""
        self.child.send(keys)

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.child.send(text + "\r")

    def resize(self, rows: int, cols: int) -> None:
        """The window gets another size."""
        self.screen.resize(rows, cols)
        self.child.setwinsize(rows, cols)

    def close(self) -> None:
        """Hang up."""
        self.child.close(force=True)

    # -- what the user sees ------------------------------------------------------------------

    def lines(self) -> list[str]:
        """The screen's text, without blanks at line ends and without empty lines at its end."""
        found = [line.rstrip() for line in self.screen.display]
        while found and not found[-1]:
            found.pop()
        return found

    def cells(self) -> Cells:
        """Every cell with its colours and attributes, and where the cursor is."""
        buffer, screen = self.screen.buffer, self.screen
        rows = tuple(
            tuple(tuple(buffer[y][x]) for x in range(screen.columns)) for y in range(screen.lines)
        )
        return rows, (screen.cursor.y, screen.cursor.x)

    def look(self, seconds: float) -> bool:
        """Take what comes within `seconds`; False when nothing did."""
        try:
            data = self.child.read_nonblocking(65536, seconds)
        except pexpect.TIMEOUT:
            return False
        self.raw += data
        self._stream.feed(data)
        return True

    def look_for(self, seconds: float) -> None:
        """Take what comes in that time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.look(left)

    def until(self, holds: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
        """Watch until it holds; the screen is in the error otherwise."""
        end = time.monotonic() + deadline
        while not holds():
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{what} did not come:\n" + "\n".join(self.lines()))
            self.look(min(left, 0.5))

    def shows(self, text: str, deadline: float = DEADLINE) -> None:
        """Wait for a line of the screen that is exactly `text`."""
        self.until(lambda: text in self.lines(), f"the line {text!r}", deadline)

    def matches(self, pattern: str, deadline: float = DEADLINE) -> re.Match[str]:
        """Wait for a match in the screen's text (MULTILINE)."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            match = re.search(pattern, "\n".join(self.lines()), re.MULTILINE)
            found[:] = [match] if match else []
            return bool(found)

        self.until(look, f"a match of {pattern!r}", deadline)
        return found[0]

    def prompt(self, deadline: float = DEADLINE) -> None:
        """Wait for the shell to want a line: its prompt is the last line."""
        self.until(lambda: self.lines()[-1:] == ["$"], "the prompt", deadline)

    def run(self, line: str, deadline: float = DEADLINE) -> list[str]:
        """Type a line on a cleared screen, wait for the prompt; what was printed between."""
        self.type("\x0c")
        self.until(lambda: self.lines() == ["$"], "a clear screen")
        self.line(line)
        shown = f"$ {line}"
        height = -(-len(shown) // self.screen.columns)
        self.until(
            lambda: "".join(self.lines()[:height]) == shown and len(self.lines()) > height,
            "the echo of the line",
            deadline,
        )
        self.prompt(deadline)
        return self.lines()[height:-1]

    def becomes(self, oracle: Cells, what: str) -> None:
        """Wait for the screen to be this one."""
        self.until(lambda: self.cells() == oracle, what)

    def until_gone(self, words: str) -> None:
        """Wait until no process has these last words; the terminal may be closed."""
        until(lambda: not states_of(words), f"the end of {words!r}")

    def settle(self) -> Cells:
        """The screen once nothing comes any more."""
        while self.look(QUIET):
            pass
        return self.cells()


def states_of(words: str) -> list[str]:
    """The states (proc(5)) of all processes whose last words on the command line are these.

    Not of shadows: they stand for one that is counted. Nor of other tests that run meanwhile.
    """
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                line = Path(f"/proc/{entry.name}/cmdline").read_bytes()
                stat = Path(f"/proc/{entry.name}/stat").read_text()
            except OSError:
                continue
            words_end = line.replace(b"\0", b" ").strip().endswith(words.encode())
            if words_end and is_of_ours(int(entry.name)) and not is_shadow(int(entry.name)):
                found.append(stat.rpartition(")")[2].split()[0])
    return found


Step = tuple[str, str]
"""(keys, what a pattern must find on the screen before the native screen is taken)."""


def same_screens(native: Terminal, ours: Terminal, steps: Sequence[Step]) -> None:
    """Give both the same keys; after each step ours must come to look as the native one."""
    for keys, pattern in steps:
        native.type(keys)
        native.matches(pattern)
        oracle = native.settle()
        ours.type(keys)
        ours.matches(pattern)
        try:
            ours.becomes(oracle, f"the native screen after {keys!r}")
        except AssertionError as error:
            wanted = "\n".join(native.lines())
            cursors = f"cursor {ours.cells()[1]}, native {oracle[1]}"
            raise AssertionError(f"{error}\n-- native: --\n{wanted}\n-- {cursors}") from None

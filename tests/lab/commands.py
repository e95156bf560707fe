"""Commands on a lab's machine as processes here: what the kinds of machine have in common.

Owns the terminals that a test opened. How a command gets there is each kind's own `words`.
"""

from __future__ import annotations

import contextlib
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import pexpect
from e2e.cluster import Result, ended, finish
from e2e.terminal import Terminal

from lab.machines import DEADLINE, Machine

STORY_LIMIT = 20.0
_LOGS = "cd ${GLUNIX_DIR:-/run/glunix}/private && tail -n 12 -- *.log; journalctl -n 20 --no-pager"


class CommandMachine(ABC):
    """All of `lab.machines.Machine` but its name, its power and its cable."""

    def __init__(self) -> None:
        self._opened: list[pexpect.spawn] = []

    @abstractmethod
    def words(
        self,
        argv: Sequence[str],
        user: str,
        env: Mapping[str, str] | None = None,
        terminal: bool = False,
    ) -> list[str]:
        """The command line, to be run here, that runs `argv` there."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        timeout: float = DEADLINE,
    ) -> Result:
        with ended(self.start(argv, user=user, env=env, stdin=stdin is not None)) as process:
            return finish(process, stdin, timeout)

    def start(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.words(argv, user, env),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )

    def terminal(self, argv: Sequence[str], *, user: str = "root") -> Terminal:
        words = self.words(argv, user, {"TERM": "xterm"}, terminal=True)
        child = pexpect.spawn(
            words[0],
            words[1:],
            dimensions=(24, 80),
            encoding="utf-8",
            codec_errors="replace",
            timeout=DEADLINE,
        )
        child.delaybeforesend = None
        self._opened.append(child)
        return Terminal(child)

    def put(self, source: Path, target: str) -> None:
        mode = f"{source.stat().st_mode & 0o777:o}"
        line = 'cat >"$1" && chmod "$2" "$1"'
        result = self.run(["sh", "-c", line, "sh", target, mode], stdin=source.read_bytes())
        assert result.status == 0, f"{source} -> {target}: {result}"

    def hang_up(self) -> None:
        """Close the terminals that a test opened."""
        for child in self._opened:
            child.close(force=True)
        self._opened.clear()


def logs(machine: Machine) -> str:
    """The ends of GLUnix's logs on a machine, for a failure; empty where it does not answer."""
    with contextlib.suppress(AssertionError):
        found = machine.run(["sh", "-c", f"({_LOGS}) 2>/dev/null"], timeout=STORY_LIMIT)
        return f"-- {machine.name}'s logs end with\n{found.text}"
    return f"-- {machine.name} does not answer"

"""Terminals for tests: a pseudo-terminal driven by pexpect, with a shell or one command on it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pexpect

from .cluster import Cluster, as_tested_user

PROMPT = "home> "
WAIT = 15


class Terminal:
    """A spawned command on its own terminal."""

    def __init__(self, child: pexpect.spawn) -> None:
        self.child = child

    def expect(self, text: str) -> str:
        """Wait for exactly this text; returns what came before it."""
        self.child.expect_exact(text)
        before: str = self.child.before
        return before

    def send(self, text: str) -> None:
        """Type it."""
        self.child.send(text)

    def line(self, text: str) -> None:
        """Type it and Return."""
        self.child.send(text + "\r")

    def control(self, letter: str) -> None:
        """Type control and a letter."""
        self.child.sendcontrol(letter)

    def command(self, text: str) -> str:
        """Type a command line at the prompt; returns its output, without the echo."""
        self.line(text)
        out = self.expect(PROMPT)
        return out.partition("\r\n")[2].replace("\r\n", "\n").rstrip("\n")

    def status(self) -> int:
        """$? of the last command of a home shell."""
        return int(self.command("echo $?"))

    def modes(self) -> list[object]:
        """All of the terminal's modes (tcgetattr(3))."""
        return termios.tcgetattr(self.child.child_fd)

    def local_flags(self) -> int:
        """c_lflag of the modes."""
        return int(termios.tcgetattr(self.child.child_fd)[3])

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size."""
        self.child.setwinsize(rows, columns)

    def foreground(self) -> int:
        """The pid that leads the terminal's foreground process group."""
        return os.tcgetpgrp(self.child.child_fd)

    def ended(self) -> int:
        """Wait for the command's end; its status as a shell says it."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        if self.child.signalstatus is not None:
            return 128 + int(self.child.signalstatus)
        return int(self.child.exitstatus)


@contextlib.contextmanager
def on_terminal(
    cluster: Cluster, *argv: str, rows: int = 24, columns: int = 80
) -> Iterator[Terminal]:
    """A command on a terminal; it and its terminal are gone afterwards."""
    words, prepare = as_tested_user(argv)
    child = pexpect.spawn(
        words[0],
        words[1:],
        preexec_fn=prepare,
        env={**cluster.environment(), "TERM": "xterm", "PS1": PROMPT},
        cwd="/",
        dimensions=(rows, columns),
        encoding="utf-8",
        codec_errors="replace",
        timeout=WAIT,
    )
    child.delaybeforesend = None
    try:
        yield Terminal(child)
    finally:
        session = child.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(session, signal.SIGKILL)
        child.close(force=True)


@contextlib.contextmanager
def home_shell(cluster: Cluster) -> Iterator[Terminal]:
    """An interactive bash at home, at its first prompt, as a user has it."""
    words = ["bash", "--norc", "--noprofile", "-i"]
    with on_terminal(cluster, *words) as terminal:
        terminal.expect(PROMPT)
        terminal.command("bind 'set enable-bracketed-paste off'")
        yield terminal
        terminal.line("exit 0")


def startups(name: str = "glurun") -> list[int]:
    """Pids of running startups, by their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if re.search(rb"/%s\0" % name.encode(), (entry / "cmdline").read_bytes()):
                    found.append(int(entry.name))
    return found

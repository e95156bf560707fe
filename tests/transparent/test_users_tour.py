"""README's tour, typed by an ordinary user at a login's terminal, in each situation; and what a
terminal is for besides: keystrokes, ^C, ^Z and fg, and modes that come back."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from e2e.cluster import Cluster

from glunix.cli.demo import steps

from .compare import TRANSPARENT
from .situations import SITUATIONS, Situation, environment, users_home
from .terminal import Terminal

NODES = 4
PATIENCE = 60.0

SHELL = ("env", "--default-signal=PIPE", "PS1=$ ", "bash", "--norc", "--noprofile", "-i")
"""Python ignores SIGPIPE, and so would all that it starts."""

TOURED = [one for one in SITUATIONS if one.name != "own-machines"]
"""All but that of one node: the tour shows four."""


@pytest.mark.parametrize("situation", TOURED, ids=[one.name for one in TOURED])
def test_the_tour(shared: Cluster, users_tools: Path, situation: Situation) -> None:
    with users_home(situation, users_tools) as (home, tools):
        prepared = f"{situation.prepared(NODES)}\ntrue\n"
        (home / "prepare").write_text(prepared)
        (home / "finish").write_text(f"{situation.finish}\ntrue\n")
        words = situation.at_a_terminal(*SHELL)
        env = environment(shared, home, tools)
        tty = Terminal(shared, TRANSPARENT, home, rows=40, cols=200, words=words, env=env)
        try:
            assert tty.run(". ./prepare", PATIENCE) == []
            # As whom the tour is made.
            assert tty.run("$AS bash --norc --noprofile -i", PATIENCE) == []
            try:
                _tour(tty)
                _keys(tty)
            finally:
                tty.run("exit", PATIENCE)
                tty.run(". ./finish", PATIENCE)
        finally:
            tty.close()


def _tour(tty: Terminal) -> None:
    home = socket.gethostname()
    modes = tty.run("stty -g", PATIENCE)
    named = re.fullmatch(r"node\d+", "\n".join(tty.run("glurun hostname", PATIENCE))) is not None
    for step in steps(home, named):
        said = "\n".join(tty.run(step.command, PATIENCE))
        assert re.fullmatch(step.expects, said), f"{step.command}\n{said}"
    assert tty.run("stty -g", PATIENCE) == modes


def _keys(tty: Terminal) -> None:
    modes = tty.run("stty -g")
    tty.type("\x0c")
    tty.until(lambda: tty.lines() == ["$"], "a clear screen")
    tty.line("glurun -T sh -c 'echo ready; exec cat'")
    tty.shows("ready", PATIENCE)
    tty.type("hellp\x7fo\r")
    tty.until(
        lambda: tty.lines().count("hello") == 2, "what was typed, edited and echoed, and said"
    )
    tty.type("\x1a")
    tty.matches("Stopped", PATIENCE)
    tty.prompt()
    tty.line("fg")
    tty.shows("glurun -T sh -c 'echo ready; exec cat'")
    tty.type("again\r")
    tty.until(lambda: tty.lines().count("again") == 2, "what was typed after fg")
    tty.type("\x04")
    tty.prompt()
    assert tty.run("echo $?") == ["0"]
    tty.type("\x0c")
    tty.until(lambda: tty.lines() == ["$"], "a clear screen")
    tty.line("glurun -T sh -c 'echo ready; exec sleep 83.1'")
    tty.shows("ready", PATIENCE)
    tty.type("\x03")
    tty.prompt()
    assert tty.run("echo $?") == ["130"]
    assert tty.run("stty -g") == modes

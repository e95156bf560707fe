"""Signals that a job sends to processes of home: its group's others, its parent, its session."""

from __future__ import annotations

import os
import posix
import signal
import subprocess
from collections.abc import Callable

import pytest
from e2e.cluster import Cluster

from glunix.home.processes.outbound_signals import OutboundSignals

from .compare import NATIVE, TRANSPARENT
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]

HOME = "{ echo ready; exec sleep 91; }"
"""A command of home that says when it is there."""

LINES = [
    HOME + " | $G sh -c 'read x; kill -TERM 0'; echo ${PIPESTATUS[@]}",
    HOME + " | $G sh -c 'trap \"echo trapped\" TERM; read x; kill -TERM 0; echo on; exit 4';"
    " echo ${PIPESTATUS[@]}",
    "mkfifo p; $G sh -c 'read x <p; kill -INT 0' | { echo >p; exec sleep 91; };"
    " echo ${PIPESTATUS[@]}",
    "mkfifo p; $G sh -c 'read x <p; kill -HUP 0' | { echo >p; exec sleep 91; } | $G cat;"
    " echo ${PIPESTATUS[@]}",
    HOME + " | $G $PYTHON -c 'import os; input(); os.killpg(os.getpgrp(), 9)';"
    " echo ${PIPESTATUS[@]}",
    HOME + " | $G sh -c 'read x; (kill -TERM 0)'; echo ${PIPESTATUS[@]}",
    "{ echo ready; $G sleep 91; } | $G sh -c 'read x; sleep 0.5; kill 0'; echo ${PIPESTATUS[@]}",
    HOME + " | $G sh -c 'read x; kill -STOP 0; echo on'\njobs",
    HOME + " | $G sh -c 'read x; kill -TSTP 0; echo on'\njobs",
    "trap 'echo one' USR1; trap 'echo two' RTMIN+5\n$G sh -c 'kill -USR1 $PPID'"
    "\n$G bash -c 'kill -RTMIN+5 $PPID; exit 3'; echo $?",
    "$G bash --norc -i\nPS1='$ '\ntrap 'echo inner' USR1; kill -USR1 $$\nexit 5\necho $?",
]


@pytest.mark.parametrize("line", LINES)
def test_as_at_home(terminal: MakeTerminal, line: str) -> None:
    """A shell with job control: each line is a group of its own."""
    seen = []
    for level in (NATIVE, TRANSPARENT):
        tty = terminal(level, cols=150)
        shown = []
        for step in line.split("\n"):
            tty.line(step)
            tty.until(lambda: any(line.endswith(step) for line in tty.lines()), "echo")  # noqa: B023
            tty.prompt()
            shown = [text for text in tty.lines() if not text.startswith("bash-")]
        seen.append([" ".join(text.split()) for text in shown])
        tty.run("kill -9 %1 2>/dev/null; wait")
    assert seen[1] == seen[0]


SCRIPTS = [
    'set -m; (sh -c \'trap "echo group; exit 5" USR1; $G sh -c "kill -USR1 0"; exit 6\'); echo $?',
    'bash -c \'trap "echo parent" USR1; $G sh -c "kill -USR1 \\$PPID"; echo $?\'',
    'bash -c \'trap "echo parent" USR1; $G sh -c "sleep 0.1 & kill -USR1 \\$PPID"; echo $?\'',
    'setsid -w sh -c \'trap "echo leader" USR1; $G sh -c "kill -USR1 \\$PPID"; echo $?\'',
    'set -m; (sh -c \'$G sh -c "kill -9 0"; echo "not reached"\'); echo $?',
    "set -m; (sh -c '$G sh -c \"kill -STOP 0; echo on\"; echo over') & wait %1; echo $?;"
    " jobs -s | grep -c Stopped; kill -CONT %1; wait %1; echo $?",
    'setsid -w sh -c \'trap "echo leader" USR1; X=$$ sh -c "\\$G sh -c \\"kill -USR1 \\$X\\"; :";'
    " echo $?'",
    'setsid -w sh -c \'trap "echo all" USR1; $G sh -c "trap : USR1; kill -USR1 0"; echo $?\'',
]


@pytest.mark.parametrize("line", SCRIPTS)
def test_scripts(shared: Cluster, line: str) -> None:
    """Without job control the shell itself is in the group; once, though two helpers hear it."""
    same(shared, line)


@pytest.mark.parametrize("line", SCRIPTS)
def test_scripts_of_a_user(shared: Cluster, nobody: int, line: str) -> None:
    """A daemon of root's has helpers that the user may signal as he may his shell."""
    if shared.shell("glurun --version", uid=nobody).status:
        pytest.skip(f"a shell of uid {nobody} cannot run this interpreter")
    same(shared, line, nobody)


def same(cluster: Cluster, line: str, uid: int | None = None) -> None:
    native = cluster.shell(line, env={"G": NATIVE}, uid=uid)
    ours = cluster.shell(line, env={"G": TRANSPARENT}, uid=uid)
    assert (ours.status, ours.out) == (native.status, native.out) and native.out, (ours, native)


def test_nobody_else_is_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node names processes that no helper stands for."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(posix, "kill", lambda pid, number: sent.append((pid, number)))
    number = signal.SIGTERM
    with subprocess.Popen(["sleep", "92"], process_group=0) as other:
        own = OutboundSignals(os.getpid(), other.pid)
        own.kill(other.pid, number, 0, [])  # neither the parent of the program nor its session's
        own.kill(0, number, os.getpgrp(), [])  # another group than the job's
        own.kill(0, number, other.pid, [other.pid])
        own.kill(1, number, 0, [])
        assert not sent
        OutboundSignals(1, other.pid).kill(0, number, other.pid, [])  # ours: a child of home's half
        OutboundSignals(os.getpid(), os.getpgrp()).kill(os.getpid(), number, 0, [])
        assert not sent
        own.kill(os.getppid(), number, 0, [])
        assert sent == [(os.getppid(), number)]
        other.terminate()

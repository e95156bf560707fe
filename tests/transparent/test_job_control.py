"""The home shell's job control over a transparent job: stops, goes on, background, hang-up."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from e2e.cluster import until

from .compare import NATIVE, TRANSPARENT
from .terminal import Terminal, states_of

MakeTerminal = Callable[..., Terminal]


FG, KEYS = "fg", "keys: "
"""Steps that are not simply a line run to the next prompt."""

SCRIPTS: dict[str, Sequence[str]] = {
    "background reader": [
        "$G cat & wait %1; echo $?",  # 149: Stopped (tty input)
        f"{FG} $G cat",
        f"{KEYS}read by cat\r",
        "shows read by cat",
        f"{KEYS}\x04",
        "echo $?; jobs",
    ],
    "background reader of one line": [
        "$G sh -c 'read x; echo got $x' & wait %1; echo $?",
        f"{FG} $G sh -c 'read x; echo got $x'",
        f"{KEYS}words\r",
        "shows got words",
        "echo $?; jobs",
    ],
    "background mode change": [
        "$G stty -echoctl & wait %1; echo $?",  # 150: Stopped (tty output)
        f"{FG} $G stty -echoctl",
        "stty -a | grep -o .echoctl; stty echoctl",
    ],
    "who is in the foreground": [
        "echo 'import os; print(*(os.tcgetpgrp(1) == one() for one in (os.getpgrp, os.getppid)))' "
        ">g.py; $G $PYTHON g.py & wait %1; $G $PYTHON g.py",
        "$G sh -c '$PYTHON g.py; kill -STOP $$; $PYTHON g.py' & sleep 0.5; wait %1; bg; wait %1",
    ],
    "an interactive shell in the background": [
        "PS1='> ' $G bash --norc -i & wait %1; echo $?",
        f"{KEYS}fg\r",
        f"{KEYS}echo in the job; exit 3\r",
        "echo $?; jobs",
    ],
    "background without reading": ["$G sh -c 'echo written; exit 4' & wait %1; echo $?"],
    "background and input elsewhere": ["$G cat </etc/hostname & wait %1; echo $?"],
    "tostop": [
        "stty tostop",
        "$G sh -c 'echo written' & wait %1; echo $?",
        f"{FG} $G sh -c 'echo written'",
        "shows written",
        "stty -tostop; $G echo fine; echo $?",
    ],
    "stop and go on": [
        "mkfifo p",
        # No program is begun: who is stopped between vfork and exec stops its parent as well, which
        # its shell is not told of.
        f"{KEYS}$G sh -c 'echo it runs; read x <p; echo over'\r",
        "shows it runs",
        f"{KEYS}\x1a",
        "echo $?",
        "bg; jobs",
        "echo x >p; wait; echo $?",
    ],
    "kill by job": [
        "$G sleep 100 & sleep 0.3; kill -STOP %1; sleep 0.5; wait %1; echo $?",
        "kill -CONT %1; jobs",
        "kill %1; wait %1; echo $?",
    ],
    "kill stopped": [
        f"{KEYS}$G sh -c 'echo it runs; exec sleep 66.6'\r",
        "shows it runs",
        f"{KEYS}\x1a",
        "kill -9 %1; sleep 0.5; wait %1; echo $?",  # else the shell may not know yet
    ],
    "pipeline": [
        f"{KEYS}$G sh -c 'echo it runs >&2; exec sleep 100' | cat | $G cat\r",
        "shows it runs",
        f"{KEYS}\x1a",
        f"{FG} $G sh -c 'echo it runs >&2; exec sleep 100' | cat | $G cat",
        f"{KEYS}\x03",
        "echo $?",
    ],
    "one SIGCONT for each": [
        "echo 'import os, signal; n = []' >p.py; "
        'echo \'def on(*_): n.append(print("heard", file=open("heard", "a")));'
        ' print("goes on", len(n))\' >>p.py; '
        "echo 'signal.signal(18, on); print(\"it runs\", flush=True)' >>p.py; "
        "echo 'while True: signal.pause()' >>p.py",
        f"{KEYS}$G $PYTHON p.py\r",
        "shows it runs",
        f"{KEYS}\x1a",
        f"{FG} $G $PYTHON p.py",
        "shows goes on 1",
        f"{KEYS}\x1a",
        f"{FG} $G $PYTHON p.py",
        "shows goes on 2",
        f"{KEYS}\x1c",
        "cat heard",
    ],
    "stopped again at once": [  # SIGTTIN takes back the SIGCONT that nobody has seen yet
        f"{KEYS}cat | $G sh -c 'echo it runs; exec cat' | cat\r",
        "shows it runs",
        f"{KEYS}\x1a",
        "bg; until jobs >j; grep -q Stopped j; do sleep 0.05; done",
        f"{FG} cat | $G sh -c 'echo it runs; exec cat' | cat",
        f"{KEYS}typed\r\x04",
        "echo ${PIPESTATUS[@]}; jobs",
    ],
    "quit": [
        f"{KEYS}ulimit -c 0; $G sh -c 'echo it runs; exec sleep 100'\r",
        "shows it runs",
        f"{KEYS}\x1c",
        "echo $?",
    ],
    "kill and wait": [
        "$G sh -c 'trap \"echo usr1; exit 8\" USR1; while :; do sleep 0.02; done' & sleep 0.5",
        "kill -USR1 %1; wait %1; echo $?",
    ],
}


NOT_COMPARED = (
    r"\[\d+\] \d+|\[1\]\+  Done .*|\[1\]\+  Stopped +cat \| .*||User defined signal 1|"
    r"bash: warning: wait_for_job: job \d+ is stopped"
)
"""A pid; what bash says when it had heard of a stop or end before `wait` began, or not; and what a
script's shell says of a sleep that a signal to the group met, or not."""


def play(tty: Terminal, steps: Sequence[str]) -> list[list[str]]:
    """What the user sees after each step; job announcements with their pids left out."""
    seen = []
    for step in steps:
        if step.startswith(FG):
            tty.line("fg")
            tty.shows(step.removeprefix(FG).strip())
            command = step.split()[-1].strip("'")
            tty.until(lambda: "T" not in states_of(command), "nothing is stopped")  # noqa: B023
        elif step.startswith(KEYS):
            tty.type(step.removeprefix(KEYS))
        elif step.startswith("shows "):
            tty.shows(step.removeprefix("shows "))
        else:
            tty.prompt()
            lines = tty.run(step)
            seen.append([line for line in lines if not re.fullmatch(NOT_COMPARED, line)])
    tty.prompt()
    return seen


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(terminal: MakeTerminal, name: str) -> None:
    native = play(terminal(NATIVE, cols=120), SCRIPTS[name])
    assert play(terminal(TRANSPARENT, cols=120), SCRIPTS[name]) == native


@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
def test_keyboard_reaches_the_foreground_group_only(terminal: MakeTerminal, level: str) -> None:
    """A shell with job control inside: ^C is its foreground job's, not its own."""
    tty = terminal(level)
    tty.line("PS1='> ' $G bash --norc -i")
    tty.matches("^>")
    tty.line("sleep 77.7")
    tty.until(lambda: states_of("sleep 77.7"), "the inner job")
    tty.type("\x03")
    tty.until(lambda: tty.lines()[-1] == ">", "the inner prompt")
    tty.until_gone("sleep 77.7")
    tty.line("cat & wait %1; echo =$?")
    tty.shows("=149")  # Stopped (tty input): job control is this node's kernel's
    tty.line("kill -9 %1; sleep 0.1")
    tty.matches("Killed +cat")
    tty.line("exit 5")
    tty.prompt()
    assert tty.run("echo $?") == ["5"]


@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
def test_hang_up(terminal: MakeTerminal, level: str) -> None:
    """The terminal goes away: what ran in it gets SIGHUP and ends."""
    tty = terminal(level)
    tty.line("$G sh -c 'trap \"echo gone >hup; exit\" HUP; echo it runs; sleep 55.5; sleep 1'")
    tty.shows("it runs")
    # A shell that is just forking hears a signal in a child that still has its trap, and loses it.
    until(lambda: states_of("sleep 55.5"), "sleep to run")
    tty.child.close(force=False)
    tty.until_gone("sleep 55.5")
    hup = tty.folder / "hup"  # its shell writes when it has heard of the sleep's end
    until(lambda: hup.exists() and hup.read_text() != "", "the trap to write")
    assert hup.read_text() == "gone\n"

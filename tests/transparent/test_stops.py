"""Processes of a transparent job that are stopped: at home their shadows are, too.

Each line is run at home and under -T; `ps` at home must show the same, and signals that are sent
there must do the same.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from .compare import NATIVE, TRANSPARENT, Both
from .terminal import Terminal, states_of
from .test_shadows import WAIT, _spaces

__all__ = ["_spaces"]

MakeTerminal = Callable[..., Terminal]

levels = pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])

HOME = (
    "state() { ps -o s= -p $(cat pid) | tr DR SS; }; "
    'is() { n=0; until [ "$(state)" = $1 ] || [ $n -gt 250 ]; do sleep 0.02; n=$((n+1)); done; '
    "state; }; "
)
"""What a home shell asks of the process whose number is in `pid`: its state, once it is this."""

GO = "until [ -s go ]; do sleep 0.02; done; "

INSIDE = (
    "$G sh -c 'exec 2>/dev/null; sleep 5{n} & echo $! >pid; "
    "until ps -o args= -p $! | grep -q ^sleep; do :; done; "
    "kill -STOP $!; echo up >up; {then}wait $!; echo $?' & "
)

BUSY = (
    '$G sh -c \'sh -c "trap \\"echo usr1 >>got\\" USR1; trap \\"echo term >>got; exit 7\\" TERM; '
    "echo \\$\\$ >pid; echo up >up; while :; do echo x >>log; sleep 0.02; done\"; echo $?' & "
)

LINES = {
    "stopped and continued inside": (
        INSIDE.format(n="0.11", then=f"{GO}kill -CONT $!; ")
        + f"{HOME}{WAIT}is T; kill -TERM $(cat pid); sleep 0.3; state; echo x >go; wait"
    ),
    "stopped inside, killed at home": (
        INSIDE.format(n="0.12", then="") + f"{HOME}{WAIT}is T; kill -9 $(cat pid); wait"
    ),
    "stopped inside, continued at home": (
        INSIDE.format(n="0.13", then="") + f"{HOME}{WAIT}is T; kill -CONT $(cat pid); is S; "
        "kill -TERM $(cat pid); wait"
    ),
    "stopped at home, continued inside": (
        f"$G sh -c 'sleep 50.14 & echo $! >pid; echo up >up; {GO}kill -CONT $!; echo went; "
        "wait $!; echo $?' & "
        f"{HOME}{WAIT}kill -STOP $(cat pid); is T; echo x >go; is S; kill $(cat pid); wait"
    ),
    "what came while it was stopped, afterwards": (
        BUSY + f"{HOME}{WAIT}kill -STOP $(cat pid); is T; kill -USR1 $(cat pid); sleep 0.3; "
        "cat got 2>/dev/null; kill -CONT $(cat pid); until [ -s got ]; do sleep 0.02; done; "
        "cat got; kill -TERM $(cat pid); wait; cat got"
    ),
    "stopped twice": (
        BUSY + f"{HOME}{WAIT}kill -STOP $(cat pid); is T; kill -CONT $(cat pid); is S; "
        "kill -STOP $(cat pid); is T; sleep 0.5; state; a=$(wc -l <log); sleep 0.2; "
        "[ $a = $(wc -l <log) ] && echo stopped; kill -CONT $(cat pid); is S; sleep 0.5; state; "
        "kill $(cat pid); wait"
    ),
    "a group": (
        "$G sh -c 'setsid sh -c \"echo \\$\\$ >pid; sleep 50.15 & echo \\$! >other; "
        "until ps -o args= -p \\$! | grep -q ^sleep; do :; done; echo up >up; "
        "wait; echo \\$?\"' & "
        f"{HOME}{WAIT}kill -STOP -- -$(cat pid); is T; cp pid first; cp other pid; is T; "
        "kill -CONT -- -$(cat first); is S; cp first pid; is S; kill $(cat other); wait"
    ),
    "the group of a job of the shell's": (
        "exec 2>/dev/null; set -m; "  # bash announces a stop, or not
        "$G sh -c 'sh -c \"echo \\$\\$ >pid; echo up >up; while :; do echo x >>log; "
        "sleep 0.02; done\"; :' & "
        f"{HOME}{WAIT}kill -STOP %1; is T; ps -o s= -p $!; sleep 0.5; a=$(wc -l <log); sleep 0.3; "
        "[ $a = $(wc -l <log) ] && echo stopped; kill -CONT %1; is S; ps -o s= -p $!; "
        "until [ $(wc -l <log) -gt $a ]; do sleep 0.02; done; kill %1; wait %1 2>/dev/null; echo $?"
    ),
    "the program, by its child": (
        "$G sh -c 'echo $$ >pid; (kill -STOP $$; echo up >up; echo meanwhile; "
        f"{GO}kill -CONT $$; sleep 0.5) & wait; echo over' >out & "
        f"{HOME}{WAIT}is T; n=0; until grep -q meanwhile out || [ $n -gt 100 ]; "
        "do sleep 0.02; n=$((n+1)); done; cat out; echo x >go; is S; wait; cat out"
    ),
    "the program, killed inside": (
        "$G sh -c 'echo $$ >pid; sleep 50.16 & echo $! >other; "
        f"(kill -STOP $$; echo up >up; {GO}kill -9 $$) & wait' & "
        f"{HOME}{WAIT}is T; echo x >go; wait $!; echo $?; kill $(cat other); echo $?"
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_is_seen_at_home(both: Both, name: str) -> None:
    both.same(LINES[name], timeout=40)


def _states(numbers: list[str]) -> list[str]:
    words = ["ps", "-o", "s=", "-p", ",".join(numbers)]
    return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.split()


@levels
def test_keyboard_stops_all_of_a_job(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level, cols=120)
    tty.line("$G sh -c 'echo $$ >>pids; sh -c \"echo \\$\\$ >>pids; sleep 60.21; :\"; :'")
    tty.until(lambda: states_of("sleep 60.21"), "both")
    tty.type("\x1a")
    tty.prompt()
    numbers = (tty.folder / "pids").read_text().split()
    tty.until(lambda: _states(numbers) == ["T", "T"], "all are stopped")
    tty.line("fg")
    tty.until(lambda: _states(numbers) == ["S", "S"], "all go on")
    tty.type("\x1a")
    tty.prompt()
    tty.until(lambda: _states(numbers) == ["T", "T"], "all are stopped again")
    tty.line("bg")
    tty.until(lambda: _states(numbers) == ["S", "S"], "all go on")
    tty.line("kill %1; wait")
    tty.until(lambda: _states(numbers) in ([], ["S"]), "the end")  # sh hears of it alone
    os.kill(-int(numbers[0]), 9) if _states(numbers) else None
    tty.until_gone("sleep 60.21")


@levels
def test_job_control_inside(terminal: MakeTerminal, level: str) -> None:
    """^Z and `fg` in a shell of the job, and a background reader."""
    tty = terminal(level, cols=120)
    tty.line("PS1='> ' $G bash --norc -i")
    tty.matches("^>")
    tty.line("sh -c 'echo $$ >fore; sleep 60.22; :'")
    tty.until(lambda: states_of("sleep 60.22"), "it")  # a shell that is in vfork(2) cannot stop
    fore = [(tty.folder / "fore").read_text().strip()]
    tty.type("\x1a")
    tty.matches(r"Stopped +sh -c")
    tty.until(lambda: _states(fore) == ["T"], "it is stopped")
    tty.line("fg")
    tty.until(lambda: _states(fore) == ["S"], "it goes on")
    tty.type("\x03")
    tty.until_gone("sleep 60.22")
    tty.line("cat & echo $! >fore; wait %1")
    tty.matches(r"Stopped +cat")
    fore = [(tty.folder / "fore").read_text().strip()]
    tty.until(lambda: _states(fore) == ["T"], "the reader is stopped")
    # `wait` alone gives up when the shell has not heard of the end yet.
    tty.line("kill -9 %1; while kill -0 $(cat fore) 2>/dev/null; do sleep 0.05; done")
    tty.until(lambda: not _states(fore), "the reader has ended")
    tty.line("exit 5")
    tty.until(lambda: tty.lines()[-1] == "$", "the outer prompt")


def test_where_ends_of_children_are_ignored(both: Both) -> None:
    """Whoever started the job ignores SIGCHLD: his children do, and no shadow may."""
    line = (
        "trap '' CHLD; $G sh -c 'sleep 50.17 & echo $! >pid; echo up >up; "
        f"{GO}echo over' & {HOME}{WAIT}kill -STOP $(cat pid); is T; kill -9 $(cat pid); "
        'until [ -z "$(ps -o s= -p $(cat pid) | tr -d Z)" ]; do sleep 0.02; done; '
        "echo x >go; wait; echo $?; $G sh -c 'exit 5'; echo $?"
    )
    both.same(line, timeout=40)

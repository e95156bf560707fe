"""Random sessions at an interactive shell: keys and job control over transparent jobs show on the
screen what they show natively.

A session is made up while it is played natively (what can be typed depends on what is on the
screen), and then typed again under -T: after each step the screen must become the native one.
A few in the short form; GLUNIX_LONG=1: 200. GLUNIX_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

import pytest

from .compare import NATIVE, TRANSPARENT
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]

LONG = bool(os.environ.get("GLUNIX_LONG"))
SEED = int(os.environ.get("GLUNIX_SEED", "0"))
BEGIN = SEED or random.randrange(1 << 32)
SESSIONS = int(os.environ.get("GLUNIX_SESSIONS", "1" if SEED else "200" if LONG else "2"))
PARTS = min(4, SESSIONS)
STEPS = 9
SIZE = {"cols": 300, "rows": 60}
START = 1.0
"""Seconds in which a job begins: no line on the screen tells of it."""

TRAPS = 'trap "echo int" INT; trap "echo term" TERM; trap "echo cont" CONT; '
# None that natively leaves a process when its terminal is gone (`sh -c 'sleep 60 &'`).
JOBS = (
    "$G cat", "$G cat -n", "$G sh -c 'echo it runs; exec sleep 100'", "$G cat | cat",
    "cat | $G cat", "$G cat | $G tr a-z A-Z", "$G head -n 2", "$G sh", "PS1='> ' $G bash --norc -i",
    "$G sh -c 'echo it runs; while read x; do echo got $x; done'",
    f"$G sh -c '{TRAPS}echo it runs; while read x; do echo got $x; done; echo over; exit 3'",
    f"$G bash -c '{TRAPS}read x; read -n 1 y; echo; echo $x $y; sleep 50; exit 4'",
    "$G sh -c 'echo it runs; stty -echo; read x; stty echo; echo $x'",
    "$G bash -c 'echo it runs; sleep 100; echo went on'",
    "$G sh -c 'echo it runs; cat; exit 7' | cat", "$G sh -c 'cat; echo two; cat'",
)  # fmt: skip
AT_JOB = ("word{}\r", "word{}\r", "w", "\x03", "\x1a", "\x1a", "\x1c", "\x04", "\x15")
AT_PROMPT = (
    "fg", "fg", "bg", "jobs", "kill %1", "kill -INT %1", "kill -CONT %1", "kill -STOP %1",
    "kill -9 %1", "kill -TERM %2", "fg %1", "fg %2", "bg %1", "echo =$?", "stty -a | head -3",
    "kill -HUP %1", "kill -TSTP %1", "wait %1",
)  # fmt: skip


def text(tty: Terminal) -> str:
    """The screen, without what bash says of its jobs: when it does depends on how fast they are."""
    told = r"\[\d\][+-]? .*|bash: line \d+: .*|"
    return "\n".join(line for line in tty.lines() if not re.fullmatch(told, line))


def make_up(tty: Terminal, dice: random.Random) -> tuple[list[str], list[str]]:
    """Play a session; returns what was typed and what was seen after each step."""
    keys, seen, made = ["IGNOREEOF=9\r", "\x0c"], ["$ IGNOREEOF=9\n$", "$"], 0
    for step, shown in zip(keys, seen, strict=True):
        tty.type(step)
        tty.until(lambda: text(tty) == shown, "the shell")  # noqa: B023
    for number in range(STEPS):
        if tty.lines()[-1:] != ["$"]:
            step = dice.choice(AT_JOB).format(number)
        elif made < 2 and dice.random() < 0.5:
            made += 1
            step = dice.choice(JOBS) + dice.choice(("\r", "\r", " &\r"))
        else:
            step = dice.choice(AT_PROMPT) + "\r"
        tty.type(step)
        tty.settle()
        tty.settle()
        keys.append(step)
        seen.append(text(tty))
    return keys, seen


def play(tty: Terminal, keys: list[str], seen: list[str]) -> str:
    """Type the same; the first step that shows something else, or nothing."""
    for number, (step, shown) in enumerate(zip(keys, seen, strict=True)):
        tty.type(step)
        if "$G" in step:  # it begins later than natively, and what is typed next is for it
            tty.look_for(START)
        try:
            tty.until(lambda: text(tty) == shown, "the screen", 6.0)  # noqa: B023
            tty.settle()
        except AssertionError:
            return f"after step {number} of {keys}:\n{text(tty)}\n-- natively\n{shown}"
    return ""


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.parametrize("part", range(PARTS))
def test_same_as_native(terminal: MakeTerminal, part: int) -> None:
    differ = []
    for seed in range(BEGIN + part, BEGIN + SESSIONS, PARTS):
        keys, seen = make_up(terminal(NATIVE, **SIZE), random.Random(seed))
        wrong = play(terminal(TRANSPARENT, **SIZE), keys, seen)
        if wrong and not LONG:  # a busy machine, where a job takes longer than START?
            wrong = play(terminal(TRANSPARENT, **SIZE), keys, seen)
        if wrong and not any(play(terminal(NATIVE, **SIZE), keys, seen) for _ in range(3)):
            differ.append(f"GLUNIX_SEED={seed}\n{wrong}")
    assert not differ, "\n\n".join(differ)

"""Output of the home terminal is stopped and started (tcflow(3), ^S and ^Q) for all who write.

Whoever stops it, whoever starts it: natively, and with the stopping or the stopped one on a node.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.cluster import GROUP_TTY, TESTED_USER, until

from .compare import NATIVE, TRANSPARENT
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]
levels = pytest.mark.parametrize("level", [NATIVE, TRANSPARENT])

STILL = 0.4
"""Seconds without progress after which somebody counts as waiting."""

OWN_WRITES = """
import os, termios, time
def say(text): os.write(1, text.encode() + b"\\n")
termios.tcflow(1, termios.TCOOFF)
reads, writes = os.pipe()
child = os.fork()
if child == 0:
    for n in range(3):
        os.write(writes, b"?")
        os.write(1, b"child\\n")
        os.write(writes, b"!")
    os._exit(0)
time.sleep(STILL)
told = os.read(reads, 99)
termios.tcflow(1, termios.TCOON)
os.waitpid(child, 0)
say(told[-1:].decode() + " waited")
say("end")
"""

TICKS = """
import os, time
os.write(1, b"begins\\n")
for n in range(TICKS):
    time.sleep(0.025)
    os.write(1, b"tick %d\\n" % n)
    os.ftruncate(COUNT, n + 1)
os.write(1, b"end\\n")
"""

TIMES = 80

FLOW = "import sys, termios; termios.tcflow(1, getattr(termios, sys.argv[1]))"


def _write(tty: Terminal, name: str, text: str) -> str:
    file = tty.folder / f"{name}.py"
    file.write_text(text.replace("STILL", str(STILL)).replace("TICKS", str(TIMES)))
    return str(file)


def _comes_to_rest(file: Path) -> int:
    """How often it has ticked when it does not any more."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < STILL:
        now = file.stat().st_size if file.exists() else 0
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.02)
    return seen


def _ticking(tty: Terminal) -> Path:
    count = tty.folder / "count"
    _write(tty, "ticks", f"import os\nCOUNT = os.open('{count}', os.O_RDWR | os.O_CREAT)\n{TICKS}")
    return count


@levels
def test_own_writes_wait(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    _write(tty, "own", OWN_WRITES)
    assert tty.run("$G $PYTHON -IS own.py") == ["child", "child", "child", "? waited", "end"]


@levels
def test_writes_of_others_wait(terminal: MakeTerminal, level: str) -> None:
    """The job stops it for a process of home, and another job lets it go on."""
    tty = terminal(level)
    _write(tty, "flow", FLOW)
    (tty.folder / "line").write_text(
        "$G $PYTHON -IS flow.py TCOOFF\n"
        f"timeout {STILL} echo held; echo $? >status\n"
        "(echo goes on; echo done >done) & sleep 0.1; ls done 2>status2\n"
        "$G $PYTHON -IS flow.py TCOON; wait; cat status done\n"
    )
    shown = tty.run("set +m; . ./line")
    assert [line for line in shown if not line.startswith("[")] == ["goes on", "124", "done"]


@levels
def test_a_process_of_home_stops_the_job(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    count = _ticking(tty)
    _write(tty, "flow", FLOW)
    (tty.folder / "line").write_text(
        "(until [ -s count ]; do sleep 0.01; done; $PYTHON -IS flow.py TCOOFF; : >stopped;"
        " until [ -e go ]; do sleep 0.01; done; $PYTHON -IS flow.py TCOON) & \n"
        "$G $PYTHON -IS ticks.py; wait\n"
    )
    tty.line("set +m; . ./line")
    until((tty.folder / "stopped").exists, "the terminal is stopped")
    assert _comes_to_rest(count) < TIMES
    (tty.folder / "go").touch()
    tty.shows("end")
    shown = [line for line in tty.lines() if re.match(r"tick \d+$", line)]
    assert shown == [f"tick {n}" for n in range(TIMES - len(shown), TIMES)]
    tty.prompt()


@levels
def test_the_user_stops_and_starts_it(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    count = _ticking(tty)
    tty.line("$G $PYTHON -IS ticks.py")
    tty.shows("begins")
    tty.type("\x13")
    ticks = _comes_to_rest(count)
    assert ticks < TIMES
    tty.look(0.1)
    assert "end" not in tty.lines()
    tty.type("\x11")
    tty.shows("end")
    assert os.stat(count).st_size == TIMES
    tty.prompt()


@levels
def test_input_is_stopped_by_a_character(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    _write(tty, "flow", FLOW)
    before = len(tty.raw)
    tty.run("$G $PYTHON -IS flow.py TCIOFF; $G $PYTHON -IS flow.py TCION")
    assert re.findall(rb"[\x11\x13]", tty.raw[before:]) == [b"\x13", b"\x11"]


@levels
def test_who_may_write_to_it_is_set_at_home(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    look = "stat -c %a $(tty)"
    assert tty.run(f"$G mesg n; {look}; $G {look}; mesg y; $G mesg; $G mesg y; {look}") == [
        "600",
        "600",
        "is y",
        "620",
    ]
    if TESTED_USER:
        assert tty.run("$G chgrp 1 $(tty) 2>&1 | sed s/.*://; stat -c '%u %g' $(tty)") == [
            " Operation not permitted",
            f"{TESTED_USER} {GROUP_TTY}",
        ]
        return
    program = "import os; os.fchown(0, 1, 2); print(os.fstat(1)[4:6])"
    assert tty.run(f"$G $PYTHON -c '{program}'; stat -c '%u %g' $(tty); chown 0:5 $(tty)") == [
        "(1, 2)",
        "1 2",
    ]

"""Queries of the home terminal's modes are answered on the node, and are right there (node/modes).

Whatever the program hears from home (a key, a byte of a pipe, a signal) after the modes have
changed, it finds the new ones; without a word from home it finds them soon.
"""

from __future__ import annotations

import json
import os
import signal
import termios
from collections.abc import Callable

import pytest
from e2e.cluster import Cluster

from .compare import NATIVE, PYTHON, TRANSPARENT
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]

TIMES = 12

_START = """
import fcntl, os, signal, sys, termios, time
def ask(command, size, fd=1):
    return fcntl.ioctl(fd, command, bytes(size)).hex()
def shown(fd=1):
    lines, columns = os.get_terminal_size(fd)[::-1]
    return f"{int(bool(termios.tcgetattr(fd)[3] & termios.ECHOCTL))} {lines}x{columns}"
def say(text):
    os.write(1, text.encode() + b"\\n")
"""

QUERIES = (
    _START
    + """
def all_of_it():
    for command, size in (0x5401, 36), (0x802C542A, 44), (0x5405, 18), (0x5413, 8):
        say(ask(command, size))
all_of_it()
all_of_it()
mode = termios.tcgetattr(0)
mode[3] &= ~termios.ECHOCTL
mode[6][termios.VINTR] = b"\\x06"
termios.tcsetattr(0, termios.TCSADRAIN, mode)
all_of_it()
fcntl.ioctl(0, termios.TIOCSWINSZ, bytes((30, 0, 99, 0, 5, 0, 6, 0)))
all_of_it()
say("end")
"""
)

AFTER_A_BYTE = (
    _START
    + """
shown()
for n in range(TIMES):
    say(f"ready {n}")
    os.read(0, 100)
    say(f"{n}: {shown()}")
"""
)

AFTER_A_SIGNAL = (
    _START
    + """
shown()
told = []
signal.signal(signal.SIGUSR1, lambda *_: told.append(shown()))
say(f"pid {os.getpid()} ")
for n in range(TIMES):
    say(f"ready {n}")
    while not told:
        signal.pause()
    say(f"{n}: {told.pop()}")
"""
)

WITHOUT_A_WORD = (
    _START
    + """
for n in range(3):
    was = shown()
    say(f"ready {n}")
    while shown() == was:
        time.sleep(0.005)
    say(f"seen {n}")
"""
)


def _start(tty: Terminal, name: str, text: str, how: str = "$G") -> None:
    file = tty.folder / f"{name}.py"
    file.write_text(text.replace("TIMES", str(TIMES)))
    tty.line(f"stty -echo; {how} $PYTHON -IS {file}; stty sane")


def _change(tty: Terminal, n: int) -> str:
    """Other modes and another size, as a process at home makes them; how a program shows them."""
    fd = tty.child.child_fd  # of a master these are its slave's
    mode = termios.tcgetattr(fd)
    mode[3] ^= termios.ECHOCTL
    termios.tcsetattr(fd, termios.TCSANOW, mode)
    tty.resize(24, 80 + n)
    return f"{int(bool(mode[3] & termios.ECHOCTL))} 24x{80 + n}"


def test_queries_are_answered_as_at_home(terminal: MakeTerminal) -> None:
    """All of modes and size, also twice at once, and after the program itself changed them."""
    found = []
    for level in (NATIVE, TRANSPARENT):
        tty = terminal(level, rows=40, cols=120)
        _start(tty, "queries", QUERIES)
        tty.shows("end")
        lines = tty.lines()
        found.append(lines[1 : lines.index("end") + 1])  # a prompt may be there already
        tty.prompt()
    assert found[1] == found[0]
    assert len(set(found[0])) == 3 + 3 + 2 + 1  # modes before and after, two sizes, the end


def test_a_byte_that_comes_after_a_change_finds_it(terminal: MakeTerminal) -> None:
    tty = terminal(TRANSPARENT, rows=24, cols=80)
    _start(tty, "byte", AFTER_A_BYTE)
    for n in range(TIMES):
        tty.shows(f"ready {n}")
        wanted = _change(tty, n)
        tty.type("\r")
        assert tty.matches(rf"^{n}: (.*)$")[1] == wanted
    tty.prompt()


def test_a_byte_of_a_pipe_that_comes_after_a_change_finds_it(terminal: MakeTerminal) -> None:
    """It goes ahead by another way than answers do."""
    tty = terminal(TRANSPARENT, rows=24, cols=80)
    fifo = str(tty.folder / "fifo")
    os.mkfifo(fifo)
    _start(tty, "pipe", AFTER_A_BYTE, how=f"cat {fifo} | $G")
    with open(fifo, "wb", buffering=0) as writer:
        for n in range(TIMES):
            tty.shows(f"ready {n}")
            wanted = _change(tty, n)
            writer.write(b"x")
            assert tty.matches(rf"^{n}: (.*)$")[1] == wanted
    tty.prompt()


def test_a_signal_that_comes_after_a_change_finds_it(terminal: MakeTerminal) -> None:
    tty = terminal(TRANSPARENT, rows=24, cols=80)
    _start(tty, "signal", AFTER_A_SIGNAL)
    pid = int(tty.matches(r"^pid (\d+)$")[1])
    for n in range(TIMES):
        tty.shows(f"ready {n}")
        wanted = _change(tty, n)
        os.kill(pid, signal.SIGUSR1)
        assert tty.matches(rf"^{n}: (.*)$")[1] == wanted
    tty.prompt()


def test_a_change_is_seen_without_a_word_from_home(terminal: MakeTerminal) -> None:
    """By a program that does nothing but ask."""
    tty = terminal(TRANSPARENT)
    _start(tty, "silent", WITHOUT_A_WORD)
    for n in range(3):
        tty.shows(f"ready {n}")
        _change(tty, n)
        tty.shows(f"seen {n}")
    tty.prompt()


@pytest.mark.parametrize("engine", ["unotify", "ptrace-seccomp"])
def test_they_do_not_go_home(shared: Cluster, terminal: MakeTerminal, engine: str) -> None:
    """A second's thousands of queries are a question or two."""
    tty = terminal(TRANSPARENT)
    text = "import os\nfor n in range(1000): assert os.isatty(1)"
    bill = tty.folder / "bill"
    line = f"$G --engine={engine} --stats=json {PYTHON} -ISc '{text}' 2>{bill}"
    (tty.folder / "line").write_text(line)
    tty.run(f". {tty.folder}/line")
    told = json.loads(bill.read_text())
    asked = [kind for kind in told["dearest"] if kind["name"] == "ioctl TCGETS"]
    assert 1 <= sum(kind["count"] for kind in asked) < 100

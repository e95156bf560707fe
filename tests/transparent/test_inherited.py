"""Descriptors above 2: a transparent program inherits them as it would at home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .compare import NATIVE, TRANSPARENT, Both
from .terminal import Terminal

LINES = [
    "$G cat <(echo one) <(echo two)",
    "$G diff <(seq 3) <(seq 4); echo $?",
    "seq 3 | $G tee >(cat >a; echo done >b) >/dev/null; until [ -s b ]; do sleep 0.01; done; cat a",
    "seq 9 >f; exec 5<f; $G sh -c 'read a <&5; read b <&5; echo $a $b'; read c <&5; echo $c",
    "seq 5 >f; exec 5<f; $G sh -c 'cat <&5'; read c <&5 || echo end",
    "exec 5>f 6>>f; $G sh -c 'echo five >&5; echo 6 >&6'; sort f",
    "{ $G sh -c 'echo to three >&3; echo to one' 3>&1 >f; }; cat f",
    "{ $G sh -c 'echo a; echo b >&3; echo c'; } 3>&1 | cat",
    "exec 4</dev/null 5>/dev/null; $G sh -c 'cat <&4; echo gone >&5; echo $?'",
    "mkfifo p; seq 3 >p & exec 7<p; $G head -n 1 <&7; $G sh -c 'exec cat <&7'",
    "$G sh -c 'cat <&9' 9<&-; echo $?",
    "exec 200</etc/passwd; $G $PYTHON -c 'import os; print(os.read(200, 4), os.lseek(200, 0, 1),"
    " os.pread(200, 4, 1), os.fstat(200).st_size)'; head -c 4 <&200",
    "$G $PYTHON -c 'import os; print([n for n in range(3, 20)"
    ' if os.path.exists(f"/dev/fd/{n}")])\' 4</dev/null 9>&1',
    "exec 3< <(seq 100000); $G sh -c 'wc -l <&3'",
    "exec 3< <(printf abc; until [ -e go ]; do sleep 0.01; done; printf def)\n"
    "$G $PYTHON -c 'import os, select\n"
    "p = select.poll(); p.register(3, select.POLLIN)\n"
    'while p.poll() and (data := os.read(3, 10)): print(data), os.close(os.open("go", 64))\'',
    "exec 3< <(seq 100); $G $PYTHON -c 'import os; os.set_blocking(3, False); import select\n"
    "select.select([3], [], []); print(os.read(3, 8))'; head -n 1 <&3",
    "{ $G yes >&3; echo $?; } 3> >(head -n 1 >/dev/null)",
    "(flock 9; $G sh -c 'echo locked; flock -n 9 && echo ours') 9>lock; flock -n lock echo free",
    "printf '%s\\n' 'all: a b' 'a b:; +@$G $(MAKE) -f inner $@' >Makefile;"
    " printf '%s\\n' 'a b:; @echo made $@' >inner; make -sj2 | sort",
]


@pytest.mark.parametrize("line", LINES)
def test_same_line(both: Both, line: str) -> None:
    both.same(line)


def test_nothing_is_inherited_that_closes_on_exec(both: Both) -> None:
    """A shell keeps its own descriptors so."""
    seen = both.same('exec 5</dev/null; $G sh -c \'ls /proc/self/fd | tr "\\n" " "\'')
    assert seen.text.split() == ["0", "1", "2", "3", "5"]


def test_more_than_are_passed_on(both: Both, tmp_path: Path) -> None:
    """The first sixty-four are; the job runs."""
    opens = "; ".join(f"exec {number}</dev/null" for number in range(20, 100))
    seen = both.run(f"{opens}; $G sh -c 'ls /proc/self/fd' | wc -l", "glurun -T")
    assert int(seen.text) == 64 + 4
    assert seen.complaint.startswith("glurun: not passed on to the job: descriptor 84, 85, ")


def test_what_cannot_be_passed_on_is_told(both: Both) -> None:
    line = (
        "$PYTHON -c 'import os, select, sys; e = select.epoll(); os.dup2(e.fileno(), 7);"
        ' os.execvp("glurun", ["glurun", "-T", "ls", "/proc/self/fd"])\''
    )
    seen = both.run(line, "")
    assert seen.text.split() == ["0", "1", "2", "3"]
    assert seen.complaint == "glurun: not passed on to the job: descriptor 7"


TERMINAL = [
    "exec 8<&0 9>&1; $G sh -c 'echo ready >&9; read x <&8; echo =$x >&9' </dev/null >/dev/null",
    "exec 8</dev/tty 9>/dev/tty; $G sh -c 'echo ready >&9; read x <&8; echo =$x >&9' </dev/null",
    "exec 8<&0 9>/dev/tty; $G sh -c 'echo ready >&9; read x <&8; echo =$x >&9' <f >f 2>&1",
    'exec 7</dev/tty; $G $PYTHON -c \'import os; print(os.isatty(7) and "ready", flush=True);'
    ' print("=" + os.read(7, 4).decode())\'',
]


@pytest.mark.skipif(not os.path.exists("/dev/tty"), reason="no /dev/tty here")
@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
@pytest.mark.parametrize("line", TERMINAL)
def test_the_terminal_again(terminal: Callable[..., Terminal], line: str, level: str) -> None:
    """Other descriptors of the terminal are the terminal, by whatever name they were opened."""
    tty = terminal(level, cols=150)
    tty.run(": >f")
    tty.line(line)
    tty.shows("ready")
    tty.type("word\r")
    tty.shows("=word")
    tty.prompt()

"""Pids inside a transparent job are those of home: the numbers compared, native and under -T."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .compare import NATIVE, TRANSPARENT, Both
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]

levels = pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])

NUMBERS = (
    "import os\n"
    "fields = open('/proc/self/stat').read().rpartition(')')[2].split()\n"
    "print(os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0), *fields[1:4],\n"
    "      os.path.basename(os.path.realpath('/proc/self')), os.getpgid(os.getppid()))\n"
)


@pytest.fixture(autouse=True)
def _spaces(shared: object) -> None:
    if "pid" not in next(iter(shared.nodes().values())).isolated:  # type: ignore[attr-defined]
        pytest.skip("no PID namespaces here: a job has the node's pids (glunix doctor)")


@levels
@pytest.mark.parametrize(
    "line",
    [
        "$G $PYTHON p.py & echo $! $$ $! SID $$ $! SID $!",  # set -m: a group of its own
        "set +m; $G $PYTHON p.py & echo $! $$ $$ SID $$ $$ SID $!",
        "set +m; (exec $G $PYTHON p.py) & echo $! $$ $$ SID $$ $$ SID $!",
    ],
)
def test_same_numbers(both: Both, line: str, level: str) -> None:
    prefix = f"set -m; printf %s {_quoted(NUMBERS)} >p.py; "
    seen = both.run(f"{prefix} {{ {line}; }} >out; wait; cat out", level)
    rows = [row.split() for row in seen.text.split("\n") if row]
    told, found = sorted(rows, key=lambda row: "SID" not in row)
    session = str(os.getsid(0))
    expected = [session if word == "SID" else word for word in told]
    for want, got in zip(expected, found, strict=False):
        assert want == got, (expected, found)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@levels
def test_in_a_terminal(terminal: MakeTerminal, level: str) -> None:
    """The shell leads the session; each job its group, also where its leader runs at home."""
    tty = terminal(level, cols=100)
    (tty.folder / "p.py").write_text(NUMBERS)
    shell = tty.run("echo $$")[0]
    assert shell == str(tty.child.pid)
    pid, parent, group, session, *_, parents = tty.run("$G $PYTHON p.py")[0].split()
    assert (parent, group, session, parents) == (shell, pid, shell, shell)
    tty.run("sh -c 'echo $$ >first; cat' </dev/null | $G $PYTHON p.py >second; cat first")
    first = (tty.folder / "first").read_text().strip()
    assert (tty.folder / "second").read_text().split()[1:4] == [shell, first, shell]
    tty.run("$G $PYTHON p.py >third & echo $! >pid; wait; echo")
    pid, parent, group, session, *_ = (tty.folder / "third").read_text().split()
    assert [pid, parent, group, session] == [
        (tty.folder / "pid").read_text().strip(), shell, pid, shell,
    ]  # fmt: skip


@levels
def test_own_session(both: Both, level: str) -> None:
    """A startup that leads its session: so does the program."""
    line = f"printf %s {_quoted(NUMBERS)} >p.py; setsid -w $G $PYTHON p.py"
    pid, _, group, session, *_ = both.run(line, level).text.split()
    assert pid == group == session


@levels
def test_a_child_sees_its_parent(both: Both, level: str) -> None:
    line = '$G sh -c \'echo $$; sh -c "echo \\$PPID"; exec sh -c "echo \\$\\$"\''
    assert len(set(both.run(line, level).text.split())) == 1


@levels
def test_orphans_are_adopted(both: Both, level: str, place: Path) -> None:
    line = "$G sh -c '(sh -c \"sleep 0.3; ps -o ppid= -p \\$\\$\") & exit' | cat"
    assert both.run(line, level).text.strip() == "1"


def test_as_many_digits(both: Both) -> None:
    """ps and top make their columns as wide as the highest pid."""
    both.same("$G cat /proc/sys/kernel/pid_max; $G ps -o pid,ppid,pgid | head -n 1")


def test_nobody_else_is_seen(both: Both) -> None:
    """The job's /proc shows the job and what stands for home's processes."""
    names = both.run("$G ps -e -o comm=", TRANSPARENT).text.split()
    assert names.count("ps") == 1 and len(names) <= 5

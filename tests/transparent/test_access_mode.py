"""The open file behind fds 0-2: how it was opened decides, as at home, what a program may do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.cluster import users_own

from .compare import NATIVE, TRANSPARENT, Both

GUEST = Path(__file__).parent / "guests" / "openmodes.py"

REDIRECTIONS = [
    ("0", "<f"), ("0", "<>f"), ("0", "0>f"), ("0", "0>>f"), ("0w", "0>f 1>&0"), ("01w", "<>f >&0"),
    ("0", "</dev/null"), ("0", "<>/dev/null"), ("0", "0>/dev/null"), ("0", "0>>/dev/null"),
    ("0", "</dev/zero"), ("0", "0>/dev/full"), ("0", "<>/dev/full"), ("0", "<&-"),
    ("1", "1<f"), ("1", "1<>f"), ("1", ">f"), ("1", ">>f"), ("1", "1>&-"),
    ("1", "1</dev/null"), ("1", "1<>/dev/null"), ("1", ">>/dev/null"), ("1", "1</dev/zero"),
    ("2", "2<f"), ("2", "2<>f"), ("2", "2</dev/null"), ("1 2", "1<>f 2>&1"), ("1 2", "1<f 2>&1"),
    ("0 1", "<>f >f2"), ("0 1", "<>f 1<>f"), ("0 1", "<f >>f"), ("0 1 2", "<>f 1<>f2 2<>f3"),
    ("0", "<>p"), ("0 1", "<>p >&0"), ("1", "1<>p"), ("1", "1< <(echo in)"), ("0w", "0> >(cat)"),
    ("0w 1w", "0> >(cat >out) 1>&0"),
]  # fmt: skip


@pytest.mark.parametrize(("fds", "redirections"), REDIRECTIONS, ids=str)
def test_open_otherwise(both: Both, place: Path, fds: str, redirections: str) -> None:
    users_own(Path(shutil.copy(GUEST, place / "openmodes.py")))
    line = (
        "printf 'some text\\n' >f; cp f f2; cp f f3; mkfifo p; exec 8<>p; printf fifo >&8\n"
        f"$G $PYTHON {place}/openmodes.py {fds.replace('01w', '0 1w')} {redirections} 9>told\n"
        "echo $?; cat told; od -c f f2 f3; timeout 0.3 od -c <&8"
    )
    both.same(line)


FLAGS = [
    "fcntl.fcntl({fd}, fcntl.F_SETFL, os.O_NONBLOCK | fcntl.fcntl({fd}, fcntl.F_GETFL))",
    "fcntl.fcntl({fd}, fcntl.F_SETFL, os.O_APPEND | fcntl.fcntl({fd}, fcntl.F_GETFL))",
    "fcntl.fcntl({fd}, fcntl.F_SETOWN, os.getpid())\n"
    "fcntl.fcntl({fd}, fcntl.F_SETFL, os.O_ASYNC | fcntl.fcntl({fd}, fcntl.F_GETFL))",
    "fcntl.fcntl({fd}, fcntl.F_SETOWN, -os.getpgrp())",
    "fcntl.fcntl({fd}, fcntl.F_SETOWN, os.getpid()); fcntl.fcntl({fd}, 10, 40)",
]


@pytest.mark.parametrize("fds", ["0", "1w"])
@pytest.mark.parametrize("kind", ["file", "pipe", "device"])
@pytest.mark.parametrize("flags", FLAGS)
def test_flags_at_the_start(both: Both, place: Path, kind: str, fds: str, flags: str) -> None:
    """Set by the caller, who then becomes the program."""
    users_own(Path(shutil.copy(GUEST, place / "openmodes.py")))
    number = int(fds[0])
    start = (
        "import fcntl, os, signal, sys\nsignal.signal(40, signal.SIG_IGN)\n"
        "signal.signal(29, signal.SIG_IGN)\n" + flags.format(fd=number) + "\n"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    where = {
        "file": ("<f", ">>f"),
        "pipe": ("< <(printf 'in the pipe'; sleep 1)", "> >(cat >out)"),
        "device": ("</dev/zero", ">/dev/null"),
    }[kind][number]
    line = (
        f"printf 'some text\\n' >f; cat >start.py <<'E'\n{start}\nE\n"
        f"$PYTHON start.py $G $PYTHON {place}/openmodes.py {fds} {where} 9>told; cat told"
    )
    if number == 0 and kind == "pipe":
        line = line.replace(" 0 <", " 0w <")
    both.same(line)


def test_an_unwritable_stdin_of_nohup(both: Both) -> None:
    """It gives the program /dev/null, open for writing only."""
    native = both.same("nohup $G sh -c 'cat; echo $?' 0>/dev/null 2>&1; nohup $G true; echo $?")
    assert "Bad file descriptor" in native.text


@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
def test_a_fifo_that_is_open_both_ways(both: Both, level: str) -> None:
    line = (
        "mkfifo p; (echo one >p) & $G sh -c "
        "'read a; echo got $a; echo two >&0; read b; echo got $b' <>p; wait"
    )
    assert both.run(line, level).text == "got one\ngot two"


def test_a_file_that_is_open_both_ways_is_read_after_what_was_written(both: Both) -> None:
    """Written as fast as other outputs are, and read where the writes ended."""
    program = (
        'import os; [os.write(1, b"%05d\\n" % n) for n in range(2000)]; os.lseek(1, -6, 1); '
        'found = os.read(1, 9); os.write(2, found + b"|" + os.pread(1, 6, 0))'
    )
    assert both.same(f"$G $PYTHON -c '{program}' 1<>f; wc -c f").err == b"01999\n|00000\n"

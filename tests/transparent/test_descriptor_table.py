"""Every fcntl command and every call on fds 0-2 of each kind: native beside -T, line by line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from e2e.cluster import users_own

from .compare import NATIVE, TRANSPARENT, Both

GUEST = Path(__file__).parent / "guests" / "fdtable.py"

OUTPUT = {"F_SETLEASE w", "F_GETLEASE", "F_SETLEASE u", "poll", "select", "spliced"}
"""A file that is written streams through a pipe: nobody gets a lease (its end would be signalled to
home's half), and poll does not say that what is never empty could be read."""

BOTH = {"mmap rw shared", "splice", "spliced"}
"""Asked for call by call: a map that is shared and written is of no use, and programs fall back."""

KINDS: list[tuple[str, str, set[str]]] = [
    ("0", "<f", set()),
    ("0", "<>f", BOTH),
    ("0", "0>>f", OUTPUT),
    ("1 w", ">f", OUTPUT),
    ("1 w", ">>f", OUTPUT),
    ("2 w", "2>f", OUTPUT),
    ("1", "1<>f", OUTPUT | {"F_SETLK", "F_OFD_SETLK", "mmap r", "mmap rw shared", "splice"}),
    ("0", "< <(printf 'some text')", set()),
    ("1 w", "> >(cat)", set()),
    ("0 w", "</dev/null", set()),
    ("0", "<>/dev/null", set()),
    ("1 w", ">/dev/null", set()),
    ("0", "</dev/zero", set()),
    ("1 w", ">/dev/full", set()),
]


def told(both: Both, level: str, line: str, known: set[str]) -> list[str]:
    found = both.run(line, level, 40)
    lines = found.out.decode().splitlines()
    assert len(lines) > 100, found
    return [one for one in lines if re.sub(r"^\d (.*?):.*", r"\1", one) not in known]


@pytest.mark.parametrize(("fd", "how", "known"), KINDS, ids=[how for _, how, _ in KINDS])
def test_every_call(both: Both, place: Path, fd: str, how: str, known: set[str]) -> None:
    users_own(Path(shutil.copy(GUEST, place / "fdtable.py")))
    line = (
        "printf 'some text of a file\\n' >f; mkfifo p; exec 8<>p; printf %50s x >&8\n"
        f"$G $PYTHON -I -S {place}/fdtable.py {fd} {how} 9>told 8>&-; cat told; od -c f"
    )
    native = told(both, NATIVE, line, known)
    assert told(both, TRANSPARENT, line, known) == native


def test_a_memory_file(both: Both, place: Path) -> None:
    users_own(Path(shutil.copy(GUEST, place / "fdtable.py")))
    start = "import os, sys; a = os.memfd_create('m'); os.write(a, b'text'); os.dup2(a, 0)"
    line = (
        f'cat >start.py <<"E"\n{start}\nos.execvp(sys.argv[1], sys.argv[1:])\nE\n'
        f"$PYTHON start.py $G $PYTHON -I -S {place}/fdtable.py 0 9>told; cat told"
    )
    known = (
        BOTH
        | {f"F_SETLEASE {how}" for how in "rwu"}
        | {"F_GETLEASE", "F_ADD_SEALS", "F_SETFL O_DIRECT", "F_GET_SEALS", "preadv2"}
    )
    native = told(both, NATIVE, line, known)
    assert told(both, TRANSPARENT, line, known) == native

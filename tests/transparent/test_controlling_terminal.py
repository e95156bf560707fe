"""A terminal among fds 0-2 is the controlling one only where it is that at home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .compare import NATIVE, TRANSPARENT
from .terminal import Terminal

OPENS = "(exec 3</dev/tty) 2>/dev/null && echo opened || echo refused"
SCTTY = (
    "import fcntl, os; os.getpid() == os.getsid(0) or os.setsid(); fcntl.ioctl(0, 0x540E, 0)"
)  # fmt: skip

LINES = {
    f"setsid -w $G sh -c '{OPENS}'": "refused",
    f"setsid -w $G sh -c '{OPENS}' </dev/null": "refused",
    f"$G setsid -w sh -c '{OPENS}'": "refused",
    f"$G sh -c '{OPENS}'": "opened",
    f"$G sh -c '{OPENS}' </dev/null": "opened",
    "setsid -w $G sh -c 'tty; [ -t 0 ]; echo $?; ps -o tty= -p $$'": "?",
    "setsid -w $G $PYTHON -c 'import os; os.tcgetpgrp(0)' 2>&1 | tail -n 1": "Inappropriate ioctl",
    f"setsid -w $G $PYTHON -c '{SCTTY}' 2>&1 | tail -n 1": "not permitted",
    "setsid -w $G stty size": "24 80",
    "timeout -s INT 1 setsid -w $G sleep 9; echo $?": "124",
    "setsid -w $G sh -c 'stty -echo; stty -a | grep -o .echo; stty echo'": "-echo",
    "setsid -w $G gpg --version | head -n 1; setsid -w $G sh -c 'GPG_TTY=$(tty); echo $?'": "0",
    "setsid -w script -qc \"$G sh -c '(exec 3</dev/tty) && echo opened'\" /dev/null": "opened",
}


@pytest.mark.parametrize("line", LINES)
def test_as_at_home(terminal: Callable[..., Terminal], line: str) -> None:
    native, ours = (terminal(level).run(line) for level in (NATIVE, TRANSPARENT))
    assert any(LINES[line] in shown for shown in native)
    assert [_plain(shown) for shown in ours] == [_plain(shown) for shown in native]


def _plain(shown: str) -> str:
    """Two terminals have two names."""
    return "/dev/pts/N" if shown.startswith("/dev/pts/") else shown


@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
def test_a_password_is_asked_for_where_there_is_a_terminal(
    terminal: Callable[..., Terminal], level: str
) -> None:
    """getpass(3) and its like read the controlling terminal; without one, standard input."""
    tty = terminal(level)
    ask = '$PYTHON -c \'import getpass; print(getpass.getpass("word: ") + "!")\''
    tty.line(f"echo piped | $G {ask}")
    tty.matches(r"^word:$")
    tty.type("typed\r")
    tty.shows("typed!")
    tty.prompt()
    assert tty.run(f"echo piped | setsid -w $G {ask} 2>/dev/null")[-1] == "piped!"


@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
def test_another_terminal_on_fds_0_and_1(terminal: Callable[..., Terminal], level: str) -> None:
    """/dev/tty stays the session's own."""
    tty = terminal(level)
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.chmod(name, 0o666)
    try:
        os.write(master, b"a line\n")
        tty.line(f"$G sh -c 'read x; echo got $x; echo of the session >/dev/tty' <{name} >{name}")
        tty.shows("of the session")
        tty.prompt()
        shown = b""
        while b"got a line" not in shown:
            shown += os.read(master, 100)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.skipif(os.geteuid() != 0, reason="su(1) asks others than root for a password")
@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
def test_su_gives_a_command_no_terminal(
    terminal: Callable[..., Terminal], level: str, place: Path
) -> None:
    (place / "said.sh").write_text(OPENS)
    os.chmod(place, 0o755)
    said = terminal(level).run(f"$G su -s /bin/sh nobody -c '. {place}/said.sh'")
    assert said[-1] == "refused"

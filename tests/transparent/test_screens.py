"""Full-screen and line-editing programs: the screen under -T is the native one, cell by cell."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

import pytest

from .compare import NATIVE, TRANSPARENT
from .terminal import Step, Terminal, same_screens

MakeTerminal = Callable[..., Terminal]

PROMPT = r"^\$$"
VIM = "$G vim -u NONE -N -i NONE -n"

SCREENS: dict[str, Sequence[Step]] = {
    "bash": [
        ("PS1='> ' $G bash --norc -i\r", "^>"),
        ("echo one two\r", "^one two"),
        ("\x1b[A\x1b[D\x1b[D\x1b[Dx\r", "^one xtwo"),
        ("\x12tw", "reverse-i-search"),
        ("\x07\x15cd /us\t", "cd /usr/"),
        ("\x15ls /etc/host\t\t", "hosts"),
        ("\x15sleep 100\r", "sleep 100"),
        ("\x1a", "Stopped"),
        ("jobs; bg\r", r"sleep 100 &"),
        ("fg\r", r"fg\nsleep 100"),
        ("\x03", r"\^C\n>"),
        ("echo $?\r", "^130"),
        ("stty -a | head -n1\r", "speed"),
        ("exit 3\r", PROMPT),
        ("echo $?\r", "^3"),
    ],
    "vim": [
        (f"{VIM} text\r", r'"text" \[New'),
        ("ihello\rworld\rof cells", "of cells"),
        ("\x1b", "of cells"),
        ("/wor\r", "world"),
        (":set number\r", "3 of cells"),
        (":!echo from vim\r", "Press ENTER"),
        ("\r", "hello"),
        ("\x1a", "Stopped"),
        ("fg\r", "3 of cells"),
        ("ggdd:w\r", "written"),
        (":q\r", PROMPT),
        ("cat text\r", "^of cells"),
    ],
    "vim suspended twice": [
        (f"{VIM} text\r", r'"text" \[New'),
        ("ihello\x1b", "^hello"),
        ("\x1a", "Stopped"),
        ("echo at home\r", "^at home"),
        ("fg\r", "^hello"),
        ("ccworld", "^world"),
        ("\x1b:suspend\r", "Stopped"),
        ("bg\r", r"\$ bg"),  # it wants the terminal, and is stopped again
        ("fg\r", "^world"),
        (":!stty size\r", "^24 80"),
        ("\r", "^world"),
        (":wq\r", "written"),
        ("cat text; stty -a | head -n1\r", "^world\nspeed"),
    ],
    "bash suspended": [
        ("PS1='> ' $G bash --norc -i\r", "^>"),
        ("sleep 100\r", "sleep 100"),
        ("\x1a", "Stopped"),
        ("suspend\r", r"Stopped +PS1|Stopped +\$G"),
        ("echo at home\r", "^at home"),
        ("fg\r", "fg\nPS1|fg\n\\$G"),
        ("\r", "^>\n>|^>"),
        ("jobs\r", r"Stopped +sleep"),
        ("fg\r", "fg\nsleep 100"),
        ("\x03", r"\^C\n>"),
        ("exit 3\r", PROMPT),
        ("echo $?\r", "^3"),
    ],
    "less": [
        ("seq 500 >f; $G less f\r", "^f$|^23$"),
        (" ", "^30$"),
        ("/33\r", "^33$"),
        ("G", "^500$"),
        ("100g", "^100$"),
        ("q", PROMPT),
    ],
    "less on a pipe": [
        ("seq 500 | $G less\r", "^23$"),
        (" ", "^40$"),
        ("/77\r", "^77$"),
        ("G", "^500$"),
        ("q", PROMPT),
        ("echo $?\r", "^0$"),
    ],
    "less suspended": [
        ("seq 500 | $G less\r", "^23$"),
        (" ", "^40$"),
        ("\x1a", "Stopped"),
        ("fg\r", "^40$"),
        (" ", "^60$"),
        ("!echo from less\r", "from less"),
        ("\r", "^60$"),
        ("q", PROMPT),
    ],
    "python": [
        ("$G $PYTHON -q\r", "^>>>"),
        ("1 + 1\r", "^2"),
        ("for n in range(3):\rprint(n)\r\r" .replace("print", "    print"), "^2\n>>>"),
        ("\x1b[A\x1b[A", "print"),
        ("\x03", "KeyboardInterrupt"),
        ("input('ask: ')\r", "^ask:"),
        ("words\r", "'words'"),
        ("import getpass; getpass.getpass()\r", "Password:"),
        ("secret\r", "'secret'"),
        ("\x04", PROMPT),
    ],
    "nano": [
        ("$G nano -I text\r", "New File|New Buffer|GNU nano"),
        ("some words\rmore", "more"),
        ("\x0f", "File Name to Write"),
        ("\r", "Wrote 2 lines"),
        ("\x18", PROMPT),
        ("cat text\r", "^more"),
    ],
    "prompts": [
        ("$G bash -c 'read -s -p \"secret: \" x; echo; echo =$x='\r", "^secret:"),
        ("hidden\r", "=hidden="),
        ("x=$($G sh -c 'printf \"name: \" >/dev/tty; read x </dev/tty; echo $x') ; echo =$x=\r",
         "^name:"),
        ("mine\r", "=mine="),
        ("$G dd if=/dev/tty bs=4 count=1 status=none\r", "dd if"),
        ("abc\r", "abc\nabc"),
        ("echo piped | $G sh -c 'read a; read b </dev/tty; echo $a $b' 2>f | cat\r", "cat$"),
        ("typed\r", "^piped typed"),
    ],
    "script": [
        ("$G script -q -c 'tty | cut -c1-8; stty size' log\r", "24 80"),
        ("$G stty -a\r", "lnext"),
        ("$G sh -c 'tput setaf 1; echo red; tput bold; echo bold; tput sgr0'\r", "^bold"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_screens(terminal: MakeTerminal, name: str) -> None:
    program = name.split()[0]
    if program != "prompts" and program != "python" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    same_screens(terminal(NATIVE), terminal(TRANSPARENT), SCREENS[name])


@pytest.mark.parametrize(
    ("start", "shown", "end"),
    [
        (f"{VIM} text\r", "New", ":q!\r"),
        ("seq 500 | $G less\r", "^20$", "q"),
        ("PS1='> ' $G bash --norc -i\r", "^>", "exit\r"),
    ],
    ids=["vim", "less", "bash"],
)
def test_resize(terminal: MakeTerminal, start: str, shown: str, end: str) -> None:
    native, ours = terminal(NATIVE), terminal(TRANSPARENT)
    same_screens(native, ours, [(start, shown)])
    for rows, cols in ((30, 60), (18, 100)):
        for tty in (native, ours):
            tty.resize(rows, cols)
        oracle = native.settle()
        ours.becomes(oracle, f"the native screen at {rows} x {cols}")
    same_screens(native, ours, [(end, PROMPT)])


def test_top(terminal: MakeTerminal) -> None:
    """What top shows differs by the moment; that it repaints, takes keys and leaves does not."""
    for level in (NATIVE, TRANSPARENT):
        tty = terminal(level)
        before = tty.run("stty -a | md5sum")
        tty.line("$G top -d 0.3")
        tty.matches(r"^top - .*load average")
        tty.matches(r"^ *PID USER")
        tty.type("?")
        tty.matches("Help for Interactive Commands")
        tty.type("\x1b")
        tty.matches(r"^top - .*load average")
        tty.type("q")
        tty.prompt()
        assert tty.run("stty -a | md5sum") == before

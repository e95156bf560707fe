"""The terminal under -T is the home terminal: modes, reads, readiness, at any descriptor."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence

import pytest

from . import programs
from .compare import NATIVE, TRANSPARENT
from .terminal import DEADLINE, Terminal

MakeTerminal = Callable[..., Terminal]

Keys = Sequence[tuple[str, str]]
"""(line of the program to wait for, keys to type then)."""

SCRIPTS: dict[str, Keys] = {
    "canonical": [("ready", "abcdef\rxyz\x04\x04")],
    "raw": [("ready", "ab\r\x04\x1b")],
    "vmin3": [("ready", "abcd"), ("again", "e"), ("", "f"), ("", "g")],
    "vmin0": [("ready", "abc")],
    "vtime": [("ready", "x")],
    "between": [("ready", "ab"), ("more", "vwxyz")],
    "nonblock": [("ready", "abcdef\r")],
    "readiness": [("ready", "abcdef\r"), ("again", "xyz\r"), ("eof", "\x04")],
    "flush": [("ready", "lost\r"), ("flushed", "kept\r")],
    "modechange": [("ready", "abc")],
    "descriptors": [("ready", "aabbccddeeffgghh\r")],
    "splice": [("ready", "spliced\r")],
    "alarm": [("ready", "".join(f"line {n}\r" for n in range(12)) + "end\r")],
    "background_read": [],
}


def play(tty: Terminal, name: str) -> list[str]:
    """What a program prints while keys are typed at it."""
    file = programs.write(tty.folder, name)
    tty.line(f"stty -echo; $G $PYTHON {file}; stty sane")  # echo comes when it comes
    for line, keys in SCRIPTS[name]:
        if line:
            tty.shows(line)
        tty.type(keys)
    tty.prompt()
    return [line for line in tty.lines()[1:-1] if line != "rings"]


def test_every_program_has_a_script() -> None:
    assert SCRIPTS.keys() == programs.PROGRAMS.keys()


@pytest.mark.parametrize("name", SCRIPTS)
def test_program(terminal: MakeTerminal, name: str) -> None:
    native = play(terminal(NATIVE, cols=150), name)
    assert not any("Traceback" in line for line in native)
    assert play(terminal(TRANSPARENT, cols=150), name) == native


INTERRUPTED = """
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
static void ring(int n) { (void)n; }
int main(void) {
    struct sigaction how = { .sa_handler = ring };  /* without SA_RESTART */
    struct itimerval often = { { 0, 1700 }, { 0, 1700 } };
    char all[4096]; int size = 0, late = 0;
    sigaction(SIGALRM, &how, 0);
    setitimer(ITIMER_REAL, &often, 0);
    puts("ready"); fflush(stdout);
    while (size < 4 || memcmp(all + size - 4, "end\\n", 4)) {
        int count = read(0, all + size, 3);
        if (count < 0 && errno == EINTR) { late++; continue; }
        if (count <= 0) return 9;
        size += count;
    }
    often.it_value.tv_usec = often.it_interval.tv_usec = 0;
    setitimer(ITIMER_REAL, &often, 0);
    all[size] = 0;
    unsigned sum = 0;
    for (char *p = all; *p; p++) sum = sum * 31 + (unsigned char)*p;
    printf("%d bytes %u %s\\n", size, sum, late ? "interrupted" : "never late");
    return 0;
}
"""


def test_interrupted_reads_lose_nothing(
    terminal: MakeTerminal, compiled: Callable[[str, str], str]
) -> None:
    """A signal every 1.7 ms, without SA_RESTART, while lines are typed one key at a time."""
    program = compiled("interrupted", INTERRUPTED)
    found = []
    for level in (NATIVE, TRANSPARENT):
        tty = terminal(level)
        tty.line(f"stty -echo; $G {program}; stty sane")
        tty.shows("ready")
        for key in "".join(f"line {n}\r" for n in range(20)) + "end\r":
            tty.type(key)
            tty.look(0.003)
        tty.prompt()
        found.append(tty.lines()[2:-1])
    assert found[1] == found[0] == [found[0][0]]
    assert found[0][0].endswith("interrupted")


SHOWN_FIRST = """
import array, fcntl, os, sys, termios, tty
tty.setcbreak(0)  # takes away what was typed before
told = os.open("told", os.O_WRONLY)
fds = {"tty": os.open("/dev/tty", os.O_RDWR), "err": 2, "out": 1}
def act(how):
    if how == "read": os.read(0, 1)
    elif how == "count": fcntl.ioctl(0, termios.FIONREAD, array.array("i", [0]))
    elif how == "drain": termios.tcdrain(1)
    elif how == "modes": termios.tcsetattr(0, termios.TCSANOW, termios.tcgetattr(0))
    elif how == "own": os.read(fds["tty"], 1)
for n in range(60):
    for name, fd in fds.items():
        for how in ("read", "count", "drain", "modes", "own"):
            os.write(fd, b"<%d %s %s>" % (n, name.encode(), how.encode()))
            act(how)
            os.write(told, b"<%d %s %s>\\n" % (n, name.encode(), how.encode()))
"""


@pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])
def test_what_was_written_is_on_the_screen_before_a_call_acts(
    terminal: MakeTerminal, level: str
) -> None:
    """A file tells us that the call has acted: the words are there already, without a wait."""
    tty = terminal(level)
    tty.run("stty -echo; mkfifo told")
    (tty.folder / "p.py").write_text(SHOWN_FIRST)
    tty.line("$G $PYTHON p.py")
    ours = tty.child.child_fd
    with (tty.folder / "told").open("rb", buffering=0) as told:
        seen = b""
        tty.type("k" * 60 * 3 * 2)  # for all reads
        while select.select([told], [], [], DEADLINE)[0] and (line := told.readline()):
            while select.select([ours], [], [], 0)[0]:
                seen += os.read(ours, 65536)
            word = line.rstrip(b"\n")
            assert word in seen, f"{word!r} is not shown"
            seen = seen[seen.index(word) + len(word) :]
    assert word == b"<59 out own>"
    tty.prompt()

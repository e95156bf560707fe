"""Who and where a transparent job is: names, limits, priority, and the terminal's own identity."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from e2e.cluster import TESTED_USER, Cluster

from .compare import NATIVE, TRANSPARENT, Both
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]

PROCESSES = "ulimit -u 2000; " if TESTED_USER else ""
"""Below an ordinary user's share of a root's cluster (`[limits] tasks`)."""

OWN_NAME = "-Uru" if TESTED_USER else "-u"

NAMES = "print(socket.gethostname(), platform.node(), os.uname().nodename)"


@pytest.mark.parametrize(
    "line",
    [
        "$G cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname /etc/hostname",
        "$G sysctl -n kernel.hostname; $G hostname -s; $G uname -a",
        f"$G $PYTHON -c 'import os, platform, socket; {NAMES}'",
        "$G setpriv --reuid 65534 --clear-groups hostname other; $G hostname",
        f"unshare {OWN_NAME} sh -c 'hostname an.other; $G hostname; $G uname -n; hostname'",
        "$G nice; nice -n 7 $G nice; nice -n 3 $G sh -c 'nice -n 4 nice'",
        f"{PROCESSES}$G bash -c 'ulimit -a; ulimit -aH'",
        f"{PROCESSES}ulimit -n 77; ulimit -S -s 4000; ulimit -S -f 9;"
        " $G bash -c 'ulimit -a; ulimit -aH'",
        f"{PROCESSES}$G cat /proc/self/limits",
        "umask 027; $G sh -c 'umask; : >f; stat -c %a f'",
        "$G id; $G sh -c 'cd /; pwd; echo $HOME $LOGNAME $LANG'",
        "$G sh -c 'tty; tty </dev/tty'; echo $?",
    ],
)
def test_same_line(both: Both, line: str) -> None:
    if ("setpriv" in line and TESTED_USER) or ("unshare" in line and os.geteuid()):
        pytest.skip("this is not root: nobody else can be become, nor a host name set")
    assert both.same(line).text


LINES = [
    "tty; $G tty",
    "$G sh -c 'tty; tty <&1; tty <&2; tty </dev/tty'",
    "$G bash -c 'ps -o tty= -p $$'",
    "$G sh -c 'cut -d\" \" -f7 /proc/self/stat'",
    "$G stat -Lc '%t:%T %U %G %a' /proc/self/fd/0 /dev/tty",
    "$G mesg; chmod g+w $(tty); $G mesg; chmod g-w $(tty); $G mesg",
    "$G sh -c 'echo written to $(tty) >$(tty)'",
    "$G stty -a",
    "$G stty -g; $G stty -aF /dev/tty; $G sh -c 'stty -gF $(tty) </dev/null'",
    "seq 3 | $G sh -c 'tty; stty size </dev/tty; ps -o tty= -p $$'",
]


def test_the_terminal_has_homes_name(terminal: MakeTerminal, shared: Cluster) -> None:
    if os.geteuid():
        pytest.skip("this is not root: a node of this cluster may mount nothing")
    tty = terminal(NATIVE, cols=200, rows=60)
    for line in LINES:
        tty.run("G=")
        native = tty.run(line)
        tty.run(f"G='{TRANSPARENT}'")
        assert tty.run(line) == native, line


def test_a_high_number(terminal: MakeTerminal) -> None:
    """Numbers below it are free on the node and taken at home."""
    others = [os.openpty() for _ in range(5)]
    try:
        tty = terminal(TRANSPARENT)
        assert tty.run("$G true; tty; $G tty; $G tty")[1:] == 2 * tty.run("tty")
        assert tty.run("$G script -qc tty /dev/null")[0].startswith("/dev/pts/")
    finally:
        for fd in (fd for pair in others for fd in pair):
            os.close(fd)

"""The first slice of -T, line by line: host name, reads on demand, the terminal, signals, statuses.

Every line runs natively and under -T, and must do the same.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from e2e.cluster import Cluster

from .compare import TRANSPARENT, Both
from .terminal import Terminal, states_of

MakeTerminal = Callable[..., Terminal]

STATIC_NAME = """
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
int main(void) {
    char name[65]; struct utsname u;
    if (gethostname(name, sizeof name) || uname(&u)) return 1;
    printf("%s %s\\n", name, u.nodename);
    return strcmp(name, u.nodename) != 0;
}
"""


def test_it_runs_on_a_node(both: Both, shared: Cluster) -> None:
    """Otherwise every comparison below would be of home with home."""
    line = "$G sh -c 'echo $GLUNIX_NODE; readlink /proc/self/ns/pid'"
    node, space = both.run(line, TRANSPARENT).text.split("\n")
    member = shared.nodes()[node]
    if "pid" in member.isolated:
        assert space != both.run(line, "").text.split("\n")[1]


# -- the home node's name ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "$G hostname",
        "$G uname -n",
        "$G $PYTHON -c 'import socket; print(socket.gethostname())'",
        "$G sh -c 'cat /proc/sys/kernel/hostname'",
        "$G bash -c 'echo $HOSTNAME'",
    ],
)
def test_host_name(both: Both, line: str) -> None:
    assert both.same(line).text


def test_host_name_of_a_static_program(both: Both, compiled: Callable[[str, str], str]) -> None:
    assert both.same("$G " + compiled("name", STATIC_NAME)).status == 0


def test_user_level_shows_the_nodes_own_name(shared: Cluster) -> None:
    """The paper's limit (section 7), and that ours is not just a cluster without host names."""
    if not all("uts" in member.isolated for member in shared.nodes().values()):
        pytest.skip("nodes share the machine's host name: no UTS namespace can be made here")
    assert shared.glurun("hostname").text in shared.nodes()


# -- reads on demand -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "printf 'a\\nb\\n' | { $G sh -c 'read x; echo got $x'; cat; }",
        "seq 5 >list; while read h; do $G echo $h; done <list",
        'seq 6 >list; while read h; do $G sh -c "read y; echo $h \\$y"; done <list',
        "seq 5 | while read h; do $G echo $h; done",
        "seq 9 >f; { $G head -n1; cat; } <f",
        "seq 9 >f; { $G dd bs=3 count=2 status=none; $G dd bs=3 count=1 status=none; cat; } <f",
        "seq 9 >f; { $G sh -c 'read a; read b; echo $a $b'; $G cat; cat; } <f",
        "seq 9 | { $G sh -c 'read a; sh -c \"read b; echo \\$b\"; echo $a'; cat; }",
        "seq 20000 | $G wc",
        "seq 20000 | $G cat | md5sum",
        "$G cat <<<here",
        "$G cat </dev/null; : | $G cat",
        "printf x | $G cat",
        "printf 'a\\nb\\n' | { $G true; cat; }",
        "printf 'a\\nb\\n' | { $G sh -c 'exec <&-; cat'; cat; } 2>/dev/null",
    ],
)
def test_only_what_is_asked_for_is_read(both: Both, line: str) -> None:
    both.same(line)


# -- statuses, pipelines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "$G true",
        "$G false",
        "$G sh -c 'exit 77'",
        "$G sh -c 'echo out; echo err >&2'",
        "$G sh -c 'echo out; echo err >&2' 2>&1",
        "$G sh -c 'echo out; echo err >&2' 2>/dev/null",
        "$G sh -c 'echo out; echo err >&2' >/dev/null",
        "$G sh -c 'for i in 1 2 3 4; do echo o$i; echo e$i >&2; done' >f 2>&1; cat f",
        "echo one >f; $G echo two >>f; cat f",
        "$G seq 3 | $G tac | tac | $G tac; echo ${PIPESTATUS[@]}",
        "$G sh -c 'exit 3' | $G sh -c 'exit 4' | cat; echo ${PIPESTATUS[@]}",
        "$G yes | head -n1; echo ${PIPESTATUS[@]}",
        "yes | $G head -n1; echo ${PIPESTATUS[@]}",
        "$G yes | $G head -n1; echo ${PIPESTATUS[@]}",
        "trap '' PIPE; $G yes | head -n1; echo ${PIPESTATUS[@]}",
        "trap '' PIPE HUP; $G grep -E 'Sig(Ign|Blk|Cgt)' /proc/self/status; true",
        '$PYTHON -c \'import os, subprocess; subprocess.run(os.environ["G"].split()'
        ' + ["grep", "SigIgn", "/proc/self/status"])\'',
        "$G true && echo yes || echo no",
        "! $G true; echo $?",
        "if $G test 1 = 2; then echo a; else echo b; fi",
        "x=$($G echo 5); echo $x",
        "diff <($G seq 4) <(seq 4); echo $?",
        "$G sh -c 'echo a >&1' >&-; echo $?",
        "$G sh -c 'ls /proc/self/fd | wc -l; cat' <&-; echo $?",
        "$G ls /proc/self/fd 2>&-; echo $?",
    ],
)
def test_statuses_and_pipelines(both: Both, line: str) -> None:
    both.same(line)


@pytest.mark.parametrize("name", ["nobody-has-this", "./nobody-has-this", "/etc/passwd", "/"])
def test_what_cannot_run(both: Both, name: str) -> None:
    """The words differ (bash's own against ours); the status is the shell's convention."""
    native, ours = both.run(f"$G {name}", ""), both.run(f"$G {name}", TRANSPARENT)
    assert (ours.status, ours.out) == (native.status, native.out)
    assert ours.complaint.count("\n") == 0 and name in ours.complaint


@pytest.mark.parametrize(
    "name", ["HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "SEGV", "PIPE", "ALRM", "TERM"]
)
def test_ended_by_a_signal(both: Both, name: str) -> None:
    """The program really dies of it, and so does what stands for it at home."""
    line = f"ulimit -c 0; $G $PYTHON -c 'import os, signal; os.kill(os.getpid(), signal.SIG{name})'"
    number = getattr(signal, f"SIG{name}").value
    program = (
        "import os, subprocess, sys; "
        "print(subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode)"
    )
    seen = both.same(f'$PYTHON -c "{program}" $G sh -c "kill -{number} \\$\\$"')
    native, ours = both.run(line, ""), both.run(line, TRANSPARENT)
    assert (ours.status, ours.out) == (native.status, native.out)
    # Python ignores SIGPIPE; it dies of SIGINT as if it had not caught it.
    assert native.status == (0 if name == "PIPE" else 128 + number)
    assert seen.text == str(-number)


# -- the terminal --------------------------------------------------------------------------------

PARENS = ("", TRANSPARENT)
levels = pytest.mark.parametrize("level", PARENS, ids=["native", "T"])


@levels
def test_type_ahead_is_read_by_the_shell(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    tty.line("$G sh -c 'echo it runs; sleep 1'")
    tty.shows("it runs")
    tty.line("echo typed ahead: $((40 + 2))")
    tty.shows("typed ahead: 42")
    tty.prompt()


@levels
def test_type_ahead_goes_to_who_asks_first(terminal: MakeTerminal, level: str) -> None:
    """One line for the program, the next for the shell."""
    tty = terminal(level)
    tty.line("$G sh -c 'echo it runs; sleep 0.5; read x; echo got $x'")
    tty.shows("it runs")
    tty.line("first")
    tty.line("echo seco''nd")
    tty.shows("got first")
    tty.shows("second")


@levels
def test_size(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level, rows=31, cols=97)
    assert tty.run("$G stty size") == ["31 97"]
    assert tty.run("$G tput cols; $G tput lines") == ["97", "31"]
    assert tty.run("seq 3 2>&- | $G stty size 2>&1 | $G tail -n1") == [
        "stty: 'standard input': Inappropriate ioctl for device"
    ]
    tty.resize(28, 88)
    assert tty.run("$G stty size") == ["28 88"]


@levels
def test_resize_while_it_runs(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    (tty.folder / "p.py").write_text(
        "import os, signal\n"
        "signal.signal(signal.SIGWINCH, lambda *_: print(*os.get_terminal_size()))\n"
        "os.write(1, b'waits\\n')\n"
        "while True: signal.pause()\n"
    )
    tty.line("$G $PYTHON p.py")
    tty.shows("waits")
    tty.resize(30, 100)
    tty.shows("100 30")
    tty.resize(20, 70)
    tty.shows("70 20")
    tty.type("\x03")
    tty.prompt()


@levels
def test_program_resizes_the_terminal(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    assert tty.run("$G stty rows 33 cols 99; stty size; $G stty size") == ["33 99", "33 99"]


@levels
@pytest.mark.parametrize(("key", "status"), [("\x03", 130), ("\x1c", 131)])
def test_keys_that_signal(terminal: MakeTerminal, level: str, key: str, status: int) -> None:
    tty = terminal(level)
    tty.run("ulimit -c 0")
    tty.line("$G sh -c 'echo it runs; exec sleep 100'")
    tty.shows("it runs")
    tty.type(key)
    tty.prompt()
    assert tty.run("echo $?") == [str(status)]


@levels
def test_interrupt_that_is_handled(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    loop = "echo it runs; while :; do sleep 0.1; done"
    tty.line(f"$G bash -c 'trap \"echo caught; exit 9\" INT; {loop}'")
    tty.shows("it runs")
    tty.type("\x03")
    tty.until(lambda: any(line.endswith("caught") for line in tty.lines()), "the trap")
    tty.prompt()
    assert tty.run("echo $?") == ["9"]


@levels
def test_interrupt_of_a_pipeline(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    tty.line("$G sh -c 'echo it runs; exec sleep 100' | cat | $G cat")
    tty.shows("it runs")
    tty.type("\x03")
    tty.prompt()
    assert tty.run("echo ${PIPESTATUS[@]}") == ["130 130 130"]


@levels
def test_stop_and_go_on(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    tty.line("$G sh -c 'echo it runs; read x; echo =$x'")
    tty.shows("it runs")
    tty.type("\x1a")
    tty.prompt()
    stopped = "[1]+  Stopped                 $G sh -c 'echo it runs; read x; echo =$x'"
    assert tty.run("echo $?; jobs") == ["148", stopped]
    assert set(states_of("echo =$x")) == {"T"}
    tty.line("fg")
    tty.until(lambda: "T" not in states_of("echo =$x"), "the process goes on")
    tty.line("a word")
    tty.shows("=a word")
    tty.prompt()
    assert tty.run("jobs; echo $?") == ["0"]


@levels
def test_the_terminal_is_home(terminal: MakeTerminal, level: str) -> None:
    """All three descriptors are one terminal, and its settings are home's."""
    tty = terminal(level)
    look = "[os.isatty(n) for n in range(3)], len({os.ttyname(n) for n in range(3)})"
    program = f"import os; print({look})"
    assert tty.run(f"$G $PYTHON -c '{program}'") == ["[True, True, True] 1"]
    assert tty.run("$G stty -a | md5sum") == tty.run("stty -a | md5sum")
    tty.run("stty -echoctl intr ^G")
    assert tty.run("$G stty -a | md5sum") == tty.run("stty -a | md5sum")
    assert tty.run("$G stty intr ^C; stty -a | grep -o 'intr = ..'") == ["intr = ^C"]

"""Who serves a transparent job is killed at a random moment: the terminal is as it was before, the
shell gets a status, and nothing is left running (the leak checks)."""

from __future__ import annotations

import os
import random
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.cluster import Cluster, Member, guests_of, is_of_ours, is_shadow, is_startup, until

from .compare import TRANSPARENT
from .terminal import Terminal, states_of

MakeTerminal = Callable[..., Terminal]
ROUNDS = 40 if os.environ.get("GLUNIX_LONG") else 4


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def supervisor_of(cluster: Cluster, pid: int) -> int:
    """Who is above the program and whatever stands for home beside it: a child of the daemon."""
    daemons = {member.pid for member in cluster.members().values()}
    while parent_of(pid) not in daemons:
        pid = parent_of(pid)
    return pid


def pids_of(words: str) -> list[int]:
    """Processes whose last words these are, without shadows."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                line = Path(f"/proc/{entry.name}/cmdline").read_bytes()
            except OSError:
                continue
            words_end = line.replace(b"\0", b" ").strip().endswith(words.encode())
            if words_end and is_of_ours(int(entry.name)) and not is_shadow(int(entry.name)):
                found.append(int(entry.name))
    return found


def program_and_startup(words: str) -> tuple[int, int]:
    """(pid of the program on the node, pid of its startup at home), once both are there."""
    found: dict[str, int] = {}

    def look() -> bool:
        pids = pids_of(words)
        for pid in pids:
            if b"glurun" in _words(pid) or is_startup(pid):
                found["startup"] = pid
            elif parent_of(pid) not in pids:  # else a child of the program
                found["program"] = pid
        return len(found) == 2

    until(look, f"{words!r} on a node")
    return found["program"], found["startup"]


RAW = (
    "import os, sys, termios, time, tty\n"
    "tty.setraw(0)\n"
    "os.write(1, b'raw mode\\r\\n')\n"
    "if sys.argv[1][:5] in ('super', 'node', 'home'):\n"  # else it would live on, as at home
    "    if os.fork() == 0: os.setsid()\n"  # an escaped child: it must end with the job
    "while True: os.read(0, 1)\n"
)


@pytest.mark.parametrize("victim", ["supervisor", "startup", "program", "parent"])
def test_killed_while_raw(terminal: MakeTerminal, shared: Cluster, victim: str) -> None:
    tty = terminal(TRANSPARENT)
    modes = tty.run("stty sane; stty -a | md5sum")
    (tty.folder / "p.py").write_text(RAW)
    for round_number in range(ROUNDS):
        mark = f"p.py {victim}{round_number}"
        tty.line(f"clear; $G $PYTHON {mark}")
        tty.shows("raw mode")
        program, startup = program_and_startup(mark)
        tty.type(random.choice(["", "x", "xyz" * 30]))
        who = {
            "program": program,
            "startup": startup,
            "supervisor": supervisor_of(shared, program),
            "parent": parent_of(program),
        }
        os.kill(who[victim], signal.SIGKILL)
        tty.matches(r"^\$")
        tty.type("\x15\r")  # what was typed and not read is the shell's
        tty.line("stty sane; echo is $?")
        tty.matches("^is ")
        tty.until_gone(mark)
    assert tty.run("stty -a | md5sum") == modes


@pytest.mark.parametrize("victim", ["startup", "supervisor"])
def test_terminal_is_restored(terminal: MakeTerminal, shared: Cluster, victim: str) -> None:
    """The modes are back without the shell's help: its own are looked at from outside."""
    tty = terminal(TRANSPARENT)
    (tty.folder / "p.py").write_text(RAW)
    mark = f"p.py restored-{victim}"  # both run at once
    tty.line(f"trap '' CHLD; stty -a >before; $G $PYTHON {mark}; stty -a >after")
    tty.shows("raw mode")
    program, startup = program_and_startup(mark)
    os.kill(startup if victim == "startup" else supervisor_of(shared, program), signal.SIGKILL)
    tty.until(lambda: (tty.folder / "after").exists(), "the next command")
    tty.prompt()
    assert (tty.folder / "after").read_text() == (tty.folder / "before").read_text()


def node_of(cluster: Cluster, pid: int) -> Member:
    return next(member for member in cluster.nodes().values() if pid in guests_of(member))


@pytest.mark.parametrize("which", ["node", "home"])
def test_daemon_killed(
    own: Cluster, terminal_on: Callable[[Cluster], Terminal], which: str
) -> None:
    """The terminal is restored, a line says why, and the shell sees a killed process."""
    own.up(2)
    tty = terminal_on(own)
    modes = tty.run("stty -a | md5sum")
    (tty.folder / "p.py").write_text(RAW)
    tty.line(f"clear; $G $PYTHON p.py {which}")
    tty.shows("raw mode")
    program, _ = program_and_startup(f"p.py {which}")
    member = node_of(own, program) if which == "node" else own.members()["home"]
    os.kill(member.pid, signal.SIGKILL)
    tty.matches("^glurun: .*(lost|gone)")
    tty.prompt()
    assert tty.run("echo $?") == ["137"]
    assert tty.run("stty -a | md5sum") == modes
    tty.until_gone(f"p.py {which}")


def test_random_moments(terminal: MakeTerminal, shared: Cluster) -> None:
    """From the launch on: whoever exists at a random moment is killed; nothing hangs or stays."""
    tty = terminal(TRANSPARENT)
    modes = tty.run("stty -a | md5sum")
    for number in range(3 * ROUNDS):
        words = f"sleep 98{number}.5"
        tty.type("\x0c")
        tty.line(f"$G {words}; echo over $?")
        until(lambda: pids_of(words), "something of the job")  # noqa: B023
        tty.look(random.uniform(0, 0.08))
        found = pids_of(words)
        inside = [pid for pid in found if b"glurun" not in _words(pid) and not is_startup(pid)]
        victims = found + [parent_of(pid) for pid in inside]
        victims += [supervisor_of(shared, pid) for pid in inside]
        mine = os.getpid()
        victim = random.choice([pid for pid in victims if pid not in (1, mine, tty.child.pid)])
        if b"daemon" in _words(victim) or b"up" in _words(victim).split(b"\0"):
            victim = found[0]  # before the exec its parent may be the daemon
        os.kill(victim, signal.SIGKILL)
        tty.matches(r"^over \d+|over \d+$")
        tty.until_gone(words)
    assert tty.run("stty -a | md5sum") == modes
    assert states_of("sleep 980.5") == []


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("level", [["glurun"], ["glurun", "-T"]], ids=["user", "T"])
def test_interrupted_at_any_moment(shared: Cluster, level: list[str]) -> None:
    """^C while it is still starting: ended by SIGINT, as a program that has not begun; no word.

    But Python's own beginning, some milliseconds, is not ours: it ends with status 1, or goes on.
    """
    ends = [-signal.SIGINT, 1, *([128 + signal.SIGINT] if level == ["glurun"] else [])]
    for milliseconds in range(0, 160, 8):
        with shared.start(*level, "sleep", "8") as process:
            time.sleep(milliseconds / 1000)  # no condition: that is what is tried
            os.killpg(process.pid, signal.SIGINT)
            status = process.wait(20)
            assert process.stderr is not None
            error = process.stderr.read()
            assert b"/glunix/" not in error, error
            assert status in ends or b"KeyboardInterrupt" in error, (milliseconds, status, error)


@pytest.mark.parametrize("kill", ["kill -9 %1", "kill -9 $(jobs -p)", "kill %1"])
def test_a_stopped_job_leaves_the_line_editor_alone(terminal: MakeTerminal, kill: str) -> None:
    """It had changed the terminal's modes, which the shell then made its own."""
    tty = terminal(TRANSPARENT, cols=120)
    tty.line("$G bash -c 'echo it runs; read -n 1 x; sleep 50'")
    tty.shows("it runs")
    tty.until(lambda: not _modes(tty) & termios.ICANON, "its modes")
    tty.type("\x1a")
    tty.prompt()
    tty.until(lambda: not _modes(tty) & termios.ECHO, "the line editor's modes")
    assert [line for line in tty.run(f"{kill}; sleep 0.5") if line and "read -n" not in line] == []
    assert not _modes(tty) & (termios.ECHO | termios.ICANON)


def _modes(tty: Terminal) -> int:
    flags: int = termios.tcgetattr(tty.child.child_fd)[3]
    return flags

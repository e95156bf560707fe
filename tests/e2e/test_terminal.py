"""The user's terminal: keystrokes, sizes, modes, ^C, ^Z, fg and bg (paper 4.3)."""

from __future__ import annotations

import os
import signal
import termios
from pathlib import Path

import pytest

from .cluster import Cluster, alive, guests_of, until
from .terminal import PROMPT, Terminal, home_shell, on_terminal


def _startup_of(terminal: Terminal) -> int:
    """The pid of the foreground glurun."""
    until(lambda: terminal.foreground() != terminal.child.pid, "a job is in the foreground")
    return terminal.foreground()


def test_it_is_a_terminal(shared: Cluster) -> None:
    with on_terminal(shared, "glurun", "sh", "-c", "tty; test -t 0 -a -t 1 -a -t 2; echo $?") as t:
        assert t.expect("\r\n").startswith("/dev/pts/")
        t.expect("0\r\n")
        assert t.ended() == 0


def test_only_what_is_a_terminal_at_home_is_one(shared: Cluster, tmp_path: Path) -> None:
    script = "for i in 0 1 2; do test -t $i && echo $i >>SEEN; done; exit 0"
    for redirection, expected in (
        ("</dev/null", "1 2"),
        (f">{tmp_path}/out", "0 2"),
        (f"2>{tmp_path}/err", "0 1"),
        (f"-i /dev/null -o {tmp_path}/out", "2"),
        ("", "0 1 2"),
    ):
        seen = tmp_path / "seen"
        seen.unlink(missing_ok=True)
        words = script.replace("SEEN", str(seen))
        options, rest = (redirection, "") if redirection.startswith("-") else ("", redirection)
        with on_terminal(shared, "bash", "-c", f"glurun {options} sh -c '{words}' {rest}") as t:
            assert t.ended() == 0
        assert seen.read_text().split() == expected.split(), redirection


def test_output_file_in_a_terminal(shared: Cluster, tmp_path: Path) -> None:
    """A file gets the program's bytes, not a terminal's line ends."""
    with on_terminal(shared, "glurun", "-o", str(tmp_path / "out"), "seq", "3") as t:
        assert t.ended() == 0
    assert (tmp_path / "out").read_bytes() == b"1\n2\n3\n"


def test_keystrokes_and_echo(shared: Cluster) -> None:
    with on_terminal(shared, "glurun", "sh", "-c", "echo go; exec cat") as t:
        t.expect("go\r\n")
        t.line("hello")
        t.expect("hello\r\nhello\r\n")
        t.send("wrong\x15right\r")  # ^U kills the line
        t.expect("right\r\nright\r\n")
        t.control("d")
        assert t.ended() == 0


def test_no_echo_when_the_program_says_so(shared: Cluster) -> None:
    script = "stty -echo; echo ready; read x; stty echo; echo got $x"
    with on_terminal(shared, "glurun", "sh", "-c", script) as t:
        t.expect("ready\r\n")
        t.line("secret")
        assert t.expect("got secret") == ""
        assert t.ended() == 0


def test_size(shared: Cluster) -> None:
    script = "stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    with on_terminal(shared, "glurun", "sh", "-c", script, rows=31, columns=97) as t:
        t.expect("31 97\r\n")
        t.expect("ready\r\n")
        t.resize(12, 34)
        t.expect("12 34\r\n")
        t.resize(50, 120)
        t.expect("50 120\r\n")
        t.control("c")
        assert t.ended() == 130


def test_control_c_and_backslash(shared: Cluster) -> None:
    for letter, status in (("c", 130), ("\\", 131)):
        with on_terminal(
            shared, "glurun", "sh", "-c", "ulimit -c 0; echo go; exec sleep 1000"
        ) as t:
            t.expect("go\r\n")
            t.control(letter)
            assert t.ended() == status


def test_control_c_n_way(shared: Cluster) -> None:
    with home_shell(shared) as t:
        before = t.modes()
        t.line("glurun -n 4 sh -c 'echo go; exec sleep 1000'")
        for _ in range(4):
            t.expect("go\r\n")
        t.control("c")
        t.expect(PROMPT)
        assert t.status() == 130
        assert t.modes() == before


@pytest.mark.parametrize("command", ["true", "sh -c 'exit 3'", "no-such-command", "-w mars true",
                                     "sh -c 'stty raw -echo'", "sh -c 'kill -9 $$'"])  # fmt: skip
def test_modes_are_restored(shared: Cluster, command: str) -> None:
    with on_terminal(shared, "bash", "-c", f"stty -a; glurun {command}; stty -a") as t:
        assert t.ended() == 0
        out = t.child.before
    first, second = out[: len(out) // 2], out[out.rindex("speed") :]
    assert first[first.index("speed") :].split()[:40] == second.split()[:40]


def test_modes_are_restored_after_sigkill(shared: Cluster) -> None:
    """Nobody of ours is left at home: the daemon does it."""
    node = shared.members()["node2"]
    with home_shell(shared) as t:
        before = t.command("stty -a")
        for _ in range(3):
            t.line("glurun -w node2 sh -c 'echo go; exec sleep 1000'")
            t.expect("go\r\n")
            os.kill(_startup_of(t), signal.SIGKILL)
            t.expect(PROMPT)
            assert t.command("stty -a") == before
            until(lambda: not guests_of(node), "the job died with its startup")


def test_sigkill_without_a_shell_that_repairs(shared: Cluster) -> None:
    """A shell without line editing repairs nothing: what stty says is the daemon's work."""
    with on_terminal(shared, "sh", "-c", "glurun sh -c 'echo go; exec sleep 1000'; read x") as t:
        before = t.modes()
        t.expect("go\r\n")
        assert t.modes() != before
        for pid in Path(f"/proc/{t.child.pid}/task/{t.child.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        until(lambda: t.modes() == before, "the modes are back")


def _stop_and_go(t: Terminal, go: str) -> None:
    t.line(go)
    t.expect("go\r\n")
    t.control("z")
    t.expect("Stopped")
    t.expect(PROMPT)
    assert "Stopped" in t.command("jobs")


@pytest.mark.parametrize("degree", ["1", "3"])
def test_stop_and_foreground(shared: Cluster, degree: str) -> None:
    nodes = shared.nodes().values()
    with home_shell(shared) as t:
        before = t.modes()
        go = "sh -c 'echo go; read x; echo got $x'" if degree == "1" else "sh -c 'sleep 1000; :'"
        t.line(f"glurun -n {degree} sh -c 'echo here; exec sleep 1000'")
        for _ in range(int(degree)):
            t.expect("here\r\n")
        for _ in range(2):
            t.control("z")
            t.expect("Stopped")
            t.expect(PROMPT)
            assert "Stopped" in t.command("jobs")
            assert t.modes() == before
            t.line("fg")
            t.expect("\r\n")
            pids = [pid for node in nodes for pid in guests_of(node)]
            until(lambda: _all_sleep(pids), "all go on")  # noqa: B023
        t.control("c")
        t.expect(PROMPT)
        assert t.status() == 130
        assert go


def _all_sleep(pids: list[int]) -> bool:
    states = [Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split()[0] for p in pids]
    return set(states) == {"S"}


@pytest.mark.parametrize("degree", ["1", "3"])
def test_stop_and_background(shared: Cluster, degree: str) -> None:
    with home_shell(shared) as t:
        # One process: a shell that is just in vfork(2) does not stop, at home either.
        script = 'import time; print("here", flush=True); time.sleep(1.5); print("done")'
        t.line(f"glurun -n {degree} python3 -c '{script}' </dev/null")
        for _ in range(int(degree)):
            t.expect("here\r\n")
        t.control("z")
        t.expect("Stopped")
        t.expect(PROMPT)
        t.line("bg")
        for _ in range(int(degree)):
            t.expect("done\r\n")
        t.line("wait")
        t.expect(PROMPT)
        assert t.command("jobs") == ""


def test_typed_after_fg(shared: Cluster) -> None:
    with home_shell(shared) as t:
        t.line("glurun sh -c 'echo here; read x; echo got $x; read y; echo and $y'")
        t.expect("here\r\n")
        t.line("one")
        t.expect("got one\r\n")
        t.control("z")
        t.expect("Stopped")
        t.expect(PROMPT)
        assert t.command("echo still at home") == "still at home"
        t.line("fg")
        t.line("two")
        t.expect("and two\r\n")
        t.expect(PROMPT)
        assert t.status() == 0


def test_started_in_the_background(shared: Cluster, tmp_path: Path) -> None:
    """It writes, it does not read, and it leaves the terminal as it is."""
    with home_shell(shared) as t:
        before = t.modes()
        mark = tmp_path / "mark"
        t.line(f"glurun sh -c 'echo over there; touch {mark}; read x; echo got $x' &")
        t.expect("[1] ")
        t.expect("over there")
        until(mark.exists, "it runs")
        t.command("")
        assert t.modes() == before
        shell = t.foreground()
        assert t.command("echo mine") == "mine"
        t.line("fg")
        until(lambda: t.foreground() != shell, "it is in the foreground")
        until(lambda: not t.local_flags() & termios.ISIG, "it has the terminal raw")
        t.line("yours")
        t.expect("got yours")
        t.expect(PROMPT)
        assert t.modes() == before


def test_output_in_raw_mode_lines_up(shared: Cluster) -> None:
    with on_terminal(shared, "glurun", "sh", "-c", "echo one; echo two >&2; echo three") as t:
        assert t.ended() == 0
        out = t.child.before
    assert sorted(out.split()) == ["one", "three", "two"]
    assert out.count("\r\n") == out.count("\n") == 3


def test_stderr_apart_in_a_terminal(shared: Cluster, tmp_path: Path) -> None:
    command = f"glurun sh -c 'echo one; echo two >&2' 2>{tmp_path}/err"
    with on_terminal(shared, "bash", "-c", command) as t:
        assert t.ended() == 0
        assert t.child.before == "one\r\n"
    assert (tmp_path / "err").read_bytes() == b"two\n"


def test_hang_up(shared: Cluster) -> None:
    """The terminal goes away: the job gets SIGHUP and is over, nothing is left at home."""
    node = shared.members()["node1"]
    with on_terminal(shared, "glurun", "-w", "node1", "sleep", "1000") as t:
        until(lambda: len(guests_of(node)) == 2, "keeper and sleep run")
        pid = t.child.pid
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, t.child.child_fd)  # in place of the terminal's master side
        os.close(null)
        until(lambda: not guests_of(node), "the job is over")
        until(lambda: not alive(pid), "glurun is over")


def test_bulk_paste(shared: Cluster) -> None:
    """More than a terminal's line buffer, while the program reads slowly: nothing is lost."""
    with on_terminal(
        shared, "glurun", "sh", "-c", "stty raw -echo; echo go; head -c 60000 | wc -c"
    ) as t:
        t.expect("go")
        for _ in range(600):
            t.send("x" * 99 + "\n")
        t.expect("60000")
        assert t.ended() == 0


def test_interrupted_while_the_node_is_silent(shared: Cluster) -> None:
    """A program that catches ^C keeps the terminal."""
    trap = "n=$((n+1)); echo caught; test $n -lt 3 || exit 7"
    script = f"trap '{trap}' INT; echo go; while :; do sleep 0.05; done"
    with on_terminal(shared, "glurun", "sh", "-c", script) as t:
        t.expect("go\r\n")
        for _ in range(3):
            t.control("c")
            t.expect("caught\r\n")
        assert t.ended() == 7

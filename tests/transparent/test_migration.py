"""A job moves between nodes while its user goes on typing (docs/migration.md).

The short form moves each job a few times, the long one (GLUNIX_LONG) twenty times.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, Result, until

from .compare import TRANSPARENT
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]
MOVES = 20 if os.environ.get("GLUNIX_LONG") else 3
PROMPT = r"^\$$"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's daemons move jobs")


def npid_of(cluster: Cluster, command: str) -> int:
    """The running job with this word in its command."""

    def found() -> list[int]:
        return [
            int(str(row["npid"]))
            for row in cluster.jobs()
            if command in str(row["command"]) and row["state"] in ("running", "stopped")
        ]

    until(found, f"a job that is {command}")
    return found()[-1]


def node_of(cluster: Cluster, npid: int) -> str:
    row = next(row for row in cluster.jobs() if row["npid"] == npid)
    (proc,) = row["procs"]  # type: ignore[misc]
    return str(proc["node"])


def move(cluster: Cluster, npid: int, *words: str) -> Result:
    return cluster.run("glumigrate", str(npid), *words, timeout=60)


def moved(cluster: Cluster, npid: int) -> None:
    """It runs on another node afterwards."""
    before = node_of(cluster, npid)
    result = move(cluster, npid)
    assert result.status == 0, result
    assert node_of(cluster, npid) != before


class Meanwhile:
    """Moves a job again and again, beside the test."""

    def __init__(self, cluster: Cluster, npid: int, times: int) -> None:
        self._cluster, self._npid, self._times = cluster, npid, times
        self.results: list[Result] = []
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        for _ in range(self._times):
            self.results.append(move(self._cluster, self._npid))

    def __enter__(self) -> Meanwhile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        assert [one for one in self.results if one.status] == []

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()


@pytest.fixture
def user(terminal: MakeTerminal) -> Terminal:
    return terminal(TRANSPARENT)


def test_a_python_prompt_goes_on(shared: Cluster, user: Terminal) -> None:
    user.line("$G $PYTHON -q")
    user.matches(">>>")
    user.line("import os, sys; value = 41; first = os.getpid(), os.getppid(), os.getpgid(0)")
    user.matches(r">>>\s*$")
    npid = npid_of(shared, "-q")
    for number in range(MOVES):
        moved(shared, npid)
        user.line(
            "value += 1; print('now', value, first == (os.getpid(), os.getppid(), os.getpgid(0)))"
        )
        user.matches(rf"^now {42 + number} True$")
    user.line("sys.exit(3)")
    user.matches(PROMPT)
    user.line("echo status $?")
    user.matches("^status 3$")


def test_no_key_is_lost_or_doubled(shared: Cluster, user: Terminal) -> None:
    code = "import sys; [print(f'<{line.strip()}>', flush=True) for line in sys.stdin]"
    user.line(f'stty -echo; $G $PYTHON -c "{code}"')
    npid = npid_of(shared, "stdin")
    typed = 0
    with Meanwhile(shared, npid, MOVES) as mover:
        while not mover.is_over:
            user.line(f"k{typed}")
            typed += 1
            user.look(0.01)
            time.sleep(0.003 * (typed % 7))
    user.line("last")
    user.matches("^<last>$", deadline=60)
    answers = re.findall(rb"<k(\d+)>", user.raw)
    assert [int(word) for word in answers] == list(range(typed))
    user.type("\x04")
    user.line("stty echo")


def test_each_signal_comes_once(shared: Cluster, user: Terminal) -> None:
    code = (
        "import signal, time; n = [0];"
        "signal.signal(2, lambda *_: (n.append(1), print('got', len(n) - 1, flush=True)));"
        "print('ready', flush=True);"
        "[time.sleep(0.1) for _ in iter(int, 1)]"
    )
    user.line(f'$G $PYTHON -c "{code}"')
    user.matches("^ready")
    npid = npid_of(shared, "signal")
    for number in range(MOVES):
        with Meanwhile(shared, npid, 1):
            time.sleep(0.05 * (number % 5))
            user.type("\x03")
        user.matches(rf"got {number + 1}$")
    time.sleep(0.3)
    user.look(0.1)
    assert user.raw.count(b"got ") == MOVES + user.raw.count(b"print('got ")
    user.type("\x1c")
    user.matches("Quit")


def test_a_shell_with_background_jobs(shared: Cluster, user: Terminal) -> None:
    user.line("PS1='> ' $G bash --norc -i")
    user.matches("^>")
    user.line("sleep 1000 & sleep 1001 | cat & echo shell $$ $!")
    user.matches(r"^shell (\d+) (\d+)$")
    found = re.search(rb"\nshell (\d+ \d+)\r", user.raw)
    assert found
    npid = npid_of(shared, "bash --norc")
    for number in range(MOVES):
        moved(shared, npid)
        user.line("clear")
        user.line(f"echo {number} $$ $!; jobs")
        user.matches(rf"^{number} {found[1].decode()}$")
        user.matches(r"Running +sleep 1001 \| cat")
        user.line("clear; sh -c 'echo sleeps; exec sleep 1002'")
        user.matches("^sleeps$")
        user.type("\x03")
        user.line("echo status $?")
        user.matches("^status 130$")
        user.line("clear; sh -c 'echo up; exec cat'")
        user.matches("^up$")  # typed before, a line may meet the shell's own modes
        user.line(f"first{number}")
        user.matches(rf"^first{number}\nfirst{number}$")
        user.type("\x1a")
        user.matches("Stopped")
        moved(shared, npid)
        user.line("fg")
        user.matches(r"fg\nsh -c")
        user.look_for(0.3)
        user.line(f"then{number}")
        user.matches(rf"^then{number}\nthen{number}$")
        user.type("\x04")
    user.line("kill %1 %2; exit 7")
    user.matches(r"^\$")
    user.line("clear; echo status $?")


def test_a_job_that_is_stopped_at_home_moves(shared: Cluster, user: Terminal) -> None:
    user.line("$G cat")
    user.line("one")
    user.matches("^one\none$")
    npid = npid_of(shared, "cat")
    for number in range(MOVES):
        user.type("\x1a")
        user.matches("Stopped")
        until(lambda: any(row["state"] == "stopped" for row in shared.jobs()), "its stop")
        moved(shared, npid)
        user.line(f"echo home{number}")
        user.matches(rf"^home{number}$")
        user.line("clear; fg")
        user.matches(r"^\$G cat$")
        user.look_for(0.3)
        user.line(f"more{number}")
        user.matches(rf"^more{number}\nmore{number}$")
    user.type("\x04")
    user.matches(PROMPT)


@pytest.mark.skipif(shutil.which("vim") is None, reason="vim is not installed")
def test_vim_with_unsaved_text(shared: Cluster, user: Terminal) -> None:
    user.line("$G vim -u NONE -N -i NONE -n text")
    user.matches(r'"text" \[New')
    user.type("i")
    npid = npid_of(shared, "vim")
    words = []
    for number in range(MOVES):
        with Meanwhile(shared, npid, 1) as mover:
            while not mover.is_over:
                words.append(f"{number}.{len(words)}")
                user.type(words[-1] + "\r")
                user.look(0.05)
        user.resize(24 + number % 2, 80 - number % 3)
    user.type("\x1b:wq\r")
    user.matches(PROMPT, deadline=30)
    assert (user.folder / "text").read_text().split() == words


@pytest.mark.skipif(shutil.which("less") is None, reason="less is not installed")
def test_less_goes_on_paging(shared: Cluster, user: Terminal, place: Path) -> None:
    (user.folder / "lines").write_text("".join(f"line {n}\n" for n in range(10000)))
    user.line("$G less lines")
    user.matches("^line 0$")
    npid = npid_of(shared, "less")
    for number in range(MOVES):
        moved(shared, npid)
        user.type(f"{100 * (number + 1)}g")
        user.matches(rf"^line {100 * (number + 1) - 1}$")
    user.type("q")
    user.matches(r"^\$")


@pytest.mark.skipif(shutil.which("top") is None, reason="top is not installed")
def test_top_goes_on_counting(shared: Cluster, user: Terminal) -> None:
    user.line("$G top -d 0.3")
    user.matches("^top - ")
    npid = npid_of(shared, "top -d")
    for _ in range(MOVES):
        moved(shared, npid)
        user.raw = b""
        user.until(lambda: user.raw, "a new screen")
    user.type("q")
    user.matches(r"^\$")


# -- what stays, and why -----------------------------------------------------------------------


@pytest.fixture
def stays(shared: Cluster) -> Iterator[Callable[..., str]]:
    """Starts a job by a shell line, and gives what --explain and the move say of it."""
    started = []

    def ask(line: str, command: str) -> str:
        process = shared.start("bash", "--norc", "-c", line)
        started.append(process)
        npid = npid_of(shared, command)
        explained = move(shared, npid, "--explain")
        assert explained.status == 1 and (explained.out or explained.err), explained
        result = move(shared, npid)
        assert result.status == 1, result
        assert node_of(shared, npid)
        return result.complaint

    yield ask
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_whose_input_is_a_pipe_stays(stays: Callable[..., str]) -> None:
    assert "pipe" in stays("sleep 6 | glurun -T sleep 60.1", "60.1")


def test_a_user_level_job_stays(stays: Callable[..., str]) -> None:
    assert "not transparent" in stays("glurun sleep 60.2", "60.2")


def test_only_its_owner_moves_a_job(shared: Cluster, user: Terminal, nobody: int) -> None:
    user.line("$G cat")
    npid = npid_of(shared, "cat")
    result = shared.run("glumigrate", str(npid), uid=20049)
    assert result.status == 1 and "belongs to uid" in result.complaint
    user.line("still here")
    user.matches("^still here\nstill here$")
    user.type("\x04")

"""Signals reach the job as they reach the startup; stops and ends are seen by the user's shell."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from .cluster import (
    Cluster,
    alive,
    ended,
    finish,
    guests_of,
    programs_of,
    read_line,
    stop_signal,
    until,
)
from .terminal import PROMPT, home_shell

CATCHER = r"""
import os, signal
read_end, write_end = os.pipe2(os.O_NONBLOCK)
os.set_blocking(read_end, True)
signal.set_wakeup_fd(write_end)
for number in signal.valid_signals() - {9, 19, 32, 33}:
    signal.signal(number, lambda n, f: None)
os.write(1, b"ready\n")
while True:
    for number in os.read(read_end, 100):
        os.write(1, b"%d\n" % number)
"""

UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
STOPPED = {signal.SIGSTOP, signal.SIGTSTP}
STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}


@pytest.mark.parametrize("degree", ["1", "3"])
def test_every_catchable_signal_is_forwarded(shared: Cluster, degree: str) -> None:
    numbers = set(signal.valid_signals()) - UNCATCHABLE - STOPS
    with ended(shared.start("glurun", "-n", degree, "python3", "-c", CATCHER)) as job:
        for _ in range(int(degree)):
            assert read_line(job) == "ready"
        for number in sorted(numbers):
            job.send_signal(number)
            for _ in range(int(degree)):
                assert read_line(job) == str(int(number))
        for number in sorted(STOPS):  # all three arrive as the one a user types
            job.send_signal(number)
            for _ in range(int(degree)):
                assert read_line(job) == str(int(signal.SIGTSTP))


def test_every_signal_reaches_a_transparent_program(shared: Cluster) -> None:
    """Also those of faults, which a shadow of the program's does not die of, and SIGCHLD."""
    numbers = set(signal.valid_signals()) - UNCATCHABLE
    with ended(shared.start("glurun", "-T", "python3", "-c", CATCHER)) as job:
        assert read_line(job) == "ready"
        for number in sorted(numbers):
            job.send_signal(number)
            assert read_line(job) == str(int(number))
        for number in (signal.SIGTRAP, signal.SIGSTKFLT):  # the supervisor's own words are others
            for _ in range(20):
                job.send_signal(number)
                assert read_line(job) == str(int(number))


@pytest.mark.parametrize("number", sorted({*FAULTS, signal.SIGTRAP, signal.SIGSTKFLT}))
def test_a_transparent_job_ends_by_a_fault_that_home_sends(shared: Cluster, number: int) -> None:
    script = "ulimit -c 0; echo ready; exec sleep 1000"
    with ended(shared.start("glurun", "-T", "sh", "-c", script)) as job:
        assert read_line(job) == "ready"
        job.send_signal(number)
        assert job.wait(10) in (128 + number, -number)


@pytest.mark.parametrize("degree", ["1", "4"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_default_action(shared: Cluster, number: int, degree: str) -> None:
    script = "ulimit -c 0; echo ready; exec sleep 1000"
    with ended(shared.start("glurun", "-n", degree, "sh", "-c", script)) as job:
        for _ in range(int(degree)):
            assert read_line(job) == "ready"
        job.send_signal(number)
        # A shell's loop stops only for what has died of SIGINT.
        assert job.wait(10) == (-number if number == signal.SIGINT else 128 + number)


@pytest.mark.parametrize("level", ["", "glurun", "glurun -n 2", "glurun -T"])
def test_a_loop_of_a_shell_ends_with_its_command(shared: Cluster, level: str) -> None:
    with home_shell(shared) as shell:
        shell.line(f"for n in 1 2 3; do {level} sh -c 'echo go; exec sleep 1000'; done")
        for _ in range(2 if "-n" in level else 1):
            shell.expect("go\r\n")
        shell.control("c")
        shell.expect(PROMPT)
        assert shell.status() == 130
        assert shell.command("echo still $((6 * 7))") == "still 42"


@pytest.mark.parametrize("level", ["glurun", "glurun -T"])
def test_a_key_before_the_program_runs(shared: Cluster, level: str) -> None:
    """Whenever after bash has started us, which has its own way to lose one."""
    for delay in range(10, 100, 9):
        with home_shell(shared) as shell:
            shell.line(f"{level} sleep 1000")
            shell.expect("sleep 1000\r\n")
            time.sleep(delay / 1000)
            shell.control("c")
            shell.expect(PROMPT)
            assert shell.status() == 130, delay


def test_signal_before_the_program_runs(shared: Cluster) -> None:
    """Whenever it comes, it ends the job: none is lost between start and exec."""
    for delay in range(0, 60, 4):
        with ended(shared.start("glurun", "-n", "2", "sleep", "1000")) as job:
            try:
                job.wait(delay / 1000 * 3)
            except subprocess.TimeoutExpired:
                pass
            job.send_signal(signal.SIGTERM)
            assert job.wait(10) in (143, -15)


def test_ignored_stays_ignored(shared: Cluster) -> None:
    """nohup and `trap ''` of the user's shell reach the job; others do not."""
    show = "grep SigIgn /proc/self/status"
    for trap in ("INT QUIT", "HUP", "TERM USR1", ""):
        line = f"trap '' {trap}; " if trap else ""
        ours, native = shared.shell(f"{line}glurun {show}"), shared.shell(line + show)
        assert _ignored(ours.text) == _ignored(native.text)


def _ignored(text: str) -> int:
    """The set; without 32 and 33, glibc's own, which its posix_spawn leaves ignored."""
    return int(text.split()[1], 16) & ~(3 << 31)


def test_no_signal_is_blocked(shared: Cluster) -> None:
    assert shared.glurun("grep", "SigBlk", "/proc/self/status").text.split()[1] == "0" * 16


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("degree", ["1", "4"])
def test_stop_and_continue(shared: Cluster, degree: str) -> None:
    nodes = shared.nodes().values()
    with ended(shared.start("glurun", "-n", degree, "sleep", "1000")) as job:
        until(lambda: sum(len(programs_of(n)) for n in nodes) == int(degree), "all run")
        pids = [pid for node in nodes for pid in programs_of(node)]
        until(lambda: all(Path(f"/proc/{p}/comm").read_text() == "sleep\n" for p in pids), "exec")
        for _ in range(3):
            job.send_signal(signal.SIGTSTP)
            until(lambda: all(_state(pid) == "T" for pid in pids), "the job is stopped")
            assert stop_signal(job) == signal.SIGTSTP
            job.send_signal(signal.SIGCONT)
            until(lambda: all(_state(pid) == "S" for pid in pids), "the job goes on")
        job.send_signal(signal.SIGTERM)
        assert job.wait(10) == 143


def test_a_job_that_stops_itself(shared: Cluster) -> None:
    """SIGSTOP to itself: its user's shell sees that too, and can continue it."""
    with ended(shared.start("glurun", "sh", "-c", "kill -STOP $$; exit 7")) as job:
        assert stop_signal(job) in STOPPED
        job.send_signal(signal.SIGCONT)
        assert job.wait(10) == 7


def test_stop_while_the_reader_is_blocked(shared: Cluster) -> None:
    """`glurun yes | less`, ^Z: a full pipe must not keep glurun from stopping."""
    with ended(shared.start("glurun", "yes")) as job:
        assert job.stdout is not None
        job.stdout.read(1)
        job.send_signal(signal.SIGTSTP)
        assert stop_signal(job) in STOPPED
        job.send_signal(signal.SIGCONT)
        job.send_signal(signal.SIGTERM)
        assert finish(job).status == 143


def test_startup_killed(shared: Cluster) -> None:
    """The job dies with its startup, whatever it thinks of signals (paper 4.2.3)."""
    nodes = shared.nodes().values()
    script = "trap '' HUP INT TERM; setsid sh -c 'sleep 1000' & while :; do sleep 1; done"
    with ended(shared.start("glurun", "-n", "4", "sh", "-c", script)) as job:
        until(lambda: sum(len(programs_of(n)) for n in nodes) >= 12, "the job runs")
        pids = [pid for node in nodes for pid in programs_of(node)]
        job.kill()
        job.wait(10)
    until(lambda: not any(alive(pid) for pid in pids), "all of it is gone")


def test_startup_killed_early(shared: Cluster) -> None:
    """At any moment of a start: nothing survives (the leak check looks)."""
    for delay in range(0, 80, 5):
        with ended(shared.start("glurun", "-n", "3", "sleep", "1000")) as job:
            try:
                job.wait(delay / 1000 * 2)
            except subprocess.TimeoutExpired:
                pass
            job.kill()
            job.wait(10)


def test_stopped_job_is_killed(shared: Cluster) -> None:
    node = shared.members()["node3"]
    with ended(shared.start("glurun", "-w", "node3", "sleep", "1000")) as job:
        until(lambda: guests_of(node), "it runs")
        job.send_signal(signal.SIGTSTP)
        stop_signal(job)
        job.kill()
        job.wait(10)
    until(lambda: not guests_of(node), "gone though it was stopped")

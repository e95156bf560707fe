"""One user's processes are in no session with another's: not joined, not continued, not ended.

Ann runs jobs on a node of root's; Ben attacks from a job of his own on the same node. Killing or
stopping the session server (glunix.node.spawn.sessions) harms the one whose it is.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from e2e.cluster import Cluster, ended, finish, processes, read_line, until

from .users import ANN, BEN, on_node, running

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nobody")]

JOIN = """
import os, sys
os.setpgid(0, os.getpid())  # what it is meant to do, on what may be done
try:
    os.setpgid(0, {pid})
except PermissionError:
    print("refused")
else:
    print("joined", os.getpgrp())
"""

CONTINUE = """
import os, signal
child = os.fork()
if child == 0:
    signal.pause()
os.kill(child, signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
os.kill(child, signal.SIGCONT)
os.waitpid(child, os.WCONTINUED)
os.kill(child, signal.SIGKILL)
try:
    os.kill({pid}, signal.SIGCONT)
except PermissionError:
    print("refused")
else:
    print("continued")
"""


def outer(cluster: Cluster, pid: int) -> int:
    """The number here of a process that has `pid` in node1's PID namespace."""
    space = processes()[cluster.members()["node1"].pid][1]
    for number, (_, other) in processes().items():
        if other == space:
            text = Path(f"/proc/{number}/status").read_text()
            line = next(line for line in text.splitlines() if line.startswith("NSpid"))
            if int(line.split()[-1]) == pid:
                return number
    raise AssertionError(f"no process {pid} on node1")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def stat_field(pid: int, which: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[which])


def server_of(cluster: Cluster, pid: int) -> int:
    """The session server of a job's process, by its number here."""
    parent = stat_field(outer(cluster, pid), 1)
    assert Path(f"/proc/{parent}/comm").read_text() == "glunix-session\n"
    return parent


def test_another_users_group_cannot_be_joined(shared: Cluster) -> None:
    with running(shared, ANN, "sh", "-c", "echo $$; exec sleep 60") as (_, pid):
        assert on_node(shared, BEN, JOIN.format(pid=pid)).text == "refused"


def test_another_users_stopped_job_is_not_continued(shared: Cluster) -> None:
    with running(shared, ANN, "sh", "-c", "echo $$; kill -STOP $$; sleep 60") as (_, pid):
        seen = outer(shared, pid)
        until(lambda: state(seen) == "T", "it is stopped")
        assert on_node(shared, BEN, CONTINUE.format(pid=pid)).text == "refused"
        assert state(seen) == "T"


def test_a_group_at_a_terminal_cannot_be_joined(shared: Cluster) -> None:
    master, slave = os.openpty()
    try:
        words = ("glurun", "-w", "node1", "sh", "-c", "echo $$ >&2; exec sleep 60")
        at_terminal = shared.start(*words, uid=ANN, stdin=slave, stdout=slave)
        with ended(at_terminal) as process:
            assert process.stderr is not None
            pid = int(process.stderr.readline())
            assert on_node(shared, BEN, JOIN.format(pid=pid)).text == "refused"
            assert on_node(shared, BEN, CONTINUE.format(pid=pid)).text == "refused"
    finally:
        os.close(master)
        os.close(slave)


def test_nobody_is_in_the_daemons_session(shared: Cluster) -> None:
    with running(shared, ANN, "sh", "-c", "echo $$; exec sleep 60") as (_, pid):
        daemon = stat_field(shared.members()["node1"].pid, 3)
        session = stat_field(outer(shared, pid), 3)
        assert session != daemon
        with running(shared, BEN, "sh", "-c", "echo $$; exec sleep 60") as (_, other):
            assert stat_field(outer(shared, other), 3) not in (session, daemon)
        # One user's jobs share a server; a job of his can still be stopped and go on.
        with running(shared, ANN, "sh", "-c", "echo $$; kill -TSTP $$; echo on") as (job, second):
            seen = outer(shared, second)
            until(lambda: state(seen) == "T", "it is stopped")
            assert stat_field(seen, 3) == session
            os.kill(job.pid, signal.SIGCONT)
            assert read_line(job) == "on"


def test_the_servers_memory_is_not_its_users(shared: Cluster) -> None:
    """It is a copy of the daemon's."""
    look = """
import os
ours = open(f"/proc/{os.getpid()}/mem", "rb")
for name in ("mem", "environ", "maps"):
    try:
        open(f"/proc/{os.getppid()}/{name}", "rb").read(1)
    except PermissionError:
        print("refused")
try:
    print(os.listdir(f"/proc/{os.getppid()}/fd"))
except PermissionError:
    print("refused")
"""
    assert on_node(shared, ANN, look).text.split("\n") == ["refused"] * 4


@pytest.mark.parametrize("who", ["job", "server"])
def test_who_kills_his_server_ends_his_own_jobs(shared: Cluster, who: str) -> None:
    with (
        running(shared, ANN, "sh", "-c", "echo $$; exec sleep 60") as (ann, pid),
        running(shared, BEN, "sh", "-c", "echo $$; echo on; exec sleep 60") as (ben, other),
    ):
        server = server_of(shared, pid)
        if who == "job":
            assert on_node(shared, ANN, "import os; os.kill(os.getppid(), 9)").status == 137
        else:
            os.kill(server, signal.SIGKILL)
        assert finish(ann).status == 137
        assert ben.poll() is None
        assert state(outer(shared, other)) in "SR"
        assert shared.glurun("-w", "node1", "true", uid=ANN).status == 0


def job_number(cluster: Cluster, mark: str) -> str:
    return str(next(row["npid"] for row in cluster.jobs() if mark in str(row["command"])))


def test_who_stops_his_server_waits_alone(shared: Cluster) -> None:
    with running(shared, ANN, "sh", "-c", "echo $$; exec sleep 61.5") as (ann, pid):
        server = server_of(shared, pid)
        os.kill(server, signal.SIGSTOP)
        waiting = shared.start("glurun", "-w", "node1", "echo", "one-that-waits", uid=ANN)
        with ended(waiting):
            began = time.monotonic()
            assert shared.glurun("-w", "node1", "true", uid=BEN).status == 0
            assert time.monotonic() - began < 5
            for mark, startup in (("sleep 61.5", ann), ("one-that-waits", waiting)):
                result = shared.run("glukill", "-9", job_number(shared, mark), uid=ANN)
                assert result.status == 0, result
                assert finish(startup).status == 137
        until(lambda: not Path(f"/proc/{server}").exists(), "the stopped server is gone")
        assert shared.glurun("-w", "node1", "echo", "again", uid=ANN).text == "again"


def test_a_job_whose_startup_died_is_ended_under_a_stopped_server(shared: Cluster) -> None:
    with running(shared, ANN, "sh", "-c", "echo $$; exec sleep 60") as (ann, pid):
        seen = outer(shared, pid)
        os.kill(server_of(shared, pid), signal.SIGSTOP)
        ann.kill()
        until(lambda: not Path(f"/proc/{seen}").exists() or state(seen) == "Z", "it is ended")


@pytest.mark.parametrize("uid", [BEN, 0])
def test_a_clients_terminal_is_not_in_others_jobs(own: Cluster, uid: int) -> None:
    """What a client sends along is not open in what its daemon starts for others."""
    own.up(1)
    master, slave = os.openpty()
    try:
        # The inner glurun sends its terminal to the daemon that starts jobs, node1's.
        inner = ["glurun", "-w", "node1", "sh", "-c", "echo there; exec sleep 60"]
        outer_job = ["glurun", "-w", "node1", str(own.bin / inner[0]), *inner[1:]]
        with ended(own.start(*outer_job, uid=ANN, stdin=slave, stdout=slave)):
            seen = b""
            while b"there" not in seen:
                seen += os.read(master, 4096)
            listed = own.glurun("-w", "node1", "sh", "-c", "ls -l /proc/$$/fd", uid=uid)
            assert "pipe:" in listed.text, listed
            assert "/dev/pts" not in listed.text, listed
    finally:
        os.close(master)
        os.close(slave)


def test_programs_have_no_descriptor_of_the_daemons(shared: Cluster) -> None:
    result = shared.glurun("-w", "node1", "sh", "-c", "ls /proc/$$/fd", uid=ANN)
    assert result.text.split("\n") == ["0", "1", "2"], result


CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def test_a_program_has_no_capability_of_its_server(shared: Cluster) -> None:
    """The server may hold one, by which children begin in a control group: permitted, no more."""
    with running(shared, ANN, "sh", "-c", "echo $$; exec sleep 60") as (_, pid):
        seen = outer(shared, pid)
        for number, allowed in ((seen, 0), (server_of(shared, pid), 1 << 1)):
            lines = Path(f"/proc/{number}/status").read_text().splitlines()
            held = dict(line.split(":\t") for line in lines if line.startswith("Cap"))
            for name in CAPABILITIES:
                most = allowed if name == "CapPrm" else 0
                assert int(held[name], 16) & ~most == 0, (name, held)

"""No act on a user's object in a daemon's loop: what lasts, lasts for him who asked for it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, alive, ended, read_line, until

from glunix.comm.link import Link
from glunix.comm.logline import Out
from glunix.comm.loop import Loop
from glunix.comm.sockets import Listener, listening_socket
from glunix.daemon.chores import LATE, Chores
from glunix.ids import CONTROL
from glunix.msg import client
from glunix.msg.base import encode
from glunix.msg.frame import encode_frame
from glunix.msg.job import JobSpec, Owner, StagedFile

from .rooted import BOB, MALLORY, bob_takes, mallory, middle, needs_root, opened, python, rooted

pytestmark = needs_root

LINGER = 8
"""Seconds for which a close waits (socket(7), SO_LINGER)."""

LINGERING = f"""
import socket, struct, sys
def lingering():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    one = socket.create_connection(listening.getsockname())
    other = listening.accept()[0]
    one.setblocking(False)
    try:
        while True:
            one.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, {LINGER}))
    return one, (listening, other)
"""

DESCRIPTORS = (
    LINGERING
    + """
import time
path, how = sys.argv[1:]
one, rest = lingering()
client = socket.socket(socket.AF_UNIX)
client.connect(path)
try:
    if how == "later":
        client.sendall(b"\\x92")  # the beginning of a frame
        time.sleep(0.3)
    socket.send_fds(client, [b"\\xce" if how == "later" else b"\\x92"], [one.fileno()])
    print("sent")
except OSError as error:
    print(error.errno)
one.close()
client.close()
time.sleep(0.5)
print("closed", flush=True)
time.sleep(20)
"""
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with rooted() as made:
        yield made


@pytest.mark.parametrize("how", ["first", "later"])
def test_descriptors_that_come_uninvited(cluster: Cluster, how: str) -> None:
    """A client sends a socket whose close waits, and goes. Where the kernel refuses it (6.16), it
    never comes in."""
    words = (sys.executable, "-c", DESCRIPTORS, str(cluster.folder / "home.sock"), how)
    with ended(mallory(cluster, *words)) as attacker:
        assert read_line(attacker) in ("sent", "1", "32"), attacker
        assert read_line(attacker) == "closed"
        assert max(bob_takes(cluster, 2)) < LINGER / 3


def test_descriptors_on_an_older_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 6.16 they do come into the queue: they are seen, and closed by a process of the
    sender's; the loop goes on."""
    monkeypatch.setattr("glunix.comm.sockets.refuse_rights", lambda sock: False)
    loop = Loop()
    chores = Chores(loop, 2 * LINGER)
    me = Owner(MALLORY, MALLORY, [])
    over: list[str] = []
    longest = [0.0, time.monotonic()]
    sock = listening_socket(tmp_path / "s", 0o666)

    def dispose(fd: int) -> None:
        chores.do(me, lambda: None, over.append, closing=fd)

    def tick() -> None:
        now = time.monotonic()
        longest[:] = [max(longest[0], now - longest[1]), now]
        if len(over) == 2:
            made[0].close()
            loop.stop()
        else:
            loop.call_later(0.01, tick)

    def start() -> None:
        nothing = lambda *_: None  # noqa: E731
        accepted = lambda connection: Link(nothing, nothing, answers=True)  # noqa: E731
        made.append(Listener(sock, accepted, dispose))
        assert made[0]._guarded
        tick()

    made: list[Listener] = []
    tmp_path.chmod(0o755)
    path = str(tmp_path / "s")
    attackers = [
        subprocess.Popen([sys.executable, "-c", DESCRIPTORS, path, how], stdout=subprocess.DEVNULL)
        for how in ("first", "later")
    ]
    try:
        began = time.monotonic()
        loop.call_later(3 * LINGER, loop.stop)
        assert loop.run(start) == 0
        took = time.monotonic() - began
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.wait()
        for pid in chores.pids:
            os.waitpid(pid, 0)
    assert over == ["", ""], "both were closed by a process of the sender's"
    assert longest[0] < 1.0 and took > LINGER / 2, "and that is what waited"


def test_a_chore_ends_at_its_deadline_and_few_run_at_a_time() -> None:
    loop = Loop()
    chores = Chores(loop, 0.5)
    me = Owner(MALLORY, MALLORY, [])
    over: list[str] = []
    uids = Path("/proc/self/status")

    def who() -> None:
        raise ValueError(uids.read_text().split("Uid:")[1].split()[0])

    def done(text: str) -> None:
        over.append(text)
        if len(over) == 5:
            loop.stop()

    def start() -> None:
        for _ in range(4):
            chores.do(me, lambda: time.sleep(60), done)
        assert len(chores.pids) == 2
        chores.do(Owner(BOB, BOB, []), who, done)

    loop.call_later(10, loop.stop)
    assert loop.run(start) == 0
    for pid in chores.pids:
        os.waitpid(pid, 0)
    assert over[0] == str(BOB), "another user's is not behind them"
    assert over[1:] == [LATE] * 4


# -- staging ---------------------------------------------------------------------------------

STAGES = 8


SENDER = """
import socket, sys
path, times = sys.argv[1], int(sys.argv[2])
data = sys.stdin.buffer.read()
links = [socket.socket(socket.AF_UNIX) for _ in range(times)]
for link in links:
    link.connect(path)
    link.sendall(data)
print("sent", flush=True)
ended = 0
for link in links:
    while piece := link.recv(1 << 16):
        if b"exited" in piece:
            ended += 1
            break
print(ended, flush=True)
"""


def bomb() -> bytes:
    """A Submit with a file of 256 MiB that travels as 260 kB."""
    size = (1 << 28) - (1 << 20)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    assert len(data) < 1 << 21
    files = [StagedFile(b"bomb", 0o644, data, size)]
    spec = JobSpec([b"/bin/true"], {}, b"/", 0o22, 0, [], None, staged=files)
    return encode_frame(CONTROL, encode(client.Submit(1, spec, 1, ["node1"])))


def test_a_staged_bomb(cluster: Cluster) -> None:
    """256 MiB are unpacked for MALLORY, many times, while BOB works."""
    idle = middle(bob_takes(cluster))
    stage = cluster.folder / "stage"
    words = (sys.executable, "-c", SENDER, str(cluster.folder / "home.sock"), str(STAGES))
    with ended(mallory(cluster, *words, stdin=subprocess.PIPE)) as attacker:
        assert attacker.stdin is not None
        attacker.stdin.write(bomb())
        attacker.stdin.close()
        assert read_line(attacker) == "sent"
        until(lambda: stage.is_dir() and any(stage.iterdir()), "it is being unpacked")
        times = bob_takes(cluster, 4)
        assert any(stage.iterdir()), "the attack goes on meanwhile"
        assert read_line(attacker, 120) == str(STAGES), "in the end all were served"
    until(lambda: not any(stage.iterdir()), "all was removed", 60)
    assert middle(times) < max(0.4, 2.5 * idle) and max(times) < 1.5, (idle, times)


DEEP = """
import os
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
"""


def test_a_staged_job_leaves_a_deep_tree(cluster: Cluster, tmp_path: Path) -> None:
    """Deeper than Python calls: it is removed, and the daemon lives."""
    script = opened(tmp_path) / "deep.py"
    script.write_text(f"#!/usr/bin/env python3{DEEP}")
    script.chmod(0o755)
    before = cluster.members()["node1"].pid
    done = cluster.glurun("-w", "node1", "--stage", str(script), uid=MALLORY)
    assert done.status == 0, done
    assert max(bob_takes(cluster, 3)) < 5
    until(lambda: not any((cluster.folder / "stage").iterdir()), "it was removed", 30)
    assert cluster.members()["node1"].pid == before and alive(before)


def test_what_is_staged_is_its_owners_from_the_first_byte(cluster: Cluster, tmp_path: Path) -> None:
    script = opened(tmp_path) / "ids"
    script.write_text("#!/bin/sh\nstat -c '%u %a' . ids\n")
    script.chmod(0o750)
    os.chown(script, MALLORY, MALLORY)
    done = cluster.glurun("-w", "node1", "--stage", str(script), uid=MALLORY)
    assert done.text.split() == [str(MALLORY), "700", str(MALLORY), "750"], done


# -- orphans ---------------------------------------------------------------------------------

ORPHANS = 1200

MANY = f"""
import os
for _ in range({ORPHANS}):
    if os.fork() == 0:
        os.setsid()
        os.execve("/bin/sleep", ["sleep", "91000"], {{"GLUNIX_NPID": "7", "X": "x" * 100000}})
"""


def test_hundreds_of_orphans(cluster: Cluster) -> None:
    """They are ended, and no environment is read for it; BOB works meanwhile."""
    idle = middle(bob_takes(cluster))
    assert cluster.glurun("-w", "node1", "python3", "-c", MANY, uid=MALLORY).status == 0
    times = bob_takes(cluster, 10)
    until(lambda: "91000" not in running(), "all orphans are ended", 30)
    assert middle(times) < max(0.5, 4 * idle) and max(times) < 2.5, (idle, times)


def running() -> str:
    done = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, timeout=20, text=True)
    return done.stdout


# -- logs ------------------------------------------------------------------------------------


def test_a_log_that_nobody_reads_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    out = Out(writing)
    began = time.monotonic()
    for number in range(3000):
        out.say(f"entry {number} {'x' * 200}")
    assert time.monotonic() - began < 2
    text = os.read(reading, 1 << 20).decode()
    assert text.startswith("entry 0 ")
    out.say("after that")
    assert os.read(reading, 1 << 20).decode().endswith("entries are missing here)\nafter that\n")
    os.close(reading)
    out.say("to nobody")  # SIGPIPE is ignored by daemons, and by Python
    os.close(writing)


def test_a_log_on_a_full_disk() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    Out(full).say("not a byte of it")
    os.close(full)


def test_daemons_on_a_full_disk(tmp_path: Path) -> None:
    """Logs, the journal and staging have no room: all that needs none goes on."""
    folder = tmp_path / "small"
    folder.mkdir()
    opened(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "small", folder], check=True)
    try:
        with rooted(folder=folder) as cluster:
            pids = {name: member.pid for name, member in cluster.members().items()}
            fill(folder / "ballast")
            listening = str(folder / "home.sock")
            python(cluster, CHATTER, listening)  # what daemons have to say something about
            assert max(bob_takes(cluster, 3)) < 5
            staged = cluster.glurun("-w", "node1", "--stage", "/bin/true", uid=MALLORY)
            assert staged.status != 0 and "cannot stage files" in staged.complaint, staged
            assert all(alive(pid) for pid in pids.values())
            (folder / "ballast").unlink()
            python(cluster, CHATTER, listening)
            assert max(bob_takes(cluster, 2)) < 5
            assert "entries are missing here" in cluster.log("home") + cluster.log("node1")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


CHATTER = """
import socket, sys
for _ in range(150):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(sys.argv[1])
        client.sendall(bytes.fromhex("92ce00000000c60000000a") + b"rubbish...")
        client.recv(100)
"""


def test_a_terminal_of_somebody_else_is_not_touched() -> None:
    """A startup whose terminal is another's, and one without: the daemon opens neither."""
    from glunix.daemon.terminals import open_terminal_of

    master, slave = os.openpty()
    os.fchown(slave, BOB, -1)
    child = os.fork()
    if child == 0:
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        os.setresgid(MALLORY, MALLORY, MALLORY)
        os.setresuid(MALLORY, MALLORY, MALLORY)
        time.sleep(60)
    try:
        from glunix.daemon.terminals import uids_of

        until(lambda: uids_of(child) == (MALLORY, MALLORY), "it is MALLORY's")
        assert open_terminal_of(child, MALLORY) == -1
        assert open_terminal_of(child, BOB) == -1
        os.fchown(slave, MALLORY, -1)
        fd = open_terminal_of(child, MALLORY)
        assert os.fstat(fd).st_rdev == os.fstat(slave).st_rdev
        os.close(fd)
        assert open_terminal_of(os.getpid(), BOB) == -1
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(master)
        os.close(slave)


def test_passed_descriptors_are_refused_by_this_kernel_or_seen() -> None:
    from slic.kernel.rights import holds_rights, refuse_rights

    one, other = socket.socketpair()
    with one, other:
        socket.send_fds(one, [b"x"], [0])
        assert holds_rights(other)
        if refuse_rights(other):
            with pytest.raises(PermissionError):
                socket.send_fds(one, [b"x"], [0])

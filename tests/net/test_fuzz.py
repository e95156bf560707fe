"""Damaged frames at every door: nothing crashes, memory stays bounded, other jobs do not notice.

Every message of a direction, damaged in a seeded way (see damage.py). TLS ports are fuzzed below
TLS (as anybody can) and above it with a member's certificate. What is counted is what a service had
to look at: 50,000 frames in all; GLUNIX_LONG=1 sends 10^6.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, ended, read_line

from glunix.errors import FrameError
from glunix.msg import client, master, peer, stream, trust
from glunix.msg.base import Decoder, Message, encode
from glunix.msg.frame import encode_frame
from glunix.msg.job import JobSpec, Owner, TtySpec, WinSize

from .damage import broken, looked_at, sequence
from .loopback import Loopback, loopback

FRAMES = 1_000_000 if os.environ.get("GLUNIX_LONG") else 50_000
GROWTH = 96 * 1024 * 1024
"""Bytes that a service may grow by: an unfinished 8 MiB frame or two, and what Python keeps."""

NO_JOB = 2**31 - 9

PATIENCE = 20.0
"""Seconds within which a line of another's job comes back, on a machine that tests share."""

SPEC = JobSpec([b"true"], {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [],
               TtySpec([0], bytes(36), WinSize(24, 80)))  # fmt: skip
NOBODYS = JobSpec([b"true"], {}, b"/", 0o22, 0, [], None, transparent=True)
TO_CLIENTS_DOOR: list[Message] = [
    *[client.Submit(1, SPEC, 2, ["nowhere"], ["home"], 0), client.TtyMode(True),
      client.KillJob(1, NO_JOB, 0, 9), client.ListNodes(1)] * 3, client.ListJobs(1, True),
]  # fmt: skip
TO_STREAMS: list[Message] = [
    stream.In(b"x" * 99), stream.Credit(0, 1, 5), stream.Signal(0, 0), stream.Refuse(0, 1),
    stream.Resize(WinSize(1, 2)), stream.Got(1, 0, b"x"), stream.Ready(0, True),
]  # fmt: skip
TO_MASTER: list[Message] = [
    *[master.LoadReport(1.0, 5), master.Place(1, 5, "x", 1, ["nowhere"], [], False),
    master.ProcStarted(NO_JOB, 0, 9), master.ProcStopped(NO_JOB, 0, 9),
    master.ProcExited(NO_JOB, 0, 0, 0), master.JobOver(NO_JOB),
    master.KillRequest(1, 5, NO_JOB, None, 0), master.NodesQuery(1)] * 3,
    master.JobsQuery(1, 5, True), master.Renew(b"-----BEGIN"),
]  # fmt: skip
TO_OWNERS_DOOR: list[Message] = [trust.MembersAsked(), trust.RevokeAsked("nobody")]


def hello(node: str) -> bytes:
    told = master.NodeHello(1, 0, node, "x", "tcp:127.0.0.1:9", False, 1, 1, [], [], [])
    return encode_frame(0, encode(told))


def unix(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    return link


def give(link: socket.socket, data: bytes) -> None:
    """Send, and read until the other side has had enough."""
    link.settimeout(20.0)
    with link, contextlib.suppress(OSError, ssl.SSLError):  # it may close, which is its right
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)  # of TCP: what comes from now on is not decrypted
        while link.recv(65536):
            pass


def closing(number: int, body: bytes) -> None:
    raise FrameError("streams that are not its own")


def fuzz(seed: int, frames: int, dial: Callable[[], socket.socket],
         make: Callable[[random.Random], tuple[bytes, int]]) -> None:  # fmt: skip
    """Connections with what `make` gives, until `frames` were looked at."""
    rng = random.Random(seed)
    while frames > 0:
        data, count = make(rng)
        give(dial(), data)
        frames -= count


def control(messages: list[Message], decoder: Decoder, length: int = 12
            ) -> Callable[[random.Random], tuple[bytes, int]]:  # fmt: skip
    """Sequences for a door that knows no streams of its own."""

    def make(rng: random.Random) -> tuple[bytes, int]:
        data = sequence(rng, messages, rng.randrange(2 * length), lambda: 0)
        return data, looked_at(data, decoder, closing)

    return make


@pytest.fixture(scope="module")
def cluster() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


@pytest.fixture(scope="module")
def mad(cluster: Loopback) -> Cluster:
    """A member whose daemon does not run: its key is ours."""
    token = cluster.home.run("glunix", "invite").text
    folder = cluster.folder / "mad"
    words = ["glunix", "join", "--folder", str(folder), "--name", "mad", "--no-start", "--"]
    assert cluster.node.run(*words, cluster.master, token).status == 0
    return Cluster(cluster.home.bin, folder)


class Echo(threading.Thread):
    """Somebody's job: line after line to a node and back, all the while."""

    def __init__(self, job: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.over = threading.Event()
        self.longest = 0.0
        self.lines = 0
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(0.05):
                began = time.monotonic()
                self.once()
                self.longest = max(self.longest, time.monotonic() - began)
        except BaseException as error:
            self.failed = error

    def once(self) -> None:
        assert self.job.stdin is not None
        self.lines += 1
        self.job.stdin.write(b"%d\n" % self.lines)
        self.job.stdin.flush()
        assert read_line(self.job, PATIENCE) == str(self.lines)


@pytest.fixture
def bystander(cluster: Loopback, mad: Cluster) -> Iterator[None]:
    """A job that runs all the while, and services that are the same afterwards, and not bigger."""
    before = cluster.services()
    sizes = {name: member.rss() for name, member in before.items()}
    logs = {name: len(cluster.log(name)) for name in before}
    assert set(before) == {"master", "home", "node1"}
    script = "while read x; do echo $x; done; exit 3"
    with ended(cluster.home.start("glurun", "-w", "node1", "sh", "-c", script,
                                  stdin=subprocess.PIPE)) as job:  # fmt: skip
        echo = Echo(job)
        echo.once()
        echo.start()
        yield
        echo.over.set()
        echo.join(PATIENCE)
        assert echo.failed is None and not echo.is_alive(), echo.failed
        echo.once()
        assert job.stdin is not None
        job.stdin.close()
        assert job.wait(20) == 3
    print(f"\n{echo.lines} lines of another's job, {echo.longest * 1000:.0f} ms at the longest")
    for name, member in cluster.services().items():
        log = cluster.log(name)
        assert member == before[name], f"{name} is another process: {log[-3000:]}"
        assert member.rss() - sizes[name] < GROWTH, name
        assert "Traceback" not in log and "bug:" not in log
        assert log.replace("\n", "").isprintable(), f"{name}'s log could forge or erase entries"
        grown, written = (member.rss() - sizes[name]) >> 10, len(log) - logs[name]
        ticks = Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        seconds = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        print(f"{name}: +{grown} KiB, log +{written} bytes, {seconds:.1f} s of processor so far")
    assert cluster.home.glurun("-w", "node1", "sh", "-c", "exit 5").status == 5


@pytest.mark.slow
@pytest.mark.parametrize("where", ["home/home.sock", "node1/node1.sock"])
def test_client_sockets(cluster: Loopback, bystander: None, where: str) -> None:
    path = str(cluster.folder / where)
    make = control(TO_CLIENTS_DOOR, client.client_to_daemon)
    fuzz(1, FRAMES * 23 // 100, lambda: unix(path), make)


@pytest.mark.slow
def test_streams_of_a_client(cluster: Loopback, bystander: None) -> None:
    """A job of his own, and damaged frames on its stream: that job ends, and nothing else."""
    submit = encode_frame(0, encode(client.Submit(
        1, JobSpec([b"cat"], {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [], None),
        nodes=["node1"])))  # fmt: skip
    path = str(cluster.folder / "home/home.sock")
    rng = random.Random(6)
    for _ in range(FRAMES // 20_000):
        with unix(path) as link:
            link.settimeout(20.0)
            link.sendall(submit)
            heard = b""
            while b"started" not in heard:
                heard += link.recv(65536)
            frames = sequence(rng, TO_STREAMS, 399, lambda: 1)
            with contextlib.suppress(OSError):
                link.sendall(frames)
                while link.recv(65536):
                    pass


@pytest.mark.slow
def test_admin_socket(cluster: Loopback, bystander: None) -> None:
    path = str(cluster.home.folder / "private" / "admin.sock")
    make = control(TO_OWNERS_DOOR, trust.admin_to_master, 4)
    fuzz(2, FRAMES * 2 // 100, lambda: unix(path), make)


@pytest.mark.slow
@pytest.mark.parametrize("port", ["master", "home_port", "node_port"])
def test_below_tls(cluster: Loopback, bystander: None, port: str) -> None:
    """Whoever can reach the port: damaged TLS records, and frames of ours without TLS."""
    address = getattr(cluster, port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    first = outgoing.read()

    def make(rng: random.Random) -> tuple[bytes, int]:
        data = bytearray(first)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            data = bytearray(broken(rng, rng.choice(TO_MASTER), 0) or b"\0")
        return bytes(data), 1

    fuzz(3, FRAMES * 2 // 100, lambda: cluster.dial(address, None), make)


@pytest.mark.slow
def test_above_tls_to_a_daemon(cluster: Loopback, bystander: None) -> None:
    """A member that has gone mad: jobs that cannot be, and noise on streams that are over."""
    first = encode_frame(0, encode(peer.PeerHello(1, 0, "mad", "x")))

    def opened(number: int, body: bytes) -> None:
        nonlocal last
        if number > last:
            last = number
            if stream.opening.decode(body).home != "mad":
                raise FrameError("another's job")

    last = 0
    start = stream.Start(9, 2, [0, 1], "mad", Owner(1, 1, [1]), NOBODYS)

    def make(rng: random.Random) -> tuple[bytes, int]:
        nonlocal last
        last = 0
        numbers = itertools.count(1)
        frames = []
        for _ in range(rng.randint(1, 5)):
            number = next(numbers)
            frames.append(encode_frame(number, encode(start)))
            frames.append(sequence(rng, TO_STREAMS, 9, lambda number=number: number)[:-1])
        frames.append(sequence(rng, [peer.CloseStream(1, "x"), start], 3, lambda: next(numbers)))
        data = b"".join(frames)
        return first + data, looked_at(data, peer.peer_to_peer, opened)

    fuzz(4, FRAMES * 22 // 100, lambda: cluster.dial(cluster.node_port, mad_of(cluster)), make)


@pytest.mark.slow
def test_above_tls_to_the_master(cluster: Loopback, bystander: None) -> None:
    """It says hello as it should, and then anything: no books are changed."""
    first = hello("mad")
    inner = control(TO_MASTER, master.daemon_to_master, 20)

    def make(rng: random.Random) -> tuple[bytes, int]:
        data, count = inner(rng)
        return first + data, count

    fuzz(5, FRAMES * 22 // 100, lambda: cluster.dial(cluster.master, mad_of(cluster)), make)
    wrong = hello("home")  # from another's certificate
    for damaged in [wrong, *(broken(random.Random(n), HELLO, 0) + b"\xc1" for n in range(200))]:
        give(cluster.dial(cluster.master, mad_of(cluster)), damaged)
    states = cluster.home.states()
    assert {states["home"], states["node1"]} == {"up"}, states
    assert len(cluster.home.jobs()) < 400


HELLO = master.NodeHello(1, 0, "home", "x", "tcp:127.0.0.1:9", True, 1, 1, [], [], [])


def mad_of(cluster: Loopback) -> Cluster:
    return Cluster(cluster.home.bin, cluster.folder / "mad")

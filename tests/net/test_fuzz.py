"""Damaged frames at every door: nothing crashes, memory stays bounded, other jobs do not notice.

Every valid message of a direction, damaged in a seeded way: bytes changed, cut, doubled, lengths
that lie, fields of other types, other streams. TLS ports are fuzzed below TLS (as anybody can) and
above it with a member's certificate. 10^4 frames in all; GLUNIX_LONG=1 sends 10^6.
"""

from __future__ import annotations

import os
import random
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator

import msgpack
import pytest
from e2e.cluster import ended, read_line

from glunix.msg import client, master, peer, stream, trust
from glunix.msg.base import Message, encode
from glunix.msg.frame import encode_frame
from glunix.msg.job import JobSpec, Owner, TtySpec, WinSize

from .loopback import Loopback, loopback

FRAMES = 1_000_000 if os.environ.get("GLUNIX_LONG") else 10_000
GROWTH = 96 * 1024 * 1024
"""Bytes that a service may grow by: an unfinished 8 MiB frame or two, and what Python keeps."""

SPEC = JobSpec([b"true"], {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [],
               TtySpec([0], b"\0" * 60, WinSize(24, 80)))  # fmt: skip
HELLO = master.NodeHello(1, 0, "home", "x", "tcp:127.0.0.1:9", True, 1, 1, [], [], [])
VALID: dict[str, list[Message]] = {
    "client": [
        client.Submit(1, SPEC, 2, ["node1"], ["home"], 0), client.TtyMode(True),
        client.KillJob(1, 5, 0, 9), client.ListJobs(1, True), client.ListNodes(1),
        stream.In(b"x" * 99), stream.Credit(0, 1, 5), stream.Signal(0, 0), stream.Refuse(0, 1),
        stream.Resize(WinSize(1, 2)), stream.Got(1, 0, b"x"), stream.Ready(0, True),
    ],
    "peer": [
        peer.PeerHello(1, 0, "home", "x"), peer.CloseStream(1, "x"),
        stream.Start(9, 1, [0], "mars", Owner(1, 1, [1]), SPEC), stream.In(b"x"),
    ],
    "master": [
        HELLO, master.LoadReport(1.0, 5), master.Place(1, 5, "x", 1, [], [], False),
        master.ProcStarted(5, 0, 9), master.ProcStopped(5, 0, 9), master.ProcExited(5, 0, 0, 0),
        master.JobOver(5), master.KillRequest(1, 5, 5, None, 0), master.JobsQuery(1, 5, True),
        master.NodesQuery(1), master.Renew(b"-----BEGIN"),
    ],
    "admin": [
        trust.InviteAsked(-1.0), trust.MembersAsked(), trust.RevokeAsked("nobody"),
    ],
}  # fmt: skip
ODD = (b"", b"\xc0", b"\xff" * 9, b"\xcb" + b"\xff" * 8, b"\x91" * 3000, b"\xdd\xff\xff\xff\xff",
       b"\xdb\x7f\xff\xff\xff", b"\xc7\xff\x01", b"\x92\x01")  # fmt: skip


def damaged(rng: random.Random, messages: list[Message]) -> bytes:
    """One frame, wrong in some way (or, seldom, right)."""
    body = bytearray(encode(rng.choice(messages)))
    kind = rng.randrange(7)
    if kind == 0:
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
    elif kind == 1:
        del body[rng.randrange(len(body)) :]
    elif kind == 2:
        at = rng.randrange(len(body))
        body[at:at] = rng.choice(ODD)
    elif kind == 3:
        fields = msgpack.unpackb(bytes(body), strict_map_key=False)
        fields[rng.randrange(len(fields))] = rng.choice(
            [None, -1, 2**64 - 1, "x" * 5000, b"\0", [], {}, 1e308, float("nan"), [[[[]]]], True]
        )
        body = bytearray(msgpack.packb(fields))
    frame = bytearray(encode_frame(rng.choice([0, 0, 0, 1, 2, 3, 2**32 - 1]), bytes(body)))
    if kind == 4:
        frame[rng.randrange(min(11, len(frame)))] = rng.randrange(256)
    elif kind == 5:
        del frame[rng.randrange(len(frame)) :]
    elif kind == 6:
        frame = bytearray(rng.randbytes(rng.randint(1, 60)))
    return bytes(frame)


def unix(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    return link


def give(link: socket.socket, data: bytes) -> None:
    """Send, and read until the other side has had enough or has read all."""
    link.settimeout(0.5)
    try:
        link.sendall(data)
        if not isinstance(link, ssl.SSLSocket):
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
        else:
            link.settimeout(0.005)
            link.recv(65536)
    except (OSError, ssl.SSLError):
        pass  # it closed the link, which is its right
    finally:
        link.close()


def fuzz(seed: int, frames: int, each: int, messages: list[Message],
         dial: Callable[[], socket.socket]) -> None:  # fmt: skip
    rng = random.Random(seed)
    for _ in range(0, frames, each):
        give(dial(), b"".join(damaged(rng, messages) for _ in range(each)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


@pytest.fixture
def bystander(cluster: Loopback) -> Iterator[None]:
    """A job that runs all the while, and services that are the same afterwards, and not bigger."""
    before = cluster.services()
    sizes = {name: member.rss() for name, member in before.items()}
    assert set(before) == {"master", "home", "node1"}
    script = "while read x; do echo $x; done; exit 3"
    with ended(cluster.home.start("glurun", "-w", "node1", "sh", "-c", script,
                                  stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert job.stdin is not None
        for word in ("before", "after"):
            job.stdin.write(f"{word}\n".encode())
            job.stdin.flush()
            assert read_line(job) == word
            if word == "before":
                yield
        job.stdin.close()
        assert job.wait(20) == 3
    for name, member in cluster.services().items():
        assert member == before[name], f"{name} is another process: {cluster.log(name)[-3000:]}"
        assert member.rss() - sizes[name] < GROWTH, name
        assert "Traceback" not in cluster.log(name) and "bug:" not in cluster.log(name)
    assert cluster.home.glurun("-w", "node1", "sh", "-c", "exit 5").status == 5


@pytest.mark.slow
@pytest.mark.parametrize("where", ["home/home.sock", "node1/node1.sock"])
def test_client_sockets(cluster: Loopback, bystander: None, where: str) -> None:
    path = str(cluster.folder / where)
    fuzz(1, FRAMES * 3 // 10, 2, VALID["client"], lambda: unix(path))


@pytest.mark.slow
def test_admin_socket(cluster: Loopback, bystander: None) -> None:
    path = str(cluster.home.folder / "private" / "admin.sock")
    fuzz(2, FRAMES // 20, 1, VALID["admin"], lambda: unix(path))


@pytest.mark.slow
@pytest.mark.parametrize("port", ["master", "home_port", "node_port"])
def test_below_tls(cluster: Loopback, bystander: None, port: str) -> None:
    """Whoever can reach the port: damaged TLS records, and frames of ours without TLS."""
    address = getattr(cluster, port)
    rng = random.Random(3)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    first = outgoing.read()
    for _ in range(FRAMES // 30):
        data = bytearray(first)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            data = bytearray(damaged(rng, VALID["master"]) or b"\0")
        give(cluster.dial(address, None), bytes(data))


@pytest.mark.slow
def test_above_tls_to_a_daemon(cluster: Loopback, bystander: None) -> None:
    """A member that has gone mad."""
    first = encode_frame(0, encode(peer.PeerHello(1, 0, "home", "x")))

    def dial() -> socket.socket:
        link = cluster.dial(cluster.node_port, cluster.home)
        link.sendall(first)
        return link

    fuzz(4, FRAMES // 10, 5, VALID["peer"], dial)


@pytest.mark.slow
def test_above_tls_to_the_master(cluster: Loopback, bystander: None) -> None:
    """Its hello says `home` from node1's certificate, or is damaged: no books are changed."""
    dial = lambda: cluster.dial(cluster.master, cluster.node)  # noqa: E731
    fuzz(5, FRAMES // 10, 5, VALID["master"], dial)
    states = cluster.home.states()
    assert states == {"home": "up", "node1": "up"}, states

"""Bytes that nobody should send: that link closes with a logged reason, everything else goes on."""

from __future__ import annotations

import resource
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glunix.msg import client, master, peer, stream
from glunix.msg.base import MAJOR, encode
from glunix.msg.frame import BODY_MAX, encode_frame
from glunix.msg.job import JobSpec, Owner, Rlimit

from .cluster import NOBODY, Cluster, as_user, ended, read_line, until

SOCKETS = {
    "client": "home.sock",
    "node client": "node1.sock",
    "peer": "private/peer-node1.sock",
    "master": "private/master.sock",
}
FEW = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(path))
        yield link


def closes(link: socket.socket) -> bytes:
    """All that comes until the other side closes; fails when it does not."""
    data = b""
    try:
        while piece := link.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def send(link: socket.socket, data: bytes) -> None:
    try:
        link.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has had enough already


def answers(link: socket.socket, *words: bytes) -> None:
    """Receive until one of the words has come; fails when the link closes instead."""
    data = b""
    while not any(word in data for word in words):
        piece = link.recv(65536)
        assert piece, data
        data += piece


def spec(**more: object) -> JobSpec:
    given = {"argv": [b"true"], "env": {b"PATH": b"/usr/bin:/bin"}, "cwd": b"/", "umask": 0o22,
             "nice": 0, "rlimits": [], "tty": None}  # fmt: skip
    return JobSpec(**{**given, **more})  # type: ignore[arg-type]


def submit(**more: object) -> bytes:
    return encode_frame(0, encode(client.Submit(1, spec(**more))))


def works(cluster: Cluster) -> None:
    result = cluster.glurun("-n", "4", "echo", "fine")
    assert (result.status, result.out, result.err) == (0, b"fine\n" * 4, b"")


@pytest.fixture(scope="module")
def bystander(shared: Cluster) -> Iterator[None]:
    """A job of somebody else, which runs through all of this."""
    script = "while read x; do echo $x; done; exit 3"
    job = shared.start("glurun", "-w", "node1", "sh", "-c", script, stdin=subprocess.PIPE)
    with ended(job):
        assert job.stdin is not None
        job.stdin.write(b"before\n")
        job.stdin.flush()
        assert read_line(job) == "before"
        yield
        job.stdin.write(b"after\n")
        job.stdin.close()
        assert read_line(job) == "after"
        assert job.wait(10) == 3


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "wrong shape": msgpack.packb({b"a": 1}),
    "three fields": msgpack.packb((0, b"", 1)),
    "negative stream": msgpack.packb((-1, b"")),
    "huge stream": msgpack.packb((2**40, b"")),
    "text body": msgpack.packb((0, "text")),
    "float": msgpack.packb((0.5, b"")),
    "not a message": encode_frame(0, b"\xc1\xc1"),
    "empty body": encode_frame(0, b""),
    "unknown tag": encode_frame(0, msgpack.packb(["reboot", 1])),
    "missing fields": encode_frame(0, msgpack.packb(["submit"])),
    "wrong type": encode_frame(0, msgpack.packb(["kill", "one", 2, None, 9])),
    "oversized": b"\x92\x00\xc6" + struct.pack(">I", BODY_MAX + 1),
    "very oversized": b"\x92\x00\xc6\xff\xff\xff\xff",
    "deep": encode_frame(0, b"\x91" * 100_000),
    "reply to nobody": encode_frame(0, encode(client.Done(1))),
}


@pytest.mark.parametrize("kind", sorted(GARBAGE))
@pytest.mark.parametrize("where", sorted(SOCKETS))
def test_garbage(shared: Cluster, bystander: None, where: str, kind: str) -> None:
    name = {"client": "home", "node client": "node1", "peer": "node1", "master": "master"}[where]
    before = len(shared.log(name))
    with connected(shared.folder / SOCKETS[where]) as link:
        send(link, GARBAGE[kind])
        closes(link)
    until(lambda: len(shared.log(name)) > before, "a reason in the log")
    assert "Traceback" not in shared.log(name)[before:]


def test_after_garbage(shared: Cluster, bystander: None) -> None:
    works(shared)


@pytest.mark.parametrize("where", sorted(SOCKETS))
def test_wrong_direction(shared: Cluster, bystander: None, where: str) -> None:
    """Messages that only the other side may send, to each socket."""
    wrong = {
        "client": client.Refused(1, "no-node", "x"),
        "node client": master.Welcome(MAJOR, 0, "c", 1.0),
        "peer": client.KillJob(1, 1, None, 9),
        "master": peer.PeerHello(MAJOR, 0, "node1", "x"),
    }[where]
    with connected(shared.folder / SOCKETS[where]) as link:
        send(link, encode_frame(0, encode(wrong)))
        closes(link)
    works(shared)


def test_forged_start(shared: Cluster, bystander: None) -> None:
    """A client cannot open a stream, nor slip an owner of its own into one that it has."""
    forged = stream.Start(77, 1, [0], "home", Owner(0, 0, []), spec(argv=[b"touch", b"/forged"]))
    with connected(shared.folder / "home.sock") as link:
        send(link, submit(argv=[b"sleep", b"1000"]))
        answers(link, b"started")
        send(link, encode_frame(1, encode(forged)))
        answers(link, b"exited")
    assert not Path("/forged").exists()
    with connected(shared.folder / "home.sock") as link:
        send(link, encode_frame(5, encode(forged)) + encode_frame(0, b"\xc1"))
        closes(link)
    with connected(shared.folder / "private/peer-node1.sock") as link:  # no hello
        send(link, encode_frame(1, encode(forged)))
        closes(link)
    assert not Path("/forged").exists()
    works(shared)


def test_a_client_that_says_who_it_is(shared: Cluster, bystander: None, nobody: int) -> None:
    """The kernel's word counts: Submit with another uid, and a Start on its own link."""
    probe = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(bytes.fromhex(sys.argv[2])); s.settimeout(10); print(s.recv(65536))"
    )
    frame = encode_frame(0, encode(client.Submit(1, spec(argv=[b"id"]), uid=0)))
    words = [*as_user(NOBODY), "/usr/bin/env", "python3", "-c", probe]
    if subprocess.run([*words[:-2], "--version"], capture_output=True).returncode:
        words[-3] = "/usr/bin/python3"
    done = subprocess.run(
        [*words, str(shared.folder / "home.sock"), frame.hex()], capture_output=True, timeout=20
    )
    assert b"you may not run a job as uid 0" in done.stdout, done
    for path in ("private/peer-node1.sock", "private/master.sock"):
        done = subprocess.run(
            [*words, str(shared.folder / path), frame.hex()], capture_output=True, timeout=20
        )
        assert b"PermissionError" in done.stderr
    works(shared)


def test_too_large_to_start(shared: Cluster, bystander: None) -> None:
    """A Submit that fits a frame, though its Start would not."""
    filler = {b"X": b"x" * (BODY_MAX - 400)}
    with connected(shared.folder / "home.sock") as link:
        send(link, submit(env=filler))
        link.settimeout(10)
        assert b"command line and environment are over" in link.recv(65536)
    works(shared)


def test_odd_but_well_formed(shared: Cluster, bystander: None) -> None:
    """What the types allow and no glurun sends: an error for that job, nothing more."""
    odd: list[dict[str, object]] = [
        {"argv": [b"a\0b"]},
        {"argv": [b""]},
        {"env": {b"": b"x"}},
        {"env": {b"A=B": b"x\0"}},
        {"cwd": b"a\0b"},
        {"cwd": b""},
        {"rlimits": [Rlimit(31, 1, 1)]},
        {"rlimits": [Rlimit(7, 2**62, 2**63 - 1)]},
        {"rlimits": [Rlimit(7, 5, 2)]},
        {"ignored": [0, 9, 19, 32, 33, 64]},
        {"window": 4096},
    ]
    for more in odd:
        with connected(shared.folder / "home.sock") as link:
            send(link, submit(**more))
            answers(link, b"exited", b"failed")
    works(shared)


@pytest.mark.parametrize("transparent", [False, True])
def test_input_without_credit(shared: Cluster, bystander: None, transparent: bool) -> None:
    """Whoever sends more than was asked for loses his job, not the node its memory."""
    before = {name: member.rss() for name, member in shared.members().items()}
    chunk = encode_frame(1, encode(stream.In(b"x" * 200_000)))
    with connected(shared.folder / "home.sock") as link:
        send(link, submit(argv=[b"sleep", b"1000"], transparent=transparent))
        answers(link, b"started")
        for _ in range(500):
            send(link, chunk)
        answers(link, b"exited")
    for name, member in shared.members().items():
        assert member.rss() - before[name] < 48 * 1024 * 1024, name
    works(shared)


def test_credit_for_ever(shared: Cluster, bystander: None) -> None:
    """Credit that was never owed buys no memory at home."""
    home = shared.members()["home"]
    before = home.rss()
    with connected(shared.folder / "home.sock") as link:
        send(link, submit(argv=[b"yes"]))
        answers(link, b"started")
        for _ in range(50):
            send(link, encode_frame(1, encode(stream.Credit(0, 1, 2**31 - 1))))
        time.sleep(0.5)  # in which an unbounded writer would fill hundreds of MiB
        assert home.rss() - before < 48 * 1024 * 1024
    works(shared)


def test_cut_off_anywhere(shared: Cluster, bystander: None) -> None:
    whole = submit(argv=[b"true"])
    for cut in range(1, len(whole), 7):
        with connected(shared.folder / "home.sock") as link:
            send(link, whole[:cut])
    works(shared)


def test_byte_by_byte(shared: Cluster, bystander: None) -> None:
    with connected(shared.folder / "home.sock") as link:
        for at in range(len(whole := submit(argv=[b"true"]))):
            link.sendall(whole[at : at + 1])
        answers(link, b"exited")


def test_many_connections(shared: Cluster, bystander: None) -> None:
    """More than a daemon can have open: who waits is served later, nobody is harmed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    links = []
    try:
        for _ in range(min(600, soft - 100)):
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(shared.folder / "home.sock"))
            links.append(link)
        works(shared)
    finally:
        for link in links:
            link.close()
    assert hard >= soft


def test_no_descriptor_left(own: Cluster) -> None:
    """A daemon at its limit lets go of those who say nothing."""
    result = own.shell("ulimit -n 40; glunix up -n 1")
    assert result.status == 0, result
    home = own.members()["home"]
    links = []
    try:
        for _ in range(60):
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(own.folder / "home.sock"))
            links.append(link)
        assert own.glurun("sh", "-c", "exit 3").status == 3
    finally:
        for link in links:
            link.close()
    assert own.glurun("sh", "-c", "exit 4").status == 4
    assert own.members()["home"] == home


def _try(shared: Cluster, where: str, data: bytes) -> None:
    with connected(shared.folder / SOCKETS[where]) as link:
        send(link, data)
        link.shutdown(socket.SHUT_WR)
        closes(link)


@pytest.mark.parametrize("where", sorted(SOCKETS))
def test_random_bytes(shared: Cluster, bystander: None, where: str) -> None:
    @FEW
    @given(st.binary(min_size=1, max_size=200))
    def run(data: bytes) -> None:
        _try(shared, where, data)

    run()
    works(shared)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=9)
    | st.text(max_size=9) | st.floats(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.binary(max_size=3), inner, max_size=2),
    max_leaves=8,
)  # fmt: skip
TAGS = st.sampled_from(
    ["submit", "tty", "kill", "jobs", "nodes", "hello", "load", "place", "started", "stopped",
     "exited", "over", "close", "start", "in", "credit", "signal", "resize", "out"]
)  # fmt: skip


@pytest.mark.parametrize("where", sorted(SOCKETS))
def test_random_messages(shared: Cluster, bystander: None, where: str) -> None:
    """Well-formed frames with known tags and random fields, on random streams."""

    @FEW
    @given(st.lists(st.tuples(st.integers(0, 3), TAGS, st.lists(VALUES, max_size=8)), max_size=4))
    def run(messages: list[tuple[int, str, list[object]]]) -> None:
        frames = [encode_frame(n, msgpack.packb([tag, *fields])) for n, tag, fields in messages]
        _try(shared, where, b"".join(frames) or b"\xc1")

    run()
    works(shared)


@pytest.mark.parametrize("where", ["client", "node client"])
def test_damaged_submit(shared: Cluster, bystander: None, where: str) -> None:
    """A true Submit with one byte changed: refused or run, but never more than that."""
    whole = submit(argv=[b"true"])

    @FEW
    @given(st.integers(0, len(whole) - 1), st.integers(0, 255))
    def run(at: int, byte: int) -> None:
        _try(shared, where, whole[:at] + bytes((byte,)) + whole[at + 1 :])

    run()
    works(shared)

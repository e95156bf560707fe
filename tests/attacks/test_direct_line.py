"""Strangers on the line between a job's startup and its supervisor, and lines that are lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, descendants, ended, processes, read_line, until
from e2e.conftest import tools

from glunix.errors import FrameError, NotRunning
from glunix.home import direct as home_end
from glunix.home.direct import Line
from glunix.home.link import HomeLink
from glunix.home.shapes import TRANSPARENT
from glunix.ids import StreamId
from glunix.msg.base import encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.msg.stream import Continued, Exited, LineAnswer, LineHello, LineOver, Started
from glunix.node import home_connection as node_end
from glunix.node.home_connection import WayHome, connect
from glunix.node.pollreactor import PollReactor

__all__ = ["tools"]  # these attacks are the owner's own: they need no other user

ME = os.geteuid()
READY = b"\x93\xa5ready\x00\xc3"


@pytest.fixture
def line() -> Iterator[Line]:
    ours, theirs = socket.socketpair()
    link = HomeLink.over(ours)  # type: ignore[arg-type]
    link.shapes = TRANSPARENT
    made = Line(link)
    yield made
    made._close_door()
    if made._direct is not None:
        made._direct.close()
    link.close()
    theirs.close()


def comes(line: Line) -> socket.socket:
    """A stranger, who knows the name."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(line.name)
    return sock


def is_sent_away(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(10) == b""
    except ConnectionResetError:
        return True  # it had said more than was read


def frames(sock: socket.socket) -> list[bytes]:
    sock.settimeout(5)
    return [bytes(body) for _, body in Deframer().feed(sock.recv(4096))]


def hello(secret: bytes) -> bytes:
    return encode_frame(StreamId(1), encode(LineHello(secret)))


@pytest.mark.parametrize("silent", [1, 10])
def test_who_comes_first_and_says_nothing_holds_up_nobody(line: Line, silent: int) -> None:
    line.send(1, ["ready", 0, True])
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(comes(line)) for _ in range(silent)]
        assert line.receive(settles=False) == []
        node = connect(line.spec, ME)
        assert node is not None
        stack.enter_context(node)
        line.receive(settles=False)
        assert frames(node) == [encode(LineAnswer(line.spec[16:32])), READY]
        assert all(map(is_sent_away, strangers))


@pytest.mark.parametrize(
    "said",
    [hello(bytes(16)), b"GET / HTTP/1.0\r\n\r\n" * 10, bytes(1000), hello(b"x" * 16)[:-1] + b"!"],
)
def test_a_stranger_is_sent_away_and_listening_goes_on(line: Line, said: bytes) -> None:
    with comes(line) as stranger:
        stranger.sendall(said)
        line.receive(settles=False)
        assert is_sent_away(stranger)
        with comes(line) as right:
            right.sendall(hello(line.spec[:16]))
            line.receive(settles=False)
            assert frames(right) == [encode(LineAnswer(line.spec[16:32]))]


def test_the_secret_cannot_be_found_byte_by_byte(line: Line) -> None:
    whole = hello(line.spec[:16])
    for said in (whole[:-3], whole[:-3] + bytes((whole[-3] ^ 1,))):
        with comes(line) as stranger:
            stranger.sendall(said)
            line.receive(settles=False)
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.recv(1)  # right or wrong: nothing is said before all of it is there


def test_a_thousand_strangers_leave_the_long_way(line: Line) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            try:
                sock.connect(line.name)
            except BlockingIOError:
                line.receive(settles=False)
        began = time.monotonic()
        line.settle()
        assert line.fileno() == -1 and time.monotonic() - began < 1


def test_a_line_that_is_cut_is_a_sentence_within_a_second(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_end, "LOST", 0.1)
    node = connect(line.spec, ME)
    assert node is not None
    line.receive(settles=False)
    node.close()
    line.receive()
    line.check(is_over=False)
    time.sleep(line.patience()[0])
    line.check(is_over=True)  # a daemon has said how it ended
    with pytest.raises(NotRunning, match="lost the line"):
        line.check(is_over=False)


def test_what_strangers_say_on_the_line_is_refused_by_its_types(line: Line) -> None:
    node = connect(line.spec, ME)
    assert node is not None
    with node:
        line.receive(settles=False)
        node.sendall(encode_frame(StreamId(0), b"\x94\xa6placed\x01\x07\x90"))
        with pytest.raises(FrameError, match=r"Invalid value 'placed' - at `\$\[0\]`"):
            line.receive()


# -- the supervisor's end ------------------------------------------------------------------------
class Node:
    """A WayHome whose daemon and startup are the test."""

    def __init__(self) -> None:
        self.reactor = PollReactor()
        daemon, self.daemon = socket.socketpair()
        ours, self.home = socket.socketpair()
        self.secret = os.urandom(32)
        self.frames: list[bytes] = []
        self.gone = 0.0
        self.way = WayHome(
            self.reactor,
            daemon,
            ours,
            self.secret + b"\0name",
            lambda stream, body: self.frames.append(bytes(body)),
            self._gone,
        )
        self._own = daemon, ours

    def _gone(self) -> None:
        self.gone = time.monotonic()

    def until_gone(self) -> float:
        """Seconds."""
        began = time.monotonic()
        ticks = [self.reactor.call_later(at / 20, lambda: None) for at in range(60)]
        while not self.gone and time.monotonic() - began < 2:
            self.reactor.turn()
        for tick in ticks:
            tick.cancel()
        assert self.gone, "the job goes on"
        return self.gone - began

    def close(self) -> None:
        for sock in (*self._own, self.daemon, self.home):
            sock.close()


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(node_end, "ANSWER", 0.3)
    made = Node()
    yield made
    made.close()


def say(node: Node, body: bytes) -> None:
    node.home.sendall(encode_frame(StreamId(1), body))
    node.reactor.turn()


def test_the_supervisor_takes_nothing_before_homes_half_of_the_secret(
    node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    say(node, encode(LineAnswer(bytes(16))))
    assert node.until_gone() < 1 and node.frames == []
    assert "a stranger answered on the job's line" in capfd.readouterr().err


def test_nobody_answers(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    assert node.until_gone() < 1
    assert "nobody answered" in capfd.readouterr().err


def test_a_lost_line_ends_the_supervisor(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    say(node, encode(LineAnswer(node.secret[16:])))
    say(node, READY)
    assert node.frames == [READY]
    node.home.close()
    assert node.until_gone() < 1
    assert "lost the line" in capfd.readouterr().err


def test_a_line_that_ends_after_the_job_is_no_loss(node: Node) -> None:
    say(node, encode(LineAnswer(node.secret[16:])))
    node.way.report(Started(0, 5))
    node.way.report(Continued(0))
    node.way.report(Exited(0, 0, 0))
    assert frames(node.home) == [encode(LineOver())]
    node.home.close()
    with pytest.raises(AssertionError, match="the job goes on"):
        node.until_gone()


# -- real jobs -----------------------------------------------------------------------------------
def lines_of_others() -> list[bytes]:
    """Names of the lines that are there (proc(5), /proc/net/unix)."""
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [b"\0" + row[7][1:].encode() for row in rows if len(row) > 7 and "@glunix-" in row[7]]


def test_jobs_end_well_while_a_stranger_connects_to_every_line(own: Cluster) -> None:
    assert own.up(2).status == 0
    over = threading.Event()
    met: set[bytes] = set()

    def strange() -> None:
        held: list[socket.socket] = []
        while not over.is_set():
            for name in set(lines_of_others()) - met:
                sock = socket.socket(socket.AF_UNIX)
                sock.setblocking(False)
                with contextlib.suppress(OSError):
                    sock.connect(name)
                    met.add(name)
                    if len(met) % 2:
                        sock.send(b"hello, it is me, the supervisor")
                held.append(sock)
        for sock in held:
            sock.close()

    thread = threading.Thread(target=strange)
    thread.start()
    try:
        for number in range(12):
            done = own.run("glurun", "-T", "sh", "-c", f"echo {number}; exit {number}")
            assert (done.text, done.status) == (str(number), number), done
    finally:
        over.set()
        thread.join()
    assert met, "the stranger has met no line"


def cut(pid: int) -> int:
    """Shut down the lines that a process has: (unix(7)) sockets with a peer of their name."""
    from slic.kernel.pidfd import getfd

    found = 0
    pidfd = os.pidfd_open(pid)
    try:
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if not os.readlink(f"/proc/{pid}/fd/{entry}").startswith("socket:"):
                    continue
                sock = socket.socket(fileno=getfd(pidfd, int(entry)))
                with sock:
                    if b"glunix-" in bytes(sock.getsockname() or b""):
                        sock.shutdown(socket.SHUT_RDWR)
                        found += 1
    finally:
        os.close(pidfd)
    return found


def test_a_cut_line_ends_both_sides_within_a_second(own: Cluster) -> None:
    assert own.up(1).status == 0
    with ended(own.start("glurun", "-T", "sh", "-c", "echo here; exec sleep 60")) as job:
        assert read_line(job) == "here"
        halves = descendants(job.pid, processes())
        began = time.monotonic()
        assert sum(map(cut, halves)) == 1
        assert job.wait(10) == -signal.SIGKILL
        assert time.monotonic() - began < 1.5
        assert job.stderr is not None and b"lost the line" in job.stderr.read()
    until(lambda: not [j for j in own.jobs() if j["state"] == "running"], "the job is over")


SAID = b"S3CR3T-OF-THIS-JOB"
KNOWN = (
    f"import os, sys; os.urandom = lambda n: ({SAID!r} * 9)[:n]; "
    "sys.argv = ['glurun', *sys.argv[1:]]; "
    "from glunix.cli.glurun import main; sys.exit(main())"
)


def places_with(secret: bytes, folder: Path) -> list[str]:
    """Where it can be read: words and environments of all processes, and files of the cluster."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        found += [Path(f"/proc/{pid}/{name}") for name in ("cmdline", "environ")]
    bad = []
    for path in found:
        with contextlib.suppress(OSError):
            held = path.read_bytes()
            if secret in held and b"os.urandom" not in held:  # the words that say what it is
                bad.append(str(path))
    return bad


def test_the_secret_is_nowhere_to_be_read(own: Cluster) -> None:
    assert own.up(1).status == 0
    words = ["python3", "-c", KNOWN, "-T", "sh", "-c", "echo here; env; exec sleep 60"]
    root = str(Path(__file__).resolve().parents[2])
    with ended(own.start(*words, env={"PYTHONPATH": root})) as job:
        assert read_line(job) == "here"
        assert any(SAID[:16].hex().encode() in name for name in lines_of_others()), "no line"
        assert places_with(SAID, own.folder) == []
        assert SAID not in own.run("glups", "-a", "--json").out
        assert SAID.decode() not in str(own.jobs())

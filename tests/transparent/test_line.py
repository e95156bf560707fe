"""The line of a transparent job's own: used where home and node are one machine, by nobody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import NOBODY, Cluster, Member, descendants, ended, processes, read_line

from glunix.home.direct import Line
from glunix.home.link import HomeLink
from glunix.home.shapes import TRANSPARENT
from glunix.ids import StreamId
from glunix.msg.base import encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.msg.job import LINE_SECRET
from glunix.msg.stream import LineAnswer, LineOver
from glunix.node.home_connection import connect

ME = os.geteuid()


@pytest.fixture
def relay() -> Iterator[tuple[HomeLink, socket.socket]]:
    """A link to a daemon, and the daemon's end of it."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    link = HomeLink.over(ours)  # type: ignore[arg-type]
    link.shapes = TRANSPARENT
    yield link, theirs
    link.close()
    theirs.close()


def frames(sock: socket.socket) -> list[bytes]:
    return [bytes(body) for _, body in Deframer().feed(sock.recv(4096))]


def test_without_a_supervisor_everything_takes_the_long_way(
    relay: tuple[HomeLink, socket.socket],
) -> None:
    link, daemon = relay
    line = Line(link)
    line.send(1, ["ready", 0, True])
    daemon.setblocking(False)
    with pytest.raises(BlockingIOError):
        daemon.recv(1)  # it is not known yet which way
    daemon.settimeout(5)
    line.settle()
    line.send(1, ["ready", 0, False])
    assert line.fileno() == -1
    assert frames(daemon) == [b"\x93\xa5ready\x00\xc3", b"\x93\xa5ready\x00\xc2"]


def test_with_a_supervisor_nothing_does(relay: tuple[HomeLink, socket.socket]) -> None:
    link, daemon = relay
    line = Line(link)
    line.send(1, ["ready", 0, True])
    node = connect(line.spec, ME)
    assert node is not None
    line.settle()
    line.send(1, ["ready", 0, False])
    node.settimeout(5)
    answer = encode(LineAnswer(line.spec[16:32]))
    assert frames(node) == [answer, b"\x93\xa5ready\x00\xc3", b"\x93\xa5ready\x00\xc2"]
    node.sendall(encode_frame(StreamId(1), encode(LineOver())))
    node.close()
    assert line.receive() == line.receive() == []
    assert line.fileno() == -1  # its end is the daemon's to tell
    [patience] = line.patience()  # the daemon has time to say how the job ended, not for ever
    assert 10 < patience < 20
    daemon.setblocking(False)
    with pytest.raises(BlockingIOError):
        daemon.recv(1)


def test_nobody_listens_on_another_machine() -> None:
    assert connect(bytes(LINE_SECRET) + b"\0glunix-0123456789abcdef", ME) is None
    assert connect(bytes(LINE_SECRET), ME) is None
    assert connect(b"", ME) is None


def test_a_listener_of_another_user_is_not_served(relay: tuple[HomeLink, socket.socket]) -> None:
    """The name is a client's word: it could be another user's."""
    line = Line(relay[0])
    assert connect(line.spec, ME + 1) is None
    line.settle()
    assert line.receive() == []


def test_another_user_on_the_line_is_turned_away(relay: tuple[HomeLink, socket.socket]) -> None:
    if ME != 0:
        pytest.skip("needs root to become another user")
    link, daemon = relay
    line = Line(link)
    code = (
        "import os, socket, sys; os.setresuid(*[int(sys.argv[2])] * 3)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(b'\\0' + sys.argv[1].encode())\n"
        "print('connected', flush=True); print(s.recv(100))"
    )
    words = [sys.executable, "-I", "-S", "-c", code, line.name[1:].decode(), str(NOBODY)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None and stranger.stdout.readline() == b"connected\n"
        line.settle()
        assert stranger.stdout.read() == b"b''\n"
    line.send(1, ["ready", 0, True])
    assert frames(daemon) == [b"\x93\xa5ready\x00\xc3"]


def lines(job: subprocess.Popen[bytes]) -> set[str]:
    """Names of the lines of a job: sockets of its startup and that one's children (proc(5))."""
    everything = processes()
    fds: set[str] = set()
    for pid in {job.pid} | descendants(job.pid, everything):
        fds |= set(Member("startup", pid, ()).fds().values())
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {row[7] for row in rows if len(row) > 7 and f"socket:[{row[6]}]" in fds}


def test_a_job_has_one_unless_its_input_goes_ahead(shared: Cluster) -> None:
    with ended(shared.start("glurun", "-T", "sh", "-c", "echo here; exec sleep 60")) as job:
        assert read_line(job) == "here"
        assert any(name.startswith("@glunix-") for name in lines(job))
    piped = shared.start("glurun", "-T", "sh", "-c", "echo here; cat", stdin=subprocess.PIPE)
    with ended(piped) as job:
        assert read_line(job) == "here"
        assert not any(name.startswith("@glunix-") for name in lines(job))
    with ended(shared.start("glurun", "sh", "-c", "echo here; exec sleep 60")) as job:
        assert read_line(job) == "here"
        assert not any(name.startswith("@glunix-") for name in lines(job))


def test_much_output_is_whole_and_in_order(shared: Cluster) -> None:
    result = shared.shell("glurun -T seq 300000 | md5sum; seq 300000 | md5sum")
    ours, native = result.text.splitlines()
    assert ours == native

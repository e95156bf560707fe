"""What one client or member may cost the others: connections, memory, the link to a node."""

from __future__ import annotations

import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from e2e.cluster import NOBODY, as_user, ended, read_line, until

from glunix import settings
from glunix.errors import FrameError
from glunix.msg import client, master, stream
from glunix.msg.base import encode
from glunix.msg.frame import Budget, Deframer, encode_frame
from glunix.msg.job import JobSpec

from .loopback import Loopback, loopback

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def cluster() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


def rss(cluster: Loopback, name: str) -> int:
    return cluster.services()[name].rss()


def test_a_budget_counts_what_deframers_hold() -> None:
    budget = Budget(3 * MIB)
    head = encode_frame(0, b"")[:-4] + (2 * MIB).to_bytes(4, "big")
    first, second = Deframer(budget), Deframer(budget)
    for part in (head, b"x"):  # room for a large one is made when more of it comes
        assert list(first.feed(part)) == []
    list(second.feed(head))
    with pytest.raises(FrameError, match="too much is under way"):
        list(second.feed(b"x"))
    ((_, body),) = first.feed(b"x" * (2 * MIB - 1))
    assert len(body) == 2 * MIB
    for part in (head[:5], head[5:7]):
        assert list(first.feed(part)) == []  # it went back to its usual size
    for _ in range(3):
        third = Deframer(budget)
        for part in (head, b"x"):
            assert list(third.feed(part)) == []
        third.release()


def test_unfinished_messages_of_one_user(cluster: Loopback) -> None:
    """140 times 7 MiB that never end: the daemon holds what the budget allows, and serves on."""
    before = rss(cluster, "home")
    head = encode_frame(0, b"")[:-4] + (8 * MIB).to_bytes(4, "big")
    links = []
    try:
        for _ in range(140):
            link = socket.socket(socket.AF_UNIX)
            links.append(link)
            link.settimeout(10)
            link.connect(str(cluster.home.folder / "home.sock"))
            try:
                link.sendall(head + b"x" * (7 * MIB))
            except OSError:
                pass  # closed: over the budget
        assert rss(cluster, "home") - before < settings.DEFAULT_LIMITS.mebibytes * MIB + 64 * MIB
        log = cluster.log("home")
        assert "too much is under way" in log
    finally:
        for link in links:
            link.close()
    assert cluster.home.glurun("sh", "-c", "exit 4").status == 4
    big = {"BIG": "x" * 100_000}
    assert cluster.home.glurun("sh", "-c", "exit 5", env=big).status == 5


CROWD = """
import socket, sys
links = []
try:
    for _ in range(int(sys.argv[2])):
        link = socket.socket(socket.AF_UNIX)
        link.connect(sys.argv[1]); link.sendall(b"\\x92\\x00"); links.append(link)
except OSError as error:
    print("stopped", error)
links[-1].settimeout(20)
print(len(links), b"too many connections" in links[-1].recv(4096), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_connections_of_one_user(cluster: Loopback) -> None:
    """More than [limits] connections are refused by name; other users do not notice."""
    count = settings.DEFAULT_LIMITS.connections + 1
    words = [*as_user(NOBODY), sys.executable, "-c", CROWD, str(cluster.home.folder / "home.sock")]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4 * count + 100:
        pytest.skip(f"a process may have {hard} descriptors only")
    before = rss(cluster, "home")
    crowd = subprocess.Popen(
        ["prlimit", f"--nofile={hard}:{hard}", *words, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    with ended(crowd):
        assert read_line(crowd, 60) == f"{count} True"
        assert rss(cluster, "home") - before < 200 * MIB
        assert cluster.home.glurun("sh", "-c", "exit 4").status == 4
        refused = cluster.home.run("glustat", uid=NOBODY)
        assert refused.status == 1 and "too many connections" in refused.complaint
        assert crowd.stdin is not None
        crowd.stdin.close()
        crowd.wait(20)
    until(lambda: cluster.home.run("glustat", uid=NOBODY).status == 0, "his places are free again")


def test_input_without_credit_to_a_node_that_does_not_read(cluster: Loopback) -> None:
    """The client is stopped, not the link that everybody shares."""
    node = cluster.services()["node1"]
    script = "while read x; do echo $x; done; exit 3"
    with ended(cluster.home.start("glurun", "-w", "node1", "sh", "-c", script,
                                  stdin=subprocess.PIPE)) as other:  # fmt: skip
        assert other.stdin is not None
        other.stdin.write(b"before\n")
        other.stdin.flush()
        assert read_line(other) == "before"
        spec = JobSpec([b"sleep", b"1000"], {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [], None)
        before = rss(cluster, "home")
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(cluster.home.folder / "home.sock"))
            link.settimeout(10)
            link.sendall(encode_frame(0, encode(client.Submit(1, spec, nodes=["node1"]))))
            heard = b""
            while b"started" not in heard:
                heard += link.recv(65536)
            os.kill(node.pid, signal.SIGSTOP)
            try:
                chunk = encode_frame(1, encode(stream.In(b"x" * 200_000)))
                link.settimeout(1.0)
                sent = 0
                try:
                    while sent < 400 * MIB:
                        sent += link.send(chunk)
                except TimeoutError:
                    pass  # it is not read any more
                assert sent < 64 * MIB
                assert rss(cluster, "home") - before < 64 * MIB
                assert cluster.home.run("glustat").status == 0  # home serves others meanwhile
            finally:
                os.kill(node.pid, signal.SIGCONT)
            link.settimeout(20)
            while b"exited" not in heard:  # the node ended that job
                piece = link.recv(65536)
                assert piece, heard[-200:]
                heard = heard[-1000:] + piece
        other.stdin.write(b"after\n")
        other.stdin.close()
        assert read_line(other) == "after"
        assert other.wait(20) == 3


def test_a_member_that_does_not_read_answers(cluster: Loopback) -> None:
    """The master stops listening to it: memory stays bounded, the others are served."""
    before = rss(cluster, "master")
    hello = master.NodeHello(1, 0, "node9", "x", "tcp:127.0.0.1:9", False, 1, 1, [], [], [])
    token = cluster.home.run("glunix", "invite").text
    folder = cluster.folder / "node9"
    words = ["glunix", "join", "--folder", str(folder), "--name", "node9", "--no-start", "--"]
    assert cluster.node.run(*words, cluster.master, token).status == 0
    from e2e.cluster import Cluster

    nine = Cluster(cluster.home.bin, folder)
    with cluster.dial(cluster.master, nine) as link:
        link.sendall(encode_frame(0, encode(hello)))
        link.settimeout(0.5)
        ask = encode_frame(0, encode(master.NodesQuery(1))) * 1000
        began, stopped = time.monotonic(), False
        try:
            while time.monotonic() - began < 8:
                link.sendall(ask)
        except (TimeoutError, ssl.SSLError, OSError):
            stopped = True
        assert rss(cluster, "master") - before < 96 * MIB
        assert cluster.home.glurun("sh", "-c", "exit 4").status == 4
    assert stopped, "it was heard all the time"
    assert cluster.home.run("glunix", "revoke", "node9").status == 0


def test_links_of_one_member(cluster: Loopback) -> None:
    """4 to the master, 8 to a daemon; one more gets nothing, the first stay."""
    for address, most in ((cluster.master, 4 - 1), (cluster.node_port, 8)):
        links = []
        try:
            for _ in range(most + 6):
                links.append(cluster.dial(address, cluster.home))
            for link in links:
                link.settimeout(0.3)
            open_now = sum(not _closed(link) for link in links)
            assert 1 <= open_now <= most, (address, open_now)
        finally:
            for link in links:
                link.close()
    assert cluster.home.glurun("sh", "-c", "exit 4").status == 4


def _closed(link: socket.socket) -> bool:
    try:
        return link.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True

"""What one user may ask for, and hold, while the others go on; and that honest bursts pass."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import NOBODY, ROOT, Cluster, Result, as_user, ended, finish, read_line, until

from glunix.msg import master
from glunix.msg.base import encode
from glunix.msg.frame import encode_frame

from .loopback import Loopback, loopback

MIB = 1024 * 1024
HELD = 48
GREEDY = str(Path(__file__).with_name("greedy.py"))
OTHERS_WAIT = 15.0
"""Seconds within which others' jobs run while somebody is greedy, on a machine that tests share."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Loopback]:
    with loopback(mebibytes=HELD) as made:
        yield made


def greedy(cluster: Loopback, *words: str) -> subprocess.Popen[bytes]:
    """Start greedy.py as an ordinary user."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "GLUNIX_DIR": str(cluster.home.folder)}
    return subprocess.Popen(
        [*as_user(NOBODY), sys.executable, GREEDY, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=env, cwd="/", process_group=0,
    )  # fmt: skip


def told(result: Result) -> dict[str, object]:
    assert (result.status, result.err) == (0, b""), result
    found: dict[str, object] = json.loads(result.out.splitlines()[-1])
    return found


def others_are_served(cluster: Loopback) -> None:
    began = time.monotonic()
    assert cluster.home.glurun("-w", "node1", "sh", "-c", "exit 4").status == 4
    assert time.monotonic() - began < OTHERS_WAIT


def test_a_thousand_honest_jobs_at_once(cluster: Loopback) -> None:
    with ended(greedy(cluster, "honest", "1000")) as user:
        found = told(finish(user, timeout=120))
    assert (found["good"], found["errors"]) == (1000, [])


def test_a_local_client_that_asks_without_end(cluster: Loopback) -> None:
    """Refused in one line and logged, some of it; whoever else asks is served meanwhile."""
    before = cluster.services()["home"].rss()
    log = len(cluster.log("home"))
    with ended(greedy(cluster, "ask", str(cluster.home.folder / "home.sock"), "3")) as user:
        others_are_served(cluster)
        others_are_served(cluster)
        found = told(finish(user, timeout=60))
    assert int(str(found["refusals"])) > 0, found
    words = f"uid {NOBODY} asks too often: over 2000 requests a second ([limits] requests)"
    assert str(found["words"]).startswith(words)
    assert cluster.services()["home"].rss() - before < 64 * MIB
    assert words in cluster.log("home")[log:]
    assert cluster.log("home")[log:].count("\n") < 1000
    served = lambda: cluster.home.run("glustat", uid=NOBODY).status == 0  # noqa: E731
    until(served, "he is served again when he asks as others do")


def test_output_that_is_never_read(cluster: Loopback) -> None:
    """Windows of 320 MiB in all: who holds more than his share is cut off, not the daemon."""
    before = cluster.services()["home"].rss()
    with ended(greedy(cluster, "hoard", str(cluster.home.folder / "home.sock"))) as user:
        assert read_line(user, 30) == "hoarding"
        words = f"uid {NOBODY} leaves over {HELD} MiB of output unread"
        until(lambda: words in cluster.log("home"), "it is said in the log", 60)
        others_are_served(cluster)
        assert cluster.services()["home"].rss() - before < 4 * HELD * MIB
        found = told(finish(user, b"", timeout=120))
    assert int(str(found["cut"])) > 0
    until(lambda: not [row for row in cluster.home.jobs() if row["state"] == "running"],
          "his jobs ended with their startups")  # fmt: skip


@pytest.fixture(scope="module")
def bobs(cluster: Loopback) -> Iterator[Cluster]:
    """The key of a daemon that speaks for one user."""
    token = cluster.home.run("glunix", "invite", "--user", str(NOBODY)).text
    folder = cluster.folder / "bobs"
    words = ["glunix", "join", "--folder", str(folder), "--name", "bobs", "--no-start", "--"]
    assert cluster.node.run(*words, cluster.master, token).status == 0
    yield Cluster(cluster.home.bin, folder)
    assert cluster.home.run("glunix", "revoke", "bobs").status == 0


def sent(link: socket.socket, data: bytes, seconds: float) -> bytes:
    """Send for so long, over and over; all that was answered (its last MiB)."""
    link.settimeout(0.05)
    heard, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        for work in (lambda: link.sendall(data), lambda: link.recv(1 << 18)):
            try:
                heard = (heard + (work() or b""))[-MIB:]
            except TimeoutError:
                pass
            except (OSError, ssl.SSLError):
                return heard
    return heard


def test_a_daemon_of_one_user_that_asks_without_end(cluster: Loopback, bobs: Cluster) -> None:
    """The master slows it down, tells it so, and serves the others; its jobs are bounded."""
    before = cluster.services()["master"].rss()
    hello = master.NodeHello(1, 0, "bobs", "x", "tcp:127.0.0.1:9", False, 1, 1, [], [], [])
    place = master.Place(1, NOBODY, "x" * 200, 4096, ["node1"], [], False)
    ask = encode_frame(0, encode(master.JobsQuery(2, NOBODY, True)))
    with cluster.dial(cluster.master, bobs) as link:
        link.sendall(encode_frame(0, encode(hello)))
        heard = sent(link, encode_frame(0, encode(place)) * 50, 2.0)
        others_are_served(cluster)
        heard += sent(link, ask * 500, 3.0)
        others_are_served(cluster)
    assert f"uid {NOBODY} has 16384 processes, 4096 more are over 16384".encode() in heard
    assert b"bobs asks too often: over 2000 requests a second ([limits] requests)" in heard
    assert cluster.services()["master"].rss() - before < 96 * MIB
    assert "refused a request of bobs: bobs asks too often" in cluster.log("master")
    assert cluster.home.states()["node1"] == "up"


def test_a_daemon_of_one_user_that_dials_without_end(cluster: Loopback, bobs: Cluster) -> None:
    for address, name in ((cluster.master, "master"), (cluster.node_port, "node1")):
        for _ in range(60):
            with cluster.dial(address, bobs):
                pass
        until(lambda name=name: "bobs connects too often" in cluster.log(name), "it is refused")
    others_are_served(cluster)

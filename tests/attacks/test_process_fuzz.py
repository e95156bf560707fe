"""Typed messages at edge values at real daemons and supervisors, by an ordinary user.

He has jobs of each kind on an embedded cluster, and says on their streams what his own startup and
tools might, in any order. Another's job goes on, no service and no supervisor leaves a traceback.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
import typing
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.cluster import Cluster, ended, make_launchers, read_line
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from glunix.msg import client, stream
from glunix.msg.base import encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.msg.job import HomePids, JobSpec, TtySpec, WinSize

from .strategies import raw

LONG = bool(os.environ.get("GLUNIX_LONG"))
ROUNDS = 300 if LONG else 4
GROWTH = 64 * 1024 * 1024
TO_NODE = typing.get_args(stream.HomeToNode)
FROM_CLIENT = [client.TtyMode, client.KillJob, client.ListNodes]
KNOWN = {"npid": [2**31 - 9], "vnn": [0, None], "degree": [1], "nodes": [["node1"]],
         "exclude": [[]], "fd": [0, 1, 2], "ask": [0, 1, 2, 3],
         "signal": [0, 1, 18, 28]}  # fmt: skip
ENV = {b"PATH": b"/usr/bin:/bin"}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "terminal": {"tty": TtySpec([0, 1, 2], bytes(36), WinSize(24, 80))},
    "transparent": {"transparent": True},
    "transparent, socket": {"transparent": True, "stdin": "socket", "sockets": [0]},
    "transparent, terminal": {"transparent": True, "stdin": "tty",
                              "tty": TtySpec([0, 1, 2], bytes(36), WinSize(24, 80)),
                              "pids": HomePids(100, 99, 100, 99, 99)},
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    tools = tmp_path_factory.mktemp("bin")
    make_launchers(tools)
    for path in (tools, *tools.parents[:2]):
        path.chmod(0o755)
    made = Cluster(tools)
    with made.guarded():
        made.up(1)
        yield made


@pytest.fixture
def bystander(cluster: Cluster) -> Iterator[None]:
    before = cluster.members()
    sizes = {name: member.rss() for name, member in before.items()}
    with ended(cluster.start("glurun", "cat", stdin=subprocess.PIPE)) as job:
        assert job.stdin is not None
        for word in ("before", "after"):
            job.stdin.write(f"{word}\n".encode())
            job.stdin.flush()
            assert read_line(job) == word
            if word == "before":
                yield
        job.stdin.close()
        assert job.wait(20) == 0
    assert cluster.members() == before
    for name, member in before.items():
        assert member.rss() - sizes[name] < GROWTH, name
        log = cluster.log(name)
        assert "Traceback" not in log and "bug:" not in log, log[-3000:]
    assert cluster.glurun("-T", "sh", "-c", "exit 5").status == 5


def connected(cluster: Cluster) -> socket.socket:
    """As another user, where there can be one."""
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(5.0)
    path = str(Path(cluster.folder) / "home.sock")
    if os.geteuid() == 0:
        os.seteuid(20003)
    try:
        link.connect(path)
    finally:
        if os.geteuid() == 20003:
            os.seteuid(0)
    return link


def started(link: socket.socket, more: dict[str, Any]) -> None:
    spec = JobSpec([b"cat"], ENV, b"/", 0o22, 0, [], **{"tty": None, **more})
    link.sendall(encode_frame(0, encode(client.Submit(1, spec, 1, ["node1"]))))
    deframer, heard = Deframer(), b""
    end = time.monotonic() + 10
    while b"started" not in heard and b"failed" not in heard and time.monotonic() < end:
        data = link.recv(65536)
        assert data, heard
        for _, body in deframer.feed(data):
            heard += body
    assert b"started" in heard, heard


frames = st.lists(
    st.one_of(
        st.tuples(st.just(1), raw(TO_NODE, KNOWN)),
        st.tuples(st.just(1), raw(TO_NODE, KNOWN)),
        st.tuples(st.just(0), raw(FROM_CLIENT, KNOWN)),
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.timeout(7200 if LONG else 240)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_startup_says(cluster: Cluster, bystander: None, kind: str) -> None:
    @settings(max_examples=ROUNDS, deadline=None, derandomize=not LONG, database=None,
              phases=[Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(frames)
    def run(said: list[tuple[int, bytes]]) -> None:
        with closing(connected(cluster)) as link:
            started(link, KINDS[kind])
            try:
                for number, body in said:
                    link.sendall(encode_frame(number, body))
                link.settimeout(0.1 * random.random())
                while link.recv(65536):
                    pass
            except OSError:
                pass  # it has had enough, or has nothing to say

    run()

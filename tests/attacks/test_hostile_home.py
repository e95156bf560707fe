"""A home's half that lies to its job's supervisor: odd messages, or right ones at a wrong time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec
import pytest
from e2e.cluster import Cluster, until
from e2e.conftest import tools
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glunix.ids import StreamId
from glunix.msg import client, stream
from glunix.msg.base import Message, encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.msg.job import HomePids, JobSpec, TtySpec, WinSize
from glunix.msg.shadows import ShadowsMade

__all__ = ["tools"]  # these attacks are the owner's own: they need no other user

NODE = StreamId(1)


class HostileHome:
    """A client that has submitted a transparent job, whose frames are whatever the test sends."""

    def __init__(self, cluster: Cluster, script: str, paths: list[bytes] | None = None) -> None:
        self.link = socket.socket(socket.AF_UNIX)
        self.link.settimeout(15)
        self.link.connect(str(cluster.folder / "home.sock"))
        self._deframer = Deframer()
        pid = os.getpid()
        spec = JobSpec(
            argv=[b"sh", b"-c", script.encode()],
            env={b"PATH": os.environb[b"PATH"]},
            cwd=b"/",
            umask=0o22,
            nice=0,
            rlimits=[],
            tty=TtySpec([0, 1, 2], bytes(36), WinSize(24, 80)),
            transparent=True,
            stdin="tty",
            home_paths=paths or [],
            pids=HomePids(pid, os.getppid(), os.getpgrp(), os.getsid(0), os.getpgrp(), 2**22),
        )
        self.link.sendall(encode_frame(StreamId(0), encode(client.Submit(1, spec))))

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.say_raw(encode(message))

    def say_raw(self, body: bytes) -> None:
        self.link.sendall(encode_frame(NODE, body))

    def heard(self) -> Iterator[Message]:
        """What the node says, until it says no more."""
        while data := self.link.recv(65536):
            for number, body in self._deframer.feed(data):
                decoder = client.daemon_to_client if number == 0 else stream.node_to_home
                yield decoder.decode(body)

    def until(self, kind: type) -> Message:
        return next(message for message in self.heard() if isinstance(message, kind))

    def begins(self) -> None:
        """The program runs, without shadows."""
        self.until(client.Placed)
        self.say(ShadowsMade(0, []))
        self.until(stream.Started)

    def close(self) -> None:
        self.link.close()


@pytest.fixture(scope="module")
def cluster(tools: object) -> Iterator[Cluster]:
    from pathlib import Path

    assert isinstance(tools, Path)
    with Cluster(tools).guarded() as made:
        assert made.up(1).status == 0
        yield made


def log(cluster: Cluster) -> str:
    return "".join(cluster.log(name) for name in cluster.members())


ODD = {
    "memory that was not sent": (["pagesdone", 1, -4096, []], "$[2]"),
    "a negative ask": (["got", -1, 0, b"", 0], "$[1]"),
    "an errno of 5000": (["ioctled", 1, 0, 5000, b""], "$[3]"),
    "half the modes": (["modes", 0, bytes(44)], "$[2]"),
    "a signal of 65": (["signal", 65, None], "$[1]"),
    "holes between shadows": (["shadowsmade", 3, [5, 9]], "$[2]"),
    "the other direction": (["want", 1, 0, 1], "$[0]"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_message_ends_the_job_with_one_sentence(cluster: Cluster, what: str) -> None:
    body, path = ODD[what]
    home = HostileHome(cluster, "sleep 60")
    home.begins()
    before = len(log(cluster))
    home.say_raw(msgspec.msgpack.encode(body))
    ended = home.until(stream.Exited)
    assert isinstance(ended, stream.Exited) and ended.orphaned
    home.close()
    said = log(cluster)[before:]
    assert "bad message (home to node)" in said and path in said and "Traceback" not in said, said


def of(kind: object) -> st.SearchStrategy[object]:
    """Right values of a type, at its edges as a rule."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return of(kind.type)
    if isinstance(kind, msgspec.inspect.IntType):
        low = kind.ge if kind.ge is not None else 0
        high = kind.le if kind.le is not None else (kind.lt or 2**32) - 1
        near = {low, low + 1, high, 0, 1, 2, 3, 7, 80}
        return st.sampled_from(sorted(int(one) for one in near if low <= one <= high))
    if isinstance(kind, msgspec.inspect.BoolType):
        return st.booleans()
    if isinstance(kind, msgspec.inspect.BytesType):
        most = kind.max_length or 0
        return st.sampled_from([bytes(n) for n in {kind.min_length or 0, min(most, 52)}])
    if isinstance(kind, msgspec.inspect.ListType):
        return st.lists(of(kind.item_type), max_size=3)
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of([of(one) for one in kind.types])
    if isinstance(kind, msgspec.inspect.NoneType):
        return st.none()
    assert isinstance(kind, msgspec.inspect.StructType)
    return st.tuples(*(of(field.type) for field in kind.fields)).map(list)


KINDS = [
    cls
    for cls in stream.HomeToNode.__args__
    if cls not in (stream.In, stream.Signal, stream.InRecall, stream.InAnew)
]


def message_of(cls: type[Message]) -> st.SearchStrategy[list[object]]:
    fields = of(msgspec.inspect.type_info(cls))
    tag = str(cls.__struct_config__.tag)
    return fields.map(lambda values: [tag, *values])  # type: ignore[misc]


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(sent=st.lists(st.one_of([message_of(cls) for cls in KINDS]), min_size=1, max_size=25))
def test_no_message_that_the_types_allow_is_a_traceback_or_a_hang(
    cluster: Cluster, sent: list[list[object]]
) -> None:
    before = len(log(cluster))
    home = HostileHome(cluster, "stty -a; head -c 1; stat -f /h; sleep 60", [b"/h"])
    home.begins()
    try:
        for message in sent:
            home.say_raw(msgspec.msgpack.encode(message))
        home.say(stream.Signal(9))
        home.until(stream.Exited)
    except (OSError, StopIteration):
        pass  # the daemon or the supervisor has had enough
    home.close()
    assert "Traceback" not in log(cluster)[before:], (log(cluster)[before:], sent)
    until(lambda: all(job["state"] != "running" for job in cluster.jobs()), "the job is over")


def test_the_daemon_serves_others_after_all_that(cluster: Cluster) -> None:
    assert cluster.run("glurun", "-T", "echo", "here").text == "here"

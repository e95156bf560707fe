"""What a daemon looks at of the bodies that it relays: whole tags, never how they begin."""

from typing import Any

import msgpack
import pytest

from glunix.daemon.transparent_job import TransparentJob
from glunix.ids import Npid
from glunix.msg import stream
from glunix.msg.base import encode
from glunix.msg.job import JobSpec, Owner
from glunix.node.bridge import RELAY


class Fed:
    """Notes what becomes of the input."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.recalls = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_words: self.did.append(name)


class Link:
    def __init__(self) -> None:
        self.relayed: list[bytes] = []

    def relay(self, _number: int, body: bytes) -> None:
        self.relayed.append(bytes(body))

    def flush(self) -> None:
        pass


@pytest.fixture
def job() -> Any:
    spec = JobSpec([b"true"], {}, b"/", 0o22, 0, [], None, transparent=True)
    start = stream.Start(Npid(1), 1, [0], "h", Owner(0, 0, []), spec)
    nothing: Any = None
    found: Any = TransparentJob(start, "n", nothing, print, lambda body: None, print, False)
    found._prefetched, found._link = Fed(), Link()
    return found


def test_input_is_fed(job: Any) -> None:
    job.frame(encode(stream.In(b"x")))
    job.frame(encode(stream.InRecall()))
    job.frame(encode(stream.InAnew(1)))
    assert job._prefetched.did == ["feed", "recall", "anew"]
    assert not job._link.relayed


@pytest.mark.parametrize("tag", ["inward", "inrecalled", "inanews", "i", "signal", "inrecal"])
def test_a_tag_that_only_begins_as_input_is_relayed(job: Any, tag: str) -> None:
    body = msgpack.packb([tag, 1])
    job.frame(body)
    assert job._link.relayed == [body]
    assert not job._prefetched.did


@pytest.mark.parametrize(("tag", "does"), [("rootexited", "recall"), ("rootexitedly", "settle")])
def test_the_programs_end_is_a_whole_tag(job: Any, tag: str, does: str) -> None:
    job._frame(job._link, RELAY, msgpack.packb([tag, 0]))
    assert job._prefetched.did == [does]

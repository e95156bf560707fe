"""A node holds no more of a job's data than credit allows, whatever a startup sends."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from glunix.errors import FrameError
from glunix.msg import stream
from glunix.msg.base import Message, encode
from glunix.msg.frame import CHUNK
from glunix.msg.job import JobSpec, Owner
from glunix.node.output.channel import Output
from glunix.node.userlevel import job as userjob
from glunix.node.userlevel.job import UserJob


class NoReactor:
    """Nothing ever gets ready."""

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        pass

    def remove_reader(self, fd: int) -> None:
        pass

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        pass

    def remove_writer(self, fd: int) -> None:
        pass

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> "NoReactor":
        return self

    def cancel(self) -> None:
        pass


def job(told: list[Message]) -> UserJob:
    """A job of one process that reads nothing."""
    spec = JobSpec([b"sleep", b"60"], {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [], None)
    owner = Owner(os.geteuid(), os.getegid(), os.getgroups())
    start = stream.Start(1, 1, [0], "home", owner, spec)
    return UserJob(start, "node1", NoReactor(), told.append, lambda *_: None, lambda job: None)


def test_input_beyond_credit_is_refused() -> None:
    told: list[Message] = []
    sleeping = job(told)
    sleeping.launch()
    pid = next(iter(sleeping._by_pid))
    try:
        chunk = encode(stream.In(b"x" * CHUNK))
        for _ in range(stream.INPUT_WINDOW // CHUNK):
            sleeping.frame(chunk)
        given = sum(m.count for m in told if isinstance(m, stream.InCredit))
        for _ in range(given // CHUNK):
            sleeping.frame(chunk)
        if given % CHUNK:
            sleeping.frame(encode(stream.In(b"x" * (given % CHUNK))))
        with pytest.raises(FrameError, match="without credit"):
            sleeping.frame(encode(stream.In(b"x")))
    finally:
        sleeping.kill(9, None)
        _, status = os.waitpid(pid, 0)
        sleeping.wait_status(pid, status)
        sleeping.abandon()


def test_credit_beyond_the_window_is_not_given() -> None:
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    sent: list[bytes] = []
    output = Output(NoReactor(), ours, 4096, lambda data: sent.append(bytes(data)))
    os.write(theirs, b"x" * 10000)
    output.credit(1 << 30)
    output.drain()
    assert b"".join(sent) == b"x" * 4096
    output.close()
    os.close(theirs)


def test_what_a_failed_start_opened_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last descriptors gone half of the pipes had been left open and registered."""
    before = set(os.listdir("/proc/self/fd"))
    told: list[Message] = []
    ended: list[UserJob] = []
    failing = job(told)
    failing._ended = ended.append

    def none_left(around: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(
        userjob.Process, "_launch_direct", lambda self, around, *rest: none_left(around)
    )
    failing.launch()
    assert ended == [failing]
    failed = [m for m in told if isinstance(m, stream.Failed)]
    assert [(m.step, m.error) for m in failed] == [("session", 24)]
    assert set(os.listdir("/proc/self/fd")) == before

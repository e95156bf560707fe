"""Starts take their turns with everything else, and nothing that comes meanwhile is lost."""

import os
import signal
import time

import pytest

from glunix.comm.loop import Loop
from glunix.daemon.start_pacing import Pace
from glunix.errors import FrameError
from glunix.msg import stream
from glunix.msg.base import Message, encode
from glunix.msg.frame import BODY_MAX
from glunix.msg.job import JobSpec, Owner
from glunix.node.userlevel.job import UserJob
from unit.node.userlevel.test_job import NoReactor


def test_the_first_of_a_turn_starts_at_once_and_the_loop_turns_between() -> None:
    loop = Loop()
    done: list[str] = []
    left = {"a": 3, "b": 2}

    def step(name: str) -> bool:
        done.append(name)
        left[name] -= 1
        return left[name] > 0

    def start() -> None:
        pace = Pace(loop, turn=0.0)  # every step uses its turn up
        pace.add(lambda: step("a"))
        assert done == ["a"]
        pace.add(lambda: step("b"))
        assert done == ["a"]

        def heartbeat() -> None:
            done.append(".")
            if len(done) < 12:
                loop.call_soon(heartbeat)
            else:
                pace.add(lambda: step("c"))
                assert done[-1] == "c"  # a new turn, so at once
                loop.stop()

        left["c"] = 1
        loop.call_soon(heartbeat)

    assert loop.run(start) == 0
    text = "".join(done)
    assert text.replace(".", "") == "aababc"
    assert not set(text[1:].split(".")) & {"ab", "ba", "aba"}  # a heartbeat between any two


def job(told: list[Message], argv: list[bytes], degree: int) -> UserJob:
    spec = JobSpec(argv, {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [], None)
    owner = Owner(os.geteuid(), os.getegid(), os.getgroups())
    start = stream.Start(1, degree, list(range(degree)), "home", owner, spec)
    return UserJob(start, "node1", NoReactor(), told.append, lambda *_: None, lambda job: None)


def reap(what: UserJob) -> None:
    deadline = time.monotonic() + 30
    while what._by_pid and time.monotonic() < deadline:
        pid, status = os.waitpid(next(iter(what._by_pid)), 0)
        what.wait_status(pid, status)
    what.abandon()


def test_what_is_not_started_when_it_is_killed_never_starts() -> None:
    told: list[Message] = []
    half = job(told, [b"sleep", b"60"], 3)
    assert half.launch_some()
    half.kill(signal.SIGKILL, None)
    assert half.launch_some()
    assert not half.launch_some()
    reap(half)
    exits = {m.vnn: m.signal for m in told if isinstance(m, stream.Exited)}
    assert exits == {0: 9, 1: 9, 2: 9}
    assert len([m for m in told if isinstance(m, stream.Started)]) <= 1


def test_what_comes_before_all_have_started_waits() -> None:
    told: list[Message] = []
    late = job(told, [b"sleep", b"60"], 2)
    assert late.launch_some()
    late.frame(encode(stream.In(b"x" * 1000)))
    late.frame(encode(stream.Signal(signal.SIGTERM, 1)))
    assert late.kill(signal.SIGKILL, [0]) == 2  # the master's word, for one of them
    assert not late.launch_some()
    second = late._processes[1]
    assert second.input is not None and second.input.total == 1000
    late.kill(signal.SIGKILL, None)
    reap(late)


def test_early_input_is_bounded() -> None:
    late = job([], [b"true"], 2)
    chunk = encode(stream.In(b"x" * 2**18))
    for _ in range((stream.INPUT_WINDOW + BODY_MAX) // len(chunk)):
        late.frame(chunk)
    with pytest.raises(FrameError):
        late.frame(chunk)

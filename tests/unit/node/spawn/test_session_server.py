"""A session server and the daemon's side of it, without a cluster: starts, reports, ends."""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from glunix.msg.job import JobSpec, Owner
from glunix.node.pollreactor import PollReactor
from glunix.node.spawn import served, session_server, sessions
from glunix.node.spawn.fork import Report, Surroundings

USER = Owner(20013, 20013, [])
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user"),
]

TASKS = 4096
NOBODYS_PID = (1 << 22) - 1


class World:
    """A reactor, the servers, and what was reported."""

    def __init__(self) -> None:
        self.reactor = PollReactor()
        self.sessions = sessions.Sessions(self.reactor, TASKS)
        self.reports: list[Report | None] = []
        """None: gone without a last report."""
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def start(self, *argv: str, owner: Owner = USER, **given: Any) -> served.Program:
        fields: dict[str, Any] = {
            "argv": [word.encode() for word in argv],
            "env": {b"PATH": b"/usr/bin:/bin"},
            "cwd": b"/",
            "umask": 0o022,
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "rlimits": [],
            "tty": None,
        }
        around = Surroundings(
            JobSpec(**{**fields, **given}), owner, {}, self.null, self.null, self.null
        )
        return self.sessions.start(around, self.reports.append, lambda: self.reports.append(None))

    def turn_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, self.reports
            wake = self.reactor.call_later(0.02, lambda: None)
            self.reactor.turn()
            wake.cancel()

    def turn_until_more(self) -> None:
        before = len(self.reports)
        self.turn_until(lambda: len(self.reports) > before)

    @property
    def servers(self) -> list[int]:
        return [server.pid for server in self.sessions._servers.values()]

    def kinds(self) -> list[str]:
        return ["gone" if r is None else r.kind for r in self.reports]

    def close(self) -> None:
        pids = list(self.sessions._pids)
        self.sessions.close()
        for pid in pids:
            os.waitpid(pid, 0)
        os.close(self.null)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_own_programs_have_no_server(world: World) -> None:
    own = Owner(os.geteuid(), os.getegid(), os.getgroups())
    assert not world.sessions.serves(own)
    assert world.sessions.serves(USER)
    assert world.sessions.serves(Owner(0, 20013, os.getgroups()))


def test_started_then_its_end(world: World) -> None:
    world.start("sh", "-c", "exit 3")
    world.turn_until(lambda: len(world.reports) == 2)
    assert world.kinds() == ["started", "wait"]
    last = world.reports[1]
    assert last is not None and os.waitstatus_to_exitcode(last.a) == 3


def test_what_cannot_start_says_why(world: World) -> None:
    world.start("nosuchthing")
    world.turn_until(lambda: world.reports)
    report = world.reports[0]
    assert report is not None
    assert (report.kind, report.step, report.text) == (
        "failed", "exec", "nosuchthing: command not found",
    )  # fmt: skip


def test_stopped_and_continued_in_order(world: World) -> None:
    program = world.start("sleep", "60")
    world.turn_until(lambda: world.reports)
    for number in (signal.SIGTSTP, signal.SIGCONT, signal.SIGTERM):
        program.kill(number)
        world.turn_until_more()
    statuses = [r.a for r in world.reports[1:] if r is not None]
    assert os.WSTOPSIG(statuses[0]) == signal.SIGTSTP
    assert os.WIFCONTINUED(statuses[1])
    assert os.WTERMSIG(statuses[2]) == signal.SIGTERM


def test_a_signal_before_the_exec_waits_for_it(world: World) -> None:
    program = world.start("sleep", "60")
    program.kill(signal.SIGTERM)
    world.turn_until(lambda: len(world.reports) == 2)
    assert world.kinds() == ["started", "wait"]


def test_one_server_for_one_user_and_restriction(world: World) -> None:
    world.start("true")
    world.start("true")
    assert len(world.servers) == 1
    world.start("true", owner=Owner(20013, 20013, [], no_new_privs=True))
    world.start("true", owner=Owner(20014, 20014, []))
    assert len(world.servers) == 3
    world.turn_until(lambda: len(world.reports) == 8)
    assert world.kinds().count("wait") == 4


def test_a_killed_server_is_gone_and_its_program_too(world: World) -> None:
    world.start("sleep", "60")
    world.turn_until(lambda: world.reports)
    report = world.reports[0]
    assert report is not None
    pidfd = os.pidfd_open(report.a)
    os.kill(world.servers[0], signal.SIGKILL)
    world.turn_until(lambda: len(world.reports) == 2)
    assert world.kinds() == ["started", "gone"]
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)
    world.start("true")  # a new one, though the old one is not reaped yet
    world.turn_until(lambda: len(world.reports) == 4)


def test_a_stopped_server_keeps_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "REPORT_WITHIN", 0.1)
    runs = world.start("sleep", "60")
    world.turn_until(lambda: world.reports)
    server = world.servers[0]
    os.kill(server, signal.SIGSTOP)
    waits = world.start("true")
    waits.kill(signal.SIGKILL)
    runs.kill(signal.SIGKILL)
    world.turn_until(lambda: len(world.reports) == 3)
    assert world.kinds() == ["started", "gone", "gone"]
    assert server not in world.servers  # nothing new will wait for it


def test_requests_that_do_not_fit_wait_here(world: World) -> None:
    world.start("true")
    world.turn_until(lambda: len(world.reports) == 2)
    server = next(iter(world.sessions._servers.values()))
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    os.kill(server.pid, signal.SIGSTOP)
    for _ in range(16):
        world.start("true")
    assert server.waiting
    os.kill(server.pid, signal.SIGCONT)
    world.turn_until(lambda: world.kinds().count("wait") == 17)


def test_an_idle_server_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "IDLE", 0.05)
    world.start("true")
    pid = world.servers[0]
    world.turn_until(lambda: not world.servers)
    assert world.sessions.is_server(pid)
    assert world.sessions.child_changed(*os.waitpid(pid, 0))
    assert not world.sessions.is_server(pid)


def test_a_number_that_was_anothers_is_no_hang_up() -> None:
    """An event of a descriptor that was closed in the same turn is met by who has its number."""
    with contextlib.ExitStack() as stack:
        _, ours = map(stack.enter_context, socket.socketpair())
        theirs, kept = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server = session_server.SessionServer(ours, None, ends_with_init=False)
        program = session_server._Program(NOBODYS_PID, kept, False, None)
        server._watch(program, kept, 0)
        server._event(kept.fileno())
        assert not program.is_let_go
        theirs.close()
        server._event(kept.fileno())
        assert program.is_let_go

"""Each capability that stands beside a transparent job is needed: without it, that fails."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable

import pytest

from glunix.msg.job import HomePids, Owner
from glunix.node import privilege
from glunix.node.processes.agent import Ended, NamespaceAgent
from glunix.node.processes.namespace import PidSpace, SpaceUnavailable
from slic.kernel import capabilities as caps
from slic.kernel import undumpable
from slic.kernel.pidfd import getfd
from slic.kernel.prctl import CLONE_NEWUTS, unshare

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")

OWNER = Owner(20041, 20041, [20041])
PIDS = HomePids(300, 200, 300, 200, 200)


def _in_a_child(body: Callable[[], object]) -> str:
    """What `body` returns or raises, in words; run in a process of its own."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            said = str(body())
        except (OSError, SpaceUnavailable, RuntimeError) as error:
            said = f"{type(error).__name__}: {error}"
        except BaseException as error:  # the frame above is pytest's
            said = f"bug: {error!r}"
        theirs.send(said.encode())
        os._exit(0)
    theirs.close()
    ours.settimeout(30)
    said = ours.recv(4096).decode()
    ours.close()
    os.waitpid(pid, 0)
    return said


def _namespaces() -> str:
    unshare(CLONE_NEWUTS)
    socket.sethostname("home")
    return socket.gethostname()


def _wait_for_ever() -> None:
    os.execvp("sleep", ["sleep", "30"])


def _space(agent: Callable[[NamespaceAgent], object] | None = None) -> str:
    def program() -> None:
        privilege.give_up(OWNER)
        _wait_for_ever()

    space = PidSpace(PIDS, None, program, OWNER)
    try:
        privilege.settle(OWNER)
        uid = os.stat(f"/proc/{space.init}").st_uid
        if agent is None:
            return f"init of {uid}, program {space.number}"
        clerk = NamespaceAgent(space, range(PIDS.pid, PIDS.pid + 10))
        try:
            return str(agent(clerk))
        finally:
            clerk.close()
    finally:
        space.close()


def _jumps(clerk: NamespaceAgent) -> str:
    clerk.jump(1000, 10)
    return f"last {clerk.last()}"


def _kills(clerk: NamespaceAgent) -> str:
    """The program is the owner's, the agent root's."""
    clerk.sweep()
    clerk.kill(PIDS.pid, signal.SIGKILL)
    with select.epoll() as waiting:
        waiting.register(clerk.fileno(), select.EPOLLIN)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            waiting.poll(0.1)
            if any(isinstance(one, Ended) and PIDS.pid in one.numbers for one in clerk.read()):
                return "ended"
    return "lives"


@pytest.mark.parametrize(
    ("body", "right", "capability"),
    [
        (_namespaces, "home", caps.CAP_SYS_ADMIN),
        (_space, "init of 0, program 300", caps.CAP_SYS_ADMIN),
        (_space, "init of 0, program 300", caps.CAP_SETUID),
        (_space, "init of 0, program 300", caps.CAP_SETGID),
        (lambda: _space(_jumps), "last 999", caps.CAP_CHECKPOINT_RESTORE),
        (lambda: _space(_kills), "ended", caps.CAP_KILL),
    ],
)
def test_setting_up_needs_each(
    monkeypatch: pytest.MonkeyPatch, body: Callable[[], str], right: str, capability: int
) -> None:
    def with_rights() -> str:
        privilege.begin(OWNER)
        return body()

    assert _in_a_child(with_rights) == right
    monkeypatch.setattr(privilege, "SET_UP", privilege.SET_UP & ~capability)
    assert _in_a_child(with_rights) != right


def _look(dumpable: int) -> str:
    """Take a descriptor of a child that lets nobody look (0)."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        caps.set(caps.Caps(0, 0, 0))
        caps.set_dumpable(dumpable)
        os.write(told, b"+")
        _wait_for_ever_here()
    try:
        os.read(ready, 1)
        child = os.pidfd_open(pid)
        try:
            os.close(getfd(child, 1))
            return "seen"
        except PermissionError:
            if not undumpable.can_look(pid):
                return "refused"
        with undumpable.looking():
            os.close(getfd(child, 1))
        if undumpable.can_look(pid):
            return "seen by right"
        return "the right is still in effect"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _wait_for_ever_here() -> None:
    signal.alarm(30)
    signal.pause()


def test_serving_needs_its_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(dumpable: int) -> str:
        def body() -> str:
            privilege.begin(OWNER)
            privilege.settle(OWNER)
            return _look(dumpable)

        return _in_a_child(body)

    assert looked(caps.DUMPABLE) == "seen"
    assert looked(caps.NOT_DUMPABLE) == "seen by right"
    monkeypatch.setattr(privilege, "SERVING", 0)
    assert looked(caps.NOT_DUMPABLE) == "refused"

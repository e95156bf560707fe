"""How a process of a cluster says that it is ready, and how it is ended."""

import os
import time
from pathlib import Path

import pytest

from glunix.cluster.members import Member, birth
from glunix.cluster.processes import fork_member, stop, wait_ready
from glunix.errors import GlunixError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir(mode=0o700)
    return tmp_path


def said(*lines: str) -> int:
    """The ready pipe of a process that has said this and has ended."""
    reader, writer = os.pipe()
    os.write(writer, "".join(f"{line}\n" for line in lines).encode())
    os.close(writer)
    return reader


def test_pid_and_readiness_come_in_any_order(folder: Path) -> None:
    started: list[Member] = []
    pid = os.getpid()
    waiting = {said(f"pid {pid} uts,pid", "ready"): "a", said("ready", f"pid {pid} "): "b"}
    wait_ready(folder, dict(waiting), time.monotonic() + 5, started.append)
    assert {(m.name, m.alive, tuple(m.isolated)) for m in started} == {
        ("a", True, ("uts", "pid")),
        ("b", True, ()),
    }
    for fd in waiting:
        os.close(fd)


def test_one_that_does_not_start_is_named_with_its_last_words(folder: Path) -> None:
    (folder / "private" / "node1.log").write_text("begins\nno room\n")
    started: list[Member] = []
    waiting = {said(f"pid {os.getpid()} "): "node1", said(f"pid {os.getpid()} "): "node2"}
    with pytest.raises(GlunixError, match=r"node1 did not start: no room|node2 did not start"):
        wait_ready(folder, dict(waiting), time.monotonic() + 5, started.append)
    assert {m.name for m in started} == {"node1", "node2"}  # to be stopped, both
    for fd in waiting:
        os.close(fd)


def test_who_never_says_so_is_not_waited_for_longer(folder: Path) -> None:
    reader, writer = os.pipe()
    with pytest.raises(GlunixError, match=r"not ready after .* node1"):
        wait_ready(folder, {reader: "node1"}, time.monotonic(), print)
    os.close(reader)
    os.close(writer)


def test_a_member_begins_apart_from_us_and_ends_when_told(folder: Path) -> None:
    def serve(_: Path, name: str, isolated: tuple[str, ...], ready_fd: int) -> int:
        os.write(1, f"{name} serves\n".encode())
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
        time.sleep(60)
        return 0

    fd, child = fork_member(folder, "node1", False, serve)
    started: list[Member] = []
    os.waitpid(child, 0)
    wait_ready(folder, {fd: "node1"}, time.monotonic() + 20, started.append)
    os.close(fd)
    (member,) = started
    assert os.getsid(member.pid) != os.getsid(0)
    assert (folder / "private" / "node1.log").read_text() == "node1 serves\n"
    assert stop(started) == []
    assert birth(member.pid) == 0

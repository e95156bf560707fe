"""glunix.node.processes.ancestry against processes of our own."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from glunix.node.processes.ancestry import descends_from, stat_fields

_ORPHAN = """
import os, sys, time
if os.fork() == 0:
    middle = os.fork()
    if middle == 0:
        while os.getppid() == int(sys.argv[1]):
            time.sleep(0.01)
        print(os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
    os._exit(0)
os.wait()
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    found = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield found
    found.kill()
    found.wait()


def test_a_child_comes_from_its_parent_and_is_itself(child: subprocess.Popen[bytes]) -> None:
    assert descends_from(child.pid, {child.pid}) == child.pid
    assert descends_from(child.pid, {os.getpid()}) == os.getpid()
    assert descends_from(os.getpid(), {child.pid}) is None


def test_the_nearest_root_is_the_one(child: subprocess.Popen[bytes]) -> None:
    assert descends_from(child.pid, {os.getpid(), os.getppid(), child.pid}) == child.pid


def test_an_orphan_is_known_by_its_session() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", _ORPHAN, "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert leader.stdin and leader.stdout
    orphan = int(leader.stdout.readline())
    try:
        assert int(stat_fields(orphan)[1]) != leader.pid
        assert descends_from(orphan, {leader.pid}) == leader.pid
    finally:
        leader.stdin.close()
        leader.wait(timeout=20)
        leader.stdout.close()


def test_what_is_gone_comes_from_nobody() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert descends_from(gone.pid, {os.getpid()}) is None

"""Calls of the system that fail, one after the other, in the node's half and in home's.

strace makes one call fail with one error in all that a node's daemon starts (supervisor, session
server, namespace's agent, the daemon itself) or in `glurun` and what it starts. The rule: a job
ends as ever, or with one clear sentence; it never waits for ever, nobody sees a traceback, and the
next job runs. What is only nice to have ends none. GLUNIX_LONG=1: more calls and errors, and each
of the first calls of a kind in turn; a call that is not made at a level says so as a skip.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, Result, until

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to trace a daemon"),
]

LONG = bool(os.environ.get("GLUNIX_LONG"))
OURS = 125
"""The status of a job that could not be (docs/launch.md)."""

PATIENCE = 20.0

NICE = {
    "perf_event_open": "EACCES",
    "sched_setscheduler": "EPERM",
    "sched_setaffinity": "EINVAL",
    "ioprio_set": "EPERM",
    "setpriority": "EACCES",
    "kcmp": "ENOSYS",
    "process_vm_readv": "EPERM",
    "inotify_init1": "EMFILE",
    "clone3": "ENOSYS",
    "setsockopt": "ENOBUFS",
    "fadvise64": "EINVAL",
}
"""On the node: without these a job runs as ever."""

NEEDED = {
    "seccomp": "EINVAL",
    "memfd_create": "EMFILE",
    "socketpair": "EMFILE",
    "pipe2": "EMFILE",
    "eventfd2": "EMFILE",
    "mount": "EPERM",
    "unshare": "EPERM",
    "setns": "EPERM",
    "prctl": "EPERM",
    "prlimit64": "EPERM",
    "clone": "EAGAIN",
    "vfork": "EAGAIN",
    "pidfd_open": "EMFILE",
    "epoll_create1": "EMFILE",
    "setresuid": "EAGAIN",
    "setgroups": "EPERM",
    "chdir": "EACCES",
    "mmap": "ENOMEM",
    "mkdir": "EROFS",  # a job without its group would have no bounds of its user's
}
"""On the node or at home: with each a job may end, with a sentence."""

HOME = {
    "socketpair": "EMFILE",
    "pipe2": "EMFILE",
    "memfd_create": "ENOSYS",
    "epoll_create1": "EMFILE",
    "eventfd2": "EMFILE",
    "connect": "EACCES",
    "socket": "EMFILE",
    "fork": "EAGAIN",
    "clone": "EAGAIN",
    "poll": "ENOMEM",
    "pidfd_open": "EMFILE",
    "sendmsg": "ENOBUFS",
}

SHORT_NODE = ("perf_event_open", "seccomp", "socketpair", "pipe2", "mkdir", "clone3")
SHORT_HOME = ("socketpair", "connect", "clone", "pipe2")
_users = itertools.count(33000 + os.getpid() % 1000 * 100)


@pytest.fixture(scope="module")
def struck(tools: Path) -> Iterator[Cluster]:
    """A cluster of one node besides home, for this module alone."""
    with Cluster(tools).guarded() as cluster:
        assert cluster.up(1).status == 0
        yield cluster


@contextlib.contextmanager
def failing(cluster: Cluster, call: str, error: str, when: str) -> Iterator[Path]:
    """Meanwhile this call fails in all that the nodes' daemons start from now on, and in them."""
    trace = cluster.folder / "injected"
    trace.unlink(missing_ok=True)
    pids = [str(member.pid) for member in cluster.nodes().values()]
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}{when}"]
    words = ["strace", "-f", "-qq", "-o", str(trace), *inject]
    tracer = subprocess.Popen([*words, *(word for pid in pids for word in ("-p", pid))])
    try:
        until(lambda: all(_traced(pid) for pid in pids), "strace has attached")
        yield trace
    finally:
        tracer.terminate()
        try:
            tracer.wait(3)
        except subprocess.TimeoutExpired:  # it waits for a stop of what waits in a caught call
            tracer.kill()  # what it traced goes on (ptrace(2))
            tracer.wait(10)


def _traced(pid: str) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0\n" not in status


def clear(result: Result, must_run: bool) -> str:
    """What is wrong with how a job ended; empty: nothing."""
    if (result.status, result.out) == (0, b"ok\n") and b"Traceback" not in result.err:
        return ""
    lines = result.err.decode(errors="replace").splitlines()
    ours = [line for line in lines if not line.startswith("strace: ")]
    said = f"status {result.status}, output {result.out!r}, words {ours}"
    if must_run or result.status == 0 or result.out not in (b"", b"ok\n"):
        return said
    return "" if len(ours) == 1 and ours[0].startswith("glurun: ") else said


def works_again(cluster: Cluster, uid: int, level: list[str]) -> None:
    def ran() -> bool:
        result = cluster.run("glurun", *level, "echo", "ok", uid=uid, cwd="/")
        return (result.status, result.out) == (0, b"ok\n")

    until(ran, "the next job runs", PATIENCE)


def cases(calls: dict[str, str], short: tuple[str, ...]) -> list[tuple[str, str, str]]:
    if not LONG:
        return [(call, calls[call], "") for call in short]
    turns = ("", *(f":when={n}" for n in range(1, 6)))
    return [(call, error, when) for call, error in calls.items() for when in turns]


@pytest.mark.parametrize("level", [[], ["-T"]], ids=["user-level", "T"])
@pytest.mark.parametrize(
    ("call", "error", "when"), cases({**NEEDED, **NICE}, SHORT_NODE), ids=lambda word: str(word)
)
def test_a_call_that_fails_on_the_node(
    struck: Cluster, call: str, error: str, when: str, level: list[str]
) -> None:
    uid = next(_users)
    with failing(struck, call, error, when) as trace:
        result = struck.run("glurun", *level, "-w", "node1", "echo", "ok", uid=uid, cwd="/")
    failed = "(INJECTED)" in trace.read_text()
    assert not (wrong := clear(result, call in NICE)), wrong
    works_again(struck, uid, level)
    if not failed:
        pytest.skip(f"{call}{when} is not called")


@pytest.mark.parametrize("level", [[], ["-T"]], ids=["user-level", "T"])
@pytest.mark.parametrize(
    ("call", "error", "when"), cases(HOME, SHORT_HOME), ids=lambda word: str(word)
)
def test_a_call_that_fails_at_home(
    struck: Cluster, call: str, error: str, when: str, level: list[str]
) -> None:
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}{when}"]
    trace = struck.folder / "injected-at-home"
    words = ["strace", "-f", "-qq", "-o", str(trace), *inject, "glurun", *level, "echo", "ok"]
    result = struck.run(*words, cwd="/")
    assert not (wrong := clear(result, False)), wrong
    works_again(struck, 0, level)
    if "(INJECTED)" not in trace.read_text():
        pytest.skip(f"{call}{when} is not called")

"""eBPF: every event of lives once and in order, of storms, jobs, threads and namespaces."""

import collections
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ebpf_helpers import (
    ALL,
    Held,
    needs_bpf,
    of_type,
    own_namespace,
    until_over,
)  # fmt: skip

from slic.ebpf.events import (
    Event,
    Executed,
    Exited,
    Forked,
)  # fmt: skip
from slic.ebpf.monitor import Monitor
from slic.kernel.libc import LIBC
from slic.syscalls import BY_NAME

Guest = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("GLUNIX_LONG"))
FORKS = 100_000 if LONG else 10_000
CLONE_NEWPID = 0x20000000

LIVES = r"""
static void *idle(void *unused) { usleep(2000); return unused; }
static char **words;
static void *becomes(void *unused) { execv("/bin/true", words); return unused; }
int main(int c, char **v) {
  pthread_t t[10];
  if (!strcmp(v[1], "threads")) {
    for (int i = 0; i < 10; i++) pthread_create(t + i, 0, idle, 0);
    for (int i = 0; i < 10; i++) pthread_join(t[i], 0);
  } else if (!strcmp(v[1], "vfork")) {
    for (int i = 0; i < 50; i++) {
      pid_t p = vfork();
      if (p == 0) { execl("/bin/true", "true", NULL); _exit(1); }
      waitpid(p, 0, 0); }
  } else {
    words = v;
    for (int i = 0; i < 4; i++) pthread_create(t + i, 0, idle, 0);
    pthread_create(t + 4, 0, becomes, 0);
    for (;;) pause(); }
  return 7; }
"""


def check_lives(events: Sequence[Event], first: int, forks: int) -> None:
    """Each of so many tasks is born once and ends once, in this order; nobody else is told of."""
    order: dict[int, list[str]] = collections.defaultdict(list)
    for event in events:
        if isinstance(event, Forked | Executed | Exited):
            assert not getattr(event, "swept", False), event
            order[event.tid].append(type(event).__name__)
    assert order.pop(first)[-1] == "Exited"
    # Numbers come again in a long run: whole lives then stand one behind another.
    lives = [tuple(life[i : i + 2]) for life in order.values() for i in range(0, len(life), 2)]
    assert collections.Counter(lives) == {("Forked", "Exited"): forks}


@needs_bpf
@pytest.mark.slow
@pytest.mark.parametrize("width", ["1", "8"])
def test_every_event_of_a_fork_storm_comes_once_and_in_order(
    monitor: Monitor, storm: str, width: str
) -> None:
    child = Held([storm, str(FORKS), width])
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    events = until_over(monitor, watch)
    assert child.wait() == 0
    losses = monitor.losses()
    print(losses)
    assert (losses.lost, losses.unmarked, losses.skipped) == (0, 0, 0)
    check_lives(events, child.pid, FORKS)
    statuses = collections.Counter(
        os.waitstatus_to_exitcode(e.status) for e in of_type(events, Exited) if e.pid != child.pid
    )
    assert statuses == collections.Counter(i & 127 for i in range(FORKS))
    assert monitor.counts(watch)[BY_NAME["exit_group"].number].calls == FORKS + 1


@needs_bpf
@pytest.mark.slow
def test_four_jobs_at_once_are_kept_apart(monitor: Monitor, storm: str) -> None:
    children = [Held([storm, str(FORKS // 4), "4"]) for _ in range(4)]
    watches = [monitor.watch_tree(child.pid, ALL) for child in children]
    for child in children:
        child.go()
    events = until_over(monitor, *watches)
    assert monitor.losses().lost == 0
    for child, watch in zip(children, watches, strict=True):
        assert child.wait() == 0
        own = [e for e in events if e.key == watch.key]
        check_lives(own, child.pid, FORKS // 4)
        assert monitor.counts(watch)[BY_NAME["exit_group"].number].calls == FORKS // 4 + 1


@needs_bpf
def test_threads(monitor: Monitor, guest: Guest) -> None:
    child = Held([guest("lives", LIVES), "threads"])
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    events = until_over(monitor, watch)
    assert child.wait() == 7
    born = of_type(events, Forked)
    assert len(born) == 10 and all(e.thread and e.pid == e.by_pid == child.pid for e in born)
    ended = of_type(events, Exited)
    assert len(ended) == 11
    assert os.waitstatus_to_exitcode(next(e for e in ended if e.tid == child.pid).status) == 7


@needs_bpf
def test_vfork(monitor: Monitor, guest: Guest) -> None:
    child = Held([guest("lives", LIVES), "vfork"])
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    events = until_over(monitor, watch)
    assert child.wait() == 7
    order = collections.defaultdict(list)
    for event in events:
        if isinstance(event, Forked | Executed | Exited) and event.tid != child.pid:
            order[event.tid].append(type(event))
    assert list(order.values()) == [[Forked, Executed, Exited]] * 50


@needs_bpf
def test_a_thread_that_executes_becomes_the_process(monitor: Monitor, guest: Guest) -> None:
    child = Held([guest("lives", LIVES), "exec"])
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    events = until_over(monitor, watch)
    assert child.wait() == 0
    born, executed = of_type(events, Forked), of_type(events, Executed)
    assert [e.name for e in executed] == [b"lives", b"true"]
    assert (executed[1].tid, executed[1].pid) == (child.pid, child.pid)
    assert executed[1].old_tid == born[-1].tid
    # Leader and idle threads ended before; the thread itself ends under the leader's number.
    ended = of_type(events, Exited)
    assert collections.Counter(e.tid for e in ended) == {
        child.pid: 2,
        **{e.tid: 1 for e in born[:-1]},
    }


def _nested_job(told: int, gate: int) -> None:
    """In a child: a PID namespace whose process 1 waits, then makes another with three."""
    LIBC.unshare(CLONE_NEWPID)
    if (first := os.fork()) == 0:
        os.write(told, b"x")
        os.read(gate, 1)
        LIBC.unshare(CLONE_NEWPID)
        if (inner := os.fork()) == 0:
            os.execv("/bin/sh", ["sh", "-c", "/bin/true; /bin/true; exit 5"])
        os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
    os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))


@needs_bpf
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: PID namespaces")
def test_namespaces_in_namespaces(monitor: Monitor) -> None:
    """A watched namespace has its processes and those of the one in it, by all their numbers."""
    reading, writing = os.pipe()
    gate, opened = os.pipe()
    outer = Held(lambda: _nested_job(writing, gate))
    outer.go()
    assert os.read(reading, 1) == b"x"
    watch = monitor.watch_namespace(own_namespace(outer.pid), ALL)
    (first,) = watch.tasks
    os.write(opened, b"x")
    events = until_over(monitor, watch)
    for fd in (reading, writing, gate, opened):
        os.close(fd)
    assert outer.wait() == 5
    born = of_type(events, Forked)
    assert [e.numbers[0] for e in born] == [1, 2, 3]
    for event in born:
        assert event.level == len(_numbers()) + 1 and len(event.numbers) == event.level + 1
        assert event.numbers[-len(_numbers())] == event.tid
    assert {e.tid for e in born} | {first} == {e.tid for e in of_type(events, Exited)}


INSIDE = """
import os, sys
sys.path.insert(0, {root!r})
sys.path.insert(0, {root!r} + "/tests/slic")
from ebpf_helpers import ALL, Held, until_over
from slic.ebpf.monitor import Monitor
with Monitor(ALL, slots=1) as monitor:
    child = Held(["/bin/sh", "-c", "/bin/true; (kill -TERM $$); exit 3"])
    watch = monitor.watch_tree(child.pid, ALL)
    print(child.pid, sorted(watch.tasks.items()))
    child.go()
    for event in until_over(monitor, watch):
        if type(event).__name__ in ("Forked", "Executed"):
            print(type(event).__name__, event.pid, getattr(event, "by_pid", 0))
        if type(event).__name__ == "Signalled" and event.signal == 15:
            print("TERM from", event.sender_pid, "to", event.pid)
    print(child.wait())
"""


@needs_bpf
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: PID namespaces")
def test_numbers_are_those_of_the_owners_namespace() -> None:
    code = INSIDE.format(root=str(ROOT))
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    first, *told, status = done.stdout.splitlines()
    pid = int(first.split()[0])
    assert pid < 50 and first == f"{pid} [({pid}, {pid})]"
    assert status == "-15"
    assert f"Executed {pid} 0" in told and f"Forked {pid + 1} {pid}" in told
    assert [line for line in told if line.startswith("TERM")] == [f"TERM from {pid + 2} to {pid}"]


def _numbers() -> list[str]:
    text = Path("/proc/self/status").read_text()
    return next(line.split()[1:] for line in text.splitlines() if line.startswith("NSpid:"))

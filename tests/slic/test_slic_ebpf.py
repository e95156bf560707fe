"""eBPF: every event once and in order, whose it is, counters, and what is left behind: nothing."""

import collections
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from ebpf_helpers import (
    ALL,
    Held,
    held_by,
    needs_bpf,
    of_type,
    own_namespace,
    until_over,
    wait_until_unloaded,
)  # fmt: skip

from slic.ebpf import layout, objects
from slic.ebpf.events import (
    Continued,
    Event,
    Executed,
    Exited,
    Forked,
    Signalled,
    Stopped,
)  # fmt: skip
from slic.ebpf.layout import Want
from slic.ebpf.monitor import Monitor
from slic.kernel import libbpf
from slic.kernel.libc import LIBC
from slic.syscalls import BY_NAME

Guest = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("GLUNIX_LONG"))
FORKS = 100_000 if LONG else 10_000
CLONE_NEWPID = 0x20000000

STORM = r"""
int main(int c, char **v) {
  int n = atoi(v[1]), width = atoi(v[2]), live = 0;
  for (int i = 0; i < n; i++) {
    pid_t p = fork();
    if (p == 0) _exit(i & 127);
    if (p < 0) return 1;
    if (++live >= width) { wait(0); live--; } }
  while (live-- > 0) wait(0);
  return 0; }
"""
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
COUNTED = r"""
int main(void) {
  for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
  for (int i = 0; i < 500; i++) close(-1);
  usleep(20000);
  return 0; }
"""


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with Monitor(ALL, slots=8, ring=1 << 24) as found:
        yield found


@pytest.fixture
def storm(guest: Guest) -> str:
    return guest("storm", STORM)


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


@needs_bpf
def test_a_process_that_stands_still_is_told_when_it_goes_on(monitor: Monitor) -> None:
    child = subprocess.Popen(["/bin/sleep", "100"])
    child.send_signal(signal.SIGSTOP)
    assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
    watch = monitor.watch_tree(child.pid, ALL)
    child.send_signal(signal.SIGCONT)
    child.kill()
    events = until_over(monitor, watch)
    assert child.wait() == -signal.SIGKILL
    assert len(of_type(events, Continued)) == 1 and not of_type(events, Stopped)


def _numbers() -> list[str]:
    text = Path("/proc/self/status").read_text()
    return next(line.split()[1:] for line in text.splitlines() if line.startswith("NSpid:"))


@needs_bpf
def test_signals_have_sender_target_and_scope(monitor: Monitor) -> None:
    script = "kill -USR1 $$; sleep 9 & kill -TERM $!; wait; kill -USR1 0; exit 0"
    child = Held(["/bin/bash", "-c", f"trap : USR1; {script}"])
    os.setpgid(child.pid, child.pid)
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    events = until_over(monitor, watch)
    assert child.wait() == 0
    sleeper = of_type(events, Forked)[0].pid
    sent = [
        (e.signal, e.sender_pid, e.pid, e.scope)
        for e in of_type(events, Signalled)
        if e.signal != signal.SIGCHLD
    ]
    assert sent == [
        (signal.SIGUSR1, child.pid, child.pid, "process"),
        (signal.SIGTERM, child.pid, sleeper, "process"),
        (signal.SIGUSR1, child.pid, child.pid, "group"),
    ]
    told = [e for e in of_type(events, Signalled) if e.signal == signal.SIGCHLD]
    assert all(e.scope == "kernel" for e in told) and told


@needs_bpf
def test_a_signal_from_outside_has_its_sender(monitor: Monitor) -> None:
    child = Held(lambda: time.sleep(30))
    watch = monitor.watch_tree(child.pid, ALL)
    os.kill(child.pid, signal.SIGKILL)
    events = until_over(monitor, watch)
    child.go()
    assert child.wait() == -signal.SIGKILL
    killed = next(e for e in of_type(events, Signalled) if e.signal == signal.SIGKILL)
    assert (killed.sender_pid, killed.by, killed.to) == (os.getpid(), 0, watch.key)


@needs_bpf
def test_stops_and_continues_come_once_for_all_threads(monitor: Monitor, guest: Guest) -> None:
    source = r"""
    static void *rest(void *unused) { for (;;) pause(); return unused; }
    int main(void) {
      pthread_t t;
      for (int i = 0; i < 8; i++) pthread_create(&t, 0, rest, 0);
      for (;;) pause(); }
    """
    child = Held([guest("resting", source)])
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    events: list[Event] = []
    deadline = time.monotonic() + 20

    def read_until(count: int, kind: type) -> None:
        while len(of_type(events, kind)) < count:
            assert time.monotonic() < deadline, events
            monitor.wait(0.2)
            events.extend(monitor.read())

    read_until(8, Forked)
    lags = []
    for number in range(1, 101):
        began = time.monotonic_ns()
        os.kill(child.pid, signal.SIGSTOP)
        read_until(number, Stopped)
        lags.append(time.monotonic_ns() - began)
        os.kill(child.pid, signal.SIGCONT)
        read_until(number, Continued)
    os.kill(child.pid, signal.SIGKILL)
    events += until_over(monitor, watch)
    assert child.wait() == -signal.SIGKILL
    stopped = of_type(events, Stopped)
    assert [e.signal for e in stopped] == [signal.SIGSTOP] * 100
    assert len(of_type(events, Continued)) == 100
    print(f"stop to report: median {sorted(lags)[50] / 1000:.0f} us")


@needs_bpf
def test_counters_have_calls_errors_and_time(monitor: Monitor, guest: Guest) -> None:
    child = Held([guest("counted", COUNTED)])
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    until_over(monitor, watch)
    assert child.wait() == 0
    counts = monitor.counts(watch)
    assert counts[BY_NAME["getppid"].number][:2] == (1000, 0)
    closed = counts[BY_NAME["close"].number]
    assert closed.errors == 500 and closed.calls > 500
    assert 20e6 <= counts[BY_NAME["clock_nanosleep"].number].time < 2e9


@needs_bpf
def test_counters_agree_with_strace(monitor: Monitor, storm: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is missing")
    child = Held([storm, "20", "1"])
    watch = monitor.watch_tree(child.pid, ALL)
    child.go()
    until_over(monitor, watch)
    assert child.wait() == 0
    own = {number: count.calls for number, count in monitor.counts(watch).items()}
    done = subprocess.run(
        ["strace", "-f", "-c", "-U", "name,calls", storm, "20", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = {}
    for line in done.stderr.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] in BY_NAME:
            theirs[BY_NAME[words[0]].number] = int(words[1])
    # exit_group never returns, and strace counts returns; what is called before execve is ours.
    left_out = ("exit_group", "read", "close", "set_robust_list")
    for number in theirs.keys() - {BY_NAME[n].number for n in left_out}:
        assert own[number] == theirs[number], number


@needs_bpf
def test_a_running_tree_is_watched_whole(monitor: Monitor) -> None:
    """All that is there, with threads and grandchildren, and all that is born later."""
    reading, writing = os.pipe()
    tree = subprocess.Popen(
        [
            sys.executable, "-c",
            "import os, threading, subprocess, sys\n"
            "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "p = subprocess.Popen(['sh', '-c', 'sleep 100 & read x; true; wait'],"
            " stdin=subprocess.PIPE)\n"
            f"os.write({writing}, b'x')\n"
            "sys.stdin.read()\np.stdin.close(); os._exit(0)",
        ],
        stdin=subprocess.PIPE,
        pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    watch = monitor.watch_tree(tree.pid, ALL)
    deadline = time.monotonic() + 10
    while len(set(watch.tasks.values())) < 3:  # sh may not have forked when it was taken
        assert time.monotonic() < deadline
        monitor.wait(0.1)
        list(monitor.read())
    assert len(watch.tasks) == 4
    assert tree.stdin is not None
    tree.stdin.close()
    assert tree.wait() == 0
    # Their parent has ended: still of the tree.
    for pid in set(watch.tasks.values()) - {tree.pid}:
        os.kill(pid, signal.SIGKILL)
    until_over(monitor, watch)
    with pytest.raises(ProcessLookupError):
        monitor.watch_tree(tree.pid, ALL)


@needs_bpf
def test_a_watch_that_is_released_is_told_no_more(monitor: Monitor) -> None:
    child = Held(lambda: time.sleep(0.1))
    watch = monitor.watch_tree(child.pid, ALL)
    monitor.release(watch)
    monitor.release(watch)
    other = monitor.watch_tree(os.getpid(), ALL)  # takes the slot, not the mark
    assert other.slot != watch.slot or other.key != watch.key
    monitor.release(other)
    child.go()
    assert child.wait() == 0
    assert list(monitor.read()) == []
    for _ in range(8):
        monitor.watch_namespace(1, Want.LIVES)
    with pytest.raises(OSError, match="no more watches"):
        monitor.watch_namespace(2, Want.LIVES)


@needs_bpf
def test_what_is_lost_is_counted_and_found_by_a_sweep(storm: str) -> None:
    """A ring of one page that nobody reads: lives come out right all the same."""
    with Monitor(Want.LIVES, ring=4096) as monitor:
        child = Held(["/bin/sh", "-c", f"sleep 100 & {storm} 500 1; exec sleep 100"])
        watch = monitor.watch_tree(child.pid, Want.LIVES)
        child.go()
        deadline = time.monotonic() + 30
        while len(monitor.alive(watch)) != 2 or monitor.losses().lost < 500:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        events = [*monitor.read(), *monitor.sweep(watch)]
        assert any(getattr(event, "swept", False) for event in events)
        alive = {a.tid for a in monitor.alive(watch)}
        assert set(watch.tasks) == alive and child.pid in alive
        born = {e.tid for e in of_type(events, Forked)} | {child.pid}
        assert born - {e.tid for e in of_type(events, Exited)} == alive
        for tid in alive:
            os.kill(tid, signal.SIGKILL)
        until_over(monitor, watch)
        assert child.wait() == -signal.SIGKILL


OWNER = """
import os, sys, time
sys.path.insert(0, {root!r})
from slic.ebpf.layout import Want
from slic.ebpf.monitor import Monitor
monitor = Monitor(Want.LIVES | Want.STOPS | Want.SIGNALS | Want.COUNTS)
watch = monitor.watch_tree(os.getpid(), monitor.want)
print("loaded", flush=True)
time.sleep(60)
"""


@needs_bpf
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_killed_owner_leaves_no_program_map_or_link(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER.format(root=str(ROOT))],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "loaded\n"
        own = held_by(owner.pid)
        assert all(ids <= libbpf.loaded()[kind] for kind, ids in own.items())
        assert len(own["prog"]) >= 9 and len(own["link"]) >= 9 and len(own["map"]) >= 8
        if shutil.which("bpftool"):
            shown = subprocess.run(["bpftool", "prog"], capture_output=True, text=True, check=True)
            assert "on_fork" in shown.stdout
        owner.send_signal(number)
        owner.wait()
    wait_until_unloaded(own)


@needs_bpf
def test_nothing_is_told_of_what_is_not_watched(monitor: Monitor) -> None:
    child = Held(lambda: None)
    watch = monitor.watch_tree(child.pid, ALL)
    for _ in range(20):
        subprocess.run(["/bin/true"], check=True)
    thread = threading.Thread(target=lambda: os.getppid())
    thread.start()
    thread.join()
    child.go()
    events = until_over(monitor, watch)
    assert child.wait() == 0
    assert {e.pid for e in events if not isinstance(e, Signalled)} == {child.pid}


def test_structures_are_the_ones_of_the_programs(tmp_path: Path) -> None:
    """By the compiler: the bytes that Python packs are the bytes of the C structures."""
    if shutil.which("clang") is None:
        pytest.skip("clang is missing (Debian: clang)")
    asserts = "".join(
        f'_Static_assert(sizeof(struct {name}) == {size}, "{name}");\n'
        for name, size in layout.SIZES.items()
    )
    source = tmp_path / "sizes.bpf.c"
    source.write_text(f'#include "{objects.SOURCES[0]}"\n{asserts}')
    words = ["clang", *objects.FLAGS, "-o", str(tmp_path / "out"), str(source)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

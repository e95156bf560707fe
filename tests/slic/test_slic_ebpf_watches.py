"""eBPF: signals, stops, counters; what is watched and what is not; and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ebpf_helpers import (
    ALL,
    Held,
    held_by,
    needs_bpf,
    of_type,
    until_over,
    wait_until_unloaded,
)  # fmt: skip

from slic.ebpf import layout, objects
from slic.ebpf.events import (
    Continued,
    Event,
    Exited,
    Forked,
    Signalled,
    Stopped,
)  # fmt: skip
from slic.ebpf.layout import Want
from slic.ebpf.monitor import Monitor
from slic.kernel import libbpf
from slic.syscalls import BY_NAME

Guest = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
COUNTED = r"""
int main(void) {
  for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
  for (int i = 0; i < 500; i++) close(-1);
  usleep(20000);
  return 0; }
"""


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

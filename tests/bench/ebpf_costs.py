"""What the BPF programs cost those who are watched and those who are not (docs/ebpf.md).

    python -m tests.bench.ebpf_costs [ROUNDS]      as root

Each way is measured in turn in every round, the best batch of a loop counts: other load only adds.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from statistics import median

from slic.ebpf.events import Exited, Forked, Stopped
from slic.ebpf.layout import CALLS, Want
from slic.ebpf.monitor import Monitor, Watch

LOOP = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec; }
int main(int c, char **v) {
  char b[16]; int zero = open("/dev/zero", O_RDONLY); double best[3] = {1e18, 1e18, 1e18}, t;
  read(0, b, 1);
  for (int i = 0; i < 200; i++) {
    t = now(); for (int k = 0; k < 500; k++) syscall(SYS_getppid);
    if ((t = (now() - t) / 500) < best[0]) best[0] = t;
    t = now(); for (int k = 0; k < 500; k++) read(zero, b, 1);
    if ((t = (now() - t) / 500) < best[1]) best[1] = t; }
  for (int i = 0; i < 40; i++) {
    t = now();
    for (int k = 0; k < 25; k++) { pid_t p = fork(); if (!p) _exit(0); waitpid(p, 0, 0); }
    if ((t = (now() - t) / 25) < best[2]) best[2] = t; }
  printf("%f %f %f\n", best[0], best[1], best[2]);
  return 0; }
"""
LIVES = Want.LIVES | Want.STOPS | Want.SIGNALS
NONE = bytes(CALLS)


def run(loop: str, monitor: Monitor | None, want: Want | None, calls: bytes) -> list[float]:
    child = subprocess.Popen([loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    watch: Watch | None = None
    if monitor is not None and want is not None:
        watch = monitor.watch_tree(child.pid, want, calls)
    child.stdin.write("x")
    child.stdin.close()
    while monitor is not None and child.poll() is None:
        monitor.wait(0.02)  # as a daemon that reads now and then
        for _ in monitor.read():
            pass
        time.sleep(0.02)
    figures = [float(word) for word in child.stdout.read().split()]
    child.wait()
    if monitor is not None and watch is not None:
        monitor.release(watch)
    return figures


def lags(monitor: Monitor) -> None:
    """How long after a fork, and after a stop, its event is read."""
    child = subprocess.Popen(["/bin/sh", "-c", "while :; do /bin/true; done"])
    watch = monitor.watch_tree(child.pid, LIVES)
    found: dict[type, list[float]] = {Forked: [], Stopped: []}
    for _ in range(100):
        end = time.monotonic() + 0.02
        os.kill(child.pid, 19)
        while time.monotonic() < end:
            monitor.wait(0.02)
            for event in monitor.read():
                if type(event) in found:
                    found[type(event)].append((time.monotonic_ns() - event.time) / 1000)
        os.kill(child.pid, 18)
    child.kill()
    child.wait()
    while watch.tasks:
        monitor.wait(1)
        ended = [e for e in monitor.read() if isinstance(e, Exited)]
        assert ended or monitor.sweep(watch) is not None
    for kind, values in found.items():
        values.sort()
        at = [values[len(values) * part // 100] for part in (50, 99)]
        print(f"{kind.__name__}: {len(values)} events, median {at[0]:.0f} us, 99 % {at[1]:.0f} us")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    every = LIVES | Want.COUNTS | Want.CALLS
    ways: dict[str, tuple[Want | None, Want | None, bytes]] = {
        "nothing loaded": (None, None, NONE),
        "lives, stops, signals loaded; not watched": (LIVES, None, NONE),
        "lives, stops, signals; watched": (LIVES, LIVES, NONE),
        "all loaded; not watched": (every, None, NONE),
        "all loaded; lives, stops, signals watched": (every, LIVES, NONE),
        "counted, too": (every, LIVES | Want.COUNTS, NONE),
        "every call told, too": (every, every, bytes([3]) * CALLS),
    }
    with tempfile.TemporaryDirectory() as folder:
        loop = f"{folder}/loop"
        Path(f"{loop}.c").write_text(LOOP)
        subprocess.run(["gcc", "-O1", "-w", "-o", loop, f"{loop}.c"], check=True)
        found: dict[str, list[list[float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (loads, want, calls) in ways.items():
                maker: Callable[[], AbstractContextManager[Monitor | None]] = nullcontext
                if loads is not None:
                    maker = lambda loads=loads: Monitor(loads, slots=1)  # noqa: E731
                with maker() as monitor:
                    found[name].append(run(loop, monitor, want, calls))
    base = [min(column) for column in zip(*found["nothing loaded"], strict=True)]
    print(f"{'':44} {'getppid':>16} {'read /dev/zero':>16} {'fork, exit, wait':>18}")
    for name, rows in found.items():
        best = [min(column) for column in zip(*rows, strict=True)]
        more = [own - bare for own, bare in zip(best, base, strict=True)]
        print(
            f"{name:44} {best[0]:7.0f} ({more[0]:+5.0f} ns) {best[1]:6.0f} ({more[1]:+5.0f} ns)"
            f" {best[2] / 1000:7.1f} ({more[2] / 1000:+5.1f} us)"
        )
    loading = []
    with ExitStack() as stack:
        for _ in range(rounds):
            began = time.process_time()
            stack.enter_context(Monitor(every, slots=1))
            loading.append(time.process_time() - began)
        print(f"loading all programs: {median(loading) * 1000:.0f} ms of processor time")
    with Monitor(LIVES, slots=1) as monitor:
        lags(monitor)


if __name__ == "__main__":
    main()

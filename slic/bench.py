"""`slic bench`: what interposition costs here, as ratios to native, all in one run.

Every figure is the best of several runs, because other load only ever adds: of a small C loop for
single calls, of a `make -j2` of small C files (policy: uname and connect) for a whole job. strace
is measured beside the engines where it is installed.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from slic.engine import Engine, engines
from slic.interposer import Interposer, on
from slic.interposers.passthrough import PassThrough
from slic.policy import Policy
from slic.run import run
from slic.tracee import Tracee
from slic.verdict import Return, Verdict

LOOP = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static double loop(long call, int n) {
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (int i = 0; i < n; i++) syscall(call);
  clock_gettime(CLOCK_MONOTONIC, &b);
  return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n;
}
int main(int argc, char **argv) {
  int n = atoi(argv[1]); double caught = 1e18, other = 1e18, t; FILE *out = fopen(argv[2], "w");
  for (int i = 0; i < 5; i++) {
    if ((t = loop(SYS_getppid, n)) < caught) caught = t;
    if ((t = loop(SYS_getuid, 100000)) < other) other = t;
  }
  fprintf(out, "%f %f\n", caught, other);
  return fclose(out);
}
"""


FILES = 16
SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
int f%d(int x) { char b[100]; snprintf(b, sizeof b, "%%d", x); return strlen(b); }
"""
MAKEFILE = """
all: $(patsubst %.c,%.o,$(wildcard f*.c))
%.o: %.c
\tcc -O2 -c $<
"""
NARROW = ("uname", "connect")
Start = Callable[[list[str]], object]


class Answers(Interposer):
    """Answers the benchmark's call with a constant."""

    confines = False

    @on("getppid")
    def getppid(self, tracee: Tracee) -> Verdict:
        return Return(1)


def report(calls: int) -> int:
    """Measure and print; 125 without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        print("slic: bench needs a C compiler (gcc)")
        return 125
    with tempfile.TemporaryDirectory(prefix="slic-bench-") as folder:
        program = Path(folder, "loop")
        source = Path(folder, "loop.c")
        source.write_text(LOOP)
        subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
        _measure(str(program), str(Path(folder, "figures")), calls)
        if shutil.which("make"):
            _builds(Path(folder))
        else:
            print("the build needs make")
    return 0


def _builds(folder: Path) -> None:
    """Whole builds, the ways in turn so that other load falls on all of them."""
    for number in range(FILES):
        Path(folder, f"f{number}.c").write_text(SOURCE % number)
    Path(folder, "Makefile").write_text(MAKEFILE)
    argv = ["make", "-s", "-j2", "-C", str(folder)]
    ways: dict[str, Start] = {"native": lambda argv: subprocess.run(argv, check=True)}
    for engine in engines().values():
        if engine.unavailable() is None:
            ways[engine.name] = _under(engine, PassThrough(NARROW))
    if strace := shutil.which("strace"):
        options = ["-f", "-o", os.devnull, "-e", f"trace={','.join(NARROW)}"]
        ways["strace -f"] = _strace([strace, *options])
        ways["strace -f --seccomp-bpf"] = _strace([strace, *options, "--seccomp-bpf"])
    best: dict[str, float] = {}
    for _ in range(3):
        for name, start in ways.items():
            for made in folder.glob("f*.o"):
                made.unlink()
            began = time.perf_counter()
            start(argv)
            best[name] = min(best.get(name, 1e9), time.perf_counter() - began)
    print(f"\n{'':28} {'make -j2':>20}")
    for name, seconds in best.items():
        print(f"{name:28} {seconds:10.2f} s {seconds / best['native']:7.2f}x")


def _measure(program: str, figures: str, calls: int) -> None:
    def figure(start: Start, n: int) -> tuple[float, float]:
        start([program, str(n), figures])
        caught, other = Path(figures).read_text().split()
        return float(caught), float(other)

    def line(name: str, caught: float, other: float) -> None:
        more = other - native[1]
        print(
            f"{name:28} {caught:9.0f} ns {caught / native[0]:7.1f}x   {other:7.0f} ns {more:+6.0f}"
        )

    native = figure(lambda argv: subprocess.run(argv, check=True), 100000)
    print(f"{'':28} {'caught call':>20}   {'uncaught call':>17}")
    line("native", *native)
    for engine in engines().values():
        if why := engine.unavailable():
            print(f"{engine.name:28} does not work here: {why}")
            continue
        line(f"{engine.name}, answered", *figure(_under(engine, Answers()), calls))
        line(f"{engine.name}, passed on", *figure(_under(engine, PassThrough(["getppid"])), calls))
    strace = shutil.which("strace")
    for options in ([], ["--seccomp-bpf"]) if strace else ():
        command = [str(strace), "-f", "-o", os.devnull, "-e", "trace=getppid", *options]
        line(" ".join(["strace -f", *options]), *figure(_strace(command), calls))


def _strace(command: list[str]) -> Start:
    return lambda argv: subprocess.run([*command, *argv], check=True)


def _under(engine: Engine, interposer: Interposer) -> Start:
    return lambda argv: run(Policy([interposer]), argv, engine=engine)

"""`slic bench`: what interposition costs here, as ratios to native, all in one run.

Every figure is the best of several runs of a small C loop, because other load only ever adds.
strace is measured beside the engines where it is installed.
"""

import os
import shutil
import subprocess
import tempfile
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
    return 0


def _measure(program: str, figures: str, calls: int) -> None:
    def figure(start: Callable[[list[str]], object], n: int) -> tuple[float, float]:
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


def _strace(command: list[str]) -> Callable[[list[str]], object]:
    return lambda argv: subprocess.run([*command, *argv], check=True)


def _under(engine: Engine, interposer: Interposer) -> Callable[[list[str]], object]:
    return lambda argv: run(Policy([interposer]), argv, engine=engine)

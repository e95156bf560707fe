"""`slic bench`: what interposition costs here, as ratios to native, all in one run.

Calls: each figure is the best of many small batches in several rounds, and stands beside a bare C
supervisor on the same mechanism. What an uncaught call costs more is the median of comparisons
with native runs right before (a processor's clock is not the same from second to second).

Builds: `make -j2` of small C files under a narrow policy (uname and connect), the ways in turn.
Besides the best wall time, the processor time of the whole tree (supervisor, program, descendants)
is compared with the native build of the same round, and the median of those ratios is told: it
stands also while other load runs. strace is measured beside the engines where it is installed.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import FrameType
from typing import NamedTuple

from slic.bench_sources import BARE, FILES, LOOP, MAKEFILE, SOURCE
from slic.engine import Capability, Engine
from slic.interposer import Interposer, on
from slic.interposers.passthrough import PassThrough
from slic.interposers.trace import Trace
from slic.kernel.pidfd import stat_fields
from slic.kernel.prctl import set_child_subreaper
from slic.policy import Policy
from slic.registry import engines
from slic.run import exit_like, run
from slic.tracee import Tracee
from slic.verdict import Return, Verdict

NARROW = ("uname", "connect")
_MOUNT = "mount -t tracefs none /sys/kernel/tracing; mount -t debugfs none /sys/kernel/debug"
_WITH_TRACEFS = ("unshare", "-m", "sh", "-c", f'{{ {_MOUNT}; }} 2>/dev/null; exec "$@"', "sh")
ROUNDS = 5
BUILDS = 5
FAILED = 125
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
Start = Callable[[list[str]], None]


class Ended(BaseException):
    """The benchmark, or the program it runs, was ended by a signal: there are no figures."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Failed(RuntimeError):
    """A program of the benchmark could not do its work."""


class Cost(NamedTuple):
    """Nanoseconds a call: caught by whoever supervises, and not caught."""

    caught: float
    other: float


class Answers(Interposer):
    """Answers the benchmark's call with a constant."""

    confines = False

    @on("getppid")
    def getppid(self, tracee: Tracee) -> Verdict:
        return Return(1)


def report(calls: int) -> int:
    """Measure and print; 125 without a C compiler. A signal ends it, its programs and this process.

    `calls` is the number of caught calls of one run.
    """
    try:
        with _own_tree(), tempfile.TemporaryDirectory(prefix="slic-bench-") as folder:
            os.environ["TMPDIR"] = folder  # what a compiler that is killed leaves goes, too
            _calls(Path(folder), max(calls, 100))
            sys.stdout.flush()
            _builds(Path(folder))
    except Ended as ended:
        print(f"slic: bench ended by {signal.Signals(ended.number).name}", file=sys.stderr)
        exit_like(ended.number)  # the wait status of a process that this signal ended
    except Failed as failed:
        print(f"slic: bench: {failed}", file=sys.stderr)
        return FAILED
    return 0


# -- single calls --------------------------------------------------------------------------------
def _calls(folder: Path, calls: int) -> None:
    loop = _compiled(folder, "loop", LOOP)
    bare = _compiled(folder, "bare", BARE)
    ways: dict[str, Start] = {"native": _start([])}
    for engine in engines().values():
        if why := engine.unavailable():
            print(f"{engine.name:28} does not work here: {why}")
            continue
        if Capability.RETURN in engine.capabilities:
            ways[f"{engine.name} from C"] = _start([bare, engine.name])
            ways[f"{engine.name}, answered"] = _under(engine, Answers)
        ways[f"{engine.name}, passed on"] = _under(engine, lambda: PassThrough(["getppid"]))
        if Capability.HOLD not in engine.capabilities:  # it may count without telling of calls
            ways[f"{engine.name}, counted"] = _under(engine, _counting)
    if strace := shutil.which("strace"):
        for options in ([], ["--seccomp-bpf"]):
            command = [strace, "-f", "-o", os.devnull, "-e", "trace=getppid", *options]
            ways[" ".join(["strace -f", *options])] = _start(command)
    if (bpftrace := shutil.which("bpftrace")) and os.geteuid() == 0:
        ways["bpftrace, counted"] = _bpftrace(bpftrace, "getppid")
    figures = folder / "figures"

    def cost(start: Start) -> Cost:
        start([loop, str(calls), str(figures)])
        return Cost(*(float(word) for word in figures.read_text().split()))

    found: dict[str, list[Cost]] = {name: [] for name in ways}
    more: dict[str, list[float]] = {name: [] for name in ways}
    for name, start in _in_turn("calls", ROUNDS, ways):
        native, own = cost(ways["native"]), cost(start)
        found[name].append(own)
        more[name].append(own.other - native.other)
    best = {n: Cost(min(c.caught for c in f), min(c.other for c in f)) for n, f in found.items()}
    _print_calls(best, {name: median(values) for name, values in more.items()})


def _in_turn(what: str, rounds: int, ways: Mapping[str, Start]) -> Iterator[tuple[str, Start]]:
    """Every way once a round; where the user sees it, a line says how far it is."""
    seen, total, done = sys.stderr.isatty(), rounds * len(ways), 0
    try:
        for _ in range(rounds):
            for name, start in ways.items():
                if seen:
                    shown = f"slic: bench: {what}, {done} of {total}: {name}"[:79]
                    print(f"\r{shown:79}", end="", file=sys.stderr, flush=True)
                yield name, start
                done += 1
    finally:
        if seen:
            print(f"\r{'':79}\r", end="", file=sys.stderr, flush=True)


def _print_calls(best: Mapping[str, Cost], more: Mapping[str, float]) -> None:
    native = best["native"]
    print(f"{'':28} {'caught call':>20} {'to C':>8}   {'uncaught call':>17}")
    for name, cost in best.items():
        bare = best.get(f"{name.partition(',')[0]} from C")
        beside = f"{cost.caught / bare.caught:7.1f}x" if bare and "," in name else ""
        print(
            f"{name:28} {cost.caught:9.0f} ns {cost.caught / native.caught:7.1f}x {beside:8}   "
            f"{cost.other:7.0f} ns {more[name]:+6.0f}"
        )


# -- whole builds --------------------------------------------------------------------------------
def _builds(folder: Path) -> None:
    if not shutil.which("make"):
        print("the build needs make")
        return
    for number in range(FILES):
        Path(folder, f"f{number}.c").write_text(SOURCE % number)
    Path(folder, "Makefile").write_text(MAKEFILE)
    ways: dict[str, Start] = {"native": _start([])}
    for engine in engines().values():
        if engine.unavailable() is None:
            ways[engine.name] = _under(engine, lambda: PassThrough(NARROW))
    if strace := shutil.which("strace"):
        options = ["-f", "-o", os.devnull, "-e", f"trace={','.join(NARROW)}"]
        ways["strace -f"] = _start([strace, *options])
        ways["strace -f --seccomp-bpf"] = _start([strace, *options, "--seccomp-bpf"])
    if (bpftrace := shutil.which("bpftrace")) and os.geteuid() == 0:
        ways["bpftrace"] = _bpftrace(bpftrace, *NARROW)
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for name, start in _in_turn("builds", BUILDS, ways):
        for made in folder.glob("f*.o"):
            made.unlink()
        began, used = time.perf_counter(), _used()
        start(["make", "-s", "-j2", "-C", str(folder)])
        wall[name].append(time.perf_counter() - began)
        processor[name].append(_used() - used)
    print(f"\n{f'make -j2, {BUILDS} times':28} {'wall (best)':>20}   {'processor (median)':>20}")
    for name in ways:
        pairs = zip(processor[name], processor["native"], strict=True)
        ratio = median(own / native for own, native in pairs)
        print(
            f"{name:28} {min(wall[name]):10.2f} s {min(wall[name]) / min(wall['native']):7.2f}x   "
            f"{median(processor[name]):10.2f} s {ratio:7.2f}x"
        )


def _used() -> float:
    """Processor seconds of this process and of all that it, or a descendant, has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# -- running things ------------------------------------------------------------------------------
def _compiled(folder: Path, name: str, text: str) -> str:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Failed("it needs a C compiler (gcc)")
    source = folder / f"{name}.c"
    source.write_text(text)
    _start([])([compiler, "-O2", "-o", str(folder / name), str(source)])
    return str(folder / name)


def _start(command: list[str]) -> Start:
    def start(argv: list[str]) -> None:
        _check(argv, subprocess.run([*command, *argv], check=False).returncode)

    return start


def _bpftrace(tool: str, *calls: str) -> Start:
    """Counts the calls, in a mount namespace with tracefs: it knows tracepoints by name there."""
    probes = ",".join(f"tracepoint:syscalls:sys_enter_{call}" for call in _probes(calls))
    program = f"{probes} {{ @[probe] = count(); }}"

    def start(argv: list[str]) -> None:
        # It takes one word for the program, by its full path, and arguments; it splits at blanks.
        words = " ".join([shutil.which(argv[0]) or argv[0], *argv[1:]])
        command = [tool, "-q", "-o", os.devnull, "-e", program, "-c", words]
        status = subprocess.run([*_WITH_TRACEFS, *command], check=False, stderr=subprocess.DEVNULL)
        _check(argv, status.returncode)

    return start


def _probes(calls: Sequence[str]) -> list[str]:
    """The kernel's names of these calls' tracepoints."""
    return ["newuname" if call == "uname" else call for call in calls]


def _counting() -> Interposer:
    return Trace(lambda _: None, ["getppid"], summary=True)


def _under(engine: Engine, make: Callable[[], Interposer]) -> Start:
    def start(argv: list[str]) -> None:
        # A signal for us meanwhile goes to the program, and its status says so.
        _check(argv, os.waitstatus_to_exitcode(run(Policy([make()]), argv, engine=engine)))

    return start


def _check(argv: list[str], status: int) -> None:
    if status < 0:
        raise Ended(-status)
    if status:
        raise Failed(f"{argv[0]} failed with status {status}")


@contextmanager
def _own_tree() -> Iterator[None]:
    """Signals raise `Ended`; every process started within is gone afterwards."""

    def ended(number: int, _: FrameType | None) -> None:
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)  # clearing up must not be interrupted
        raise Ended(number)

    set_child_subreaper(True)
    before = {number: signal.signal(number, ended) for number in ENDING}
    try:
        yield
    finally:
        while children := _children():
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        set_child_subreaper(False)
        for number, handler in before.items():
            signal.signal(number, handler)


def _children() -> list[int]:
    """This process's children, those of ended children among them (it is their subreaper)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int(stat_fields(int(entry.name))[1])
            except ProcessLookupError:
                continue
            if parent == os.getpid():
                found.append(int(entry.name))
    return found

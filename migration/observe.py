"""Experiments: what a program writes over time (`trace`), and what strategies cost (`bench`).

Raw data as CSV or JSON. Nothing here is a promise: figures are of this machine at this moment.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from migration import image
from migration.native import areas, proc
from migration.native.dirty import Tracker, Way, best_way
from migration.native.frozen import freeze
from migration.native.precopy import Precopy
from migration.native.ranges import intersection, size
from migration.native.restore import restore

GUEST = Path(__file__).parent / "guests" / "dirty.c"
STRATEGIES = ("stop-and-copy", "pre-copy", "move")
DEADLINE = 60.0


def add_commands(commands: Any) -> None:
    """`trace` and `bench` for the parser of `migration.cli`."""
    one = commands.add_parser("trace", help="what a running process writes, over time")
    one.set_defaults(run=run_trace)
    one.add_argument("pid", type=int, metavar="PID")
    one.add_argument("--every", type=float, default=0.1, metavar="SECONDS")
    one.add_argument("--count", type=int, default=20)
    one.add_argument("--json", action="store_true", help="instead of CSV")
    two = commands.add_parser("bench", help="how long strategies stop a program that writes")
    two.set_defaults(run=run_bench, pid=0)
    two.add_argument("--mib", type=int, nargs="+", default=[1, 64])
    two.add_argument("--rate", type=float, nargs="+", default=[0.0, 10.0], metavar="MB/S")
    two.add_argument("--strategy", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    two.add_argument("--times", type=int, default=3)
    two.add_argument("--json", action="store_true", help="instead of CSV")


def run_trace(options: argparse.Namespace) -> int:
    """Print a line an interval: what was written, what of it would be carried, what there is."""
    way = best_way()
    if way is Way.NONE:
        print(
            "migration: this kernel notices no writes (no WP_ASYNC, no soft-dirty)", file=sys.stderr
        )
        return 1
    rows = []
    with Tracker(options.pid, way) as tracker:
        sample(tracker)
        begun = time.monotonic()
        for number in range(options.count):
            time.sleep(max(0.0, begun + (number + 1) * options.every - time.monotonic()))
            taken = time.monotonic()
            written, present = sample(tracker)
            rows.append(
                {
                    "seconds": round(taken - begun, 4),
                    "written_bytes": written,
                    "present_bytes": present,
                    "scan_ms": round((time.monotonic() - taken) * 1e3, 3),
                }
            )
    write_rows(rows, options.json, sys.stdout)
    return 0


def sample(tracker: Tracker) -> tuple[int, int]:
    """Bytes written since the last sample, and bytes that are in no file; begins anew."""
    written = present = 0
    with tracker.between_rounds():
        for one in proc.maps(tracker.pid):
            if areas.has_own_pages(one):
                found = tracker.written(one, begin_anew=True)
                carry = tracker.to_carry(one)
                written += size(intersection(carry, found))
                present += size(carry)
    return written, present


def write_rows(rows: Sequence[Mapping[str, object]], as_json: bool, to: TextIO) -> None:
    """All rows have the same keys."""
    if as_json:
        json.dump(list(rows), to, indent=1)
        to.write("\n")
    elif rows:
        writer = csv.DictWriter(to, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run_bench(options: argparse.Namespace) -> int:
    """A fresh program each time; a move ends in another one that checks all its pages."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="migration-bench-", dir=_memory_folder()) as folder:
        program = f"{folder}/dirty"
        subprocess.run(["gcc", "-O2", "-o", program, str(GUEST)], check=True)
        for mib in options.mib:
            for rate in options.rate:
                for strategy in options.strategy:
                    for number in range(options.times):
                        base = Path(folder) / f"run-{len(rows)}"
                        base.mkdir()
                        row = measure(program, base, mib, rate, strategy)
                        rows.append({**row, "number": number})
    write_rows(rows, options.json, sys.stdout)
    return 0 if all(row["bad_pages"] == 0 for row in rows) else 1


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def measure(program: str, base: Path, mib: int, rate: float, strategy: str) -> dict[str, object]:
    """One run: the freeze as we and as the program measured it, bytes copied, pages that differ."""
    output = base / "output"
    with output.open("wb") as file:
        words = [program, str(mib), str(rate)]
        source = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
        )
    try:
        _await_lines(output, 1)
        time.sleep(0.1)
        os.kill(source.pid, signal.SIGUSR1)
        _await_lines(output, 2)
        freeze_ms, total_ms, rounds, copied, last = _carry_out(source, base, strategy, output)
    finally:
        source.kill()
        source.wait()
    longest, bad = last.split()[1], last.split()[4]
    return {
        "mib": mib,
        "rate_mb_s": rate,
        "strategy": strategy,
        "freeze_ms": freeze_ms,
        "seen_ms": float(longest),
        "total_ms": total_ms,
        "rounds": rounds,
        "copied_bytes": copied,
        "bad_pages": int(bad),
    }


def _carry_out(
    source: subprocess.Popen[bytes], base: Path, strategy: str, output: Path
) -> tuple[float, float, int, int, str]:
    folder = str(base / "image")
    image.make_folder(folder)
    begun = time.monotonic()
    with ExitStack() as stack:
        before = None
        if strategy == "pre-copy":
            before = stack.enter_context(Precopy(source.pid, folder))
            before.run()
        at = time.monotonic()
        armed = before is not None and before.armed
        frozen = stack.enter_context(freeze(source.pid, DEADLINE, armed=armed))
        frozen.dump(folder, before)
        copied = os.stat(f"{folder}/{image.PAGES}").st_size
        pid = source.pid
        if strategy == "move":
            frozen.leave()
            frozen.commit()
            source.wait()
            restored = restore(folder, {})
            stack.callback(restored.close)
            restored.go()
            pid = restored.root
        else:
            frozen.abort()
        over = time.monotonic()
        time.sleep(0.05)
        os.kill(pid, signal.SIGUSR1)
        lines = _await_lines(output, 3)
    rounds = len(before.rounds) if before else 0
    freeze_ms, total_ms = round((over - at) * 1e3, 2), round((over - begun) * 1e3, 2)
    return freeze_ms, total_ms, rounds, copied, lines[2]


def _await_lines(path: Path, count: int) -> list[str]:
    """The lines of a file that grows, once there are so many."""
    end = time.monotonic() + DEADLINE
    while (text := path.read_text()).count("\n") < count:
        if time.monotonic() > end:
            raise TimeoutError(f"the program said no more than {text!r}")
        time.sleep(0.002)
    return text.splitlines()

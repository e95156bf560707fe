"""`python -m tests.bench`: measure, show, and say which targets were met."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from . import (
    bench_calls,
    bench_echo,
    bench_jobs,
    bench_start,
    bench_stream,
    bench_transparent,
    bench_wide,
)
from .harness import BenchError, Section
from .install import install_peers
from .measure import QUICK, Plan
from .proc import end_all, leftovers
from .report import as_json, show

MEASUREMENTS: dict[str, Callable[[Plan], Section]] = {
    "start": bench_start.measure,
    "jobs": bench_jobs.measure,
    "wide": bench_wide.measure,
    "stream": bench_stream.measure,
    "transparent": bench_transparent.measure,
    "calls": bench_calls.measure,
    "echo": bench_echo.measure,
}

_WIDTH = 120


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Ratios against peers measured in the same run. Peers that are not installed "
        "are named, with how to install them. Status 0 also when a target is missed.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to measure (default: all): {', '.join(MEASUREMENTS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few rounds: is it wired, not a figure"
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of tables")
    parser.add_argument("--check", action="store_true", help="status 1 when a target is not met")
    parser.add_argument(
        "--install-peers", action="store_true", help="install the peers first (root, apt and pip)"
    )
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(MEASUREMENTS))
    if unknown:
        parser.error(f"no such measurement: {', '.join(unknown)}")
    return options


def _swept(section: Section) -> Section:
    """End what the section left running, and say so in it."""
    told = tuple(f"left running: {what}" for what in end_all(leftovers))
    return dataclasses.replace(section, complaints=section.complaints + told)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements. 0: measured; 1: --check and a miss, or something did not end well."""
    options = _arguments(argv)
    # As an exception, so that every contender is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Console(stderr=True)
    try:
        if options.install_peers:
            progress.print("installing peers")
            install_peers()
    except BenchError as failure:
        progress.print(f"bench: {failure}", markup=False)
        return 1
    sections = []
    for name in options.names or MEASUREMENTS:
        progress.print(f"measuring: {name}", style="dim")
        sections.append(_swept(MEASUREMENTS[name](QUICK if options.quick else Plan())))
    if options.json:
        print(as_json(sections))
    else:
        # Into a file or a pipe rich assumes 80 columns, where these tables do not fit.
        show(sections, Console() if sys.stdout.isatty() else Console(width=_WIDTH))
    missed = any(row.fails_check for section in sections for row in section.rows)
    unclean = any(section.complaints for section in sections)
    return 1 if unclean or (options.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())

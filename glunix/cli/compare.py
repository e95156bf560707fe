"""`glunix compare`: programs that check themselves, natively and at both levels, as a matrix.

Status 0: what differs is listed as expected (glunix/compare/differences.py); 1: something is not;
2: nothing could be compared. Runs on a cluster of its own unless told otherwise.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glunix import config
from glunix.cli.common import one_line, run, show_table
from glunix.cli.scratch import scratch_cluster
from glunix.compare.build import BuildError, compiler
from glunix.compare.guest import Guest
from glunix.compare.latency import CALLS
from glunix.compare.matrix import Cell, Matrix, Verdict, compared
from glunix.compare.page import as_html, as_json, expectation
from glunix.compare.runner import discover, variants
from glunix.compare.ways import COMPARED, REGISTRY, TRANSPARENT, Reach
from glunix.errors import GlunixError

NODES = 2
TROUBLE = 2


def run_compare(args: argparse.Namespace) -> int:
    """The command; see the module."""
    return run("glunix", lambda: _compare(args), failure=TROUBLE)


def _compare(args: argparse.Namespace) -> int:
    guests, ways = chosen_guests(args.guest), chosen_ways(args.ways, args.engine)
    try:
        compiler()
    except BuildError as error:
        raise GlunixError(f"the programs are compiled here: {error}") from None
    with _cluster(args.here) as reach:
        matrix = compared(guests, ways, lambda: reach, args.jobs, _progress())
    if args.html:
        _write_page(args.html, as_html(matrix))
    if args.json:
        print(as_json(matrix))
    else:
        show(matrix)
    return 1 if matrix.unexpected else 0


def chosen_guests(names: Sequence[str]) -> tuple[Guest, ...]:
    """Those whose names (or shell patterns) are given, or all; GlunixError for an unknown one."""
    every = variants(discover())
    if not names:
        return every
    found = []
    for name in names:
        some = [guest for guest in every if fnmatch.fnmatchcase(guest.name, name)]
        if not some:
            raise GlunixError(f"there is no program {name!r} to compare")
        found += [guest for guest in some if guest not in found]
    return tuple(found)


def chosen_ways(named: str | None, engines: Sequence[str]) -> tuple[str, ...]:
    """`--ways` as given; else both levels, of `-T` the engines given, or every one."""
    if named is None:
        wanted = ["glurun", *(f"{TRANSPARENT}-{engine}" for engine in engines)]
        return tuple(_known_ways(wanted)) if engines else COMPARED
    wanted = [name for name in named.split(",") if name and name != "native"]
    if not wanted:
        raise GlunixError("--ways names nothing to compare with native")
    return tuple(_known_ways([*wanted, *(f"{TRANSPARENT}-{engine}" for engine in engines)]))


def _known_ways(names: list[str]) -> list[str]:
    for name in names:
        if name not in REGISTRY:
            raise GlunixError(f"there is no way {name!r}; there are {', '.join(REGISTRY)}")
    return list(dict.fromkeys(names))


@contextmanager
def _cluster(here: bool) -> Iterator[Reach]:
    """The user's own cluster, or one that lives as long as the comparison."""
    if here:
        folder = config.state_dir().absolute()
        if not config.client_socket(folder, config.HOME_NODE).exists():
            raise GlunixError(f"no cluster is up in {folder} (--here)")
        yield Reach(str(folder), str(Path(sys.executable).parent / "glurun"))
        return
    with scratch_cluster(NODES) as env:
        tools = env["PATH"].partition(os.pathsep)[0]
        yield Reach(env["GLUNIX_DIR"], f"{tools}/glurun")


def _progress() -> Callable[[int, int, str], None]:
    """One line on a terminal's stderr that is written over; nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda number, of, what: None

    def tell(number: int, of: int, what: str) -> None:
        sys.stderr.write(f"\r\x1b[K{number}/{of} {what}" if number < of else "\r\x1b[K")
        sys.stderr.flush()

    return tell


def _write_page(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise GlunixError(f"{path}: {error.strerror}") from None


# -- text ------------------------------------------------------------------------------------------


def word(cell: Cell) -> str:
    """A cell of the table. What nobody expects is in capitals."""
    if cell.verdict is Verdict.SAME and cell.tries > 1:
        return "same, 2nd try"
    if cell.verdict is not Verdict.DIFFERS:
        return str(cell.verdict.value)
    if cell.listed is None:
        return "DIFFERS"
    return f"differs, §{cell.listed.section}" if cell.listed.section else "differs, listed"


def show(matrix: Matrix) -> None:
    """Matrix, first differing lines, sums, and what calls cost."""
    titles = [REGISTRY[name].title for name in matrix.ways]
    rows = [
        [guest.name, *(word(matrix.cells[guest.name, way]) for way in matrix.ways)]
        for guest in matrix.guests
    ]
    show_table(["PROGRAM", *titles], rows)
    for cell in matrix.cells.values():
        _explain(cell)
    print()
    heads = [*(verdict.value.upper() for verdict in Verdict), "UNEXPECTED"]
    sums = []
    for way, title in zip(matrix.ways, titles, strict=True):
        unexpected = sum(cell.unexpected and cell.way == way for cell in matrix.cells.values())
        numbers = [*(matrix.count(way, verdict) for verdict in Verdict), unexpected]
        sums.append([title, *map(str, numbers)])
    show_table(["WAY", *heads], sums, frozenset(range(1, len(heads) + 1)))
    print()
    show_table(["ONE CALL", *CALLS, ""], _latency_rows(matrix), frozenset(range(1, len(CALLS) + 1)))


def _explain(cell: Cell) -> None:
    name = f"{cell.guest}, {REGISTRY[cell.way].title}"
    if cell.verdict is Verdict.DIFFERS:
        why = expectation(cell) or "nobody expected this"
        print(f"\n{name}: {why}\n    {one_line(cell.line)}")
    elif cell.verdict is Verdict.CANNOT:
        print(f"\n{name}: cannot: {one_line(cell.line)}")
    elif cell.tries > 1:
        print(f"\n{name}: differed in the first of two tries\n    {one_line(cell.line)}")
    elif cell.outdated:
        print(f"\n{name}: no longer differs, though listed ({expectation(cell)})")


def _latency_rows(matrix: Matrix) -> list[list[str]]:
    rows = []
    for name, found in matrix.latencies.items():
        told = found.nanoseconds
        cells = [f"{told[call] / 1000:.1f} µs" if call in told else "-" for call in CALLS]
        rows.append([REGISTRY[name].title, *cells, one_line(found.reason)])
    return rows

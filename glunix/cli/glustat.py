"""`glustat`: the nodes and their load (paper 3.2)."""

import argparse
import sys
import time
from collections.abc import Sequence

from glunix import api
from glunix.cli.common import Parser, as_script, one_line, run, show_table, size, span
from glunix.errors import GlunixError
from glunix.msg.job import NodeRow

EVERY = 2.0
_HEADS = ("NODE", "STATE", "LOAD", "CPUS", "FREE", "MEMORY", "PROCS", "SEEN", "ISOLATED")
_RIGHT = frozenset({2, 3, 4, 5, 6, 7})
_HOME_CLEAR = "\x1b[H\x1b[2J"


def parser() -> argparse.ArgumentParser:
    """The options of glustat."""
    found = Parser(
        "glustat",
        misuse=1,
        add_version=True,
        description="Show the cluster's nodes.",
        examples=["glustat -w 5         again every 5 seconds", "glustat --json | jq  for scripts"],
    )
    found.add_argument("--json", action="store_true", help="print the rows as JSON")
    found.add_argument(
        "-w",
        "--watch",
        nargs="?",
        type=_seconds,
        const=EVERY,
        metavar="SECONDS",
        help=f"show again every SECONDS ({EVERY:g}) until ^C; with --json one line each time",
    )
    return found


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text!r}") from None
    if not 0.1 <= value <= 86400:
        raise argparse.ArgumentTypeError("seconds must be from 0.1 to 86400")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0, or 1 when the cluster does not answer."""
    args = parser().parse_args(as_script(argv))
    return run("glustat", lambda: _show(args))


def _show(args: argparse.Namespace) -> int:
    if args.watch is None:
        _print(api.nodes(), args.json, indent=2)
        return 0
    clear = _HOME_CLEAR if sys.stdout.isatty() and not args.json else ""
    while True:
        try:
            rows = api.nodes()
        except GlunixError as error:
            print(f"{clear}glustat: {error}", file=sys.stderr, flush=True)
        else:
            sys.stdout.write(clear)
            _print(rows, args.json, indent=None)
            if not clear and not args.json:
                print()
            sys.stdout.flush()
        time.sleep(args.watch)


def _print(rows: list[NodeRow], as_json: bool, indent: int | None) -> None:
    if as_json:
        import json

        print(json.dumps([node_dict(row) for row in rows], indent=indent))
        return
    now = time.time()
    show_table(_HEADS, [_line(row, now) for row in rows], right=_RIGHT)


def node_dict(row: NodeRow) -> dict[str, object]:
    """A node as --json prints it: the fields of msg.job.NodeRow by name."""
    import msgspec

    found: dict[str, object] = msgspec.structs.asdict(row)
    return found


def _line(row: NodeRow, now: float) -> tuple[str, ...]:
    return (
        one_line(row.name),
        one_line(row.state if row.accepts_jobs else f"{row.state}, no jobs"),
        f"{row.load:.2f}",
        str(row.cpus),
        size(row.memory_free),
        size(row.memory_total),
        str(row.procs),
        f"{span(now - row.seen)} ago" if row.seen else "-",
        one_line(", ".join(row.isolated)) or "-",
    )

"""`glumigrate NPID[.VNN] [NODE]`: move a running transparent job while its user goes on typing."""

import argparse
import sys
import time
from collections.abc import Sequence

from glunix import api
from glunix.cli.common import Parser, as_script, run
from glunix.cli.glukill import Target, UsageError, target_of
from glunix.errors import Refused

STAYS = 1


def _target(text: str) -> Target:
    try:
        return target_of(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parser() -> argparse.ArgumentParser:
    """The options of glumigrate."""
    about = "Move a running transparent job (glurun -T) to another node."
    found = Parser("glumigrate", misuse=2, add_version=True, description=about)
    found.add_argument("job", type=_target, metavar="NPID[.VNN]", help="glups shows them")
    found.add_argument("node", nargs="?", default="", help="where to (the least loaded other one)")
    found.add_argument(
        "--explain", action="store_true", help="say what keeps it where it is, and move nothing"
    )
    found.add_argument("--engine", default="", help="native (the only one between nodes)")
    found.add_argument("--progress", action="store_true", help="say how far it is, on stderr")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """0: it runs there, or nothing keeps it; 1: it stays, and every reason is a line."""
    args = parser().parse_args(as_script(argv))
    return run("glumigrate", lambda: _move(args))


def _move(args: argparse.Namespace) -> int:
    target: Target = args.job
    begun = time.monotonic()

    def step(what: str) -> None:
        if args.progress:
            after = time.monotonic() - begun
            print(f"glumigrate: {what} after {after:.3f} s", file=sys.stderr, flush=True)

    try:
        node, text = api.move(target.npid, args.node, target.vnn, args.explain, args.engine, step)
    except Refused as refused:
        for line in str(refused).splitlines():
            print(f"glumigrate: {target}: {line}", file=sys.stderr)
        return STAYS
    if args.explain:
        print(text or f"{target}: nothing keeps it on {node}")
        return STAYS if text else 0
    if args.progress:
        print(f"glumigrate: {target} is on {node}", file=sys.stderr)
    return 0

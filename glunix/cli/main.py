"""`glunix`: the cluster's owner's tool. Parses, then loads the one module that does the work."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from glunix import __version__
from glunix.cli.common import Parser, as_script, run

NODES = 4
NODES_MAX = 1024

_WORK: dict[str, tuple[str, str]] = {
    "compare": ("glunix.cli.compare", "run_compare"),
    "completion": ("glunix.cli.completion", "run_completion"),
    "demo": ("glunix.cli.demo", "run_demo"),
    "doctor": ("glunix.cli.doctor", "run_doctor"),
    "down": ("glunix.cli.up", "run_down"),
    "logs": ("glunix.cli.logs", "run_logs"),
    "shell": ("glunix.cli.shell", "run_shell"),
    "status": ("glunix.cli.status", "run_status"),
    "up": ("glunix.cli.up", "run_up"),
}


def parser() -> argparse.ArgumentParser:
    """The sub-commands of glunix and their options."""
    found = Parser("glunix", add_version=True, description="Start, stop and look after a cluster.")
    subs = found.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    up = subs.add_parser("up", help="start a cluster on this machine; ready when it returns")
    up.add_argument(
        "-n",
        "--nodes",
        type=_node_count,
        default=NODES,
        metavar="N",
        help=f"how many nodes ({NODES})",
    )
    down = subs.add_parser("down", help="stop the cluster and all its jobs")
    status = subs.add_parser("status", help="is the cluster up? 0 yes, 1 partly, 3 no")
    _add_logs(subs)
    _add_compare(subs)
    doctor = subs.add_parser("doctor", help="what this machine's kernel lets GLUnix do")
    completion = subs.add_parser("completion", help="print completion for a shell")
    completion.add_argument("shell", choices=["bash"])
    demo = subs.add_parser("demo", help="start 4 nodes, run real jobs, print what happened")
    demo.add_argument("-n", "--nodes", type=_node_count, default=NODES, metavar="N")
    shell = subs.add_parser("shell", help="a shell with a cluster that lives as long as it")
    shell.add_argument("-n", "--nodes", type=_node_count, default=NODES, metavar="N")
    version = subs.add_parser("version", help="print the version")
    for sub in (up, down, status, doctor, version):
        sub.add_argument("--json", action="store_true", help="print the answer as JSON")
    return found


def _add_logs(subs: "argparse._SubParsersAction[Parser]") -> None:
    logs = subs.add_parser("logs", help="what master and daemons wrote")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as they grow, until ^C")
    logs.add_argument(
        "-n", "--lines", type=_line_count, default=20, metavar="N", help="last lines of each (20)"
    )
    logs.add_argument("--json", action="store_true", help="print each line as a JSON object")
    logs.add_argument("node", nargs="*", help="only these: node names, home, master")


def _add_compare(subs: "argparse._SubParsersAction[Parser]") -> None:
    compare = subs.add_parser(
        "compare",
        help="run programs that check themselves natively and at both levels, show what differs",
        description="Run small programs that check themselves natively, at user level and under "
        "-T on every engine, and show what differs from native Linux. They are C programs: gcc is "
        "needed. Status 0: only what is listed as expected differs; 1: something else does; "
        "2: trouble.",
    )
    compare.add_argument("guest", nargs="*", help="only these programs (names or 'tty_*')")
    compare.add_argument(
        "--engine", action="append", default=[], metavar="E", help="only this engine of -T (repeat)"
    )
    compare.add_argument(
        "--ways",
        metavar="A,B",
        help="other ways to run: strace, slic-ENGINE, glurun, glurun-T, glurun-T-ENGINE",
    )
    compare.add_argument("--html", metavar="FILE", help="also write the matrix as a page")
    compare.add_argument("--json", action="store_true", help="print the matrix as JSON")
    compare.add_argument(
        "--here", action="store_true", help="on the cluster that is up, not one of its own"
    )
    compare.add_argument(
        "-j", "--jobs", type=_node_count, default=2, metavar="N", help="programs at a time (2)"
    )


def _node_count(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= NODES_MAX:
        return int(text)
    raise argparse.ArgumentTypeError(f"not a number of nodes from 1 to {NODES_MAX}: {text!r}")


def _line_count(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    raise argparse.ArgumentTypeError(f"not a number of lines: {text!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sub-command and return its exit status; bad usage is 2."""
    args = parser().parse_args(as_script(argv))
    if args.command == "version":
        return _version(args.json)
    module, function = _WORK[args.command]
    work = getattr(import_module(module), function)
    return run("glunix", lambda: int(work(args)))


def _version(as_json: bool) -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    if as_json:
        import json

        print(json.dumps({"glunix": __version__, "python": python}))
    else:
        print(f"glunix {__version__} (Python {python})")
    return 0

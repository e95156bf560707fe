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
    "config": ("glunix.cli.machines", "run_config"),
    "completion": ("glunix.cli.completion_others", "run_completion"),
    "daemon": ("glunix.cli.services", "run_daemon"),
    "demo": ("glunix.cli.demo", "run_demo"),
    "doctor": ("glunix.cli.doctor", "run_doctor"),
    "down": ("glunix.cli.up", "run_down"),
    "init": ("glunix.cli.machines", "run_init"),
    "install-units": ("glunix.cli.units", "run_install_units"),
    "invite": ("glunix.cli.machines", "run_invite"),
    "join": ("glunix.cli.machines", "run_join"),
    "leave": ("glunix.cli.machines", "run_leave"),
    "logs": ("glunix.cli.logs", "run_logs"),
    "master": ("glunix.cli.services", "run_master"),
    "members": ("glunix.cli.machines", "run_members"),
    "revoke": ("glunix.cli.machines", "run_revoke"),
    "shell": ("glunix.cli.shell", "run_shell"),
    "status": ("glunix.cli.status", "run_status"),
    "up": ("glunix.cli.up", "run_up"),
}


def parser() -> argparse.ArgumentParser:
    """The sub-commands of glunix and their options."""
    found = Parser(
        "glunix",
        add_version=True,
        description="Start, stop and look after a cluster.",
        examples=[
            "glunix up -n 4   a cluster of 4 nodes on this machine",
            "glunix doctor    what works here",
        ],
    )
    subs = found.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    up = subs.add_parser("up", help="start a cluster on this machine; ready when it returns")
    up.add_argument(
        "-n",
        "--nodes",
        type=_node_count,
        default=None,
        metavar="N",
        help=f"how many nodes ({NODES}); not on a machine that joined a cluster",
    )
    up.add_argument(
        "--setuid",
        action="store_true",
        help="let `glurun -T` run setuid programs (sudo) with their rights; see docs/security.md",
    )
    down = subs.add_parser("down", help="stop the cluster and all its jobs")
    status = subs.add_parser("status", help="is the cluster up? 0 yes, 1 partly, 3 no")
    _add_logs(subs)
    _add_compare(subs)
    doctor = subs.add_parser("doctor", help="what this machine's kernel lets GLUnix do")
    text = "compare paths, programs and clocks of the nodes with ours"
    doctor.add_argument("--nodes", action="store_true", help=text)
    text = "with --nodes: what to compare (folders, files, programs)"
    doctor.add_argument("path", nargs="*", metavar="PATH", help=text)
    completion = subs.add_parser("completion", help="print completion for a shell")
    completion.add_argument("shell", choices=["bash", "fish", "zsh"])
    demo = subs.add_parser("demo", help="start 4 nodes, run real jobs, print what happened")
    demo.add_argument("-n", "--nodes", type=_node_count, default=NODES, metavar="N")
    shell = subs.add_parser("shell", help="a shell with a cluster that lives as long as it")
    shell.add_argument("-n", "--nodes", type=_node_count, default=NODES, metavar="N")
    _add_machines(subs)
    version = subs.add_parser("version", help="print the version")
    for sub in (up, down, status, doctor, version):
        sub.add_argument("--json", action="store_true", help="print the answer as JSON")
    return found


def _add_machines(subs: "argparse._SubParsersAction[Parser]") -> None:
    """A cluster of several machines (docs/cluster.md)."""
    init = subs.add_parser("init", help="make a cluster of several machines; the master is here")
    init.add_argument("--listen", default="0.0.0.0:7117", metavar="ADDRESS:PORT",
                      help="where the master listens (0.0.0.0:7117)")  # fmt: skip
    init.add_argument("--address", metavar="HOST:PORT",
                      help="how other machines reach it (this machine's address)")  # fmt: skip
    init.add_argument("--daemon-listen", metavar="ADDRESS:PORT",
                      help="where this machine's daemon listens (master's port + 1)")  # fmt: skip
    init.add_argument("--name", metavar="NODE", help="this machine's name (its host name)")
    init.add_argument("--cluster", metavar="NAME", help="the cluster's name (this machine's)")
    init.add_argument("--accept-jobs", action="store_true", help="place jobs on this machine, too")
    init.add_argument("--allow-root", action="store_true", help="let root run jobs")
    invite = subs.add_parser("invite", help="print a token with which one machine can join, once")
    invite.add_argument("--expires", type=_span, default=3600.0, metavar="TIME",
                        help="how long it is valid: 90s, 15m, 1h, 7d (1h)")  # fmt: skip
    invite.add_argument("--name", metavar="NODE", help="only for a machine of this name")
    invite.add_argument("--user", metavar="USER", help="only for a daemon that serves this user")
    join = subs.add_parser("join", help="join a cluster and start this machine's daemon")
    join.add_argument("--name", metavar="NODE", help="this machine's name (its host name)")
    join.add_argument("--listen", default="0.0.0.0:7118", metavar="ADDRESS:PORT",
                      help="where other daemons dial this one (0.0.0.0:7118)")  # fmt: skip
    join.add_argument("--advertise", metavar="HOST:PORT",
                      help="what they are told (the address we reach the master from)")  # fmt: skip
    join.add_argument("--no-jobs", action="store_true", help="place no jobs on this machine")
    join.add_argument("--no-start", action="store_true", help="do not start the daemon")
    join.add_argument("master", metavar="MASTER[:PORT]", help="as `glunix invite` says")
    join.add_argument("token", metavar="TOKEN", nargs="?",
                      help="what `glunix invite` printed; without it, or -: asked for, or from "
                      "standard input")  # fmt: skip
    leave = subs.add_parser("leave", help="stop the daemon, leave the cluster, remove the keys")
    leave.add_argument("--force", action="store_true", help="also when the master cannot be told")
    revoke = subs.add_parser("revoke", help="take a member's certificates back, at once")
    revoke.add_argument("node", metavar="NODE")
    members = subs.add_parser("members", help="who has a certificate of this cluster")
    units = subs.add_parser("install-units", help="write systemd units for master and daemon")
    units.add_argument("--dir", metavar="D", help="where to (/etc/systemd/system, or the user's)")
    units.add_argument("--now", action="store_true", help="also enable and start them")
    settings = subs.add_parser("config", help="check glunix.toml and print every knob")
    settings.add_argument("--cflags", action="store_true",
                          help="only print what a C compiler needs for glunix.h")  # fmt: skip
    settings.add_argument("--libs", action="store_true",
                          help="only print what a linker needs for libglunix")  # fmt: skip
    master = subs.add_parser("master", help="serve as master, in the foreground")
    daemon = subs.add_parser("daemon", help="serve as this machine's daemon, in the foreground")
    for sub in (init, invite, join, leave, revoke, members, settings, units, master, daemon):
        sub.add_argument("--folder", metavar="F", help="of glunix.toml and keys (GLUNIX_DIR)")
    for sub in (init, invite, join, leave, revoke, members, settings, units):
        sub.add_argument("--json", action="store_true", help="print the answer as JSON")


def _span(text: str) -> float:
    from glunix.cli.machines import seconds

    return seconds(text)


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

"""`glups`: the cluster's processes, as ps(1) shows a machine's (paper 3.2)."""

import argparse
import sys
import time
from collections.abc import Sequence

from glunix import api
from glunix.cli.common import Parser, as_script, one_line, run, show_table, span
from glunix.msg.job import JobRow, ProcRow

_HEADS = ("NPID", "USER", "HOME", "NODES", "STATE", "ELAPSED", "LVL", "COMMAND")
_PROC_HEADS = ("NPID.VNN", "NODE", "PID", "STATE", "END", "COMMAND")


def parser() -> argparse.ArgumentParser:
    """The options of glups."""
    found = Parser(
        "glups",
        misuse=1,
        add_version=True,
        description="Show the cluster's jobs.",
        examples=[
            "glups -a          every job, also ended ones",
            "glups -p 1234     its processes",
        ],
    )
    found.add_argument(
        "-a", "--all", action="store_true", help="also ended jobs and those of other users"
    )
    found.add_argument(
        "-p", "--processes", action="store_true", help="one line for each process of a job"
    )
    found.add_argument("--json", action="store_true", help="print the rows as JSON")
    found.add_argument(
        "--why", action="store_true", help="say in one sentence what these jobs wait for"
    )
    found.add_argument(
        "-w",
        "--wait",
        action="store_true",
        help="wait until these jobs are over; the exit status is the highest of theirs",
    )
    found.add_argument("npid", nargs="*", type=int, help="only these jobs")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0, or 1 when a named job is not there or the cluster does not answer."""
    made = parser()
    args = made.parse_args(as_script(argv))
    if (args.why or args.wait) and not args.npid:
        made.error("which job?")
    if args.why:
        return run("glups", lambda: _why(args))
    if args.wait:
        return run("glups", lambda: _wait(args))
    return run("glups", lambda: _show(args))


def _why(args: argparse.Namespace) -> int:
    reasons = {}
    for npid in args.npid:
        told = api.facts(npid)
        state = told.row.state if not told.why else told.why
        reasons[npid] = f"{state} ({told.row.reason})" if told.row.reason else state
    if args.json:
        import json

        print(json.dumps(reasons, indent=2))
        return 0
    for npid, reason in reasons.items():
        print(f"{npid}: {one_line(reason)}" if len(reasons) > 1 else one_line(reason))
    return 0


def _wait(args: argparse.Namespace) -> int:
    from glunix.cli.following import status_told

    rows = [api.wait_for(npid).row for npid in args.npid]
    if args.json:
        import json

        print(json.dumps([job_dict(row) for row in rows], indent=2))
    return max(status_told(row) for row in rows)


def _show(args: argparse.Namespace) -> int:
    wanted = set(args.npid)
    rows = api.jobs(everything=args.all)
    chosen = [row for row in rows if not wanted or row.npid in wanted]
    if args.json:
        import json

        print(json.dumps([job_dict(row) for row in chosen], indent=2))
    elif args.processes:
        table = [line for row in chosen for line in _proc_lines(row)]
        show_table(_PROC_HEADS, table, right=frozenset({0, 2}))
    else:
        now = time.time()
        show_table(_HEADS, [_line(row, now) for row in chosen], right=frozenset({0, 5}))
    missing = wanted - {row.npid for row in chosen}
    for npid in sorted(missing):
        print(f"glups: no job {npid}", file=sys.stderr)
    return 1 if missing else 0


def job_dict(row: JobRow) -> dict[str, object]:
    """A job as --json prints it: the fields of msg.job.JobRow by name."""
    import msgspec

    found: dict[str, object] = msgspec.structs.asdict(row)
    found["procs"] = [msgspec.structs.asdict(proc) for proc in row.procs]
    return found


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _line(row: JobRow, now: float) -> tuple[str, ...]:
    end = row.ended or now
    counts: dict[str, int] = {}
    for proc in row.procs:
        counts[proc.node] = counts.get(proc.node, 0) + 1
    places = ",".join(
        name if count == 1 else f"{name}*{count}" for name, count in sorted(counts.items())
    )
    return (
        str(row.npid),
        _user(row.uid),
        one_line(row.home),
        one_line(places) or "-",
        one_line(_state(row)),
        span(end - row.started) if row.started else "-",
        "-T" if row.transparent else "user",
        one_line(f"{row.name}: {row.command}" if row.name else row.command),
    )


def _state(row: JobRow) -> str:
    if row.place:
        return f"{row.state} {row.place}"
    return f"{row.state} ({row.reason})" if row.reason else row.state


def _proc_lines(row: JobRow) -> list[tuple[str, ...]]:
    return [
        (
            f"{row.npid}.{proc.vnn}",
            one_line(proc.node),
            str(proc.pid) if proc.pid else "-",
            one_line(proc.state),
            _end(proc),
            one_line(row.command),
        )
        for proc in sorted(row.procs, key=lambda proc: proc.vnn)
    ]


def _end(proc: ProcRow) -> str:
    if proc.signal:
        from glunix.cli.signals import name_of

        return name_of(proc.signal)
    return str(proc.code) if proc.state == "exited" else "-"

"""`glubatch`: put jobs into the cluster's queue and go home (paper 8.2)."""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from glunix import api
from glunix.cli.common import Parser, as_script, one_line, run
from glunix.cli.following import follow, status_told
from glunix.cli.times import parse_time
from glunix.errors import GlunixError
from glunix.ids import NPID_MAX
from glunix.msg.batch import ARRAY_MAX, Array

_ARRAY = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?(?::(\d{1,10}))?(?:%(\d{1,10}))?\Z")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?\Z", re.IGNORECASE)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
LINES = 1000
"""Lines of a file that are read before they are sent."""


class _Misuse(Exception):
    """The command line makes no sense."""


def parser() -> argparse.ArgumentParser:
    """The options of glubatch."""
    found = Parser(
        "glubatch",
        add_version=True,
        description="Put COMMAND into the queue and print its NPID; it runs where and when a "
        "processor is idle. Output goes to a file, glubatch-NPID.out if nothing else is said.",
        examples=[
            "glubatch -J nightly -c 4 -m 2G make -j4       four processors, 2 GiB",
            "glubatch --array 1-1000%50 ./render           a thousand, fifty at a time",
            "glubatch --after 17 -o report.txt ./report    when job 17 is over",
            "generate | glubatch --from -                  a job for each line",
        ],
    )
    add = found.add_argument
    add("-n", "--degree", type=int, default=1, metavar="N", help="processes (VNN 0..N-1)")
    add("-w", "--nodes", default="", metavar="A,B", help="only on these nodes")
    add("-x", "--exclude", default="", metavar="A,B", help="not on these nodes")
    add("-c", "--cpus", type=int, default=1, metavar="CPUS", help="processors of each process")
    add("-m", "--memory", default="0", metavar="MEM", help="memory of each process (512M, 2G)")
    add("-J", "--name", default="", metavar="NAME", help="a name for glups")
    add("-t", "--time", default="", metavar="TIME", help="end a run after TIME (30s, 10m, 1:00:00)")
    add("-o", "--output", metavar="FILE", help="standard output; %%j NPID, %%a index, %%x name, "
        "%%v VNN, %%N node, %%u user; empty: nowhere")  # fmt: skip
    add("-e", "--error", metavar="FILE", help="standard error (default: with standard output)")
    add("--append", action="store_true", help="append to the files")
    add("-D", "--chdir", metavar="DIR", help="working directory (default: the current one)")
    add("-T", "--transparent", action="store_true", help="the interposed level")
    add("--array", default="", metavar="A-B[:STEP][%K]", help="a job for each number, K at a time; "
        "it finds GLUNIX_ARRAY_INDEX")  # fmt: skip
    add("--after", default="", metavar="NPID,...", help="start when these jobs are over")
    add("--retry", type=int, default=0, metavar="K", help="run again, K times, after a failure")
    add("--background", action="store_true", help="leave when others want the node; run again")
    add("--held", action="store_true", help="do not start before --release")
    add("--from", dest="source", metavar="FILE", help="a job for each line of FILE (-: stdin)")
    add("--wait", action="store_true", help="wait for the end; the exit status is the job's")
    add("--json", action="store_true", help="print the NPIDs as JSON")
    act = found.add_argument_group("jobs that are in the queue")
    act.add_argument("--hold", type=int, metavar="NPID", help="keep it from starting")
    act.add_argument("--release", type=int, metavar="NPID", help="let it start again")
    act.add_argument("--attach", type=int, metavar="NPID", help="show its output as it comes")
    add("command", nargs=argparse.REMAINDER, metavar="COMMAND [ARGUMENT]...")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0, 1 when the cluster says no, 2 for bad usage, or with --wait the job's."""
    made = parser()
    args = made.parse_args(as_script(argv))
    if args.command[:1] == ["--"]:
        del args.command[0]
    fault = _fault(args)
    if fault:
        made.error(fault)
    try:
        return run("glubatch", lambda: _work(args))
    except _Misuse as error:
        made.error(str(error))


def _fault(args: argparse.Namespace) -> str:
    actions = [args.hold, args.release, args.attach]
    given = sum(action is not None for action in actions)
    if given + bool(args.source) + bool(args.command) > 1:
        return "one of COMMAND, --from, --hold, --release and --attach at a time"
    if not given and not args.source and not args.command:
        return "which command?"
    if any(action is not None and not 1 <= action <= NPID_MAX for action in actions):
        return "no such job can be"
    if args.source and args.wait:
        return "--wait is for one job"
    return ""


def _work(args: argparse.Namespace) -> int:
    for npid, held in ((args.hold, True), (args.release, False)):
        if npid is not None:
            api.hold(npid, held)
            return 0
    if args.attach is not None:
        return follow(args.attach, sys.stdout.buffer)
    return _submit(args)


def _submit(args: argparse.Namespace) -> int:
    cwd = _directory(args.chdir)
    around = api.job_spec(args.command or ["-"], transparent=args.transparent, cwd=cwd)
    npids: list[int] = []
    for jobs in _jobs(args):
        for some in api.enqueue_each(around, jobs):
            npids += some
            if not args.json:
                sys.stdout.write("".join(f"{npid}\n" for npid in some))
                sys.stdout.flush()
    if args.json:
        import json

        print(json.dumps({"npids": npids}))
    return status_told(api.wait_for(npids[0]).row) if args.wait else 0


def _directory(chdir: str | None) -> str | None:
    if chdir is None:
        return None
    if not os.path.isdir(chdir):
        raise _Misuse(f"no directory {one_line(chdir)}")
    return str(Path(chdir).absolute())


def _jobs(args: argparse.Namespace) -> Iterator[list[api.BatchJob]]:
    commands: Iterable[list[str | bytes]] = [args.command]
    if args.source:
        commands = _lines(args.source)
    some: list[api.BatchJob] = []
    for command in commands:
        some.append(_job(args, command))
        if len(some) == LINES:
            yield some
            some = []
    if some:
        yield some


def _lines(source: str) -> Iterator[list[str | bytes]]:
    """A shell command a line; empty ones and those that begin with # are left out."""
    try:
        file = sys.stdin.buffer if source == "-" else open(source, "rb")
    except OSError as error:
        raise GlunixError(f"cannot read {one_line(source)}: {error.strerror}") from None
    with file:
        for line in file:
            text = line.strip()
            if text and not text.startswith(b"#"):
                yield [b"/bin/sh", b"-c", text]


def _job(args: argparse.Namespace, command: Sequence[str | bytes]) -> api.BatchJob:
    return api.BatchJob(
        argv=command,
        name=args.name,
        degree=args.degree,
        cpus=args.cpus,
        memory=_memory(args.memory),
        nodes=[name for name in args.nodes.split(",") if name],
        exclude=[name for name in args.exclude.split(",") if name],
        seconds=parse_time(args.time) if args.time else 0.0,
        stdout=args.output,
        stderr=args.error,
        append=args.append,
        after=_npids(args.after),
        retry=args.retry,
        background=args.background,
        held=args.held,
        array=_array(args.array),
    )


def _memory(text: str) -> int:
    found = _SIZE.match(text)
    if not found:
        raise _Misuse(f"not a size: {one_line(text)} (512M, 2G)")
    return int(float(found[1]) * (1 << _UNITS[found[2].upper()]))


def _npids(text: str) -> list[int]:
    words = [word for word in text.split(",") if word]
    if not all(
        word.isascii() and word.isdecimal() and 1 <= int(word) <= NPID_MAX for word in words
    ):
        raise _Misuse(f"--after wants NPIDs, not {one_line(text)}")
    return [int(word) for word in words]


def _array(text: str) -> Array | None:
    if not text:
        return None
    found = _ARRAY.match(text)
    if not found:
        raise _Misuse(f"not an array: {one_line(text)} (1-100, 0-99:3, 1-1000%50)")
    first = int(found[1])
    last = first if found[2] is None else int(found[2])
    step = 1 if found[3] is None else int(found[3])
    count = (last - first) // step + 1 if step else 0
    if not 1 <= count <= ARRAY_MAX or last >= 2**31:
        raise _Misuse(f"an array of {max(0, count)} elements: 1 to {ARRAY_MAX} can be")
    return Array(first, last, step, int(found[4] or 0))

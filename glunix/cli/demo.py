"""`glunix demo` (`make demo`): real jobs at both levels on four nodes, each result checked.

Shows what a user would type and what came back. Nothing is printed that did not happen: a step
whose result is not the expected one is marked, and the exit status says so.
"""

import argparse
import json
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from glunix.cli.common import one_line
from glunix.cli.scratch import scratch_cluster

STEP_DEADLINE = 120.0


@dataclass(frozen=True, slots=True)
class Step:
    """A command line for bash, what it shows, and a pattern its whole output must match."""

    shows: str
    command: str
    expects: str


def steps(home: str, named: bool) -> list[Step]:
    """The tour. `home` is this machine's name; `named`: nodes have host names of their own."""
    elsewhere = r"node\d+" if named else re.escape(home)
    return [
        Step("Here, this is", "hostname", re.escape(home)),
        Step(
            "User level: the program runs on the least loaded node and can tell",
            "glurun hostname",
            elsewhere,
        ),
        Step(
            "Transparent: it runs there all the same, and cannot tell",
            "glurun -T sh -c 'hostname; echo really on $GLUNIX_NODE'",
            re.escape(home) + r"\nreally on node\d+",
        ),
        Step(
            "It takes only the input it asks for; the rest is still there for cat",
            "printf 'a\\nb\\n' | { glurun -T sh -c 'read x; echo got $x'; cat; }",
            "got a\nb",
        ),
        Step(
            "So a loop keeps its input, as it does with programs that run here",
            "printf 'one\\ntwo\\n' | while read -r word; do glurun -T echo $word; done",
            "one\ntwo",
        ),
        Step(
            "A parallel job: four processes, each line labelled with its VNN",
            "glurun -n 4 -l sh -c 'echo process $GLUNIX_VNN of $GLUNIX_DEGREE on $GLUNIX_NODE'"
            " | sort",
            "\n".join(rf".*process {vnn} of 4 on node\d+" for vnn in range(4)),
        ),
        Step(
            "Pipelines: sort runs on a node, the rest here",
            "seq 200000 | glurun sort -rn | head -n 1",
            "200000",
        ),
        Step("Exit statuses are the program's own", "glurun sh -c 'exit 3'; echo $?", "3"),
        Step(
            "Standard error stays apart",
            "glurun sh -c 'echo out; echo err >&2' 2>/dev/null",
            "out",
        ),
        Step(
            "What cannot run is said in one line",
            "glurun no-such-program 2>&1; echo $?",
            r"glurun: .*no-such-program.*\n12[67]",
        ),
        Step("The nodes", "glustat", r"NODE [^\n]*(\n[^\n]*){4,}"),
    ]


def run_demo(args: argparse.Namespace) -> int:
    """Run the tour on a fresh cluster; 0 when every step did what it should, else 1."""
    began = time.monotonic()
    print(f"Starting {args.nodes} nodes on this machine ...", flush=True)
    with scratch_cluster(args.nodes) as env:
        print(f"ready after {time.monotonic() - began:.1f} s\n", flush=True)
        named = _nodes_are_named(env)
        if not named:
            print("(nodes share this machine's host name here: see glunix doctor)\n")
        wrong = [step for step in steps(socket.gethostname(), named) if not _show(step, env)]
        print("Stopping the cluster ...", flush=True)
    if wrong:
        print(f"glunix: {len(wrong)} steps did not do what they should:", file=sys.stderr)
        for step in wrong:
            print(f"glunix:   {step.command}", file=sys.stderr)
        return 1
    print(f"All of it went as it should, in {time.monotonic() - began:.1f} s.")
    print("Try it yourself: make shell")
    return 0


def _nodes_are_named(env: dict[str, str]) -> bool:
    told = subprocess.run(
        ["glustat", "--json"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=STEP_DEADLINE,
        check=False,
    )
    if told.returncode != 0:
        return False
    rows = [row for row in json.loads(told.stdout) if row["accepts_jobs"]]
    return bool(rows) and all("uts" in row["isolated"] for row in rows)


def _show(step: Step, env: dict[str, str]) -> bool:
    print(f"# {step.shows}\n$ {step.command}", flush=True)
    began = time.monotonic()
    try:
        told = subprocess.run(
            ["bash", "-c", step.command],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=STEP_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"  !! not over after {STEP_DEADLINE:g} s\n", flush=True)
        return False
    took = time.monotonic() - began
    output = told.stdout.decode("utf-8", "replace").rstrip("\n")
    for line in [*output.splitlines(), *told.stderr.decode("utf-8", "replace").splitlines()]:
        print(f"  {one_line(line)}")
    good = re.fullmatch(step.expects, output) is not None
    print(f"  [{took * 1000:.0f} ms]{'' if good else '  !! not what was expected'}\n", flush=True)
    return good

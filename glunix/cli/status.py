"""`glunix status`: is the cluster up? Asks the daemon; what the state folder says is only a hint.

Exit status: 0 every node is up, 1 some are not, 3 no daemon answers (as init scripts use 3).
"""

import argparse
import json
import sys

from glunix import api, config
from glunix.cli.common import one_line
from glunix.errors import NotRunning

UP = 0
PARTLY = 1
NOT_RUNNING = 3


def run_status(args: argparse.Namespace) -> int:
    """Print one paragraph, or an object with --json; return the exit status."""
    folder = config.state_dir()
    try:
        rows = [
            row for row in api.nodes(folder) if row.name != config.HOME_NODE or row.accepts_jobs
        ]
        running = [job for job in api.jobs(everything=True, folder=folder) if not job.ended]
    except NotRunning as error:
        if args.json:
            print(json.dumps({"folder": str(folder), "running": False, "reason": str(error)}))
        else:
            print(f"glunix: {one_line(str(error))}", file=sys.stderr)
        return NOT_RUNNING
    down = [row for row in rows if row.state != "up"]
    if args.json:
        answer = {
            "folder": str(folder),
            "running": True,
            "nodes": {row.name: row.state for row in rows},
            "jobs": len(running),
        }
        print(json.dumps(answer, indent=2))
        return PARTLY if down else UP
    names = ", ".join(row.name for row in rows if row.state == "up")
    print(f"cluster in {folder}: {len(rows) - len(down)} nodes up ({one_line(names)})")
    for row in down:
        print(f"{one_line(row.name)} is {one_line(row.state)}")
    print(f"jobs running: {len(running)}")
    missing = {"uts", "pid", "mount"} - {kind for row in rows for kind in row.isolated}
    if missing and rows:
        print(f"nodes share this machine's {', '.join(sorted(missing))} (see glunix doctor)")
    return PARTLY if down else UP

"""The commands of `python -m migration`: explain, dump, restore, move; trace and bench are in
migration.observe. No cluster is needed."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack

from migration import builtin, image, observe
from migration.engine import EngineUnavailable, Reason, Refused
from migration.native import trace
from migration.native.engine import Native
from migration.native.frozen import freeze
from migration.native.making import RestoreFailed
from migration.native.precopy import Precopy
from migration.native.restore import RestoredJob

DEADLINE = 10.0
STAYS, FAILED = 1, 2
_ = builtin


def main(words: list[str]) -> int:
    """Run a command; its exit status. 1: the job must stay, 2: something failed."""
    options = _parser().parse_args(words)
    try:
        return int(options.run(options))
    except Refused as refused:
        return _stays(refused.reasons)
    except ProcessLookupError:
        print(f"migration: no process {options.pid}", file=sys.stderr)
    except (EngineUnavailable, RestoreFailed, image.BadImage, trace.Late, OSError) as error:
        print(f"migration: {error}", file=sys.stderr)
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m migration", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("explain", _explain, "say what would have to stay, and why"),
        ("dump", _dump, "write a checkpoint of a process and its descendants"),
        ("restore", _restore, "build a job from its checkpoint and wait for its end"),
        ("move", _move, "dump, end and restore, in a new PID namespace of this machine"),
    ):
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run, pid=0)
        if name != "restore":
            one.add_argument("pid", type=int, metavar="PID", help="the root of the tree")
        if name in ("dump", "restore"):
            one.add_argument("folder", metavar="DIR", help="the image's folder")
        if name in ("explain", "dump", "move"):
            one.add_argument(
                "--stdio",
                action="store_true",
                help="0, 1 and 2 of the root may lead outside; they become those of the restorer",
            )
        if name == "dump":
            one.add_argument(
                "--precopy", action="store_true", help="copy memory while the job runs, first"
            )
            one.add_argument("--keep-running", action="store_true", help="let the job go on")
        if name == "explain":
            one.add_argument("--json", action="store_true")
        if name in ("restore", "move"):
            one.add_argument("--detach", action="store_true", help="print the pid, do not wait")
    observe.add_commands(commands)
    return parser


def _engine(stdio: bool) -> Native:
    engine = Native(stdio, {"stdin": 0, "stdout": 1, "stderr": 2})
    engine.check()
    return engine


def _stays(reasons: tuple[Reason, ...] | list[Reason]) -> int:
    for reason in reasons:
        print(reason, file=sys.stderr)
    return STAYS


def _explain(options: argparse.Namespace) -> int:
    engine = Native(options.stdio)
    os.kill(options.pid, 0)
    found = engine.probe(options.pid)
    if options.json:
        rows = [
            {"pid": one.pid, "where": one.where, "why": one.why, "passing": one.passing}
            for one in found
        ]
        print(json.dumps(rows))
    else:
        for one in found:
            print(one)
    return STAYS if found else 0


def _dump(options: argparse.Namespace) -> int:
    _engine(options.stdio)
    os.kill(options.pid, 0)
    image.make_folder(options.folder)
    try:
        with ExitStack() as stack:
            before = None
            if options.precopy:
                before = stack.enter_context(Precopy(options.pid, options.folder))
                before.run()
            armed = before is not None and before.armed
            frozen = stack.enter_context(freeze(options.pid, DEADLINE, options.stdio, armed))
            frozen.dump(options.folder, before)
            if not options.keep_running:
                frozen.leave()
                frozen.commit()
    except BaseException:
        shutil.rmtree(options.folder)
        raise
    return 0


def _restore(options: argparse.Namespace) -> int:
    return _run(_engine(True).restore(options.folder), options.detach)


def _run(restored: RestoredJob, detach: bool) -> int:
    """Let it go and wait for it; its exit status."""
    restored.go()
    print(f"running as process {restored.root}", file=sys.stderr, flush=True)
    if detach:
        restored.detach()
        return 0
    return os.waitstatus_to_exitcode(restored.wait())


def _move(options: argparse.Namespace) -> int:
    engine = _engine(options.stdio)
    with tempfile.TemporaryDirectory(prefix="migration-") as base:
        folder = f"{base}/image"
        image.make_folder(folder)
        with engine.freeze(options.pid, DEADLINE) as frozen:
            frozen.dump(folder)
            restored = engine.restore(folder)
            try:
                frozen.leave()
                frozen.commit()
            except BaseException:
                restored.close()
                raise
    return _run(restored, options.detach)

"""`glunix doctor --nodes`: which paths mean the same on all nodes. Detected, not believed.

A folder is shared when a mark written into it here is seen there; one that we may not write to, and
a file or program, is compared by what is in it. Each node is asked by one job of the caller's own.
"""

import argparse
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from glunix import api
from glunix.cli.common import one_line, show_table
from glunix.errors import GlunixError, NotRunning

PATIENCE = 30.0
CLOCK_STEP = 2
"""Seconds of difference between clocks that are worth a word: make(1) compares times of files."""

DEFAULT = (".", "~", "sh", "python3", "make", "gcc")

_ASK = """\
date +%s; id -u
for what; do
  mark=${what##*|} path=${what%|*}
  case $path in */*) ;; *) path=$(command -v "$path" 2>/dev/null) ;; esac
  if [ -z "$path" ] || [ ! -e "$path" ]; then echo missing
  elif [ -d "$path" ]; then
    if [ -z "$mark" ]; then ls -a "$path" 2>/dev/null | LC_ALL=C sort | sha256sum
    elif [ -e "$path/$mark" ]; then echo marked; else echo unmarked; fi
  else sha256sum <"$path" 2>/dev/null || echo unreadable; fi
done
"""
"""What runs on each node: time, uid, then a line for each PATH|MARK."""


class State(StrEnum):
    """What a path of home is on a node."""

    SHARED = "shared"
    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """One path on one node."""

    path: str
    node: str
    state: State
    detail: str = ""


@dataclass(frozen=True)
class _Here:
    """A path as home has it. `answers`: what a node says -> what that means."""

    path: str
    question: str
    answers: dict[str, State]


@contextmanager
def _mark(folder: Path) -> Iterator[str]:
    """A file that nobody else has; an empty name where we may not write."""
    path = folder / f".glunix-doctor-{secrets.token_hex(8)}"
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError:
        yield ""
        return
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() + "  -"


def _look(text: str, stack: ExitStack) -> _Here:
    """What home has under this path or program name."""
    found = str(Path(text).expanduser().absolute()) if "/" in text or text in ".~" else text
    path = Path(found if "/" in found else shutil.which(found) or "")
    if not str(path) or not path.exists() or path == Path():
        raise GlunixError(f"{text}: not here, so there is nothing to compare")
    if path.is_dir():
        mark = stack.enter_context(_mark(path))
        names = sorted([b".", b"..", *map(os.fsencode, os.listdir(path))])
        listing = _sum(b"".join(name + b"\n" for name in names))
        answers = {"marked": State.SHARED, "unmarked": State.DIFFERS, listing: State.SAME}
        return _Here(text, f"{found}|{mark}", answers)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest() + "  -"
    except OSError as error:
        raise GlunixError(f"{text}: {error.strerror}") from None
    return _Here(text, f"{found}|", {digest: State.SAME, "unreadable": State.UNKNOWN})


def compare(paths: Sequence[str]) -> list[Row]:
    """A row for each path and each node that runs jobs; GlunixError when none can be asked."""
    nodes = [row.name for row in api.nodes() if row.accepts_jobs and row.state == "up"]
    if not nodes:
        raise NotRunning("no node that runs jobs is up")
    with ExitStack() as stack:
        here = [_look(path, stack) for path in paths]
        spec = api.job_spec(["sh", "-c", _ASK, "sh", *(h.question for h in here)], cwd="/")
        client = stack.enter_context(api.Client())
        asked = {node: client.submit(spec, nodes=[node]) for node in nodes}
        began = time.time()
        try:
            client.wait(PATIENCE)
        except TimeoutError:
            pass  # who has not answered is told as such
        rows: list[Row] = []
        for node, job in asked.items():
            lines = job.output().decode(errors="replace").splitlines() if job.done else []
            rows += _rows(node, here, lines, str(job.error or "no answer"), began)
    return rows


def _rows(
    node: str, here: Sequence[_Here], lines: list[str], why: str, began: float
) -> Iterator[Row]:
    if len(lines) != 2 + len(here) or not lines[0].isdecimal():
        for one in here:
            yield Row(one.path, node, State.UNKNOWN, why)
        return
    apart = max(began - int(lines[0]) - 1, int(lines[0]) - time.time())
    clock = f"{apart:.0f} s apart" if apart > CLOCK_STEP else ""
    yield Row("(clock)", node, State.DIFFERS if clock else State.SAME, clock)
    same_user = lines[1] == str(os.getuid())
    yield Row("(your uid)", node, State.SAME if same_user else State.DIFFERS,
              "" if same_user else lines[1])  # fmt: skip
    for one, said in zip(here, lines[2:], strict=True):
        state = State.MISSING if said == "missing" else one.answers.get(said, State.DIFFERS)
        yield Row(one.path, node, state)


def run_paths(args: argparse.Namespace) -> int:
    """Print what was found; exit status 1 when something differs or is missing."""
    rows = compare(args.path or _default())
    good = (State.SHARED, State.SAME)
    status = 0 if all(row.state in good for row in rows) else 1
    if args.json:
        print(json.dumps({"paths": [{**vars(row), "state": str(row.state)} for row in rows]}))
        return status
    nodes = list(dict.fromkeys(row.node for row in rows))
    table = []
    for path in dict.fromkeys(row.path for row in rows):
        found = {row.node: row for row in rows if row.path == path}
        cells = [_cell(found[node]) if node in found else "-" for node in nodes]
        table.append((one_line(path), *cells))
    show_table(("PATH", *nodes), table)
    if status:
        print("\nWhere a path is not shared: use paths that are, or `glurun --stage`.")
    return status


def _cell(row: Row) -> str:
    return f"{row.state} ({one_line(row.detail)})" if row.detail else str(row.state)


def _default() -> list[str]:
    """Those of DEFAULT that home has."""
    return [text for text in DEFAULT if text in ".~" or shutil.which(text)]

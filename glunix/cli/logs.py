"""`glunix logs`: what master and daemons wrote, each line led by its process's name.

Owns no parsing of log lines: they are shown as they are, made safe for a terminal. Following is
left to tail(1), which waits in the kernel for growth instead of looking again and again.
"""

import argparse
import json
import os
import selectors
import subprocess
import sys
from collections import deque
from contextlib import ExitStack
from pathlib import Path

from glunix import config
from glunix.cli.common import one_line
from glunix.errors import NotRunning, Refused
from glunix.ids import Why

_READ = 65536


def run_logs(args: argparse.Namespace) -> int:
    """Print the last lines of each log, and with --follow what comes after them."""
    files = _files(config.state_dir(), args.node)
    if args.follow:
        return _follow(files, args.lines, args.json)
    for name, path in files:
        with path.open(encoding="utf-8", errors="replace") as log:
            for line in deque(log, maxlen=args.lines):
                _print(name, line, args.json)
    return 0


def _files(folder: Path, wanted: list[str]) -> list[tuple[str, Path]]:
    private = config.private(folder)
    try:
        found = {path.stem: path for path in private.iterdir() if path.suffix == ".log"}
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunning(f"no logs: there never was a cluster in {folder}") from None
    except PermissionError:
        text = f"only the cluster's own user and root may read the logs in {private}"
        raise Refused(Why.NOT_YOURS, text) from None
    for name in wanted:
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise Refused(Why.BAD_REQUEST, f"no log of {one_line(name)!r} (there are: {known})")
    return [(name, found[name]) for name in (wanted or sorted(found))]


def _print(name: str, line: str, as_json: bool) -> None:
    line = line.rstrip("\r\n")
    if as_json:
        print(json.dumps({"name": name, "line": line}))
    else:
        print(f"{name}: {one_line(line)}")


def _follow(files: list[tuple[str, Path]], lines: int, as_json: bool) -> int:
    """Merge one `tail -F` per log by whole lines; --pid ends them with us, however we end."""
    command = ["tail", "-n", str(lines), f"--pid={os.getpid()}", "-s", "1", "-F", "--"]
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for name, path in files:
            tail = subprocess.Popen(
                [*command, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            stack.callback(_end, tail)
            assert tail.stdout is not None
            selector.register(tail.stdout, selectors.EVENT_READ, (name, bytearray()))
        while selector.get_map():
            for key, _ in selector.select():
                name, rest = key.data
                data = os.read(key.fd, _READ)
                if not data:
                    selector.unregister(key.fileobj)
                rest += data
                *whole, tail_bytes = rest.split(b"\n")
                rest[:] = tail_bytes
                for line in whole:
                    _print(name, line.decode("utf-8", "replace"), as_json)
            sys.stdout.flush()
    return 0


def _end(tail: "subprocess.Popen[bytes]") -> None:
    tail.terminate()
    tail.wait()
    assert tail.stdout is not None
    tail.stdout.close()

"""Run a command as the subreaper of all below; kill what `how` says after its word; print who was
adopted and reaped: how many by wait status, and whether the command's own status came."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

SECONDS = 1.5
"""After the command's end: whoever comes, comes by then."""


def children(pid: int) -> list[int]:
    """Of its first thread."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def main(how: str, argv: list[str]) -> None:
    """`how`: "nothing", "half" (home's half) or "startup"."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout is not None
    if how != "nothing":
        assert child.stdout.readline() == b"up\n"
        victims = children(child.pid) if how == "half" else [child.pid]
        assert victims
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
    counts: dict[int, int] = {}
    status, end = None, time.monotonic() + 20
    while time.monotonic() < end:
        pid = status_of = 0
        with contextlib.suppress(ChildProcessError):
            pid, status_of = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(0.005)
        elif pid == child.pid:
            status, end = status_of, time.monotonic() + SECONDS
        else:
            counts[status_of] = counts.get(status_of, 0) + 1
    print(status, sum(counts.values()), counts)


main(sys.argv[1], sys.argv[2:])

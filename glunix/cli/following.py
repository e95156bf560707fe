"""Waiting for a job and showing what it writes, for glubatch and glups."""

import os
import threading
import time
from typing import BinaryIO

from glunix import api, config
from glunix.batch.outputs import expand, is_per_process
from glunix.errors import GlunixError
from glunix.msg.batch import JobFacts
from glunix.msg.job import JobRow, status_of

LOOK = 0.1
"""Seconds between two looks at a file that grows (there is no inotify on a network file system)."""

PIECE = 256 * 1024


def status_told(row: JobRow) -> int:
    """Exit status of a job that is over; GLUnix's own when it could not begin."""
    return status_of(row, config.exit_error())


def follow(npid: int, out: BinaryIO) -> int:
    """Show the standard output of a batch job until it is over; its exit status. ^C leaves it."""
    told = api.facts(npid)
    if told.task is None:
        raise GlunixError(f"job {npid} {_no_output(told)}")
    if not told.task.stdout:
        raise GlunixError(f"job {npid} writes nowhere (its -o is empty)")
    ended: list[JobFacts | BaseException] = []
    waiting = threading.Thread(target=_wait, args=(npid, ended), daemon=True)
    waiting.start()
    seen = 0
    while True:
        is_over = bool(ended)
        seen = _copy(_path(npid, told), seen, out)
        if is_over:
            break
        time.sleep(LOOK)
    end = ended[0]
    if isinstance(end, BaseException):
        raise end
    return status_told(end.row)


def _no_output(told: JobFacts) -> str:
    if told.row.ended:
        return "is over"
    return "is no batch job of yours: its output is where its startup is"


def _wait(npid: int, ended: list[JobFacts | BaseException]) -> None:
    try:
        ended.append(api.wait_for(npid))
    except (GlunixError, OSError) as error:
        ended.append(error)


def _path(npid: int, told: JobFacts) -> bytes:
    assert told.task is not None
    name = told.task.stdout
    words = {b"j": b"%d" % npid, b"v": b"0", b"x": told.row.name.encode() or b"%d" % npid}
    if is_per_process(name) or b"%a" in name:
        shown = os.fsdecode(name)
        raise GlunixError(f"job {npid} writes many files ({shown}): look at one of them")
    return expand(name, words)


def _copy(path: bytes, seen: int, out: BinaryIO) -> int:
    """Show what the file has beyond `seen` bytes; a shorter file begins anew."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size < seen:
                seen = 0
            file.seek(seen)
            while piece := file.read(PIECE):
                out.write(piece)
                seen += len(piece)
    except FileNotFoundError:
        return seen
    except OSError as error:
        raise GlunixError(f"cannot read {os.fsdecode(path)}: {error.strerror}") from None
    out.flush()
    return seen

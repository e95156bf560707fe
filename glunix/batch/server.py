"""The batch server: a process of one user's at home that keeps the output of his batch jobs.

It is the life line of each (paper 4.2.3), as a startup is of an interactive job, but one process
serves all that the user has running. The daemon forks it as that user and speaks with it on a
socket pair. Owns the output files: it opens them before a job begins, so that a job whose output
has no place never starts. A full disk ends the job with a line in its story, not the server.
"""

import contextlib
import os
import pwd
import signal
import socket
from dataclasses import dataclass, field

from glunix.api.client import Client
from glunix.api.job import Job
from glunix.batch.outputs import OutputError, expand, is_per_process, open_output, write_all
from glunix.ids import CONTROL
from glunix.msg import batch
from glunix.msg.base import Message

IDLE = 5.0
"""Seconds without a job after which the server ends; the next job starts another."""


@dataclass(slots=True)
class _Kept:
    """A job and its files: (vnn or -1 for all, fd of the program) -> ours."""

    job: Job
    placed: batch.BatchPlaced
    files: dict[tuple[int, int], int] = field(default_factory=dict)
    is_full: bool = False

    def close(self) -> None:
        for fd in set(self.files.values()):
            os.close(fd)
        self.files.clear()


class BatchServer(Client):
    """Serves until its daemon is gone or it has had nothing to do for a while."""

    decoder = batch.daemon_to_client

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection=connection)
        self._kept: dict[int, _Kept] = {}
        with contextlib.suppress(KeyError):
            self._user = pwd.getpwuid(os.getuid()).pw_name.encode()
            return
        self._user = b"%d" % os.getuid()

    def serve(self) -> None:
        """The loop."""
        while True:
            for job in self.poll(None if self._kept else IDLE):
                self._over(job)
            if self._gone is not None or (not self._kept and not self._served):
                return
            self._served = False

    _served = False
    """Whether anything was placed since the last look."""

    def _control(self, message: Message) -> None:
        if isinstance(message, batch.BatchPlaced):
            self._offered(message)
        else:
            super()._control(message)

    def _offered(self, placed: batch.BatchPlaced) -> None:
        """Open the files of a job and say that it may begin, or why not."""
        self._served = True
        job = Job(0, placed.spec, placed.degree, collect=False, handler=self._write)
        kept = _Kept(job, placed)
        try:
            self._open_files(kept)
        except (OutputError, ValueError) as error:
            kept.close()
            self._send(CONTROL, batch.BatchCannot(placed.npid, str(error)[:4000]))
            return
        self._kept[placed.npid] = kept
        self._open += 1
        self._send(CONTROL, batch.BatchReady(placed.npid))  # the streams are open behind it
        self._begin(job, placed.npid, placed.streams)

    def _open_files(self, kept: _Kept) -> None:
        placed, task = kept.placed, kept.placed.task
        same: dict[bytes, int] = {}
        for stream in placed.streams:
            for vnn in stream.vnns:
                words = self._words(placed, vnn, stream.node)
                for fd, name in ((1, task.stdout), (2, task.stderr or task.stdout)):
                    key = vnn if is_per_process(name) else -1
                    if (key, fd) in kept.files:
                        continue
                    path = expand(name, words)
                    if path not in same:
                        same[path] = open_output(path, task.append, placed.spec.umask)
                    kept.files[key, fd] = same[path]

    def _words(self, placed: batch.BatchPlaced, vnn: int, node: str) -> dict[bytes, bytes]:
        return {
            b"j": b"%d" % placed.entry,
            b"a": b"%d" % placed.index,
            b"v": b"%d" % vnn,
            b"n": b"%d" % vnn,
            b"N": node.encode(),
            b"x": placed.name.encode() or b"%d" % placed.entry,
            b"u": self._user,
        }

    def _write(self, job: Job, vnn: int, fd: int, data: bytes) -> None:
        kept = self._kept.get(job.npid)
        if kept is None or kept.is_full:
            return
        file = kept.files.get((vnn, fd), kept.files.get((-1, fd), -1))
        reason = write_all(file, data)
        if reason:
            kept.is_full = True
            text = f"its output cannot be written: {reason}"
            self._send(CONTROL, batch.BatchCannot(job.npid, text))
            self._finish(job)

    def _over(self, job: Job) -> None:
        kept = self._kept.pop(job.npid, None)
        if kept is not None:
            kept.close()


def serve(connection: socket.socket) -> None:
    """Run in the forked child, as the user, until the daemon closes its end."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with BatchServer(connection) as server:
        server.serve()

"""The daemon's children: reaped here, told to their jobs, and nothing left behind.

The daemon is pid 1 of its node or a child subreaper, so whatever a job abandons becomes its child
(prctl(2)). An adopted process belongs to the job that its environment names; once that job is over
it gets SIGHUP, then SIGKILL (paper 4.2.3). A stray names no job (env -i; a daemon that wrote its
title over its environment): it goes with its user's last job here, unless he ever said --keep.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from glunix.daemon.policy import RefusedJob
from glunix.daemon.supervised import SupervisedJob
from glunix.node.keeper import GIVE_UP, GRACE, children_of_self
from glunix.node.reactor import Reactor
from glunix.node.sessions import Sessions
from glunix.node.userjob import UserJob

Job = UserJob | SupervisedJob | RefusedJob


class Children:
    """Reaps on SIGCHLD (the shell calls `collect`). Jobs are looked up through `jobs()`."""

    def __init__(
        self, reactor: Reactor, jobs: Callable[[], Sequence[Job]], sessions: Sessions
    ) -> None:
        self._reactor = reactor
        self._sessions = sessions
        self._jobs = jobs
        self._helpers: set[int] = set()
        """Keepers and supervisors that still clean up after a job that is over."""
        self._keeping: set[int] = set()
        """Users who left processes here on purpose."""

    def collect(self) -> None:
        """Reap all that changed; hand each state to its job."""
        jobs = self._jobs()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                self._helpers.discard(pid)
            if self._sessions.child_changed(pid, status):
                continue
            for job in jobs:
                if job.wait_status(pid, status):
                    break

    def sweep(self, job: Job) -> None:
        """This job is over: end what it left to us."""
        self._helpers.update(job.roots())
        if job.start.spec.keep and not job.start.spec.transparent:
            self._keeping.add(job.start.owner.uid)
        else:
            self._sweep(job, time.monotonic(), first=True)

    def _sweep(self, job: Job, since: float, first: bool) -> None:
        jobs = self._jobs()
        try:
            children = children_of_self()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._reactor.call_later(0.1, self._sweep, job, since, first)
            return
        left = [
            pid
            for pid in children
            if pid not in self._helpers
            and not self._sessions.is_server(pid)
            and not any(other.is_root(pid) for other in jobs)
            and (job.owns(pid) or self._is_stray(pid, job, jobs))
        ]
        elapsed = time.monotonic() - since
        if not left or elapsed > GIVE_UP:
            return
        for pid in left:
            for number in (signal.SIGHUP, signal.SIGCONT) if first else (signal.SIGKILL,):
                try:
                    os.kill(pid, number)
                except (ProcessLookupError, PermissionError):
                    pass
        self._reactor.call_later(GRACE if first else 0.1, self._sweep, job, since, False)

    def _is_stray(self, pid: int, job: Job, jobs: Sequence[Job]) -> bool:
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        if b"GLUNIX_NPID=" in environ or job.start.owner.uid not in (uid, 0):
            return False
        others = {other.start.owner.uid for other in jobs if other is not job}
        return not (others | self._keeping) & {uid, 0}

"""The daemon's children: reaped here, told to their jobs, and nothing left behind.

Once a job is over, what it left gets SIGHUP, then SIGKILL (paper 4.2.3). Whose a process is, its
control group says (glunix.node.processes.cgroups). Without groups, each process of another user's
job has a reaper of its own, which ends what it left (glunix.node.userlevel.session_leader). What
remains are the daemon's own user's jobs without a group: the daemon is pid 1 of its node or a child
subreaper, so what they abandon becomes its child (prctl(2)), and the environment names the job. The
environment of no other user's process is ever read: its pages may lie where a read of them does not
end. A stray names no job: it goes with its user's last job here, unless he ever said --keep.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from glunix.daemon.authorization import RefusedJob
from glunix.daemon.chores import Chores
from glunix.daemon.terminals import uids_of
from glunix.daemon.transparent_job import TransparentJob
from glunix.node.processes.cgroups import JobGroup
from glunix.node.reactor import Reactor
from glunix.node.spawn.sessions import Sessions
from glunix.node.userlevel.job import UserJob
from glunix.node.userlevel.session_leader import GIVE_UP, GRACE, children_of_self

Job = UserJob | TransparentJob | RefusedJob

REAP_TURN = 0.02
"""Seconds of reaping in one turn of the loop: a job can end processes as fast as we reap them."""

LOOK_AGAIN = 0.1


class Children:
    """Reaps on SIGCHLD (the shell calls `collect`). Jobs are looked up through `jobs()`."""

    def __init__(
        self,
        reactor: Reactor,
        jobs: Callable[[], Sequence[Job]],
        chores: Chores,
        sessions: Sessions,
    ) -> None:
        self._reactor = reactor
        self._sessions = sessions
        self._jobs = jobs
        self._chores = chores
        self._helpers: set[int] = set()
        """Keepers and supervisors that still clean up after a job that is over."""
        self._keeping: set[int] = set()
        """Users who left processes here on purpose."""
        self._kept: list[JobGroup] = []
        """Groups of jobs whose leavings stay."""
        self._again = False

    def collect(self) -> None:
        """Reap all that changed, for a while; hand each state to its job."""
        roots = {pid: job for job in self._jobs() for pid in job.roots()}
        end = time.monotonic() + REAP_TURN
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                self._helpers.discard(pid)
                self._chores.reaped(pid)
            if self._sessions.child_changed(pid, status):
                continue
            job = roots.get(pid)
            if job is not None:
                job.wait_status(pid, status)
            if time.monotonic() >= end:
                if not self._again:
                    self._again = True
                    self._reactor.call_later(0, self._collect_again)
                return

    def _collect_again(self) -> None:
        self._again = False
        self.collect()

    def spare(self, pid: int) -> None:
        """A mover: it ends by itself."""
        self._helpers.add(pid)

    def sweep(self, job: Job, group: JobGroup | None) -> None:
        """This job is over: end what it left to us."""
        self._helpers.update(job.roots())
        self._kept = [kept for kept in self._kept if not kept.remove()]
        keeps = job.start.spec.keep and not job.start.spec.transparent
        if keeps:
            self._keeping.add(job.start.owner.uid)
            if group is not None and not group.remove():
                self._kept.append(group)
        elif group is not None:
            self._sweep_group(group, time.monotonic(), 0.0)
        elif not (isinstance(job, UserJob) and job.apart):
            self._sweep(job, time.monotonic(), set())

    def _sweep_group(self, group: JobGroup, since: float, told: float) -> None:
        """`told`: when its members got SIGHUP; 0: not yet."""
        if group.remove():
            return
        now = time.monotonic()
        elapsed = now - since
        helped = self._helpers.intersection(group.members())
        if elapsed > 2 * GIVE_UP:
            self._kept.append(group)  # what even SIGKILL does not end is left to the kernel
            return
        if helped and elapsed < GIVE_UP:
            pass  # it ends the others itself, and then itself
        elif not told:
            group.signal((signal.SIGHUP, signal.SIGCONT), self._helpers)
            told = now
        elif now - told >= GRACE:
            group.kill()
        self._reactor.call_later(LOOK_AGAIN, self._sweep_group, group, since, told)

    # -- without groups ----------------------------------------------------------------------

    def _sweep(
        self, job: Job, since: float, told: set[int], others: set[int] | None = None
    ) -> None:
        """`told`: who got SIGHUP; `others`: who was found not to be of this job."""
        others = set() if others is None else others
        try:
            children = children_of_self()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._reactor.call_later(LOOK_AGAIN, self._sweep, job, since, told, others)
            return
        jobs = self._jobs()
        spared = {pid for other in jobs for pid in other.roots()} | others
        spared |= self._helpers | self._chores.pids
        left, now = 0, time.monotonic()
        for pid in children:
            if pid in spared or self._sessions.is_server(pid):
                continue
            if time.monotonic() - now > REAP_TURN:
                left += 1  # perhaps
                break
            if self._belongs(pid, job, jobs):
                left += 1
                _end(pid, told, now - since >= GRACE)
            else:
                others.add(pid)
        if left and now - since <= GIVE_UP:
            self._reactor.call_later(LOOK_AGAIN, self._sweep, job, since, told, others)

    def _belongs(self, pid: int, job: Job, jobs: Sequence[Job]) -> bool:
        if isinstance(job, TransparentJob) and job.is_session_of(pid):
            return True
        owner = job.start.owner.uid
        try:
            uid = uids_of(pid)[0]
            environ = b""
            if uid == os.geteuid():
                environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        if b"GLUNIX_NPID=" in environ:
            return uid == owner and b"GLUNIX_NPID=%d\0" % job.start.npid in environ
        if owner not in (uid, 0):
            return False
        others = {other.start.owner.uid for other in jobs if other is not job}
        return not (others | self._keeping) & {uid, 0}


def _end(pid: int, told: set[int], late: bool) -> None:
    numbers = (signal.SIGKILL,) if late else (signal.SIGHUP, signal.SIGCONT)
    if not late and pid in told:
        return
    told.add(pid)
    for number in numbers:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass

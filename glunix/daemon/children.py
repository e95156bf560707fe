"""The daemon's children: reaped here, told to their jobs, and nothing left behind.

Once a job is over, what it left gets SIGHUP, then SIGKILL (paper 4.2.3). Whose a process is, its
control group says (glunix.node.processes.cgroups). Without a group each process has a reaper of its
own (reaper.c, glunix.node.userlevel.session_leader, the supervisor), which ends what it left, or
with --keep waits for it. So a child that the daemon has not started and that is in no group was
below a reaper that was killed: it is ended when that one is reaped. No process's environment is
ever read.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence

from glunix.daemon.authorization import RefusedJob
from glunix.daemon.chores import Chores
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
        groups: Callable[[], Iterable[JobGroup]],
    ) -> None:
        """`groups`: those of jobs that run here."""
        self._reactor = reactor
        self._groups = groups
        self._not_ours = set(children_of_self())
        """What this process had started before it was a daemon."""
        self._sessions = sessions
        self._jobs = jobs
        self._chores = chores
        self._helpers: set[int] = set()
        """Reapers, keepers and supervisors of jobs that are over: they clean up, or keep."""
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
                if os.WIFSIGNALED(status) and (pid in self._helpers or pid in roots):
                    self._reactor.call_later(0, self._end_strays, time.monotonic(), set())
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
        if group is None:
            return
        if not job.start.spec.keep or job.start.spec.transparent:
            self._sweep_group(group, time.monotonic(), 0.0)
        elif not group.remove():
            self._kept.append(group)

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

    def _end_strays(self, since: float, told: set[int]) -> None:
        """End what was below a reaper that was killed. `told`: who got SIGHUP."""
        now = time.monotonic()
        try:
            strays = self._strays()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            strays = {0}  # perhaps
        for pid in strays - {0}:
            _end(pid, told, now - since >= GRACE)
            if time.monotonic() - now > REAP_TURN:
                break
        if strays and now - since <= GIVE_UP:
            self._reactor.call_later(LOOK_AGAIN, self._end_strays, since, told)

    def _strays(self) -> set[int]:
        """Children of ours that were nobody's: what a list of groups has later is still in them."""
        strays = set(children_of_self()) - self._not_ours - self._helpers - self._chores.pids
        strays = {pid for pid in strays if not self._sessions.is_server(pid)}
        for job in self._jobs():
            strays.difference_update(job.roots())
        if strays:
            for group in (*self._groups(), *self._kept):
                strays.difference_update(group.members())
        return strays


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

"""A transparent job's program as its supervisor has it: its state, what home hears of it, its end.

Owns the life of the job (glunix.node.processes.lifecycle) and performs what follows from it; takes
the wait statuses of children and of the PID namespace's helpers, and signals from home.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from glunix.msg import stream
from glunix.msg.base import Message
from glunix.node.processes import lifecycle
from glunix.node.processes.foreign import restrict_looks
from glunix.node.processes.lifecycle import NodeLife
from glunix.node.processes.namespace import PidSpace, Plain
from glunix.node.processes.signals import deliver, kill_one
from glunix.node.processes.tree import Family

if TYPE_CHECKING:
    from glunix.node.launch import Birth
    from glunix.node.output.channel import Output
    from glunix.node.spawn.exec import StepFailed
    from glunix.node.supervisor import Supervisor


class Program:
    """A part of the supervisor, which looks at the others when they are needed."""

    def __init__(self, supervisor: Supervisor, arriving: bool) -> None:
        """`arriving`: the job runs elsewhere, and is to move here."""
        self._of = supervisor
        self.life = NodeLife(arriving)
        self.pid = 0
        """The node's; 0: before `forked`."""
        self.place: PidSpace | Plain = Plain()
        self._birth: Birth | None = None
        """Until exec has succeeded or failed."""
        self._stub: Birth | None = None
        """Where a job that moves here is put."""
        self._performers = self._all_performers()

    def _happens(self, name: str, *fields: object) -> None:
        """An event of the job's life: what follows from it is done, in order."""
        for effect, *given in self.life.handle((name, *fields)):
            self._performers[effect](*given)

    def _all_performers(self) -> dict[str, Callable[..., object]]:
        return {
            lifecycle.CATCH_UP: self._drain,
            lifecycle.CONTINUE_CHILD: lambda: kill_one(self.pid, signal.SIGCONT),
            lifecycle.DELIVER: self._deliver,
            lifecycle.FINISH_OUTPUTS: self._finish_outputs,
            lifecycle.KILL_ALL: lambda: self.place.kill_all(),
            lifecycle.KILL_ONE: lambda number: kill_one(self.pid, number),
            lifecycle.REPORT_CONTINUED: self._report_continued,
            lifecycle.REPORT_END: self._report_end,
            lifecycle.REPORT_FAILED: self._report_failed,
            lifecycle.REPORT_PROGRAM_END: self._report_program_end,
            lifecycle.REPORT_STARTED: self._report_started,
            lifecycle.REPORT_STOPPED: self._report_stopped,
            lifecycle.SETTLE_OUTPUTS: lambda: self._settle(list(self._of._outputs.values())),
            lifecycle.STUB_BORN: self._stub_born,
            lifecycle.SWEEP: self._sweep,
        }

    # -- its beginning -------------------------------------------------------------------------

    def watch(self, birth: Birth, place: PidSpace | Plain) -> None:
        """The child is there; much is still to be made around it."""
        self._birth, self.place = birth, place
        if isinstance(place, PidSpace):
            self._of._reactor.add_reader(place.fileno(), self._space_says)
            place.outbound.tell = self._tell_late

    def forked(self) -> None:
        """All is made: what home has said meanwhile may come."""
        assert self._birth is not None
        self._of._reactor.add_reader(self._birth.fileno(), self._born)
        self.pid = self.place.program
        self._happens(lifecycle.FORKED)

    def not_forked(self, error: StepFailed) -> None:
        """There will be no program."""
        self._happens(lifecycle.NOT_FORKED, error.step, error.error, error.text)

    def _born(self) -> None:
        """Exec has succeeded, or something before it has failed: home hears which."""
        birth = self._birth
        if birth is None or not birth.is_over():
            return
        self._birth = None
        self._of._reactor.remove_reader(birth.fileno())
        birth.close()
        if birth.failure is not None:
            report = birth.failure
            self._happens(lifecycle.FAILED, report.step, report.a, report.text)
            return
        if self._of._setuid:
            restrict_looks()
        self._of._stand_ins.started()
        self._stub = birth
        self._happens(lifecycle.BORN)

    def goes_on_here(self, stopped: bool) -> None:
        """The job has arrived from another node; `stopped`: and is, as home knows."""
        self._happens(lifecycle.GOES_ON_HERE, stopped)

    def _stub_born(self) -> None:
        if self._stub is not None:
            self._of._migrating.born(self.pid, self._stub)

    # -- its states ----------------------------------------------------------------------------

    def collect(self) -> None:
        """Reap: children of ours have changed."""
        session = self._of._session
        if session is not None and self._of._engine_reaps and not session.ended:
            session.sweep()
            return
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                break
            self.child_state(pid, status)
        if self.life.is_doomed:  # what was below the one that ended is ours now
            self.place.kill_all()

    def _space_says(self) -> None:
        """A helper inside has reaped a process."""
        assert isinstance(self.place, PidSpace)
        while statuses := self.place.read():  # more may come while a stop settles
            for status in statuses if not self._of._engine_reaps else []:  # its engine tells of it
                self.child_state(self.pid, status)

    def child_state(self, pid: int, status: int) -> None:
        """This wait status is a child's, or the program's."""
        if isinstance(self.place, PidSpace) and self.place.is_init(pid):
            self._init_state(self.place, status)
            return
        if pid != self.pid:
            return
        self._born()  # home hears of the start before it hears of the end
        if os.WIFSTOPPED(status):
            self._happens(lifecycle.STOPS, os.WSTOPSIG(status))
        elif os.WIFCONTINUED(status):
            self._happens(lifecycle.CONTINUES)
        elif os.WIFEXITED(status):
            self._happens(lifecycle.ENDS, os.WEXITSTATUS(status), 0, False)
        else:
            self._happens(lifecycle.ENDS, 0, os.WTERMSIG(status), os.WCOREDUMP(status))

    def stopped(self, number: int) -> None:
        """An engine that reaps tells of its stop."""
        self._happens(lifecycle.ENGINE_STOPS, number)

    def _init_state(self, space: PidSpace, status: int) -> None:
        if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
            return
        self._space_says()
        self._born()
        space.ended = True
        self._of._reactor.remove_reader(space.fileno())
        self._happens(lifecycle.SPACE_OVER)

    def look_after(self) -> None:
        """The program has ended: is that the end of the job, or does something of it live on?"""
        if not self.life.has_ended:
            return
        family = self.place.look()
        if family is Family.GONE:
            self._happens(lifecycle.GONE)
        elif family is Family.LIVES:
            self._happens(lifecycle.LIVES)

    def close(self) -> None:
        """End what is left in its PID namespace, if it has one."""
        if isinstance(self.place, PidSpace):
            self.place.close()

    # -- signals -------------------------------------------------------------------------------

    def kill(self, number: int) -> None:
        """A signal came for its group, or the foreground's; SIGKILL is for all of the job."""
        self._happens(lifecycle.KILL, number)

    def signal(self, number: int) -> None:
        """Its shadow got this: it is for no other process, if those have shadows."""
        self._happens(lifecycle.SIGNAL, number, self._of._pids.has_strays)

    def _deliver(self, number: int, outlived: bool) -> None:
        helpers = self.place.outbound.pids if isinstance(self.place, PidSpace) else ()
        deliver(number, self.place.group, self._of._stand_ins.foreground(), outlived, helpers)

    def _sweep(self) -> None:
        if self._of._session is not None:
            self._of._session.sweep()

    # -- what home hears -----------------------------------------------------------------------

    def _report_started(self) -> None:
        of = self._of
        of._report(stream.Started(of._vnn, self.pid, flushes=True, hears=True))
        of._pids.program_name.begins(self.pid, of._spec.pids)

    def _report_failed(self, step: str, error: int, text: str) -> None:
        self._of._report(stream.Failed(self._of._vnn, step, error, text))

    def _report_stopped(self, number: int) -> None:
        """After what was written before it: home's half writes nothing while it is stopped."""
        self.place.settle()
        self._drain()
        self._of._report(stream.Stopped(self._of._vnn, number))

    def _report_continued(self) -> None:
        self._of._report(stream.Continued(self._of._vnn))

    def _report_end(self, code: int, number: int, core: bool, orphaned: bool) -> None:
        self._of._report(stream.Exited(self._of._vnn, code, number, core, orphaned))

    def _report_program_end(self, code: int, number: int, core: bool) -> None:
        self._of._present_bill()
        self._of._reads.drop_ahead()
        self._of._to_home(stream.RootExited(self._of._vnn, code, number, core))

    def _tell_late(self, message: Message) -> None:
        """The same of what a daemon need not know: by the way that the program's end takes, too."""
        self._drain()
        self._of._reads.drop_ahead()
        self._of._to_home(message)

    def _drain(self) -> None:
        for output in list(self._of._outputs.values()):
            output.drain()

    def _finish_outputs(self) -> None:
        for output in list(self._of._outputs.values()):
            output.finish()

    def _settle(self, outputs: list[Output]) -> None:
        """Home hears of the program's end after all that it wrote."""
        if outputs:
            outputs[0].settle(lambda: self._settle(outputs[1:]))
        else:
            self._happens(lifecycle.WRITTEN)

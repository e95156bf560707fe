"""How a transparent job's program comes into being: forked, caught by its engine, executed.

Owns the socket by which the child says why it could not become the program; its end without a word
is the success of exec.
"""

import errno
import os
import signal
import socket
from collections.abc import Callable
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import NoReturn

from glunix.msg import stream
from glunix.msg.job import JobSpec
from glunix.node import privilege
from glunix.node.calls.mounts import HomePlaces
from glunix.node.descriptors.openstate import show_as_home
from glunix.node.descriptors.standins import StandIns
from glunix.node.processes.namespace import PidSpace, Plain, fork_program
from glunix.node.spawn.exec import StepFailed, become, place_fds, place_more
from glunix.node.spawn.fork import Report, decode_report, report_failure
from migration.native.place import BASE, stub_program
from slic.engine import EngineUnavailable, Host, Launch, Session
from slic.kernel.capabilities import set_no_new_privs


class Birth:
    """`fork`, then `session` if there is an engine; then wait for `fileno`."""

    def __init__(
        self, spec: JobSpec, start: stream.Start, env: dict[bytes, bytes], setuid: bool
    ) -> None:
        """`setuid`: programs with more rights than the owner may run (glunix.toml)."""
        self._setuid = setuid
        self._spec = spec
        self._start = start
        self._env = env
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door, self._their_door = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        """Ours and the stub's, when a job moves here (migration.native.site)."""
        self.door_number = self._their_door.fileno()
        self.failure: Report | None = None
        """Why there is no program."""

    def fork(
        self,
        around: StandIns,
        launch: Launch | None,
        first: int,
        places: HomePlaces | None,
        arriving: bool = False,
    ) -> PidSpace | Plain:
        """Fork the child; it goes on by itself, until the engine has to be asked.

        `first`: the number in the job of the first process that it forks; 0: any. `places`: what it
        finds of home's directories. `arriving`: the program is a stub, which is to become a job
        that runs elsewhere.
        """

        def program(dies_with_us: bool) -> None:
            try:
                states = around.states(self._spec)
                place_fds(around.theirs[0], around.theirs[1], around.theirs[2])
                show_as_home(states)

                def before_user(kept: int = 0) -> None:
                    privilege.give_up(self._start.owner, until_filter=self._setuid, kept=kept)
                    if not self._setuid and privilege.is_needed(self._start.owner):
                        set_no_new_privs()
                    if launch is not None:
                        launch.install()
                    for fd in self._spec.closed:
                        os.close(fd)
                    self._keep_clear_of(around.inherited)
                    place_more(around.inherited)
                    privilege.give_up(self._start.owner, kept=kept)

                if arriving:
                    self._become_stub(before_user)
                become(self._spec, self._start.owner, self._env, before_user, dies_with_us)
            except StepFailed as error:
                report_failure(self._theirs, error)
                os._exit(127)

        has_tty = self._spec.tty is not None and self._spec.tty.controls
        tty = around.slave if has_tty else None
        place = fork_program(self._start, tty, program, first, places)
        self._theirs.close()
        self._their_door.close()
        return place

    def _become_stub(self, before_user: Callable[[int], None]) -> NoReturn:
        """What waits for a job that runs elsewhere (migration.native.place): the owner's, with the
        one capability by which it forks processes with chosen pids, and which it loses before the
        job goes on (migration.native.credentials)."""
        try:
            before_user(privilege.CHOOSING)
            program = os.memfd_create("stub", os.MFD_CLOEXEC)
            os.write(program, stub_program(BASE))
            self._their_door.set_inheritable(True)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)
            os.execve(f"/proc/self/fd/{program}", [b"stub"], {})
        except OSError as error:
            raise StepFailed(
                "exec", error.errno or errno.EIO, f"no stub: {error.strerror}"
            ) from None

    def _keep_clear_of(self, inherited: dict[int, int]) -> None:
        """Our own socket must not have one of the program's numbers."""
        if self._theirs.fileno() in inherited:
            high = fcntl(self._theirs.fileno(), F_DUPFD_CLOEXEC, max(inherited) + 1)
            self._theirs.detach()
            self._theirs = socket.socket(fileno=high)

    def session(self, launch: Launch, host: Host) -> Session:
        """The engine's session over the child; StepFailed says why there is none."""
        try:
            return launch.session(host)
        except EngineUnavailable as error:
            self._child_failed()
            raise StepFailed("engine", errno.ENOSYS, str(error)) from None

    def _child_failed(self) -> None:
        """The child failed before its filter was in: its own words say why, if it left any."""
        self._ours.settimeout(1.0)
        try:
            packet = self._ours.recv(65536)
        except TimeoutError:
            return
        if packet:
            report = decode_report(packet)
            raise StepFailed(report.step, report.a, report.text)

    def fileno(self) -> int:
        """Readable when `is_over`."""
        return self._ours.fileno()

    def is_over(self) -> bool:
        """Whether the child is the program now, or has said why it is not (`failure`)."""
        self._ours.setblocking(False)
        try:
            packet = self._ours.recv(65536)
        except BlockingIOError:
            return False
        self.failure = decode_report(packet) if packet else None
        return True

    def close(self) -> None:
        """It is over."""
        self._ours.close()

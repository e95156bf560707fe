"""Signals that a job sends to home's processes: `kill $PPID`, `kill 0` (docs/shadows.md).

The helpers of a job's PID namespace stand for processes of home; one more, the *herald*, is in the
program's group and stands for everybody else who is in it at home. What a process of the job sends
them is told to the supervisor, and home sends it to whom it is for. Signals from outside of the
namespace, which the supervisor sends to groups, and the kernel's own are for nobody at home.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from glunix.msg.base import Message
from glunix.msg.shadows import ShadowKill

DISMISS = signal.SIGTRAP
FLUSH = signal.SIGSTKFLT
"""From the supervisor: the program has ended; say what you have heard and that there is no more.
Home sends neither (glunix.home.signals)."""

_ALL = signal.valid_signals()
_OF_THE_TERMINAL = (signal.SIGTTIN, signal.SIGTTOU)
_SI_KERNEL = 0x80


class Heralds:
    """The supervisor's side: who stands for home's processes, and what they were sent.

    Numbers are the job's own; `herald` is 0 when there is none.
    """

    def __init__(self, program: int, group_number: int, herald: int) -> None:
        self._program = program
        self._group_number = group_number
        self._herald = herald
        self.group = 0
        """The group that the program began in, as a pid of the node."""
        self.stand: dict[int, int] = {}
        """Number -> pid of the node, of those that live."""
        self.tell: Callable[[Message], None] = lambda message: None
        """Sends home."""
        self._both = {program, herald}
        self._killed: set[int] = set()
        self._asked = False

    @property
    def is_there(self) -> bool:
        """Whether the herald lives."""
        return self._herald in self.stand

    @property
    def is_awaited(self) -> bool:
        """Whether there is to be one, and is not."""
        return self._herald > 0 and not self.is_there

    @property
    def is_asked(self) -> bool:
        """Whether it has not said everything yet."""
        return self._asked and self.is_there

    def ask(self) -> None:
        """Have the herald say what it has heard until now."""
        self._asked = True
        self._signal(FLUSH)

    def sent(self, number: int, signal_number: int) -> None:
        """A helper says that a process of the job sent it this."""
        if not signal_number:
            self._asked = False
        elif number != self._herald:
            self.tell(ShadowKill(number, signal_number, 0, []))
        else:
            by_themselves = []
            for other, pid in self.stand.items():
                with contextlib.suppress(ProcessLookupError):
                    by_themselves += [other] if os.getpgid(pid) == self.group else []
            self.tell(ShadowKill(0, signal_number, self._group_number, by_themselves))

    def reaped(self, number: int, status: int) -> None:
        """A wait status of a helper or the program. Who sent what cannot be caught is not known:
        it counts when it was for the whole group.
        """
        ended = not (os.WIFSTOPPED(status) or os.WIFCONTINUED(status))
        if number in self.stand and os.WIFSTOPPED(status):
            os.kill(self.stand[number], signal.SIGCONT)
            if number == self._herald:
                self.sent(number, signal.SIGSTOP)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self._killed.add(number)
            if number in self._both and self._both <= self._killed:
                self.sent(self._herald, signal.SIGKILL)
        if ended:
            self.stand.pop(number, None)
            if number == self._program:  # its group is orphaned when it would be without us
                self._signal(DISMISS)

    def _signal(self, number: int) -> None:
        if self.is_there:
            os.kill(self.stand[self._herald], number)


def attend(tell: Callable[[int], None]) -> None:
    """Wait for a child's news. `tell` hears meanwhile what the job sends us.

    All signals are blocked, so none is lost; those that came before the news are told before.
    """
    news = False
    while (info := signal.sigtimedwait(_ALL, 0) if news else signal.sigwaitinfo(_ALL)) is not None:
        if info.si_signo == signal.SIGCHLD:
            news = True
        elif _is_the_jobs(info):
            tell(info.si_signo)


def herald(tell: Callable[[int], None]) -> NoReturn:
    """Be the herald, until the program has ended. 0 is told when nothing else is left."""
    asked: set[int] = set()
    while DISMISS not in asked:
        info: signal.struct_siginfo | None = signal.sigwaitinfo(_ALL)
        asked = set()
        while info is not None:
            if info.si_code <= 0 and info.si_pid == 0 and info.si_signo in (DISMISS, FLUSH):
                asked.add(info.si_signo)
            else:
                _say(info, tell)
            info = signal.sigtimedwait(_ALL, 0)
        if asked:
            tell(0)
    os._exit(0)


def _say(info: signal.struct_siginfo, tell: Callable[[int], None]) -> None:
    stops = info.si_code == _SI_KERNEL and info.si_signo in _OF_THE_TERMINAL  # the whole group
    if stops or _is_the_jobs(info):
        tell(info.si_signo)


def _is_the_jobs(info: signal.struct_siginfo) -> bool:
    """Sent (sigaction(2), si_code) by somebody of our own namespace."""
    return info.si_code <= 0 and info.si_pid > 0


def be_the_users(uid: int, gid: int) -> None:
    """Whom the user may signal at home he may signal here."""
    if os.geteuid() == 0 and uid:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)

"""Signals that a job sends to home's processes: `kill $PPID`, `kill 0` (docs/shadows.md).

The helpers of a job's PID namespace stand for processes of home; one more, the *signal proxy*, is
in the program's group and stands for everybody else who is in it at home. What a process of the job
sends them is told to the supervisor, and home sends it to whom it is for. Signals from outside of
the namespace, which the supervisor sends to groups, and the kernel's own are for nobody at home.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from glunix.msg.base import Message
from glunix.msg.shadows import ShadowKill
from slic.kernel.pidfd import stat_fields

DISMISS = signal.SIGTRAP
FLUSH = signal.SIGSTKFLT
"""From the supervisor: the program has ended, go; or say what you have heard, and that there is no
more. What home sends of these goes to each process of the job, to no helper
(glunix.node.processes.signals)."""

_ALL = signal.valid_signals()
_OF_THE_TERMINAL = (signal.SIGTTIN, signal.SIGTTOU)
_UNCATCHABLE = (signal.SIGKILL, signal.SIGSTOP)
_SI_KERNEL = 0x80
_PF_EXITING = 4
"""Of the flags in /proc/PID/stat (proc(5); linux/sched.h)."""
_LOOKS = 20


class OutboundSignals:
    """The supervisor's side: who stands for home's processes, and what they were sent.

    Numbers are the job's own; `herald` and `leader` are 0 when there is none. The leader is the
    session's, and not the program's parent, who tells of the program after what he has heard.
    """

    def __init__(self, program: int, group_number: int, signal_proxy: int, leader: int = 0) -> None:
        self._program = program
        self._group_number = group_number
        self._signal_proxy = signal_proxy
        self._leader = leader
        self._stand: dict[int, tuple[int, int]] = {}
        """Number -> pid of the node and a pidfd, of those whose end was not told of: they may have
        ended, and been reaped by another helper."""
        self.tell: Callable[[Message], None] = lambda message: None
        """Sends home."""
        self._root = self._group = 0
        self._both = {program, signal_proxy}
        self._killed: set[int] = set()
        self._at_once = True
        self._asked: set[int] = set()
        self._has_ended = False

    def begins(self, pid: int) -> int:
        """The program is this pid of the node. Returns the group that it begins in, as another."""
        self._root = pid
        self._group = os.getpgid(pid)
        return self._group

    def stands(self, number: int, pid: int) -> None:
        """This helper is there; ProcessLookupError: not any more."""
        self._stand[number] = pid, os.pidfd_open(pid)

    @property
    def pids(self) -> set[int]:
        """Of the node, of all helpers that stand."""
        return {pid for pid, _ in self._stand.values()}

    @property
    def is_awaited(self) -> bool:
        """Whether there is to be a signal proxy, and is not."""
        return self._signal_proxy > 0 and self._signal_proxy not in self._stand

    @property
    def is_asked(self) -> bool:
        """Whether somebody has not said everything yet."""
        return not self._asked.isdisjoint(self._stand)

    @property
    def is_over(self) -> bool:
        """Whether program and signal proxy have ended, and all that was sent is told."""
        return self._has_ended and self._signal_proxy not in self._stand and not self.is_asked

    def ask(self) -> None:
        """Have those say what they have heard until now who do not tell of the program."""
        # It goes when the program has, so that the group is orphaned when it would be without us.
        for_herald = DISMISS if self._has_ended else FLUSH
        for number, word in ((self._signal_proxy, for_herald), (self._leader, FLUSH)):
            self._asked.add(number)
            self._signal(number, word)

    def sent(self, number: int, signal_number: int) -> None:
        """A helper says that a process of the job sent it this; 0: no more."""
        if signal_number in (DISMISS, FLUSH) and self.is_asked:
            self.ask()  # ours came while the job's waited, so it did not count (signal(7))
        if not signal_number:
            self._asked.discard(number)
        elif number != self._signal_proxy:
            self.tell(ShadowKill(number, signal_number, 0, []))
        else:
            spared = [] if signal_number in _UNCATCHABLE else self._speak_for_themselves()
            self.tell(ShadowKill(0, signal_number, self._group_number, spared))

    def _speak_for_themselves(self) -> list[int]:
        """Helpers that hear what is sent to the group, too."""
        found = []
        for number, (pid, _) in self._stand.items():
            with contextlib.suppress(ProcessLookupError):
                found += [number] if os.getpgid(pid) == self._group else []
        return found

    def reaped(self, number: int, status: int) -> None:
        """A wait status of a helper or the program. Who sent what cannot be caught is not known:
        it counts when it was for the whole group. Ends come in any order, and maybe twice.
        """
        if os.WIFSTOPPED(status):
            self._signal(number, signal.SIGCONT)
            if number == self._signal_proxy:
                self.sent(number, signal.SIGSTOP)
        if number in self._both - self._killed and _was_killed(status):
            self._is_killed(number)
        if not (os.WIFSTOPPED(status) or os.WIFCONTINUED(status)):
            if number in self._stand:
                os.close(self._stand.pop(number)[1])
            if number == self._program:
                self._has_ended = True
                self.ask()

    def _is_killed(self, number: int) -> None:
        """The program or the signal proxy was. A group is killed at once, by one call (killpg(2));
        a signal proxy that was killed alone says nothing about the program's end.
        """
        if number == self._signal_proxy and self._program not in self._killed:
            self._at_once = _is_dying(self._root)
        self._killed.add(number)
        if self._both <= self._killed and self._at_once:
            self.sent(self._signal_proxy, signal.SIGKILL)

    def _signal(self, number: int, signal_number: int) -> None:
        """Signal a helper, if it stands. SIGKILL for the program's group ends the signal proxy,
        too: it may be gone before the program's end is heard of.
        """
        if number in self._stand:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._stand[number][1], signal_number)


def _was_killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _is_dying(pid: int) -> bool:
    """Whether this process has been sent SIGKILL; where it is traced, nobody can say."""
    for _ in range(_LOOKS):
        try:
            fields = stat_fields(pid)
            with open(f"/proc/{pid}/status", "rb") as file:
                pending = int(file.read().partition(b"\nSigPnd:")[2].split()[0], 16)
        except OSError:
            return True  # it has been reaped
        is_ending = fields[0] in b"ZXt" or int(fields[6]) & _PF_EXITING
        if is_ending or pending >> (signal.SIGKILL - 1) & 1:
            return True
        time.sleep(0.001)  # it may be on its way between the two
    return False


def attend(tell: Callable[[int], None]) -> None:
    """Wait for news: of a child, or at an asynchronous descriptor (fcntl(2), O_ASYNC). `tell`
    hears meanwhile what the job sends us.

    All signals are blocked, so none is lost; those that came before the news are told before.
    """
    while not _heard(tell, news=signal.SIGCHLD) & {signal.SIGCHLD, signal.SIGIO}:
        pass


def signal_proxy(tell: Callable[[int], None]) -> NoReturn:
    """Be the signal proxy, until the program has ended."""
    while DISMISS not in _heard(tell, of_the_kernel=_OF_THE_TERMINAL):
        pass
    os._exit(0)


def _heard(
    tell: Callable[[int], None], news: int = 0, of_the_kernel: tuple[int, ...] = ()
) -> set[int]:
    """Wait for signals and take all that are there; returns those that are for us, as `news` is.

    `tell` hears the job's, of the kernel's these, and at last 0 if the supervisor wants to know.
    """
    ours: set[int] = set()
    info: signal.struct_siginfo | None = signal.sigwaitinfo(_ALL)
    while info is not None:
        number = info.si_signo
        if number == news or _is_the_supervisors(info) or _is_a_descriptors(info):
            ours.add(number)
        elif _is_the_jobs(info) or (info.si_code == _SI_KERNEL and number in of_the_kernel):
            tell(number)
        info = signal.sigtimedwait(_ALL, 0)
    if FLUSH in ours:
        tell(0)
    return ours


def _is_the_supervisors(info: signal.struct_siginfo) -> bool:
    return info.si_code <= 0 and info.si_pid == 0 and info.si_signo in (DISMISS, FLUSH)


def _is_a_descriptors(info: signal.struct_siginfo) -> bool:
    return info.si_code > 0 and info.si_signo == signal.SIGIO


def _is_the_jobs(info: signal.struct_siginfo) -> bool:
    """Sent (sigaction(2), si_code) by somebody of our own namespace."""
    return info.si_code <= 0 and info.si_pid > 0

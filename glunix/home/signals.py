"""The startup's signals: each catchable one becomes an event of its poll loop (paper 4.3).

Owns the dispositions. Python's C handler writes the number of every caught signal into a pipe
(signal.set_wakeup_fd), so none is lost and nothing runs asynchronously.
"""

from __future__ import annotations

import _signal
import _thread
import posix
import resource
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

STOPPING = (_signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU)

HARMLESS = (*STOPPING, _signal.SIGCONT, _signal.SIGURG, _signal.SIGWINCH)
"""Forwarded signals whose default action does not end a process (signal(7))."""

_NAMES = (
    "HUP", "INT", "QUIT", "TRAP", "ABRT", "USR1", "USR2", "ALRM", "TERM", "STKFLT", "CONT", "TSTP",
    "TTIN", "TTOU", "URG", "XCPU", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
)  # fmt: skip

FORWARDED = tuple(getattr(_signal, "SIG" + name) for name in _NAMES) + tuple(range(34, 65))
"""Everything that can be caught, except `OWN`."""

FAULTS = (_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL)
"""Blocked, one of our own ends us all the same (signal(7)), while a handler would return to what
failed, for ever."""


OWN = (*FAULTS, _signal.SIGCHLD, _signal.SIGPIPE, _signal.SIGXFSZ)
"""What the kernel may also send for what we do ourselves: only what others send is forwarded."""


def sent_by_others(info: _signal.struct_siginfo) -> bool:
    """Whether this one of `OWN` was (sigaction(2), si_code). SIGPIPE and SIGXFSZ of our own come in
    our own name."""
    if info.si_signo in (_signal.SIGPIPE, _signal.SIGXFSZ):
        return bool(info.si_pid != posix.getpid())
    return bool(info.si_code <= 0)


class Signals:
    """Catches; `read` returns what has come, in order of arrival as far as the kernel keeps one."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)

    def fileno(self) -> int:
        """For poll."""
        return self._read_fd

    def catch(self) -> None:
        """Catch all that are forwarded; what was ignored stays ignored."""
        self.listen()
        self.overhear()
        self._hear_own()

    def _hear_own(self) -> None:
        """Those of `OWN`, which no handler can tell from our own: a thread waits for them, blocked
        as they are. What Python ignores for itself (SIGPIPE, SIGXFSZ) is the program's to ignore.
        """
        pythons = (_signal.SIGPIPE, _signal.SIGXFSZ)
        ignored = _signal.SIG_IGN
        awaited = {n for n in OWN if n in pythons or _signal.getsignal(n) != ignored}
        before = _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
        try:
            _thread.start_new_thread(self._wait_for, (awaited,))
            before |= awaited
        except RuntimeError:
            pass  # no more tasks (RLIMIT_NPROC): these signals are ours alone, and do what they do
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)

    def _wait_for(self, awaited: set[int]) -> None:
        while True:
            info = _signal.sigwaitinfo(awaited)
            if sent_by_others(info):
                try:
                    posix.write(self._write_fd, bytes((info.si_signo,)))
                except BlockingIOError:
                    pass  # 65536 wait to be read

    @property
    def fds(self) -> tuple[int, int]:
        """The pipe's two ends."""
        return self._read_fd, self._write_fd

    def overhear(self) -> None:
        """Catch all that are forwarded, but leave it to another process to put them here."""
        for number in FORWARDED:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, _nothing)

    def leave(self) -> None:
        """Another process writes, and we have few descriptors: `listen` makes another pipe."""
        posix.close(self._write_fd)
        self._write_fd = -1

    def listen(self) -> None:
        """From now on those that this process gets count."""
        if self._write_fd < 0:
            come = bytes(self.read())
            fresh, self._write_fd = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
            posix.dup2(fresh, self._read_fd, inheritable=False)
            posix.close(fresh)
            posix.write(self._write_fd, come)
        _signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def read(self) -> list[int]:
        """The numbers that have come since the last call."""
        try:
            return list(posix.read(self._read_fd, 4096))
        except BlockingIOError:
            return []


def _nothing(number: int, frame: object) -> None:
    """Python wants a handler before it writes to the wake-up pipe."""


STOPPED = 85
"""ERESTART: the kernel is stopping us for this call; it is made again when the job goes on."""


class BeingStopped(Exception):
    """A call from the background made the kernel send our group SIGTTIN or SIGTTOU."""


def _raise(number: int, frame: object) -> None:
    raise BeingStopped


def as_background(number: int, call: Callable[[], T]) -> T:
    """Make a call that may stop a background process; BeingStopped instead of its restart.

    The startup catches the signal, so the kernel interrupts the call before it did anything, and
    Python would repeat it for ever. The signal is in the wake-up pipe: the job gets it, too.
    """
    before = _signal.getsignal(number)
    if before in (_signal.SIG_IGN, None):
        return call()  # the kernel says EIO, or lets it pass
    _signal.signal(number, _raise)
    try:
        return call()
    finally:
        _signal.signal(number, before)


def stop_self(number: int) -> None:
    """Stop as the default action of `number` would, so that the shell sees why. Returns on CONT."""
    if number == _signal.SIGSTOP:  # has no disposition to change
        posix.kill(posix.getpid(), number)
        return
    before = _signal.signal(number, _signal.SIG_DFL)
    try:
        posix.kill(posix.getpid(), number)
        # Where it is blocked, it is from now on until we go on.
        mask = _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [number])
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    finally:
        _signal.signal(number, before)


def die_of(number: int) -> None:
    """End by this signal's default action, without a core of our own."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number != _signal.SIGKILL:
        _signal.signal(number, _signal.SIG_DFL)
    posix.kill(posix.getpid(), number)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [number])


class PollSet:
    """Registers anew only when what is waited for has changed: most turns are like the last."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}
        self._poll = select.poll()

    def wait(self, wanted: dict[int, int], milliseconds: float | None) -> set[int]:
        """`wanted` is descriptor -> events; the descriptors that have some, or are closed."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._poll = select.poll()
            for fd, events in wanted.items():
                self._poll.register(fd, events)
        return {fd for fd, _ in self._poll.poll(milliseconds)}

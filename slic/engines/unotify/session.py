"""The supervisor's side of the `unotify` engine: calls that wait at a listener, and their answers.

Cores. A caller and the supervisor take turns, so each is woken on the core that the other leaves
(SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6): a core that sleeps takes longer to wake than most
calls to answer. But a call that came while the supervisor was at work for another caller comes
from another core, which sleeps by now: its caller is woken there. Else all callers gather on one
core and the others stay idle (measured: a parallel build with 140 caught calls a compilation took
2.25 times the native time, now 1.7).
"""

import errno
import fcntl
import os
import resource
import select
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from slic.engine import Host, Poller
from slic.engines.pending import Pending, PendingCalls
from slic.engines.tracee import UNSEEN, TaskTracee
from slic.engines.unotify.fastpath import SiftedPoll
from slic.interposer import Call
from slic.kernel import pidfd, seccomp, sieve
from slic.policy import Decision, Policy
from slic.syscalls import BY_NUMBER, by_number
from slic.tracee import CallGone
from slic.verdict import Continue, Fail, Return, ReturnFd

_NOTHING = bytes(seccomp.NOTIF.size)  # the kernel refuses anything but zeroes
_ioctl = fcntl.ioctl
_stat = os.stat
_unpack = seccomp.NOTIF.unpack
_pack = seccomp.RESPONSE.pack
_CONTINUE = seccomp.RESPONSE_CONTINUE
_usage = resource.getrusage
_THIS_THREAD = resource.RUSAGE_THREAD
_ERRNO_LIMIT = 4095
_FD_MASK = (1 << 32) - 1
WATCHED_MAX = 128
"""Threads that have asked once and are watched for their end, at most, besides those that wait."""


def _open_process(tid: int) -> int:
    """A pidfd of a thread's process. OSError ESRCH if it is gone."""
    try:
        return os.pidfd_open(tid)  # most that ask are the first of their process
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # a thread; kernels differ
            raise
    return os.pidfd_open(pidfd.process_of(tid))


def _led_to(tid: int, fd: int) -> os.stat_result | None:
    """What a descriptor of a caller leads to; None: for the handlers to find out.

    No check that the caller still waits: the answer to a call that is gone goes nowhere.
    """
    try:
        return _stat(f"/proc/{tid}/fd/{fd}")
    except OSError:
        return None


class NotifyTracee(TaskTracee):
    """A task whose call waits at the listener; valid while the notification is."""

    __slots__ = ("_cookie", "_listener", "led_to")

    def __init__(self, tid: int, listener: int, cookie: int) -> None:
        self.led_to: tuple[int, os.stat_result] | None = None
        """(descriptor, what it led to when the call was caught)."""
        self.tid = tid
        self._seen = UNSEEN
        self._listener = listener
        self._cookie = cookie

    def still_valid(self) -> bool:
        return seccomp.id_valid(self._listener, self._cookie)

    def fd_stat(self, fd: int) -> os.stat_result:
        if self.led_to is None or self.led_to[0] != fd:
            return super().fd_stat(fd)
        (_, seen), self.led_to = self.led_to, None
        self._check()
        return seen


class NotifySession:
    """One listener, one policy. `fileno` is an epoll of everything that can need a step."""

    reaps = False

    def __init__(
        self, listener: int, policy: Policy, host: Host, kept: socket.socket | None = None
    ) -> None:
        """Takes over the listener, and a socket to be kept open until the end."""
        self.ended = False
        self._kept = kept
        self.sync_wake_up = seccomp.set_sync_wake_up(listener, True)
        self._rests = 0
        self._elsewhere = False
        """Whether the call taken last came from another core."""
        self._listener = listener
        self._policy = policy
        self._pending = PendingCalls(host, self._carry, forgotten=self._unwatch)
        self._watched: dict[int, tuple[int, set[int]]] = {}
        """Thread: a pidfd of its process, its calls that wait."""
        self._about = policy.about
        self._sifted: SiftedPoll | None = None
        self._epoll = select.epoll()
        """Of all but the listener: a loop's own poll(2) on that saves two calls for each caught."""
        self._epoll.register(self._pending.wake, select.EPOLLIN)
        self._both: select.epoll | None = None

    # -- the loop's side ---------------------------------------------------------------------
    def sources(self) -> Mapping[int, Callable[[int], object]]:
        return {
            self._listener: self._listener_ready,
            self._epoll.fileno(): lambda _: self._other_ready(),
        }

    def poller(self, *folders: str) -> Poller | None:
        if self._sifted is None:
            library = sieve.load(*folders)
            if library is not None:
                made = sieve.Sieve(library, self._listener, self.sync_wake_up)
                self._sifted = SiftedPoll(made, self._about, self._policy.budgets, self._pending)
        return self._sifted

    def fileno(self) -> int:
        return self._all().fileno()

    def _all(self) -> select.epoll:
        if self._both is None:
            self._both = select.epoll()
            self._both.register(self._listener, select.EPOLLIN)
            self._both.register(self._epoll, select.EPOLLIN)
        return self._both

    def step(self) -> bool:
        for fd, events in self._all().poll(0, 1) if not self.ended else ():
            if fd == self._listener:
                return self._listener_ready(events)
            return self._other_ready()
        return False

    def _other_ready(self) -> bool:
        for fd, _ in self._epoll.poll(0, 1):
            if fd == self._pending.wake:
                self._pending.collect()
            else:
                self._process_died(fd)
            return True
        return False

    def serve(self) -> None:
        """Answer until the last process is gone; blocks. For supervisors with no other loop."""
        while not self.ended:
            if self._pending.calls:
                self._all().poll()
                self.step()
            elif not self._receive() and self._hung_up():
                self.ended = True

    def answer(self, call_id: int, value: Any) -> bool:
        self._elsewhere = False  # that was of another call; this one has slept for long
        return self.still_valid(call_id) and self._pending.answer(call_id, value)

    def still_valid(self, call_id: int) -> bool:
        pending = self._pending.calls.get(call_id)
        if pending is None:
            return False
        if pending.tracee.still_valid():
            return True
        self._pending.cancel(call_id)
        return False

    def sweep(self) -> None:
        for call_id in list(self._pending.calls):
            self.still_valid(call_id)

    def close(self) -> None:
        self.ended = True
        if self._listener < 0:
            return
        with ExitStack() as all_of_it:  # whatever handlers raise
            all_of_it.callback(self._epoll.close)
            if self._both is not None:
                all_of_it.callback(self._both.close)
            listener, self._listener = self._listener, -1
            all_of_it.callback(os.close, listener)
            if self._kept is not None:
                all_of_it.callback(self._kept.close)
            all_of_it.callback(self._pending.close)
            for fd, _ in self._watched.values():
                all_of_it.callback(os.close, fd)
            self._watched = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- events ------------------------------------------------------------------------------
    def _listener_ready(self, events: int) -> bool:
        if events & select.EPOLLIN:
            return self._receive()
        self.ended = True  # EPOLLHUP: no task is left under the filter
        self.sweep()
        return False

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        return any(events & select.POLLHUP for _, events in poll.poll(0))

    def _receive(self) -> bool:
        """Take one notification and decide it; False if there was none after all."""
        if self._sifted is not None and (taken := self._sifted.take()) is not None:
            got, self._elsewhere = taken
            return self._decide(got)
        try:
            got = _ioctl(self._listener, seccomp.IOCTL_RECV, _NOTHING)
        except (FileNotFoundError, InterruptedError):
            return False  # the caller was interrupted or died meanwhile, or we were
        rests = _usage(_THIS_THREAD).ru_nvcsw
        self._elsewhere = rests == self._rests and self.sync_wake_up
        self._rests = rests
        return self._decide(got)

    def _decide(self, got: bytes) -> bool:
        cookie, tid, number, *args = _unpack(got)
        if self._pending.calls and (old := self._pending.of_task(tid)) is not None:
            self._pending.cancel(old)  # a thread makes one call at a time
        about, seen = self._about.get(number), None
        if about is not None:
            fd = args[about.register] & _FD_MASK
            seen = _led_to(tid, fd)
            if seen is not None and not about.concerns(seen):
                return self._let_through(cookie)
        call = Call(BY_NUMBER.get(number) or by_number(number), tuple(args), cookie)
        tracee = NotifyTracee(tid, self._listener, cookie)
        if seen is not None:
            tracee.led_to = (fd, seen)
        try:
            decided = self._policy.decide(call, tracee)
            if type(decided) is Decision:
                self._carry(call, tracee, decided)
            else:
                self._pending.start(call, tracee, decided)  # type: ignore[arg-type]
                self._watch(call.id)
        except CallGone:
            pass
        return True

    def _let_through(self, cookie: int) -> bool:
        if self._elsewhere:
            self._send(cookie, 0, _CONTINUE)
            return True
        try:
            _ioctl(self._listener, seccomp.IOCTL_SEND, _pack(cookie, 0, 0, _CONTINUE))
        except FileNotFoundError:
            pass
        except InterruptedError:
            self._send(cookie, 0, _CONTINUE)
        return True

    def _watch(self, call_id: int) -> None:
        """Hear of the death of the process that asks, if it still does."""
        pending = self._pending.calls.get(call_id)
        if pending is None:
            return
        tid = pending.tracee.tid
        watched = self._watched.get(tid)
        if watched is None:
            try:
                watched = self._watched[tid] = (_open_process(tid), set())
            except ProcessLookupError:
                self._pending.cancel(call_id)
                return
            self._epoll.register(watched[0], select.EPOLLIN)
            self._trim()
        watched[1].add(call_id)

    def _unwatch(self, pending: Pending) -> None:
        """It may ask again: its process stays watched until it dies."""
        watched = self._watched.get(pending.tracee.tid)
        if watched is not None:
            watched[1].discard(pending.call.id)

    def _trim(self) -> None:
        """Forget those that have asked nothing for longest."""
        if len(self._watched) > WATCHED_MAX:
            idle = [tid for tid, (_, calls) in self._watched.items() if not calls]
            for tid in idle[: len(idle) // 2 + 1]:
                self._forget(tid)

    def _forget(self, tid: int) -> set[int]:
        fd, calls = self._watched.pop(tid)
        self._epoll.unregister(fd)
        os.close(fd)
        return calls

    def _process_died(self, fd: int) -> None:
        for tid in [tid for tid, (dead, _) in self._watched.items() if dead == fd]:
            for call_id in self._forget(tid):
                if self.still_valid(call_id):  # of another, which has its number already
                    self._watch(call_id)

    # -- answers -----------------------------------------------------------------------------
    def _carry(self, call: Call, tracee: TaskTracee, decision: Decision) -> bool:
        """Send the verdict; False if the call is gone."""
        verdict = decision.verdict
        try:
            if type(verdict) is Continue:
                return self._send(call.id, 0, _CONTINUE)
            if type(verdict) is ReturnFd:
                return self._carry_fd(call, tracee, decision, verdict)
            if type(verdict) is Return:
                value = verdict.value
            else:
                assert isinstance(verdict, Fail), verdict  # `check` refused the others' needs
                value = -verdict.errno
            if self._policy.wants_result(call.syscall.number):
                value = self._policy.result(call, tracee, value, decision.depth)
            return self._send(call.id, value, 0)
        except CallGone:
            return False

    def _send(self, cookie: int, value: int, flags: int) -> bool:
        # A negative errno in `val` would also do, but strace shows `error` as what it is.
        error = value if -_ERRNO_LIMIT <= value < 0 else 0
        if self._elsewhere:
            seccomp.set_sync_wake_up(self._listener, False)
        try:
            seccomp.send(self._listener, _pack(cookie, 0 if error else value, error, flags))
        except FileNotFoundError:
            return False
        finally:
            if self._elsewhere:
                seccomp.set_sync_wake_up(self._listener, True)
        return True

    def _carry_fd(
        self, call: Call, tracee: TaskTracee, decision: Decision, verdict: ReturnFd
    ) -> bool:
        wants = self._policy.wants_result(call.syscall.number)
        # A pipe's end that we still hold is no end of file for its reader, so our copy must be
        # closed before the program goes on: install, close, then answer (a signal in between
        # leaves the program a descriptor it does not know of). All else in one step.
        wants |= verdict.close and stat.S_ISFIFO(os.fstat(verdict.fd).st_mode)
        flags = 0 if wants else seccomp.ADDFD_SEND
        flags |= 0 if verdict.at is None else seccomp.ADDFD_SETFD
        try:
            value = seccomp.add_fd(
                self._listener, call.id, flags, verdict.fd, verdict.at or 0, verdict.cloexec
            )
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBADF):
                raise
            # The caller's table is full (EMFILE), or `at` is beyond its limit (EBADF).
            value, wants = -error.errno, True
        finally:
            if verdict.close:
                os.close(verdict.fd)
        if not wants:
            return True
        value = self._policy.result(call, tracee, value, decision.depth)
        return self._send(call.id, value, 0)

"""The `unotify` engine: seccomp user notification (seccomp_unotify(2)).

Can INSPECT, RETURN and ADD_FD. Subscribed calls wait in the kernel until the supervisor answers;
others never leave the program. ptrace stays free: gdb and strace work on the program.

Interruption. A waiting call is interrupted by every signal with a handler, by a stop and by death
(no WAIT_KILLABLE: a terminal read must be interruptible). The kernel sends no event for that. The
host hears `cancelled`
- at once when the process dies (a pidfd of every asking process is watched),
- at the next caught call of the same thread (a restarted call, or one in the signal handler),
- when `answer`, `still_valid` or `sweep` look (one ioctl, 0.2 us): a host that itself delivers a
  signal to the program calls `sweep` after it.
A window remains in the kernel, under a microsecond: the answer is accepted while the caller, woken
by a signal, has not yet taken itself off; the program then sees EINTR (or restarts) although
`answer` said True, and nothing tells the supervisor. Measured: one in 100,000 to 250,000 answers
to a program that gets a signal every 500 us, on a loaded machine. The ptrace engines have none.

The interruption is the kernel's, so in a program with handlers without SA_RESTART any subscribed
call can fail with EINTR for the moment it waits, also one that natively never does: subscribe
narrowly (`where`). rt_sigreturn would not survive it and is never caught, whatever the policy says.

Privilege. Root (CAP_SYS_ADMIN) installs without no_new_privs, so setuid programs keep working:
call `install` before dropping privileges. Otherwise no_new_privs is set and they do not.

Ending. Closing the session, or the supervisor's death, closes the listener: calls that wait and
every later subscribed call fail with ENOSYS, nothing is stopped and nothing hangs. A host that
wants the program dead with its supervisor sets PR_SET_PDEATHSIG in the child.
"""

import errno
import fcntl
import os
import select
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from slic.engine import Capability, EngineUnavailable, Host, begin
from slic.engines.filter import compile_filter
from slic.engines.pending import Pending, PendingCalls
from slic.engines.tracee import UNSEEN, TaskTracee
from slic.interposer import Call
from slic.kernel import pidfd, seccomp
from slic.policy import Decision, Policy
from slic.syscalls import BY_NAME, BY_NUMBER, by_number
from slic.tracee import CallGone
from slic.verdict import Continue, Fail, Return, ReturnFd

_NOTHING = bytes(seccomp.NOTIF.size)  # the kernel refuses anything but zeroes
_ioctl = fcntl.ioctl
_stat = os.stat
_unpack = seccomp.NOTIF.unpack
_pack = seccomp.RESPONSE.pack
_CONTINUE = seccomp.RESPONSE_CONTINUE
_ERRNO_LIMIT = 4095
_FD_MASK = (1 << 32) - 1
WATCHED_MAX = 128
"""Threads that have asked once and are watched for their end, at most, besides those that wait."""
INSTALL_SECONDS = 10.0
RT_SIGRETURN = BY_NAME["rt_sigreturn"].number
_UCRED = struct.Struct("=3i")


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
        self.sync_wake_up = seccomp.set_sync_wake_up(listener)
        self._listener = listener
        self._policy = policy
        self._pending = PendingCalls(host, self._carry, forgotten=self._unwatch)
        self._watched: dict[int, tuple[int, set[int]]] = {}
        """Thread: a pidfd of its process, its calls that wait."""
        self._about = policy.about
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
        try:
            got = _ioctl(self._listener, seccomp.IOCTL_RECV, _NOTHING)
        except (FileNotFoundError, InterruptedError):
            return False  # the caller was interrupted or died meanwhile, or we were
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
        try:
            seccomp.send(self._listener, _pack(cookie, 0 if error else value, error, flags))
        except FileNotFoundError:
            return False
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


class NotifyLaunch:
    """`install` in the child, `session` in the parent; the two speak over a socket pair."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        wanted = policy.subscription()
        calls = {nr: tests for nr, tests in wanted.calls.items() if nr != RT_SIGRETURN}
        program = compile_filter(replace(wanted, calls=calls), seccomp.RET_USER_NOTIF)
        self._program = seccomp.assemble(program)
        self._parent, self._child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The kernel then tells the child's pid as the parent sees it, PID namespaces included.
        self._parent.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def install(self) -> None:
        """Put the filter on this (single-threaded) process. OSError if the kernel refuses.

        The parent fetches the listener itself (pidfd_getfd): the child could not send it if the
        policy catches the very calls that sending takes.
        """
        self._parent.close()
        expected = os.dup(self._child.fileno())  # the lowest free number, so the listener's
        os.close(expected)
        self._child.send(struct.pack("=i", expected))
        try:
            listener = seccomp.install_privileged(self._program, seccomp.FLAG_NEW_LISTENER)
        except OSError as error:
            self._child.send(struct.pack("=i", -(error.errno or errno.EINVAL)))
            raise
        # From here on calls may be caught: the parent answers them.
        self._child.send(struct.pack("=i", listener))
        taken = self._child.recv(1)
        os.close(listener)  # a copy here would keep calls waiting after the supervisor's death
        self._child.close()
        if not taken:
            raise ConnectionAbortedError("the supervisor is gone")

    def session(self, host: Host) -> NotifySession:
        self._child.close()
        try:
            listener = self._fetch()
        except BaseException:
            self._parent.close()
            raise
        self._parent.send(b"+")
        # Our end stays open as long as the session: the child may still be held in its send.
        return NotifySession(listener, self._policy, host, self._parent)

    def close(self) -> None:
        self._parent.close()
        self._child.close()

    def _fetch(self) -> int:
        """The listener, taken out of the child as soon as it is there."""
        self._parent.settimeout(INSTALL_SECONDS)
        data, ancillary, _, _ = self._parent.recvmsg(4, socket.CMSG_SPACE(_UCRED.size))
        if not data:
            raise EngineUnavailable("the child ended before it installed the filter")
        pid = next(_UCRED.unpack(body)[0] for _, _, body in ancillary)
        (expected,) = struct.unpack("=i", data)
        process = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(self._parent, select.POLLIN)
        try:
            # The child's word comes at once unless the policy catches send itself: then the
            # listener already exists though nothing is heard, so look for it every millisecond.
            for _ in range(int(INSTALL_SECONDS * 1000)):
                heard = bool(poll.poll(1))
                self._refused(heard)
                try:
                    return self._taken(process, expected)
                except OSError as error:
                    if error.errno == errno.ESRCH or (heard and error.errno == errno.EBADF):
                        raise EngineUnavailable("the child died while installing") from error
                    if error.errno != errno.EBADF:
                        raise EngineUnavailable(f"cannot take the listener: {error}") from error
        finally:
            os.close(process)
        raise EngineUnavailable(f"no listener within {INSTALL_SECONDS} s")

    def _refused(self, heard: bool) -> None:
        if not heard:
            return
        data = self._parent.recv(4, socket.MSG_PEEK)
        if data and (code := struct.unpack("=i", data)[0]) < 0:
            raise EngineUnavailable(f"the kernel refused the filter: {os.strerror(-code)}")

    @staticmethod
    def _taken(process: int, expected: int) -> int:
        listener = pidfd.getfd(process, expected)
        if os.readlink(f"/proc/self/fd/{listener}") != seccomp.LISTENER_LINK:
            os.close(listener)
            raise OSError(errno.EBADF, "not the listener")
        return listener


class NotifyEngine:
    """See the module."""

    name = "unotify"
    capabilities = Capability.INSPECT | Capability.RETURN | Capability.ADD_FD
    reaps = False

    def unavailable(self) -> str | None:
        if not seccomp.action_available(seccomp.RET_USER_NOTIF):
            return "the kernel has no seccomp user notification (5.0 and CONFIG_SECCOMP_FILTER)"
        try:
            os.close(pidfd.getfd(own := os.pidfd_open(os.getpid()), own))
            os.close(own)
        except OSError as error:
            return f"the kernel has no usable pidfd_getfd (5.6): {error}"
        return None

    def prepare(self, policy: Policy) -> NotifyLaunch:
        begin(policy, self)
        return NotifyLaunch(policy)

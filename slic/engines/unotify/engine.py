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
import os
import select
import socket
import struct
from dataclasses import replace

from slic.engine import Capability, EngineUnavailable, Host, begin
from slic.engines.filter import compile_filter
from slic.engines.unotify.session import NotifySession
from slic.kernel import pidfd, seccomp
from slic.policy import Policy
from slic.syscalls import BY_NAME

INSTALL_SECONDS = 10.0
RT_SIGRETURN = BY_NAME["rt_sigreturn"].number
_UCRED = struct.Struct("=3i")


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
    capabilities = Capability.INSPECT | Capability.RETURN | Capability.ADD_FD | Capability.HOLD
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

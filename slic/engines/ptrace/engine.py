"""The ptrace engines: `ptrace` stops at every call, `ptrace-seccomp` only at subscribed ones.

Both can everything. `ptrace-seccomp` installs a filter that sends subscribed calls to the tracer
(SECCOMP_RET_TRACE, ptrace(2)); `ptrace` needs none, so it alone can be put on a running program.
The tracer's slot is taken: gdb and strace inside the program fail with EPERM.

Interruption. A call whose handler waits runs `pause` in its stead (see `session`), so
signals, stops and death end it at once, as events: `cancelled` is never late, and the kernel
decides about restarting. In an attached program a waiting call is instead held stopped, where only
death interrupts it.

Embedding. Stops are told by SIGCHLD (`slic.kernel.sigchld`): make the session in the main thread.

Limits. A program can let a child escape `ptrace` by clone with CLONE_UNTRACED (under
`ptrace-seccomp` that child's subscribed calls fail with ENOSYS). Handing in a descriptor makes the
caller use two more descriptors for a moment. The kernel queues even a signal that a traced program
ignores (SIGCHLD, mostly), so it interrupts a waiting call: the call restarts unseen, but one that
has done part of its work comes back short (recv with MSG_WAITALL), as under strace.

Ending. If the supervisor dies, programs it started are killed (PTRACE_O_EXITKILL); attached ones
go on natively. `close` detaches: programs go on, under `ptrace-seccomp` with ENOSYS for subscribed
calls, and a call that waited for an answer starts over natively.
"""

import os
import socket
import struct
from pathlib import Path

from slic.engine import Capability, EngineUnavailable, Host, begin
from slic.engines.filter import compile_filter
from slic.engines.ptrace.session import PtraceSession
from slic.kernel import ptrace as pt
from slic.kernel import seccomp
from slic.kernel.pidfd import stat_fields, status_fields
from slic.policy import Policy

EVERYTHING = (
    Capability.INSPECT
    | Capability.RETURN
    | Capability.ADD_FD
    | Capability.REWRITE
    | Capability.EXIT
    | Capability.INJECT
    | Capability.PROCESS
    | Capability.SIGNAL
    | Capability.HOLD
)
INSTALL_SECONDS = 10.0
_UCRED = struct.Struct("=3i")


class PtraceLaunch:
    """The child waits until it is traced, then puts its filter on (if the engine has one)."""

    def __init__(self, policy: Policy, program: bytes | None) -> None:
        self._policy = policy
        self._program = program
        self._parent, self._child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._parent.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def install(self) -> None:
        """In the child. ConnectionAbortedError if the supervisor is gone, OSError if refused."""
        self._parent.close()
        self._child.send(b"?")
        traced = self._child.recv(1)
        self._child.close()
        if not traced:
            raise ConnectionAbortedError("the supervisor does not trace")
        if self._program is not None:
            seccomp.install_privileged(self._program, 0)

    def session(self, host: Host) -> PtraceSession:
        self._child.close()
        with self._parent:
            self._parent.settimeout(INSTALL_SECONDS)
            data, ancillary, _, _ = self._parent.recvmsg(1, socket.CMSG_SPACE(_UCRED.size))
            if not data:
                raise EngineUnavailable("the child ended before it could be traced")
            pid = next(_UCRED.unpack(body)[0] for _, _, body in ancillary)
            session = PtraceSession(self._policy, host, pid, self._program is None, parks=True)
            try:
                session.seize(pid, exit_kill=True)
            except OSError as error:
                session.close()
                raise EngineUnavailable(f"the kernel refuses to trace: {error}") from error
            self._parent.send(b"+")
        return session

    def close(self) -> None:
        self._parent.close()
        self._child.close()


def _probe() -> str | None:
    """Can this process trace a child of its own and read its calls?"""
    if not hasattr(os, "WIFSTOPPED") or os.uname().machine != "x86_64":
        return "only x86-64 is known"
    ready, hold = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(hold)
        os.read(ready, 1)
        os._exit(0)
    os.close(ready)
    try:
        pt.request(pt.SEIZE, pid, 0, pt.O_EXITKILL)
        pt.request(pt.INTERRUPT, pid)
        os.waitpid(pid, pt.WALL)
        pt.syscall_info(pid)
        pt.request(pt.DETACH, pid)
    except OSError as error:
        return f"ptrace is refused or too old (5.3 needed): {error}"
    finally:
        os.close(hold)
        os.waitpid(pid, 0)
    return None


class PtraceEngine:
    """Every call of every task stops."""

    name = "ptrace"
    capabilities = EVERYTHING
    reaps = True

    def unavailable(self) -> str | None:
        return _probe()

    def prepare(self, policy: Policy) -> PtraceLaunch:
        begin(policy, self)
        return PtraceLaunch(policy, None)

    def attach(self, policy: Policy, pid: int, host: Host) -> PtraceSession:
        """Put a policy on a running process and all its descendants; `close` detaches.

        OSError if the process does not exist or may not be traced (then nothing is).
        """
        begin(policy, self)
        session = PtraceSession(policy, host, pid, every=True, parks=False)
        try:
            session.seize(pid, exit_kill=False)
            over: set[int] = set()
            while new := _tasks_under(pid) - session.tasks.keys() - over:
                for tid in new:
                    try:
                        session.seize(tid, exit_kill=False)
                    except ProcessLookupError:
                        over.add(tid)
                    except PermissionError:
                        if _is_ours(tid):
                            session.adopt(tid)
                        elif _has_ended(tid):
                            over.add(tid)
                        else:
                            raise
        except BaseException:
            session.close()
            raise
        return session


class PtraceSeccompEngine:
    """Only subscribed calls stop: a filter sends them to the tracer."""

    name = "ptrace-seccomp"
    capabilities = EVERYTHING
    reaps = True

    def unavailable(self) -> str | None:
        if not seccomp.action_available(seccomp.RET_TRACE):
            return "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)"
        return _probe()

    def prepare(self, policy: Policy) -> PtraceLaunch:
        begin(policy, self)
        program = compile_filter(policy.subscription(), seccomp.RET_TRACE, results=True)
        return PtraceLaunch(policy, seccomp.assemble(program))


def _tasks_under(pid: int) -> set[int]:
    """Every thread of a process and of its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int(stat_fields(int(entry.name))[1])
            except ProcessLookupError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        process = todo.pop()
        todo += children.get(process, ())
        try:
            found.update(int(tid) for tid in os.listdir(f"/proc/{process}/task"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _has_ended(tid: int) -> bool:
    """Is the task gone, or a zombie? The kernel refuses to trace one with EPERM, too."""
    try:
        return stat_fields(tid)[0] in b"ZX"
    except ProcessLookupError:
        return True


def _is_ours(tid: int) -> bool:
    """Is this task already traced by this very process (attached through its parent's fork)?"""
    try:
        return int(status_fields(tid)["TracerPid"]) == os.getpid()
    except ProcessLookupError:
        return False

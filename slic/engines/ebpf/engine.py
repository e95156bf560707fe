"""The `ebpf` engine: BPF programs at the kernel's tracepoints tell what happens.

Can INSPECT, EXIT, PROCESS and SIGNAL, but holds nothing (no HOLD): no call waits for a handler, so
nothing is answered, and handlers hear of it microseconds later, when the program has gone on. What
text arguments lead to is copied as the call begins (4,096 bytes of a string, 65 of a buffer); other
memory is BadAddress. What a tally counts is counted in the kernel, without an event.

Costs. Nothing while no subscribed call is made but the tracepoints themselves (docs/ebpf.md). The
program is never slowed down by a slow handler: what does not fit into the ring then is lost, and
`serve` says how many events were. Lives that were lost are found by a sweep; a lost one never keeps
a session from its end.

Attaching takes a running tree as it is, without stopping it, and leaves it so.

Privilege: CAP_BPF and CAP_PERFMON, or root. ptrace and seccomp stay free: gdb and strace work on
the program, and programs that are confined or privileged are seen as others are.

Ending. The programs are this process's and end with it, however it does; the program that is
observed goes on and feels nothing.
"""

import os
import socket
import struct

from slic.ebpf import loader
from slic.ebpf.layout import CALLS, NONE, Want
from slic.ebpf.monitor import Monitor, Texts, Watch
from slic.engine import Capability, EngineUnavailable, Host, begin
from slic.engines.ebpf.session import EbpfSession
from slic.interposer import Kind, ProcessEvent
from slic.policy import Policy
from slic.syscalls import BY_NAME, Syscall

INSTALL_SECONDS = 10.0
RING = 1 << 24
_UCRED = struct.Struct("=3i")
_BEGINS, _ENDS = 1, 2
_SIZES = ("count", "len", "bufsiz")
NO_TEXT = {"shmat", "shmdt", "mincore", "seccomp"}


def wanted(policy: Policy) -> tuple[Want, bytes]:
    """What a policy is to be told, and of which calls (a byte a number, as `Monitor` takes it)."""
    subscription = policy.subscription()
    want = Want.LIVES
    calls = bytearray(CALLS)
    for interposer, handler in policy.handlers():
        if handler.kind not in (Kind.CALL, Kind.RESULT):
            continue
        if interposer.tally() is not None:
            want |= Want.COUNTS
            continue
        want |= Want.CALLS
        for name in BY_NAME if handler.every else handler.calls:
            # A result tells the text, too, where the page was not there when the call began.
            both = handler.kind is Kind.RESULT or texts_of(BY_NAME[name]) is not None
            calls[BY_NAME[name].number] |= _BEGINS | _ENDS if both else _BEGINS
    if ProcessEvent.STOP in subscription.events:
        want |= Want.STOPS
    if subscription.signals is not None:
        want |= Want.DELIVERIES
    return want, bytes(calls)


def texts_of(syscall: Syscall) -> Texts | None:
    """Which arguments of a call lead to text, by the table of calls; None: none does."""
    names = [argument.name for argument in syscall.arguments]
    size = next((i for i, name in enumerate(names) if name in _SIZES), NONE)
    strings, buffer, filled = [], NONE, NONE
    for index, argument in enumerate(syscall.arguments):
        if syscall.name in NO_TEXT or argument.ctype not in ("char *", "const char *"):
            continue
        if argument.name == "buf" and size != NONE:
            if argument.ctype == "const char *":
                buffer = index
            else:
                filled = index
        elif argument.ctype == "const char *" or size == NONE:
            strings.append(index)
    if not strings and buffer == filled == NONE:
        return None
    return Texts(tuple(strings), buffer, size if buffer != NONE else NONE, filled)


def _monitor(policy: Policy) -> tuple[Monitor, Want, bytes]:
    want, calls = wanted(policy)
    try:
        monitor = Monitor(want, slots=1, ring=RING)
        if want & Want.CALLS:
            shapes = {c.number: t for c in BY_NAME.values() if (t := texts_of(c)) is not None}
            monitor.describe_calls(shapes)
    except OSError as error:
        raise EngineUnavailable(loader.explained(error)) from error
    return monitor, want, calls


class EbpfLaunch:
    """The child waits in `install` until it is watched: its execve is the first that is seen."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._monitor, self._want, self._calls = _monitor(policy)
        self._taken = False
        self._parent, self._child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._parent.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def install(self) -> None:
        """In the child. ConnectionAbortedError if the supervisor is gone."""
        self._parent.close()
        self._child.send(b"?")
        watched = self._child.recv(1)
        self._child.close()
        if not watched:
            raise ConnectionAbortedError("the supervisor does not watch")

    def session(self, host: Host) -> EbpfSession:
        self._child.close()
        with self._parent:
            self._parent.settimeout(INSTALL_SECONDS)
            data, ancillary, _, _ = self._parent.recvmsg(1, socket.CMSG_SPACE(_UCRED.size))
            if not data:
                raise EngineUnavailable("the child ended before it could be watched")
            pid = next(_UCRED.unpack(body)[0] for _, _, body in ancillary)
            watch = _watch(self._monitor, pid, self._want, self._calls, launching=True)
            self._taken = True
            session = EbpfSession(self._policy, host, self._monitor, watch)
            self._parent.send(b"+")
        return session

    def close(self) -> None:
        self._parent.close()
        self._child.close()
        if not self._taken:
            self._monitor.close()


def _watch(monitor: Monitor, pid: int, want: Want, calls: bytes, launching: bool) -> Watch:
    try:
        return monitor.watch_tree(pid, want, calls, launching)
    except ProcessLookupError:
        raise
    except OSError as error:
        raise EngineUnavailable(loader.explained(error)) from error


class EbpfEngine:
    """See the module."""

    name = "ebpf"
    capabilities = (
        Capability.INSPECT | Capability.EXIT | Capability.PROCESS | Capability.SIGNAL
    )  # fmt: skip
    reaps = False

    def unavailable(self) -> str | None:
        if os.uname().machine != "x86_64":
            return "only x86-64 is known"
        # Two of the programs: all together take longer than most runs. `prepare` says of the rest.
        return loader.unavailable(("on_exit", "on_enter"))

    def programs(self) -> list[loader.Finding]:
        """Each BPF program, tried by itself, with the kernel's own words."""
        return loader.probe()

    def prepare(self, policy: Policy) -> EbpfLaunch:
        begin(policy, self)
        return EbpfLaunch(policy)

    def attach(self, policy: Policy, pid: int, host: Host) -> EbpfSession:
        """Observe a running process and all its descendants; nobody is stopped.

        OSError ESRCH if there is no such process.
        """
        begin(policy, self)
        monitor, want, calls = _monitor(policy)
        try:
            watch = _watch(monitor, pid, want, calls, launching=False)
            return EbpfSession(policy, host, monitor, watch)
        except BaseException:
            monitor.close()
            raise

"""`forks`: whoever makes processes waits until the number of the next one is settled.

Has no form of its own on the command line: a supervisor that chooses pids (glunix.node.numbers)
puts it into its policy. fork, vfork, clone and clone3 are seen, threads told apart; the kernel
makes the call. So are execve and execveat, after which a process looks different (proc(5)).

Limits. That a clone has failed, or was interrupted and is made again, is not seen here.
"""

from typing import Protocol

from msgspec import Struct

from slic.interposer import Call, Interposer, on
from slic.tracee import BadAddress, Tracee
from slic.verdict import PASS, Asking, Capability, Verdict

CLONE_THREAD = 0x10000


class NextNumber(Struct, frozen=True):
    """A question to the host: answered with anything once the next process may be made."""

    thread: bool


class Numbers(Protocol):
    """Who chooses."""

    def take(self, tid: int, thread: bool) -> bool:
        """A thread makes a process (or thread). True: it may; False: it has to ask."""

    def execs(self, tid: int) -> None:
        """A thread is about to execute a program."""


class Forks(Interposer):
    """Never answers a call; holds some for a moment."""

    confines = False

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    @on("fork", "vfork", needs=Capability.INSPECT)
    def fork(self, tracee: Tracee) -> Verdict | Asking:
        return PASS if self._numbers.take(tracee.tid, False) else self._wait(False)

    @on("clone", "clone3", needs=Capability.INSPECT)
    def clone(self, tracee: Tracee, call: Call) -> Verdict | Asking:
        flags = call.args[0]
        if call.name == "clone3":
            try:
                flags = int.from_bytes(tracee.read(flags, 8), "little")
            except BadAddress:
                return PASS  # the kernel says EFAULT
        thread = bool(flags & CLONE_THREAD)
        return PASS if self._numbers.take(tracee.tid, thread) else self._wait(thread)

    def _wait(self, thread: bool) -> Asking:
        yield NextNumber(thread)
        return PASS

    @on("execve", "execveat", needs=Capability.INSPECT)
    def execute(self, tracee: Tracee) -> Verdict:
        self._numbers.execs(tracee.tid)
        return PASS

"""Makes a stopped task perform calls of ours: for Inject questions and for handing in descriptors.

Works at a syscall stop and waits for the task meanwhile (the injected calls must not block), with
the task's signals blocked. Other threads of the program may see the descriptors that are used in
passing. The caller's own registers are put back by `Injection.leave`.
"""

import errno
import os
import signal
import socket
import struct
from array import array
from collections.abc import Callable
from types import TracebackType
from typing import Self

from slic.kernel import memory, pidfd
from slic.kernel import ptrace as pt
from slic.syscalls import BY_NAME
from slic.tracee import CallGone
from slic.verdict import ReturnFd

SYSCALL_TRAP = signal.SIGTRAP | 0x80
RED_ZONE = 128
SCRATCH = 256
F_DUPFD, F_DUPFD_CLOEXEC, F_SETFD = 0, 1030, 2
MSG_CMSG_CLOEXEC = 0x40000000
_ERRNO_LIMIT = 4095


class Injection:
    """A task at a syscall stop, borrowed. A context manager: registers and mask come back.

    `caught` is the number of the call that the task itself makes: if an exception ends the block
    it starts over as soon as the task is let go. `died` is told the wait status if the task ends
    meanwhile (then CallGone is raised).
    """

    def __init__(self, tid: int, at_entry: bool, caught: int, died: Callable[[int], None]) -> None:
        self.tid = tid
        self._at_entry = at_entry
        self._caught = caught
        self._died = died
        self._held: list[int] = []

    def __enter__(self) -> Self:
        self._registers = pt.registers(self.tid)
        self._mask = pt.signal_mask(self.tid)
        pt.set_signal_mask(self.tid, pt.WORD)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is CallGone:
            return
        if kind is not None:
            self._registers.orig_rax = self._caught
            if not self._at_entry:
                self._registers.rax = -pt.ERESTARTSYS & pt.WORD
            pt.set_registers(self.tid, self._registers)
        pt.set_signal_mask(self.tid, self._mask)
        process = pidfd.process_of(self.tid)
        for number in self._held:
            pt.tgkill(process, self.tid, number)

    def call(self, name: str, *args: int) -> int:
        """Perform one call in the task; its raw result. Ends at the call's exit stop."""
        number = BY_NAME[name].number
        if self._at_entry:
            pt.poke(self.tid, pt.ORIG_RAX, number)
            for offset, value in zip(pt.ARGUMENTS, args, strict=False):
                pt.poke(self.tid, offset, value)
        else:
            self._enter(number, args)
        self._run_to(pt.OP_EXIT)
        self._at_entry = False
        raw = pt.syscall_info(self.tid).words[0]
        return raw - (1 << 64) if raw >> 63 else raw

    def finish(self, value: int) -> None:
        """The caught call's result shall be `value`; everything else is as it was."""
        self._registers.rax = value & pt.WORD
        self._registers.orig_rax = pt.WORD  # no restart whatever the value
        pt.set_registers(self.tid, self._registers)

    def enter_again(self, number: int) -> None:
        """Be at the entry of the caught call (its number), as if nothing had happened."""
        if self._at_entry:
            return
        args = [getattr(self._registers, name) for name in ("rdi", "rsi", "rdx", "r10", "r8", "r9")]
        self._enter(number, args)

    def _enter(self, number: int, args: tuple[int, ...] | list[int]) -> None:
        """From an exit stop: execute the syscall instruction once more, up to the entry stop."""
        registers = pt.registers(self.tid)
        registers.rip = self._registers.rip - 2
        registers.rax = number
        for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), args, strict=False):
            setattr(registers, name, value & pt.WORD)
        registers.orig_rax = pt.WORD  # this is not a call that signals could restart
        pt.set_registers(self.tid, registers)
        self._run_to(pt.OP_ENTRY)
        self._at_entry = True

    def _run_to(self, op: int) -> None:
        try:
            pt.request(pt.SYSCALL, self.tid)
            while True:
                _, status = os.waitpid(self.tid, pt.WALL)
                if not os.WIFSTOPPED(status):
                    self._died(status)
                    raise CallGone
                number, event = os.WSTOPSIG(status), status >> 16
                if number == SYSCALL_TRAP and pt.syscall_info(self.tid).op == op:
                    return
                if event == 0 and number != SYSCALL_TRAP:
                    self._held.append(number)  # SIGSTOP: cannot be blocked, is sent again later
                pt.request(pt.SYSCALL, self.tid)
        except ProcessLookupError:
            raise CallGone from None

    # -- descriptors -------------------------------------------------------------------------
    def hand_in(self, verdict: ReturnFd) -> int:
        """Install a duplicate of the supervisor's descriptor; its number or a negative errno.

        Over a socket pair made in the task, because it works whoever the task is; needs three
        free descriptors in it.
        """
        scratch = (self._registers.rsp - RED_ZONE - SCRATCH) & ~15
        try:
            before = memory.read(self.tid, scratch, SCRATCH)
        except OSError:
            before = b""
        if len(before) != SCRATCH:
            return -errno.EFAULT
        pair_type = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        made = self.call("socketpair", socket.AF_UNIX, pair_type, 0, scratch)
        if made < 0:
            return made
        near, far = struct.unpack("=ii", memory.read(self.tid, scratch, 8))
        try:
            received = self._receive(verdict.fd, near, far, scratch)
        finally:
            memory.write(self.tid, scratch, before)
        self.call("close", near)
        self.call("close", far)
        return self._move(received, verdict) if received >= 0 else received

    def _receive(self, fd: int, near: int, far: int, scratch: int) -> int:
        task = pidfd.open_task(self.tid)
        try:
            ours = socket.socket(fileno=pidfd.getfd(task, near))
        finally:
            os.close(task)
        with ours:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))
            ours.sendmsg([b"x"], [rights])
        header, vector, byte, control = scratch, scratch + 64, scratch + 80, scratch + 96
        message = struct.pack("=QI4xQQQQi4x", 0, 0, vector, 1, control, 32, 0)
        memory.write(self.tid, header, message)
        memory.write(self.tid, vector, struct.pack("=QQ", byte, 1))
        got = self.call("recvmsg", far, header, MSG_CMSG_CLOEXEC)
        if got < 0:
            return got
        (length,) = struct.unpack("=Q", memory.read(self.tid, header + 40, 8))
        if length < 20:  # the kernel had no descriptor free for it
            return -errno.EMFILE
        number: int = struct.unpack("=i", memory.read(self.tid, control + 16, 4))[0]
        return number

    def _move(self, received: int, verdict: ReturnFd) -> int:
        """To the lowest free number, as open would give, or to `at`."""
        if verdict.at == received:
            self.call("fcntl", received, F_SETFD, int(verdict.cloexec))
            return received
        if verdict.at is None:
            how = F_DUPFD_CLOEXEC if verdict.cloexec else F_DUPFD
            moved = self.call("fcntl", received, how, 0)
        else:
            moved = self.call("dup3", received, verdict.at, os.O_CLOEXEC if verdict.cloexec else 0)
        self.call("close", received)
        return moved

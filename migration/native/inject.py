"""System calls made by a stopped task on the tracer's behalf.

`call` makes one, by a `syscall` instruction that is mapped anyway: two stops, about 60 µs. A
`Batch` makes many at the price of one: records in memory of the task and a loop of 60 bytes that
runs through them (`CODE`). All signals of the task are blocked meanwhile (`Task.block`).
"""

from __future__ import annotations

import os
import signal
import struct

from migration.native import trace
from slic.kernel import memory, ptrace, regset
from slic.kernel.regset import R

NO_CALL = ptrace.WORD
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_FORK_EVENTS = (ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE)
SYSCALL = b"\x0f\x05"

# rbx: the next record, r12: how many are left, r13: 1 if an error is to end the batch
CODE = bytes.fromhex(
    "4d85e4"  # next: test r12, r12
    "7433"  # jz done
    "488b03"  # mov rax, [rbx]
    "488b7b08"  # mov rdi, [rbx+8]
    "488b7310"  # mov rsi, [rbx+16]
    "488b5318"  # mov rdx, [rbx+24]
    "4c8b5320"  # mov r10, [rbx+32]
    "4c8b4328"  # mov r8, [rbx+40]
    "4c8b4b30"  # mov r9, [rbx+48]
    "0f05"  # syscall
    "48894338"  # mov [rbx+56], rax
    "4883c340"  # add rbx, 64
    "49ffcc"  # dec r12
    "4883f800"  # cmp rax, 0
    "7dcd"  # jge next
    "4d85ed"  # test r13, r13
    "74c8"  # jz next
    "cc"  # done: int3
)
_RECORD = struct.Struct("=8Q")


def call(tid: int, at: int, number: int, *arguments: int, stack: int = 0) -> int:
    """One call by the instruction at `at`; its result, OSError if that is an errno."""
    return _call(tid, at, number, arguments, stack)[0]


def clone(tid: int, at: int, number: int, *arguments: int) -> tuple[int, int]:
    """A call that makes a task: its result, and the new task's id for the tracer (SEIZEd too)."""
    return _call(tid, at, number, arguments, 0)


def await_end(tid: int) -> None:
    """Wait for a tracee that was killed."""
    try:
        while os.WIFSTOPPED(os.waitpid(tid, ptrace.WALL)[1]):
            pass
    except ChildProcessError:
        return


def enter(tid: int, at: int, number: int, arguments: tuple[int, ...], stack: int) -> None:
    """Up to the entry of the call."""
    registers = regset.general(tid)
    registers[R.RAX], registers[R.ORIG_RAX], registers[R.RIP] = number, NO_CALL, at
    padded = [*arguments, *[0] * (6 - len(arguments))]
    for place, value in zip((R.RDI, R.RSI, R.RDX, R.R10, R.R8, R.R9), padded, strict=True):
        registers[place] = value
    if stack:
        registers[R.RSP] = stack
    regset.set_general(tid, registers)
    found = trace.go_on(tid, ptrace.SYSCALL)
    if found != _SYSCALL_STOP:
        raise RuntimeError(f"task {tid} stopped with {found:#x} at the entry of call {number}")


def _call(
    tid: int, at: int, number: int, arguments: tuple[int, ...], stack: int
) -> tuple[int, int]:
    enter(tid, at, number, arguments, stack)
    new = 0
    while True:
        found = trace.go_on(tid, ptrace.SYSCALL)
        if found == _SYSCALL_STOP:
            break
        if found >> 8 in _FORK_EVENTS and found & 0xFF == signal.SIGTRAP:
            new = ptrace.event_message(tid)
            continue
        raise RuntimeError(f"task {tid} stopped with {found:#x} in injected call {number}")
    result = regset.signed(regset.general(tid)[R.RAX])
    if -4096 < result < 0:
        raise OSError(-result, os.strerror(-result), f"injected call {number}")
    return result, new


class Place:
    """Memory of a task that calls are injected by: code, then room for records and arguments."""

    CODE_ROOM = 4096

    def __init__(self, pid: int, start: int, size: int) -> None:
        self.pid = pid
        self.start = start
        self.size = size

    @property
    def syscall(self) -> int:
        """The address of a `syscall` instruction."""
        return self.start + CODE.index(SYSCALL)

    @property
    def data(self) -> int:
        return self.start + self.CODE_ROOM

    @property
    def stack(self) -> int:
        """For calls that look at the stack pointer (sigaltstack)."""
        return self.start + self.size - 256

    def prepare(self) -> None:
        memory.write(self.pid, self.start, CODE)


class BatchFailed(OSError):
    """A call of a batch failed; the message says which."""


class Batch:
    """Calls with their arguments; `bytes_at` puts data beside them and gives its address."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._calls: list[tuple[str, bytes]] = []
        self._blobs = bytearray()
        self.results: list[int] = []

    def __len__(self) -> int:
        return len(self._calls)

    def bytes_at(self, data: bytes) -> int:
        """The address `data` will have, aligned to 16 bytes; it grows down from the end."""
        padded = data + bytes(-len(data) % 16)
        self._blobs[:0] = padded
        top = self._place.start + self._place.size - 4096
        if len(self._blobs) > self._room():
            raise OverflowError("no room for the data of a batch")
        return top - len(self._blobs)

    def _room(self) -> int:
        return (self._place.size - Place.CODE_ROOM - 4096) // 2

    @property
    def full(self) -> bool:
        return (
            len(self._calls) * _RECORD.size > self._room() - 8192
            or len(self._blobs) > self._room() - 16384
        )

    def add(self, what: str, number: int, *arguments: int) -> int:
        """Append a call, `what` names it in an error; its index."""
        words = [number, *arguments, *[0] * (7 - len(arguments))]
        self._calls.append((what, _RECORD.pack(*[word & ptrace.WORD for word in words])))
        return len(self._calls) - 1

    def run(self, tid: int, tolerant: bool = False, singly: bool = False) -> list[int]:
        """Make the calls in task `tid`; their results, errnos negative if `tolerant`.

        `singly`: one after the other, for a task whose SIGTRAP must not be touched. The batch is
        empty afterwards.
        """
        place = self._place
        calls, blobs = self._calls, bytes(self._blobs)
        self._calls, self._blobs = [], bytearray()
        if blobs:
            memory.write(place.pid, place.start + place.size - 4096 - len(blobs), blobs)
        if not calls:
            return []
        if singly:
            results = self._singly(tid, calls)
        else:
            results = self._together(tid, calls, tolerant)
        if not tolerant:
            for (what, _), result in zip(calls, results, strict=True):
                if -4096 < result < 0:
                    raise BatchFailed(-result, f"{what}: {os.strerror(-result)}")
        self.results = results
        return results

    def _singly(self, tid: int, calls: list[tuple[str, bytes]]) -> list[int]:
        results = []
        for _, record in calls:
            number, *arguments, _ = _RECORD.unpack(record)
            try:
                result = call(tid, self._place.syscall, number, *arguments, stack=self._place.stack)
            except OSError as error:
                result = -(error.errno or 0)
            results.append(result)
        return results

    def _together(self, tid: int, calls: list[tuple[str, bytes]], tolerant: bool) -> list[int]:
        place = self._place
        memory.write(place.pid, place.data, b"".join(record for _, record in calls))
        registers = regset.general(tid)
        registers[R.RBX], registers[R.R12], registers[R.R13] = place.data, len(calls), not tolerant
        registers[R.RIP], registers[R.RSP], registers[R.ORIG_RAX] = (
            place.start,
            place.stack,
            NO_CALL,
        )
        regset.set_general(tid, registers)
        # SIGTRAP must come through, or the kernel resets its action (force_sig_info).
        ptrace.set_signal_mask(tid, trace.ALL_BLOCKED & ~(1 << signal.SIGTRAP - 1))
        found = trace.go_on(tid, ptrace.CONT)
        if found != signal.SIGTRAP:
            raise RuntimeError(f"task {tid} stopped with {found:#x} in a batch")
        ptrace.set_signal_mask(tid, trace.ALL_BLOCKED)
        raw = memory.read(place.pid, place.data, len(calls) * _RECORD.size)
        done = (regset.general(tid)[R.RBX] - place.data) // _RECORD.size
        results = [regset.signed(row[7]) for row in _RECORD.iter_unpack(raw)]
        return results[:done] + [0] * (len(calls) - done)

"""System calls that a freeze interrupted, and how each goes on (signal(7), restart_syscall(2)).

What the kernel does when a task goes on after a stop is left to the kernel wherever it can: the
registers are given back as they were found. Two things it cannot do at the destination. A call
that would go on by restart_syscall(2) has its rest in kernel memory: it is made again there, with
what is left, interrupted at once, so that the kernel has that memory again. And a call that fails
with EINTR at a stop, although no signal came, is made again.
"""

from __future__ import annotations

import signal

from migration.native import inject, proc, trace
from migration.native.model import Thread
from migration.native.trace import Task
from slic.kernel import memory, ptrace, regset
from slic.kernel.regset import R, signed

ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK, EINTR = 512, 513, 514, 516, 4
RESTART_SYSCALL = 219
POLL, NANOSLEEP, FUTEX, CLOCK_NANOSLEEP = 7, 35, 202, 230
_NO_CALL = ptrace.WORD
_KERNEL_RESTARTS = (-ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND)

INTERRUPTED_WITHOUT_A_SIGNAL = frozenset(
    (
        *(0, 1, 19, 20),  # read, write, readv, writev (of sockets with a timeout)
        *(43, 44, 45, 46, 47, 288),  # accept, sendto, recvfrom, sendmsg, recvmsg, accept4
        *(65, 220),  # semop, semtimedop
        128,  # rt_sigtimedwait
        208,  # io_getevents
        *(232, 281, 441),  # epoll_wait, epoll_pwait, epoll_pwait2
        *(299, 307),  # recvmmsg, sendmmsg
    )
)
_REMADE = (POLL, NANOSLEEP, FUTEX, CLOCK_NANOSLEEP)
_MOV_EAX, _LOOK_BACK = 0xB8, 40
_WAITS = {
    "hrtimer_nanosleep": NANOSLEEP,
    "do_nanosleep": NANOSLEEP,
    "poll_schedule_timeout": POLL,
    "do_sys_poll": POLL,
    "do_poll": POLL,
    "futex_wait_queue": FUTEX,
    "futex_do_wait": FUTEX,
    "__futex_wait": FUTEX,
    "futex_wait": FUTEX,
}


def restarted(tid: int) -> int:
    """Which call a running task waits in that is in restart_syscall(2) now; 0: none, or unknown.

    A call that was stopped once before has that number; what it was is told by where it waits.
    """
    try:
        words = proc.text(tid, "syscall").split()
        if words[0] != str(RESTART_SYSCALL):
            return 0
        number = _WAITS.get(proc.text(tid, "wchan").strip().partition(".")[0], 0)
        first, second = int(words[1], 16), int(words[2], 16)
    except (OSError, IndexError, ValueError):
        return 0
    if number == NANOSLEEP and first < 16 and second == 0:
        return CLOCK_NANOSLEEP  # a clock and no flags, not two addresses
    return number


def result(registers: list[int]) -> int | None:
    """What the call gave that the task is in; None: it is in none."""
    if signed(registers[R.ORIG_RAX]) < 0:
        return None
    return signed(registers[R.RAX])


def unblocked(pending: list[int], mask: int) -> bool:
    """Is one of these signals not blocked?"""
    return any(not mask >> (number - 1) & 1 for number in pending)


def again(registers: list[int]) -> list[int]:
    """The registers as before the call."""
    changed = list(registers)
    changed[R.RAX] = registers[R.ORIG_RAX]
    changed[R.RIP] = registers[R.RIP] - len(inject.SYSCALL)
    changed[R.ORIG_RAX] = _NO_CALL
    return changed


def interrupted_by_us(registers: list[int], signal_waits: bool) -> bool:
    """Did the call fail with EINTR only because of the freeze?"""
    made = registers[R.ORIG_RAX]
    return result(registers) == -EINTR and made in INTERRUPTED_WITHOUT_A_SIGNAL and not signal_waits


def before_going_on(task: Task) -> bool:
    """At the source, when the task is to go on there: have its registers been changed for that?"""
    if not interrupted_by_us(task.registers, False):
        return False
    if unblocked(pending_numbers(task.tid), task.mask):
        return False
    task.registers = again(task.registers)
    return True


def pending_numbers(tid: int) -> list[int]:
    """Pending signals of a stopped thread and its process."""
    infos = regset.pending(tid, False) + regset.pending(tid, True)
    return [int.from_bytes(info[:4], "little") for info in infos]


def at_dump(task: Task, signal_waits: bool) -> list[int]:
    """The registers that an image has."""
    registers = list(task.registers)
    if interrupted_by_us(registers, signal_waits):
        return again(registers)
    if registers[R.ORIG_RAX] == RESTART_SYSCALL:
        made = task.restarted or _made_there(task.tid, registers[R.RIP])
        registers[R.ORIG_RAX] = made or RESTART_SYSCALL
    return registers


def _made_there(tid: int, after: int) -> int:
    """The number that the code before a `syscall` instruction loads (mov eax, imm32); 0: unclear.

    For a task that was going on when it was stopped, and waited nowhere.
    """
    start = after - len(inject.SYSCALL) - _LOOK_BACK
    try:
        code = memory.read(tid, start, _LOOK_BACK)
    except OSError:
        return 0
    for at in range(_LOOK_BACK - 5, -1, -1):
        number = int.from_bytes(code[at + 1 : at + 5], "little")
        if code[at] == _MOV_EAX and number in _REMADE:
            return number
    return 0


def rearm(tid: int, thread: Thread, at: int, scratch: int) -> list[int]:
    """At the destination: the registers to go on with. `at`: a `syscall` instruction; `scratch`:
    32 bytes of the process's memory that are ours."""
    registers = list(thread.registers)
    found = result(registers)
    if found is None:
        registers[R.ORIG_RAX] = _NO_CALL
        return registers
    if found in _KERNEL_RESTARTS:
        return registers
    if found != -ERESTART_RESTARTBLOCK:
        registers[R.ORIG_RAX] = _NO_CALL
        return registers
    outcome = _interrupted_anew(tid, registers, at, scratch)
    if outcome != -ERESTART_RESTARTBLOCK:
        registers[R.RAX] = outcome & ptrace.WORD
        registers[R.ORIG_RAX] = _NO_CALL
    return registers


def _interrupted_anew(tid: int, registers: list[int], at: int, scratch: int) -> int:
    number = registers[R.ORIG_RAX]
    arguments = tuple(registers[place] for place in (R.RDI, R.RSI, R.RDX, R.R10, R.R8, R.R9))
    if number == NANOSLEEP:
        arguments = (_left(tid, arguments[1] or arguments[0], scratch), arguments[1])
    elif number == CLOCK_NANOSLEEP:
        left = _left(tid, arguments[3] or arguments[2], scratch)
        arguments = (arguments[0], 0, left, arguments[3])
    elif number not in (POLL, FUTEX):
        return -EINTR
    inject.enter(tid, at, number, arguments, 0)
    ptrace.request(ptrace.INTERRUPT, tid)
    ptrace.request(ptrace.SYSCALL, tid)
    found = trace.next_stop(tid)
    if found != signal.SIGTRAP | 0x80:
        raise RuntimeError(f"task {tid} stopped with {found:#x} in call {number}")
    return signed(regset.general(tid)[R.RAX])


def _left(tid: int, timespec: int, scratch: int) -> int:
    """The kernel wrote what is left where the program wants it; else the whole is taken again."""
    memory.write(tid, scratch, memory.read(tid, timespec, 16))
    return scratch

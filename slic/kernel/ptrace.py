"""ptrace(2) for tracers that SEIZE: requests, events, registers. No decisions.

Uses python-ptrace's register structure; adds what its binding lacks.
OSError on failure (ProcessLookupError when the task is gone or not stopped).
"""

import ctypes
import errno
import os
import struct
import threading
from pathlib import Path
from typing import NamedTuple

from ptrace.binding.func import ptrace_registers_t

from slic.kernel.libc import LIBC, SYS_TGKILL, syscall

PEEKUSER, POKEUSER = 3, 6
CONT, SYSCALL = 7, 24
GETREGS, SETREGS = 12, 13
DETACH = 17
GETEVENTMSG = 0x4201
SEIZE, INTERRUPT, LISTEN = 0x4206, 0x4207, 0x4208
GETSIGMASK, SETSIGMASK = 0x420A, 0x420B
GET_SYSCALL_INFO = 0x420E

O_TRACESYSGOOD = 1
O_TRACEFORK, O_TRACEVFORK, O_TRACECLONE, O_TRACEEXEC = 1 << 1, 1 << 2, 1 << 3, 1 << 4
O_TRACESECCOMP = 1 << 7
O_EXITKILL = 1 << 20

EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC = 1, 2, 3, 4
EVENT_SECCOMP = 7
EVENT_STOP = 128

OP_NONE, OP_ENTRY, OP_EXIT, OP_SECCOMP = 0, 1, 2, 3
WALL = 0x40000000
WORD = (1 << 64) - 1
ERESTARTSYS = 512  # as a result: the kernel makes EINTR of it, or starts the call again (signal(7))

# Offsets in struct user_regs_struct, for POKEUSER.
RAX, ORIG_RAX, RIP, RSP = 10 * 8, 15 * 8, 16 * 8, 19 * 8
ARGUMENTS = tuple(8 * index for index in (14, 13, 12, 7, 9, 8))  # rdi rsi rdx r10 r8 r9

# struct ptrace_syscall_info: op, arch, (ip, sp), then nr and args[6], or rval and is_error
_INFO = struct.Struct("=B3xI16x7Q")
_info_size = _INFO.size
_info_buffer = ctypes.create_string_buffer(128)
_info_address = ctypes.addressof(_info_buffer)
_EVENT_BUFFER = ctypes.c_ulong()


# python-ptrace's own `ptrace` is the same call with a message built around each result; this one
# is made several times per caught call.
_ptrace = LIBC.ptrace
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)
_ptrace.restype = ctypes.c_long


def request(number: int, tid: int, address: int = 0, data: int = 0) -> None:
    """One ptrace request (none of those used here has -1 as a result)."""
    if _ptrace(number, tid, address, data) == -1:
        code = ctypes.get_errno() or errno.EIO
        raise OSError(code, os.strerror(code))


class SyscallInfo(NamedTuple):
    """A syscall stop: what kind (OP_), which ABI, and `words`: nr and args, or the result."""

    op: int
    arch: int
    words: tuple[int, ...]


def syscall_info(tid: int) -> SyscallInfo:
    """PTRACE_GET_SYSCALL_INFO (kernel 5.3)."""
    request(GET_SYSCALL_INFO, tid, _info_size, _info_address)
    op, arch, *words = _INFO.unpack_from(_info_buffer)
    return SyscallInfo(op, arch, tuple(words))


_REGISTERS = struct.Struct("=27Q")
_registers_buffer = ctypes.create_string_buffer(_REGISTERS.size)
_registers_address = ctypes.addressof(_registers_buffer)
_generation = 1  # of what the buffer holds; 0 is the token of none


def call_registers(tid: int) -> tuple[int, tuple[int, ...], int]:
    """Number and arguments of a 64-bit call at its stop, and a token for `skip`.

    Cheaper than `syscall_info` where a filter has already looked at the ABI.
    """
    global _generation
    _generation += 1
    request(GETREGS, tid, 0, _registers_address)
    r = _REGISTERS.unpack_from(_registers_buffer)
    return r[15], (r[14], r[13], r[12], r[7], r[9], r[8]), _generation


def skip(tid: int, value: int, token: int) -> None:
    """At an entry stop: the kernel skips the call (number -1) and leaves `value` as its result."""
    if token == _generation:
        struct.pack_into("=Q", _registers_buffer, RAX, value & WORD)
        struct.pack_into("=Q", _registers_buffer, ORIG_RAX, WORD)
        request(SETREGS, tid, 0, _registers_address)
    else:
        poke(tid, ORIG_RAX, -1)
        poke(tid, RAX, value)


def event_message(tid: int) -> int:
    """The new task's id (fork events) or the former thread id (exec)."""
    request(GETEVENTMSG, tid, 0, ctypes.addressof(_EVENT_BUFFER))
    return _EVENT_BUFFER.value


def poke(tid: int, offset: int, value: int) -> None:
    """Set one register of a stopped task."""
    request(POKEUSER, tid, offset, value & WORD)


def registers(tid: int) -> ptrace_registers_t:
    """All general registers of a stopped task."""
    found = ptrace_registers_t()
    request(GETREGS, tid, 0, ctypes.addressof(found))
    return found


def set_registers(tid: int, values: ptrace_registers_t) -> None:
    """Replace all general registers of a stopped task."""
    request(SETREGS, tid, 0, ctypes.addressof(values))


def signal_mask(tid: int) -> int:
    """The blocked signals of a stopped task, one bit each."""
    mask = ctypes.c_uint64()
    request(GETSIGMASK, tid, 8, ctypes.addressof(mask))
    return mask.value


def set_signal_mask(tid: int, mask: int) -> None:
    """Replace the blocked signals of a stopped task (SIGKILL and SIGSTOP cannot be)."""
    value = ctypes.c_uint64(mask)
    request(SETSIGMASK, tid, 8, ctypes.addressof(value))


def tgkill(pid: int, tid: int, signal: int) -> None:
    """Send a signal to one thread."""
    syscall(SYS_TGKILL, pid, tid, signal)


def other_threads_take(signal: int) -> bool:
    """Does another thread of this process leave `signal` unblocked, so that it may get it?"""
    own = threading.get_native_id()
    for name in os.listdir("/proc/self/task"):
        if int(name) == own:
            continue
        try:
            status = Path(f"/proc/self/task/{name}/status").read_text()
        except OSError:
            continue  # it has just ended
        blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
        if not int(blocked.split()[1], 16) >> (signal - 1) & 1:
            return True
    return False


def timerfd(interval: float) -> int:
    """A non-blocking descriptor that becomes readable every `interval` seconds (timerfd(2))."""
    fd: int = LIBC.timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC)  # CLOCK_MONOTONIC
    nanoseconds = int(interval * 1e9)
    setting = struct.pack("=4q", 0, nanoseconds, 0, nanoseconds)
    if fd < 0 or LIBC.timerfd_settime(fd, 0, setting, None) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def signalfd(signal: int) -> int:
    """A non-blocking descriptor that is readable while `signal` (blocked) is pending."""
    mask = ctypes.create_string_buffer(128)  # sigset_t
    struct.pack_into("=Q", mask, 0, 1 << (signal - 1))
    fd: int = LIBC.signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd

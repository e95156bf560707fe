"""What a tracer reads and sets of a stopped thread, beyond slic.kernel.ptrace.

Bindings only. Registers are lists of 27 words in the order of struct user_regs_struct (`R`).
OSError on failure.
"""

import ctypes
import os
import struct
from enum import IntEnum

from slic.kernel.libc import syscall
from slic.kernel.ptrace import GETREGS, SETREGS, WORD, request

SETOPTIONS = 0x4200
GETSIGINFO = 0x4202
GETREGSET, SETREGSET = 0x4204, 0x4205
PEEKSIGINFO = 0x4209
GET_RSEQ_CONFIGURATION = 0x420F
O_SUSPEND_SECCOMP = 1 << 21  # needs CAP_SYS_ADMIN, and that the tracer has no filter itself
EVENT_STOP = 128
NT_X86_XSTATE = 0x202
SYS_GET_ROBUST_LIST = 274
SIGINFO_SIZE = 128
_XSTATE_ROOM = 1 << 16
_PEEK_AT_ONCE = 32
_PEEK_SHARED = 1


class R(IntEnum):
    """Places in struct user_regs_struct, in words."""

    R15 = 0
    R14 = 1
    R13 = 2
    R12 = 3
    RBP = 4
    RBX = 5
    R11 = 6
    R10 = 7
    R9 = 8
    R8 = 9
    RAX = 10
    RCX = 11
    RDX = 12
    RSI = 13
    RDI = 14
    ORIG_RAX = 15
    RIP = 16
    CS = 17
    EFLAGS = 18
    RSP = 19
    SS = 20
    FS_BASE = 21
    GS_BASE = 22
    DS = 23
    ES = 24
    FS = 25
    GS = 26


_words = struct.Struct("=27Q")
_buffer = ctypes.create_string_buffer(_words.size)
_address = ctypes.addressof(_buffer)


def general(tid: int) -> list[int]:
    """The general registers, unsigned."""
    request(GETREGS, tid, 0, _address)
    return list(_words.unpack(_buffer.raw))


def set_general(tid: int, values: list[int]) -> None:
    """Replace the general registers (the kernel refuses what a program could not have)."""
    _words.pack_into(_buffer, 0, *[value & WORD for value in values])
    request(SETREGS, tid, 0, _address)


def signed(word: int) -> int:
    """A register as a result: negative is an errno."""
    return word - (1 << 64) if word >> 63 else word


def extended(tid: int) -> bytes:
    """The processor's extended state in the XSAVE layout (x87, SSE, AVX, ...)."""
    room = ctypes.create_string_buffer(_XSTATE_ROOM)
    vector = struct.pack("=QQ", ctypes.addressof(room), _XSTATE_ROOM)
    cell = ctypes.create_string_buffer(vector, 16)
    request(GETREGSET, tid, NT_X86_XSTATE, ctypes.addressof(cell))
    return room.raw[: struct.unpack_from("=8xQ", cell)[0]]


def set_extended(tid: int, state: bytes) -> None:
    """Replace the extended state; EINVAL: a feature this processor lacks, EFAULT: too short."""
    room = ctypes.create_string_buffer(state, len(state))
    cell = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(room), len(state)), 16)
    request(SETREGSET, tid, NT_X86_XSTATE, ctypes.addressof(cell))


def set_options(tid: int, options: int) -> None:
    """PTRACE_SETOPTIONS: replaces all of them."""
    request(SETOPTIONS, tid, 0, options)


def pending(tid: int, shared: bool) -> list[bytes]:
    """The siginfo of each pending signal, of the thread or (`shared`) of its process, in order."""
    room = ctypes.create_string_buffer(SIGINFO_SIZE * _PEEK_AT_ONCE)
    found: list[bytes] = []
    while True:
        flags = _PEEK_SHARED if shared else 0
        how = ctypes.create_string_buffer(struct.pack("=QIi", len(found), flags, _PEEK_AT_ONCE), 16)
        # A count is the result, so `request` would do, but its value is wanted: syscall(2).
        count = syscall(101, PEEKSIGINFO, tid, ctypes.addressof(how), ctypes.addressof(room))
        found += [room.raw[SIGINFO_SIZE * i : SIGINFO_SIZE * (i + 1)] for i in range(count)]
        if count < _PEEK_AT_ONCE:
            return found


def rseq(tid: int) -> tuple[int, int, int, int]:
    """Restartable sequences: address, size, signature, flags; address 0: none registered."""
    cell = ctypes.create_string_buffer(24)
    request(GET_RSEQ_CONFIGURATION, tid, 24, ctypes.addressof(cell))
    address, size, signature, flags = struct.unpack_from("=QIII", cell)
    return address, size, signature, flags


def robust_list(tid: int) -> tuple[int, int]:
    """Head and length of the list of robust futexes."""
    head, length = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
    syscall(SYS_GET_ROBUST_LIST, tid, head, length)
    return int.from_bytes(head.raw, "little"), int.from_bytes(length.raw, "little")


def page_size() -> int:
    """The machine's page size; every image is in units of it."""
    return os.sysconf("SC_PAGE_SIZE")

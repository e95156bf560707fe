"""System calls of x86-64: names, numbers, argument names and kinds.

Owns the one table every other module checks names against. Names, numbers and prototypes come
from python-ptrace; slic.newersyscalls adds the calls its tables lack. Never decides anything about
a call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES
from ptrace.syscall.prototypes import SYSCALL_PROTOTYPES

from slic.newersyscalls import SUPPLEMENT

X32_BIT = 0x40000000


class Kind(Enum):
    """How the kernel reads a 64-bit argument register. The value is the width in bits."""

    INT32 = 32
    UINT32 = -32
    UINT16 = -16
    INT64 = 64
    UINT64 = -64
    ADDRESS = 0

    @property
    def bits(self) -> int:
        return abs(self.value) or 64

    @property
    def mask(self) -> int:
        return (1 << self.bits) - 1

    def decode(self, register: int) -> int:
        """The argument's value as the kernel's C type sees the register (upper bits dropped)."""
        return self.decoder()(register)

    def decoder(self) -> Callable[[int], int]:
        """`decode` made once: an Enum's attributes are slow to look up."""
        mask = self.mask
        if self not in (Kind.INT32, Kind.INT64):
            return mask.__and__
        sign = 1 << (self.bits - 1)
        return lambda register: ((register & mask) ^ sign) - sign


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its name, its C type as written in the prototype, its kind."""

    name: str
    ctype: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Syscall:
    """One call of the table. `arguments` has at most six entries, in register order."""

    number: int
    name: str
    arguments: tuple[Argument, ...]

    def index(self, argument: str) -> int:
        """Register position (0-5) of an argument name; ValueError if there is none such."""
        return [a.name for a in self.arguments].index(argument)


# python-ptrace's names that are not usable as Python parameters, or say the wrong thing.
RENAMED: dict[tuple[str, str], str] = {
    ("clone", "regs"): "tls",
    ("ioperm", "from"): "start",
    ("migrate_pages", "from"): "old_nodes",
    ("migrate_pages", "to"): "new_nodes",
    ("ppoll", ""): "sigsetsize",
    ("rt_sigaction", ""): "sigsetsize",
}
WRONG_NAMES = {"timerfd"}  # python-ptrace's name for timerfd_create (283)

KINDS: dict[str, Kind] = {
    "__s32": Kind.INT32,
    "clockid_t": Kind.INT32,
    "gid_t": Kind.UINT32,
    "int": Kind.INT32,
    "key_serial_t": Kind.INT32,
    "key_t": Kind.INT32,
    "loff_t": Kind.INT64,
    "long": Kind.INT64,
    "mqd_t": Kind.INT32,
    "off_t": Kind.INT64,
    "pid_t": Kind.INT32,
    "qid_t": Kind.UINT32,
    "timer_t": Kind.INT32,
    "u32": Kind.UINT32,
    "uid_t": Kind.UINT32,
    "umode_t": Kind.UINT16,
    "unsigned": Kind.UINT32,
    "unsigned int": Kind.UINT32,
}
# The kernel cuts every descriptor to 32 bits, whatever the prototype says (readv: unsigned long).
DESCRIPTORS = {"fd", "dfd", "dirfd", "epfd", "fildes", "newdfd", "newfd", "olddfd", "oldfd"} | {
    "in_fd",
    "out_fd",
    "pidfd",
    "sockfd",
}


def _kind(ctype: str, name: str) -> Kind:
    if name in DESCRIPTORS and "*" not in ctype:
        return Kind.INT32
    if "*" in ctype or "[" in ctype or ctype == "__sighandler_t":
        return Kind.ADDRESS
    return KINDS.get(ctype, Kind.UINT64)


def _build() -> dict[str, Syscall]:
    table: dict[str, Syscall] = {}
    numbers = {name: nr for nr, name in SYSCALL_NAMES.items() if nr < 512}  # 512.. is x32
    numbers.update((name, nr) for name, (nr, _) in SUPPLEMENT.items())
    for name, number in numbers.items():
        if name in WRONG_NAMES:
            continue
        if name in SUPPLEMENT:
            prototype = SUPPLEMENT[name][1]
        else:
            prototype = SYSCALL_PROTOTYPES.get(name, ("long", ()))[1]
        arguments = []
        for ctype, given in prototype:
            argument = RENAMED.get((name, given), given)
            arguments.append(Argument(argument, ctype, _kind(ctype, argument)))
        table[name] = Syscall(number, name, tuple(arguments))
    return dict(sorted(table.items(), key=lambda item: item[1].number))


BY_NAME: dict[str, Syscall] = _build()
BY_NUMBER: dict[int, Syscall] = {call.number: call for call in BY_NAME.values()}
FIRST_UNKNOWN = max(BY_NUMBER) + 1  # numbers from here on are of calls newer than this table

# What an io_uring submission can do without making the call itself (io_uring_enter(2)): a policy
# that subscribes to one of these would be bypassed, so io_uring_setup is refused under it.
_IO_URING_CAN = """
accept accept4 bind close connect fadvise64 fallocate fdatasync fgetxattr fsetxattr fsync
ftruncate futex futex_waitv getsockopt getxattr ioctl link linkat listen madvise mkdir
mkdirat open openat openat2 pipe pipe2 poll pread64 preadv preadv2 pwrite64 pwritev
pwritev2 read readv recvfrom recvmsg rename renameat renameat2 sendmsg sendto setsockopt
setxattr shutdown socket splice statx symlink symlinkat sync_file_range tee unlink
unlinkat waitid write writev
"""
IO_URING_CAN: frozenset[str] = frozenset(_IO_URING_CAN.split())


def unknown(number: int) -> Syscall:
    """A stand-in entry for a number the table lacks, so that it can still be shown and passed."""
    args: tuple[Argument, ...] = tuple(
        Argument(f"arg{i}", "unsigned long", Kind.UINT64) for i in range(6)
    )
    return Syscall(number, f"syscall_{number:#x}", args)


def by_number(number: int) -> Syscall:
    """The entry of a number, or a stand-in (`unknown`) when the table has none."""
    return BY_NUMBER.get(number) or unknown(number)

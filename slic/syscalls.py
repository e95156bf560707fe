"""System calls of x86-64: names, numbers, argument names and kinds.

Owns the one table every other module checks names against. Names, numbers and prototypes come
from python-ptrace; `SUPPLEMENT` adds the calls its tables lack (checked against the system's
headers by a test), up to file_setattr of Linux 6.17. Never decides anything about a call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES
from ptrace.syscall.prototypes import SYSCALL_PROTOTYPES

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


# Calls that python-ptrace 0.9.9 numbers but does not describe, or does not know.
SUPPLEMENT: dict[str, tuple[int, tuple[tuple[str, str], ...]]] = {
    "arch_prctl": (158, (("int", "code"), ("unsigned long", "addr"))),
    "cachestat": (
        451,
        (
            ("unsigned int", "fd"),
            ("struct cachestat_range *", "cstat_range"),
            ("struct cachestat *", "cstat"),
            ("unsigned int", "flags"),
        ),
    ),
    "clone3": (435, (("struct clone_args *", "uargs"), ("size_t", "size"))),
    "close_range": (
        436,
        (("unsigned int", "fd"), ("unsigned int", "max_fd"), ("unsigned int", "flags")),
    ),
    "epoll_pwait2": (
        441,
        (
            ("int", "epfd"),
            ("struct epoll_event *", "events"),
            ("int", "maxevents"),
            ("const struct timespec *", "timeout"),
            ("const sigset_t *", "sigmask"),
            ("size_t", "sigsetsize"),
        ),
    ),
    "faccessat2": (
        439,
        (("int", "dfd"), ("const char *", "filename"), ("int", "mode"), ("int", "flags")),
    ),
    "fchmodat2": (
        452,
        (("int", "dfd"), ("const char *", "filename"), ("umode_t", "mode"), ("int", "flags")),
    ),
    "file_getattr": (
        468,
        (
            ("int", "dfd"),
            ("const char *", "filename"),
            ("struct file_attr *", "ufattr"),
            ("size_t", "usize"),
            ("unsigned int", "at_flags"),
        ),
    ),
    "file_setattr": (
        469,
        (
            ("int", "dfd"),
            ("const char *", "filename"),
            ("struct file_attr *", "ufattr"),
            ("size_t", "usize"),
            ("unsigned int", "at_flags"),
        ),
    ),
    "fsconfig": (
        431,
        (
            ("int", "fs_fd"),
            ("unsigned int", "cmd"),
            ("const char *", "key"),
            ("const void *", "value"),
            ("int", "aux"),
        ),
    ),
    "fsmount": (
        432,
        (("int", "fs_fd"), ("unsigned int", "flags"), ("unsigned int", "attr_flags")),
    ),
    "fsopen": (430, (("const char *", "fs_name"), ("unsigned int", "flags"))),
    "fspick": (433, (("int", "dfd"), ("const char *", "path"), ("unsigned int", "flags"))),
    "futex_requeue": (
        456,
        (
            ("struct futex_waitv *", "waiters"),
            ("unsigned int", "flags"),
            ("int", "nr_wake"),
            ("int", "nr_requeue"),
        ),
    ),
    "futex_wait": (
        455,
        (
            ("void *", "uaddr"),
            ("unsigned long", "val"),
            ("unsigned long", "mask"),
            ("unsigned int", "flags"),
            ("struct timespec *", "timeout"),
            ("clockid_t", "clockid"),
        ),
    ),
    "futex_waitv": (
        449,
        (
            ("struct futex_waitv *", "waiters"),
            ("unsigned int", "nr_futexes"),
            ("unsigned int", "flags"),
            ("struct timespec *", "timeout"),
            ("clockid_t", "clockid"),
        ),
    ),
    "futex_wake": (
        454,
        (
            ("void *", "uaddr"),
            ("unsigned long", "mask"),
            ("int", "nr"),
            ("unsigned int", "flags"),
        ),
    ),
    "getxattrat": (
        464,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("const char *", "name"),
            ("struct xattr_args *", "uargs"),
            ("size_t", "usize"),
        ),
    ),
    "io_pgetevents": (
        333,
        (
            ("aio_context_t", "ctx_id"),
            ("long", "min_nr"),
            ("long", "nr"),
            ("struct io_event *", "events"),
            ("struct timespec *", "timeout"),
            ("const void *", "usig"),
        ),
    ),
    "io_uring_enter": (
        426,
        (
            ("unsigned int", "fd"),
            ("u32", "to_submit"),
            ("u32", "min_complete"),
            ("u32", "flags"),
            ("const void *", "argp"),
            ("size_t", "argsz"),
        ),
    ),
    "io_uring_register": (
        427,
        (("unsigned int", "fd"), ("unsigned int", "opcode"), ("void *", "arg"), ("u32", "nr_args")),
    ),
    "io_uring_setup": (425, (("u32", "entries"), ("struct io_uring_params *", "params"))),
    "iopl": (172, (("unsigned int", "level"),)),
    "landlock_add_rule": (
        445,
        (
            ("int", "ruleset_fd"),
            ("int", "rule_type"),
            ("const void *", "rule_attr"),
            ("u32", "flags"),
        ),
    ),
    "landlock_create_ruleset": (
        444,
        (("const void *", "attr"), ("size_t", "size"), ("u32", "flags")),
    ),
    "landlock_restrict_self": (446, (("int", "ruleset_fd"), ("u32", "flags"))),
    "listmount": (
        458,
        (
            ("const struct mnt_id_req *", "req"),
            ("u64 *", "mnt_ids"),
            ("size_t", "nr_mnt_ids"),
            ("unsigned int", "flags"),
        ),
    ),
    "listxattrat": (
        465,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("char *", "list"),
            ("size_t", "size"),
        ),
    ),
    "lsm_get_self_attr": (
        459,
        (
            ("unsigned int", "attr"),
            ("struct lsm_ctx *", "ctx"),
            ("u32 *", "size"),
            ("u32", "flags"),
        ),
    ),
    "lsm_list_modules": (
        461,
        (
            ("u64 *", "ids"),
            ("u32 *", "size"),
            ("u32", "flags"),
        ),
    ),
    "lsm_set_self_attr": (
        460,
        (
            ("unsigned int", "attr"),
            ("struct lsm_ctx *", "ctx"),
            ("u32", "size"),
            ("u32", "flags"),
        ),
    ),
    "map_shadow_stack": (
        453,
        (
            ("unsigned long", "addr"),
            ("unsigned long", "size"),
            ("unsigned int", "flags"),
        ),
    ),
    "memfd_secret": (447, (("unsigned int", "flags"),)),
    "modify_ldt": (154, (("int", "func"), ("void *", "ptr"), ("unsigned long", "bytecount"))),
    "mount_setattr": (
        442,
        (
            ("int", "dfd"),
            ("const char *", "path"),
            ("unsigned int", "flags"),
            ("struct mount_attr *", "uattr"),
            ("size_t", "usize"),
        ),
    ),
    "move_mount": (
        429,
        (
            ("int", "from_dfd"),
            ("const char *", "from_pathname"),
            ("int", "to_dfd"),
            ("const char *", "to_pathname"),
            ("unsigned int", "flags"),
        ),
    ),
    "mseal": (
        462,
        (
            ("unsigned long", "start"),
            ("size_t", "len"),
            ("unsigned long", "flags"),
        ),
    ),
    "open_tree": (428, (("int", "dfd"), ("const char *", "filename"), ("unsigned int", "flags"))),
    "open_tree_attr": (
        467,
        (
            ("int", "dfd"),
            ("const char *", "filename"),
            ("unsigned int", "flags"),
            ("struct mount_attr *", "uattr"),
            ("size_t", "usize"),
        ),
    ),
    "openat2": (
        437,
        (
            ("int", "dirfd"),
            ("const char *", "filename"),
            ("struct open_how *", "how"),
            ("size_t", "usize"),
        ),
    ),
    "pidfd_getfd": (438, (("int", "pidfd"), ("int", "fd"), ("unsigned int", "flags"))),
    "pidfd_open": (434, (("pid_t", "pid"), ("unsigned int", "flags"))),
    "pidfd_send_signal": (
        424,
        (("int", "pidfd"), ("int", "sig"), ("siginfo_t *", "info"), ("unsigned int", "flags")),
    ),
    "pkey_alloc": (330, (("unsigned long", "flags"), ("unsigned long", "init_val"))),
    "pkey_free": (331, (("int", "pkey"),)),
    "pkey_mprotect": (
        329,
        (
            ("unsigned long", "start"),
            ("size_t", "len"),
            ("unsigned long", "prot"),
            ("int", "pkey"),
        ),
    ),
    "preadv2": (
        327,
        (
            ("unsigned long", "fd"),
            ("const struct iovec *", "vec"),
            ("unsigned long", "vlen"),
            ("unsigned long", "pos_l"),
            ("unsigned long", "pos_h"),
            ("int", "flags"),
        ),
    ),
    "process_madvise": (
        440,
        (
            ("int", "pidfd"),
            ("const struct iovec *", "vec"),
            ("size_t", "vlen"),
            ("int", "behavior"),
            ("unsigned int", "flags"),
        ),
    ),
    "process_mrelease": (448, (("int", "pidfd"), ("unsigned int", "flags"))),
    "pwritev2": (
        328,
        (
            ("unsigned long", "fd"),
            ("const struct iovec *", "vec"),
            ("unsigned long", "vlen"),
            ("unsigned long", "pos_l"),
            ("unsigned long", "pos_h"),
            ("int", "flags"),
        ),
    ),
    "quotactl_fd": (
        443,
        (("unsigned int", "fd"), ("unsigned int", "cmd"), ("qid_t", "id"), ("void *", "addr")),
    ),
    "removexattrat": (
        466,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("const char *", "name"),
        ),
    ),
    "rseq": (
        334,
        (("struct rseq *", "rseq"), ("u32", "rseq_len"), ("int", "flags"), ("u32", "sig")),
    ),
    "rt_sigreturn": (15, ()),
    "set_mempolicy_home_node": (
        450,
        (
            ("unsigned long", "start"),
            ("unsigned long", "len"),
            ("unsigned long", "home_node"),
            ("unsigned long", "flags"),
        ),
    ),
    "setxattrat": (
        463,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("const char *", "name"),
            ("const struct xattr_args *", "uargs"),
            ("size_t", "usize"),
        ),
    ),
    "statmount": (
        457,
        (
            ("const struct mnt_id_req *", "req"),
            ("struct statmount *", "buf"),
            ("size_t", "bufsize"),
            ("unsigned int", "flags"),
        ),
    ),
    "timerfd_create": (283, (("int", "clockid"), ("int", "flags"))),
    "umount2": (166, (("char *", "name"), ("int", "flags"))),
    "uretprobe": (335, ()),
}

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

"""Tries of kernel features, each done for real in a process of its own. Bindings, no decisions.

Every function returns when the feature did what its man page says, and raises OSError with the
kernel's errno when not. What that means for a user is decided by who asks (`glunix doctor`).
Numbers are of the kernel's uapi headers; calls by number exist for x86-64 and aarch64.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import select
import signal
import struct
import sys
import termios
from collections.abc import Callable

DEADLINE = 10.0
"""Seconds that one try may take before it counts as hanging."""

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

_NUMBERS: dict[str, dict[str, int]] = {
    "aarch64": {"bpf": 280, "clone3": 435, "getpriority": 141, "seccomp": 277, "userfaultfd": 282},
    "x86_64": {"bpf": 321, "clone3": 435, "getpriority": 140, "seccomp": 317, "userfaultfd": 323},
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.syscall.restype = ctypes.c_long


def _checked(value: int) -> int:
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return value


def _call(name: str, *args: int) -> int:
    number = _NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"no number of {name} for {platform.machine()}")
    return _checked(_libc.syscall(ctypes.c_long(number), *(ctypes.c_long(arg) for arg in args)))


def _wrong(text: str) -> OSError:
    """The call succeeded, but its effect is not there."""
    return OSError(errno.EPROTO, text)


def in_child(work: Callable[[], None], deadline: float = DEADLINE) -> None:
    """Run `work` in a forked child and raise its OSError here; TimeoutError after `deadline` s.

    The child leads a session; it and all of its process group are killed, itself reaped.
    RuntimeError when it ended in any other way: that is a bug of the try, and its traceback is on
    stderr.
    """
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()
        _report(work, writing)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], deadline)
        answer = os.read(reading, 4) if ready else None
    finally:
        os.close(reading)
        _kill(child)
        os.waitpid(child, 0)
    if answer is None:
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {deadline:g} s")
    if len(answer) != 4:
        raise RuntimeError("the child of a try ended without an answer")
    (number,) = struct.unpack("i", answer)
    if number:
        raise OSError(number, os.strerror(number))


def _kill(child: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _report(work: Callable[[], None], writing: int) -> None:
    status = 1
    try:
        try:
            work()
            number = 0
        except OSError as error:
            number = error.errno or errno.EPROTO
        os.write(writing, struct.pack("i", number))
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _fork_and_check(work: Callable[[], bool]) -> None:
    """Fork; the child's True is success, an OSError there is raised here, False is EPROTO."""

    def checked() -> None:
        if not work():
            raise _wrong("no effect")

    in_child(checked)


# -- ptrace(2) -------------------------------------------------------------------------------

_PTRACE_DETACH = 17
_PTRACE_SEIZE = 0x4206
_PTRACE_INTERRUPT = 0x4207


def ptrace_seize() -> None:
    """Attach to a running child of our own, stop it, let it go."""

    def work() -> None:
        tracee = os.fork()
        if tracee == 0:
            signal.pause()
            os._exit(0)
        _checked(_libc.ptrace(_PTRACE_SEIZE, tracee, None, None))
        _checked(_libc.ptrace(_PTRACE_INTERRUPT, tracee, None, None))
        _, status = os.waitpid(tracee, 0)
        if not os.WIFSTOPPED(status):
            raise _wrong("the tracee did not stop")
        _checked(_libc.ptrace(_PTRACE_DETACH, tracee, None, None))
        os.kill(tracee, signal.SIGKILL)
        os.waitpid(tracee, 0)

    in_child(work)


# -- seccomp(2), seccomp_unotify(2) ----------------------------------------------------------

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER = 8
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_RET_USER_NOTIF = 0x7FC00000
_NOTIF_RECV = 0xC0502100
_NOTIF_SEND = 0xC0182101
_NOTIF_SET_FLAGS = 0x40082104
_SYNC_WAKE_UP = 1
_ANSWER = 7_654


def _install(action: int, flags: int) -> int:
    """Install a filter that gives getpriority(2) `action` and allows the rest (classic BPF)."""
    number = _NUMBERS.get(platform.machine(), {}).get("getpriority", -1)
    code = b"".join(
        struct.pack("HBBI", *line)
        for line in (
            (0x20, 0, 0, 0),  # A = seccomp_data.nr
            (0x15, 0, 1, number & 0xFFFFFFFF),  # nr == getpriority ?
            (0x06, 0, 0, action),
            (0x06, 0, 0, _RET_ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    return _call("seccomp", _SET_MODE_FILTER, flags, ctypes.addressof(program))


def seccomp_filter() -> None:
    """Install a filter and see it act."""

    def work() -> None:
        _install(_RET_ERRNO | errno.EDOM, 0)
        try:
            _call("getpriority", 0, 0)
        except OSError as error:
            if error.errno == errno.EDOM:
                return
        raise _wrong("the filter does not act")

    in_child(work)


def user_notification(sync_wake_up: bool = False) -> None:
    """Install a filter with a listener and answer one call; optionally with SYNC_WAKE_UP set."""

    def work() -> None:
        listener = _install(_RET_USER_NOTIF, _FLAG_NEW_LISTENER)
        if sync_wake_up:
            fcntl.ioctl(listener, _NOTIF_SET_FLAGS, _SYNC_WAKE_UP)
        caller = os.fork()
        if caller == 0:
            os._exit(0 if _call("getpriority", 0, 0) == _ANSWER else 1)
        notification = bytearray(80)
        fcntl.ioctl(listener, _NOTIF_RECV, notification)
        (cookie,) = struct.unpack_from("Q", notification)
        fcntl.ioctl(listener, _NOTIF_SEND, struct.pack("QqiI", cookie, _ANSWER, 0, 0))
        _, status = os.waitpid(caller, 0)
        if status != 0:
            raise _wrong("the caller got another answer")

    in_child(work)


# -- namespaces(7) ---------------------------------------------------------------------------


def _unshare(flags: int) -> None:
    """unshare(2), for a child that is about to use what it gained."""
    uid, gid = os.getuid(), os.getgid()
    _checked(_libc.unshare(flags))
    if flags & CLONE_NEWUSER:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)


def user_namespace() -> None:
    """Become root of a user namespace of one's own."""

    def work() -> bool:
        _unshare(CLONE_NEWUSER)
        return os.getuid() == 0

    _fork_and_check(work)


def uts_namespace(also: int = 0) -> None:
    """Have a host name of one's own (`also`: CLONE_NEWUSER for those without root)."""

    def work() -> bool:
        _unshare(CLONE_NEWUTS | also)
        name = b"glunix-probe"
        _checked(_libc.sethostname(name, len(name)))
        return os.uname().nodename == name.decode()

    _fork_and_check(work)


def pid_namespace(also: int = 0) -> None:
    """Be process 1."""

    def work() -> bool:
        _unshare(CLONE_NEWPID | also)
        child = os.fork()
        if child == 0:
            os._exit(0 if os.getpid() == 1 else 1)
        return os.waitpid(child, 0)[1] == 0

    _fork_and_check(work)


_MS_REC = 0x4000
_MS_PRIVATE = 0x40000


def mount_namespace(also: int = 0) -> None:
    """Mount a tmpfs that nobody else sees."""

    def work() -> bool:
        _unshare(CLONE_NEWNS | also)
        _checked(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        before = os.stat("/tmp").st_dev
        _checked(_libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
        return os.stat("/tmp").st_dev != before

    _fork_and_check(work)


def _in_pid_namespace(also: int, work: Callable[[], None]) -> None:
    """Run `work` as process 1 of a new PID namespace; its errno is raised here."""

    def outer() -> None:
        _unshare(CLONE_NEWPID | also)
        in_child(work)

    in_child(outer, 2 * DEADLINE)


def ns_last_pid(also: int = 0) -> None:
    """Choose the next pid by writing ns_last_pid (proc(5))."""

    def work() -> None:
        with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as file:
            file.write("4000")
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        if child != 4001:
            raise _wrong("the next pid was another one")

    _in_pid_namespace(also, work)


def clone3_set_tid(also: int = 0) -> None:
    """Choose a pid with clone3(2)'s set_tid."""

    def work() -> None:
        wanted = ctypes.c_int(4242)
        arguments = ctypes.create_string_buffer(
            struct.pack("11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
        )
        child = _call("clone3", ctypes.addressof(arguments), 88)
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        if child != 4242:
            raise _wrong("the child has another pid")

    _in_pid_namespace(also, work)


# -- terminals: pty(7), ioctl_tty(2) ---------------------------------------------------------

_EXTPROC = 0o200000


def hard_limit() -> None:
    """Raise a hard limit that was lowered (setrlimit(2)): root of a user namespace may not."""

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 1))
        except ValueError:  # so Python calls EPERM
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None

    in_child(work)


def new_pty() -> None:
    """Open a pseudo-terminal, set EXTPROC on it, send a line through it."""

    def work() -> None:
        master, slave = os.openpty()
        modes = termios.tcgetattr(slave)
        modes[3] |= _EXTPROC
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        if not termios.tcgetattr(slave)[3] & _EXTPROC:
            raise _wrong("EXTPROC does not stay set")
        os.write(master, b"x")
        if os.read(slave, 1) != b"x":
            raise _wrong("the terminal does not carry bytes")

    in_child(work)


def tiocsti() -> None:
    """Push input back into one's own terminal."""

    def work() -> None:
        _, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for byte in (b"x", b"\n"):
            fcntl.ioctl(slave, termios.TIOCSTI, byte)
        if os.read(slave, 2) != b"x\n":
            raise _wrong("what was pushed did not come back")

    in_child(work)


# -- bpf(2) ----------------------------------------------------------------------------------

_BPF_PROG_LOAD = 5
_BPF_RAW_TRACEPOINT_OPEN = 17
_BPF_PROG_TYPE_RAW_TRACEPOINT = 17


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return _call("bpf", command, ctypes.addressof(buffer), 128)


def _load_bpf() -> int:
    """Load `return 0` as a raw tracepoint program; its descriptor."""
    code = ctypes.create_string_buffer(b"\xb7" + bytes(7) + b"\x95" + bytes(7), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    return _bpf(
        _BPF_PROG_LOAD,
        struct.pack(
            "IIQQ",
            _BPF_PROG_TYPE_RAW_TRACEPOINT,
            2,
            ctypes.addressof(code),
            ctypes.addressof(licence),
        ),
    )


def bpf_program() -> None:
    """Load a program that does nothing."""
    os.close(_load_bpf())


def bpf_tracepoint() -> None:
    """Attach a program that does nothing to the tracepoint of every system call, for a moment."""

    def work() -> None:
        name = ctypes.create_string_buffer(b"sys_enter")
        program = _load_bpf()
        _bpf(_BPF_RAW_TRACEPOINT_OPEN, struct.pack("QI", ctypes.addressof(name), program))

    in_child(work)


# -- memory tracking: userfaultfd(2), ioctl_userfaultfd(2), PAGEMAP_SCAN -----------------------

_UFFD_USER_MODE_ONLY = 1
_UFFDIO_API = 0xC018AA3F
_UFFD_WP_ASYNC = 1 << 15
_PAGEMAP_SCAN = 0xC0606610
_PAGE_IS_PRESENT = 1 << 3


def userfaultfd(user_mode_only: bool = False, write_protect_async: bool = False) -> None:
    """Open a userfaultfd and agree on its features."""
    fd = _call("userfaultfd", os.O_CLOEXEC | (_UFFD_USER_MODE_ONLY if user_mode_only else 0))
    try:
        features = _UFFD_WP_ASYNC if write_protect_async else 0
        fcntl.ioctl(fd, _UFFDIO_API, bytearray(struct.pack("QQQ", 0xAA, features, 0)))
    finally:
        os.close(fd)


def pagemap_scan() -> None:
    """Have the kernel name the present pages of a mapping (admin-guide/mm/pagemap)."""
    memory = mmap.mmap(-1, 4 * mmap.PAGESIZE)
    memory[:1] = b"x"
    anchor = ctypes.c_char.from_buffer(memory)
    start = ctypes.addressof(anchor)
    region = ctypes.create_string_buffer(24)
    argument = bytearray(
        struct.pack(
            "12Q",
            *(96, 0, start, start + 4 * mmap.PAGESIZE, 0, ctypes.addressof(region), 1, 0),
            *(0, _PAGE_IS_PRESENT, 0, _PAGE_IS_PRESENT),
        )
    )
    try:
        with open("/proc/self/pagemap", "rb") as pagemap:
            found = fcntl.ioctl(pagemap, _PAGEMAP_SCAN, argument)
        if found != 1 or struct.unpack_from("Q", region)[0] != start:
            raise _wrong("the present page was not named")
    finally:
        del anchor
        memory.close()


_KVM_GET_API_VERSION = 0xAE00


def kvm_version(path: str = "/dev/kvm") -> int:
    """Version of the KVM interface (12). Says nothing about whether a guest would run."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(fd, _KVM_GET_API_VERSION, 0)
    finally:
        os.close(fd)

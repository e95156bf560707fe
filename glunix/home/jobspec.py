"""What a job takes along from home (paper 4.2.1): environment, directory, limits, dispositions."""

from __future__ import annotations

import _signal
import posix
import resource
import stat
import sys

from glunix.home.carried import carried
from glunix.home.options import PLENTY, Options, is_open, open_numbers

_FOR_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)
"""Signals whose disposition Python itself changed at start: what it was before is not known."""

_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")
"""What Python's start may have put into LC_CTYPE (PEP 538)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.directory import Giver

_NOTES = sys._xoptions.get("glunix")
"""What the launcher noted (glunix/cli/start.c); None: there was none."""

_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "mksh", "busybox")
"""They ignore those for themselves only when told to, and then their commands do, too."""

NEEDED = 16
"""Descriptors of home's half of a job that uses few files; 5 when it does without what it can."""

WINDOW = 1024 * 1024
WINDOW_MIN = 64 * 1024


def settle_fds(options: Options) -> None:
    """Make fds 0-2 those of the job: -i, -o and -e are redirections like the shell's."""
    for fd, home_fd in options.fds.items():
        if fd != home_fd:
            posix.dup2(home_fd, fd, inheritable=False)
            options.fds[fd] = fd


def is_tight() -> bool:
    """Whether home's half has few descriptors (RLIMIT_NOFILE), and does without what it can."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY or most >= PLENTY:
        return False
    return most - sum(number < most for number in open_numbers()) < NEEDED


def same_output() -> bool:
    """Whether fds 1 and 2 are the same open file (or pipe): then their order is to be kept."""
    try:
        one, two = posix.fstat(1), posix.fstat(2)
    except OSError:
        return False
    if (one.st_dev, one.st_ino) != (two.st_dev, two.st_ino):
        return False
    if not stat.S_ISREG(one.st_mode):
        return True
    from glunix.home.descriptors.openfile import same_open  # not for pipes and terminals

    return same_open(1, 2)


def output_window(degree: int) -> int:
    """Bytes that may be under way on each output channel of a `degree`-way job."""
    return max(WINDOW_MIN, WINDOW // degree)


def ignored_signals() -> list[int]:
    """Signals that were ignored when we were started (nohup(1) and friends)."""
    return [
        number
        for number in range(1, 65)
        if number not in _FOR_PYTHON and number not in (32, 33)
        and _signal.getsignal(number) == _signal.SIG_IGN
    ] + _ignored_before_python()  # fmt: skip


def _ignored_before_python() -> list[int]:
    if _NOTES is None:
        return _ignored_by_our_shell()
    words = _NOTES.split(",")
    return [number for number, word in zip(_FOR_PYTHON, "px", strict=True) if word in words]


def _ignored_by_our_shell() -> list[int]:
    """What `trap '' PIPE` was said of: Python hides it from us, but not the shell's own state."""
    parent = f"/proc/{posix.getppid()}"
    try:
        if posix.readlink(f"{parent}/exe").rpartition("/")[2] not in _SHELLS:
            return []
        with open(f"{parent}/status", "rb") as file:
            mask = int(file.read().partition(b"\nSigIgn:")[2][:17], 16)
    except (OSError, ValueError):
        return []
    return [number for number in _FOR_PYTHON if mask >> (number - 1) & 1]


def _noted_limits() -> dict[int, tuple[int, int]]:
    """Those that the launcher has raised for us, as they were."""
    found = {}
    for word in (_NOTES or "").split(","):
        if word[:1] == "l":
            number, soft, hard = map(int, word[1:].split(":"))
            found[number] = soft, hard
    return found


def soft_limit(number: int) -> int | None:
    """The program's; None: there is none."""
    soft = _noted_limits().get(number, resource.getrlimit(number))[0]
    return soft if soft >= 0 else None


def environment() -> dict[bytes, bytes]:
    """The caller's: Python's start may have changed LC_CTYPE, the kernel has it as it was."""
    now = posix.environ
    if now.get(b"LC_CTYPE") not in _COERCED:
        return now
    try:
        fd = posix.open("/proc/self/environ", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return now
    found = b"\0"
    try:  # what fails to be read is as unknown
        while more := posix.read(fd, 1 << 20):  # a page at a time, whatever is asked for
            found += more
    except OSError:
        return now
    finally:
        posix.close(fd)
    _, is_there, rest = found.partition(b"\0LC_CTYPE=")
    was = rest.partition(b"\0")[0] if is_there else None
    if was is not None:
        return {**now, b"LC_CTYPE": was}
    return {name: value for name, value in now.items() if name != b"LC_CTYPE"}


def _limits() -> list[object]:
    found: list[object] = []
    before = _noted_limits()
    for number in range(16):
        if number in before:
            found.append([number, *before[number]])
            continue
        try:
            soft, hard = resource.getrlimit(number)
        except (ValueError, OSError):
            continue
        found.append([number, soft, hard])
    return found


def working_directory(options: Options) -> tuple[bytes, bool, Giver | None]:
    """JobSpec's `cwd` and `removed`, and what hands over a directory to which no name leads."""
    if options.chdir is not None:
        return options.chdir, False, None
    try:
        path = posix.getcwdb()
        found, own = posix.stat(path), posix.stat(b".")
        is_it = (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
        if is_it and posix.access(path, posix.X_OK):  # chdir(2) wants it
            return path, False, None
    except OSError:
        pass
    from glunix.home.directory import without_name

    return without_name()


def _own_host() -> str:
    name = posix.uname().nodename
    return name if name.isascii() and name.isprintable() else ""


def _numbers() -> list[object]:
    """Ours, as glunix.msg.job.HomePids."""
    parent = posix.getppid()
    own = [posix.getpid(), parent, posix.getpgrp(), posix.getsid(0), _group_of(parent)]
    return [*own, _highest_pid()]


def _highest_pid() -> int:
    try:
        with open("/proc/sys/kernel/pid_max", "rb") as file:
            return int(file.read())
    except OSError:
        return 0


def _group_of(pid: int) -> int:
    try:
        return posix.getpgid(pid) if pid else 0
    except OSError:
        return 0


def submit_message(
    options: Options,
    tty: list[object] | None,
    environ: object,
    line: bytes = b"",
    inherited: list[list[object]] | None = None,
    standard: list[list[object]] | None = None,
    checked_writes: bool = False,
    where: tuple[bytes, bool, bytes] = (b"/", False, b""),
) -> list[object]:
    """glunix.msg.client.Submit as the array it is on the wire, request number 1."""
    umask = posix.umask(0)
    posix.umask(umask)
    stdin, one_output, sockets, opened = ("pipe", 0), False, [], []
    folders = [fd for fd in (0, 1, 2) if stat.S_ISDIR(posix.fstat(fd).st_mode)]
    closed = [fd for fd in folders if not is_open(fd)]  # most jobs need not load fcntl
    folders = [fd for fd in folders if fd not in closed]
    if 0 in folders:
        stdin = ("dir", 0)
    outputs = ["dir" if fd in folders else "" for fd in (1, 2)] if folders else []
    if options.transparent:
        from glunix.home.descriptors.inherited import open_states
        from glunix.home.descriptors.kinds import output_kind, same_sockets, stdin_kind

        opened = open_states()
        fd = options.fds[0]
        stdin = stdin_kind(fd, tty is not None and posix.isatty(fd))
        one_output = same_output()
        outputs = [output_kind(options.fds[1]), output_kind(options.fds[2])]
        sockets = same_sockets() if stdin[0] == "socket" else []
    staged: list[object] = []
    argv = options.argv
    if options.stage is not None:
        from glunix.home.staging import packed

        argv, staged = packed(argv, options.stage, options.chdir)
    spec: list[object] = [
        argv,
        environ,
        where[0],
        umask,
        posix.getpriority(posix.PRIO_PROCESS, 0),
        _limits(),
        tty,
        ignored_signals(),
        options.keep,
        options.transparent,
        options.engine,
        _own_host() if options.transparent else "",
        *stdin,
        one_output,
        output_window(options.degree),
        closed,
        bool(options.stats),
        options.home,
        _numbers() if options.transparent else None,
        sockets,
        staged,
        b"",  # a line without a secret, of older startups
        inherited or [],
        outputs,
        checked_writes,
        line,
        standard or [],
        opened,
        *where[1:],
        options.no_migrate,
        tty is not None,
        carried(options.transparent),
    ]
    where_to = [options.degree, options.nodes, options.exclude, options.uid, options.beside]
    return ["submit", 1, spec, *where_to]

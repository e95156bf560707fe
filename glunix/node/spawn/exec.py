"""The last steps of a child before it is the user's program (paper 4.2.1). Runs after fork.

Owns: session, terminal, limits, user, working directory, signals, environment, exec. Each failure
is reported as (step, errno, line for the user); nothing is skipped silently, except a limit that
this node's own hard limit does not allow: it is clipped, as a login there would be.

Limits and priority are what a client says of itself, so they are set after the process became the
user: the kernel then refuses what that user could not give himself.

What a process inherits from the daemon without anybody's wish ends in `enter_user`: session
keyring, capabilities, securebits, coredump filter, oom_score_adj. (An exec makes a process dumpable
again and ends keep_caps by itself.) What the submitting process may not have (no_new_privs, its
bounding set), the program may not have either.
"""

import contextlib
import errno
import fcntl
import os
import resource
import signal
import termios
from collections.abc import Callable
from typing import NoReturn

from glunix.errors import REQUIRED_MISSING
from glunix.msg.job import JobSpec, Owner
from glunix.node.privilege import set_groups
from glunix.node.spawn import directory
from glunix.node.spawn.carried import put_on, raise_oom
from glunix.node.spawn.interpreters import missing_interpreter
from slic.kernel import capabilities
from slic.kernel.prctl import set_parent_death_signal

STEPS = ("session", "tty", "engine", "user", "limits", "cwd", "exec")

COREDUMP_FILTER = 0x33
"""The kernel's default (core(5)): anonymous memory, ELF headers, private huge pages."""

NAME_SHOWN = 256
"""Characters of a user's name for something that an error line repeats: it must fit a message."""


class StepFailed(Exception):
    """A step of becoming the program failed."""

    def __init__(self, step: str, error: int, text: str) -> None:
        super().__init__(text)
        self.step = step
        self.error = error
        self.text = text


def join_terminal(tty_fd: int) -> None:
    """Make `tty_fd` the controlling terminal of the calling session leader."""
    fcntl.ioctl(tty_fd, termios.TIOCSCTTY, 0)


def leave_terminal() -> None:
    """Have no controlling terminal: one at which the daemon was started is not the job's."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # ENXIO: none (tty(4))
        return
    try:
        fcntl.ioctl(fd, termios.TIOCNOTTY)
    finally:
        os.close(fd)


def enter_groups(fds: tuple[int, ...]) -> None:
    """Move this process into control groups: `fds` are cgroup.procs files (cgroups(7))."""
    for fd in fds:
        try:
            os.write(fd, b"0")
        except OSError as error:
            number = error.errno or errno.EIO
            text = f"cannot enter a control group: {error.strerror}"
            raise StepFailed("session", number, text) from None


def own_group(tty_fd: int | None) -> None:
    """Lead a process group of one's own, in the terminal's foreground if there is one."""
    os.setpgid(0, 0)
    if tty_fd is not None:
        # We are in the background until this has worked: without the block SIGTTOU stops us.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        os.tcsetpgrp(tty_fd, os.getpid())


LINE = 4
"""A process's descriptor of its line to the daemon, if it has one (glunix.daemon.mpi)."""


def place_fds(stdin: int, stdout: int, stderr: int, line: int = -1) -> None:
    """Make the three descriptors 0, 1 and 2, and `line` LINE, whatever numbers they have now."""
    wanted = {0: stdin, 1: stdout, 2: stderr}
    if line >= 0:
        wanted[LINE] = line
    high = {n: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for n, fd in wanted.items()}
    for number, fd in high.items():
        os.dup2(fd, number, inheritable=True)


def place_more(fds: dict[int, int]) -> None:
    """Make descriptors above 2 those of a program: number -> what it has now."""
    if not fds:
        return
    above = max(*fds, *fds.values()) + 1
    high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for number, fd in fds.items()}
    for number, fd in high.items():
        os.dup2(fd, number, inheritable=True)


def _set_limits(spec: JobSpec) -> None:
    for limit in spec.rlimits:
        now_soft, now_hard = resource.getrlimit(limit.resource)
        if (limit.soft, limit.hard) == (now_soft, now_hard):
            continue
        try:
            resource.setrlimit(limit.resource, (limit.soft, limit.hard))
        except (ValueError, OSError):
            hard = _least(limit.hard, now_hard)
            resource.setrlimit(limit.resource, (_least(limit.soft, hard), hard))


def _set_nice(spec: JobSpec) -> None:
    if spec.nice != os.getpriority(os.PRIO_PROCESS, 0):
        try:
            os.setpriority(os.PRIO_PROCESS, 0, spec.nice)
        except PermissionError:
            pass  # without root nobody raises priority (setpriority(2)); a login could not either


def _least(a: int, b: int) -> int:
    if a == resource.RLIM_INFINITY:
        return b
    return a if b == resource.RLIM_INFINITY else min(a, b)


def enter_user(owner: Owner, keeps: int = 0) -> None:
    """Make the calling process one of the owner's, with nothing of the daemon's; StepFailed.
    `keeps`: capabilities that stay permitted, and are not effective (for a process of ours).

    Without root only what needs no right is done: the user is the daemon's own, or what is above
    this process has done it.
    """
    is_root = os.geteuid() == 0
    if not is_root and owner.uid != os.geteuid():
        raise StepFailed("user", errno.EPERM, f"cannot run as uid {owner.uid} without root")
    shed_inherited(owner)
    if is_root:
        if keeps:
            capabilities.set_keep_caps(True)
        set_groups(owner.groups)
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)
        set_parent_death_signal(signal.SIGKILL)  # the kernel forgot it with the old user (prctl(2))
    _shed_capabilities(owner, keeps)


def shed_inherited(owner: Owner) -> None:
    """Lose what comes down from the daemon, and what the submitter may not have. OSError.

    To be called before root's rights are given up: what it does then holds for all below.
    """
    is_root = os.geteuid() == 0
    with contextlib.nullcontext() if is_root else contextlib.suppress(PermissionError):
        _shed_settings()
    if is_root:
        _leave_keyring(owner)
    _restrict(owner)
    if capabilities.securebits() != capabilities.SECUREBITS_DEFAULT:
        with contextlib.suppress(PermissionError):  # locked: it is meant so
            capabilities.set_securebits(capabilities.SECUREBITS_DEFAULT)


def _shed_settings() -> None:
    """The coredump filter, and the daemon's own protection from the kernel's OOM killer.

    A process that is killed earlier than others stays so: that is its daemon's limit, not a favour.
    """
    text = _read("/proc/self/coredump_filter")  # none: a kernel without core dumps
    if text and int(text, 16) != COREDUMP_FILTER:
        _write("/proc/self/coredump_filter", b"%#x" % COREDUMP_FILTER)
    if int(_read("/proc/self/oom_score_adj") or 0) < 0:
        _write("/proc/self/oom_score_adj", b"0")


def inherits_nothing() -> bool:
    """Whether a program that this process starts without `become` finds nothing to shed.

    Its session keyring cannot be judged: a daemon joins a new one for its own user's programs.
    """
    have = capabilities.get()
    return (
        int(_read("/proc/self/coredump_filter") or b"33", 16) == COREDUMP_FILTER
        and int(_read("/proc/self/oom_score_adj") or 0) >= 0
        and capabilities.securebits() == capabilities.SECUREBITS_DEFAULT
        and not have.inheritable
        and not _has_terminal()
    )


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(fd, 64)
    finally:
        os.close(fd)


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _leave_keyring(owner: Owner) -> None:
    """A session keyring of its own: with the daemon's a program could search and read its keys.

    Made while still root, whose quota is large: a user may have 200 keys in all (keyrings(7)).
    """
    try:
        capabilities.join_new_session_keyring()
    except OSError as error:
        # No keyrings in this kernel, or none for us and all below us (a container's filter).
        nowhere = error.errno in (errno.ENOSYS, errno.EPERM)
        # Root in a user namespace has an ordinary user's quota; the daemon's own is anonymous too.
        is_ours = error.errno == errno.EDQUOT and owner.uid == os.geteuid()
        if not (nowhere or is_ours):
            raise


def _restrict(owner: Owner) -> None:
    """What the submitting process may not have. Never more than this process has now.

    Dropping from the bounding set is root's right; where it is missing, no_new_privs does as well:
    for who is not root the set only matters to programs with more rights than their owner.
    """
    lost = capabilities.ALL & ~owner.bounding
    wants = owner.no_new_privs
    if lost:
        try:
            capabilities.drop_bounding(lost)
        except PermissionError:
            wants = True
    if wants:
        capabilities.set_no_new_privs()


def _shed_capabilities(owner: Owner, keeps: int) -> None:
    """What is neither ambient nor inheritable does not outlive the exec of who is not root."""
    capabilities.clear_ambient()
    if keeps:
        capabilities.set_keep_caps(False)
    have = capabilities.get()
    if owner.uid == 0:
        kept = have._replace(inheritable=0)
    else:
        kept = capabilities.Caps(0, have.permitted & keeps, 0)
    if kept != have:
        capabilities.set(kept)


def _default_signals(ignored: list[int]) -> None:
    # Python ignores SIGPIPE and SIGXFSZ for itself, and ignored ones stay (signal(7)). Handlers go
    # by themselves at exec, but what waits until then is the program's, and they would swallow it.
    for caught in signal.valid_signals():
        if callable(signal.getsignal(caught)) or caught in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(caught, signal.SIG_DFL)
    for number in ignored:
        if number not in (0, signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _shown(name: bytes) -> str:
    """A name as part of one line of bounded length."""
    text = name.decode("utf-8", "replace")
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= NAME_SHOWN else text[: NAME_SHOWN - 1] + "…"


def _execute(argv: list[bytes], env: dict[bytes, bytes]) -> NoReturn:
    name = argv[0]
    if not name:  # execvp(3) says ENOENT; Python takes no empty argv[0]
        raise StepFailed("exec", errno.ENOENT, "'': command not found")
    paths = [b""] if b"/" in name else env.get(b"PATH", b"/usr/bin:/bin").split(b":")
    worst = errno.ENOENT
    for folder in paths:
        path = os.path.join(folder, name) if folder else name
        try:
            os.execve(path, argv, env)
        except OSError as error:
            if error.errno == errno.ENOEXEC:  # as execvp(3): a script without #!
                os.execve("/bin/sh", [b"sh", path, *argv[1:]], env)
            if error.errno == errno.EACCES and not os.path.lexists(path) and folder:
                continue  # a folder of PATH that this user may not enter, as shells see it
            if error.errno == errno.ENOENT and (needs := missing_interpreter(path)) is not None:
                node = env.get(b"GLUNIX_NODE", b"this node")
                text = f"{REQUIRED_MISSING} ({_shown(needs)} is not on {_shown(node)})"
                raise StepFailed("exec", errno.ENOENT, f"{_shown(name)}: {text}") from None
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                worst = error.errno or errno.EIO
                if worst != errno.EACCES:
                    break
    text = "command not found" if worst == errno.ENOENT else os.strerror(worst)
    raise StepFailed("exec", worst, f"{_shown(name)}: {text}")


def become(
    spec: JobSpec,
    owner: Owner,
    extra_env: dict[bytes, bytes],
    before_user: Callable[[], None] | None = None,
    dies_with_parent: bool = True,
) -> NoReturn:
    """Turn the calling process into the program; StepFailed says what could not be done.

    `before_user` is called while the process still has the daemon's privileges. Not
    `dies_with_parent`: the kernel ends it with its PID namespace, so that it need not have a
    parent-death signal (prctl(2)), which nothing that a shell starts has.
    """
    step = "engine"
    try:
        if before_user is not None:
            before_user()
        step = "user"
        raise_oom(spec.carried)
        enter_user(owner)
        step = "limits"
        _set_limits(spec)
        _set_nice(spec)
        put_on(spec.carried)
        step = "cwd"
        os.umask(spec.umask)
        directory.enter(spec)
        if not dies_with_parent:
            set_parent_death_signal(0)
        step = "exec"
        _default_signals(spec.ignored)
        if not spec.transparent:  # of those, who keeps descriptors sees to it (glunix.node.launch)
            for fd in spec.closed:
                os.close(fd)
        _execute(spec.argv, {**spec.env, **extra_env})
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
        what = f"cannot set up {step}"
        if step == "cwd":
            where = "a directory that was removed" if spec.removed else _shown(spec.cwd)
            what = f"cannot enter {where} on this node"
        raise StepFailed(step, number, f"{what}: {os.strerror(number)}") from None

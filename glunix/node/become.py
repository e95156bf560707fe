"""The last steps of a child before it is the user's program (paper 4.2.1). Runs after fork.

Owns: session, terminal, limits, user, working directory, signals, environment, exec. Each failure
is reported as (step, errno, line for the user); nothing is skipped silently, except a limit that
this node's own hard limit does not allow: it is clipped, as a login there would be.

Limits and priority are what a client says of itself, so they are set after the process became the
user: the kernel then refuses what that user could not give himself.
"""

import errno
import fcntl
import os
import resource
import signal
import termios
from collections.abc import Callable
from typing import NoReturn

from glunix.msg.job import JobSpec, Owner
from glunix.node.privilege import set_groups
from slic.kernel.prctl import set_parent_death_signal

STEPS = ("session", "tty", "engine", "user", "limits", "cwd", "exec")

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


def own_group(tty_fd: int | None) -> None:
    """Lead a process group of one's own, in the terminal's foreground if there is one."""
    os.setpgid(0, 0)
    if tty_fd is not None:
        # We are in the background until this has worked: without the block SIGTTOU stops us.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        os.tcsetpgrp(tty_fd, os.getpid())


def place_fds(stdin: int, stdout: int, stderr: int) -> None:
    """Make the three descriptors 0, 1 and 2, whatever numbers they have now."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (stdin, stdout, stderr)]
    for number, fd in enumerate(high):
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


def _become_user(owner: Owner) -> None:
    if os.geteuid() != 0:
        if owner.uid != os.geteuid():
            raise StepFailed("user", errno.EPERM, f"cannot run as uid {owner.uid} without root")
        return
    set_groups(owner.groups)
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    set_parent_death_signal(signal.SIGKILL)  # the kernel forgot it with the old user (prctl(2))


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
) -> NoReturn:
    """Turn the calling process into the program; StepFailed says what could not be done.

    `before_user` is called while the process still has the daemon's privileges.
    """
    step = "engine"
    try:
        if before_user is not None:
            before_user()
        step = "user"
        _become_user(owner)
        step = "limits"
        _set_limits(spec)
        _set_nice(spec)
        step = "cwd"
        os.umask(spec.umask)
        os.chdir(spec.cwd)
        step = "exec"
        _default_signals(spec.ignored)
        _execute(spec.argv, {**spec.env, **extra_env})
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
        what = (
            f"cannot enter {_shown(spec.cwd)} on this node"
            if step == "cwd"
            else f"cannot set up {step}"
        )
        raise StepFailed(step, number, f"{what}: {os.strerror(number)}") from None

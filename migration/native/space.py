"""A new PID namespace with the first process of a job in it: a stub that does nothing.

Around the stub stand an init, which reaps and whose end says how the job ended, and, if the job's
root did not begin a session, a process that begins the one it was in and is its parent: so a
stop from the keyboard finds a group that is not orphaned (setpgid(2), credentials(7)).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from migration.native import proc
from migration.native.place import stub_program
from slic.kernel import libc, prctl

_SYS_SETNS, _SYS_CLOSE_RANGE = 308, 436
_ALL = 0xFFFFFFFF
_LIVE_ON = signal.SIGUSR1


class SpaceFailed(RuntimeError):
    """The namespace or the stub could not be made; the message says at what."""


class Space:
    """The namespace. Processes are known by the mover's numbers: `init`, `root`."""

    def __init__(self, leader: int, root: int, base: int, files: Mapping[int, int]) -> None:
        """`leader`: the number of the session the root is born in, 0 for init's; `root`: the
        root's number; `files`: which of our descriptors the stub has under which number."""
        self._over = False
        reading, writing = os.pipe()
        try:
            self.init = _fork_init(leader, root, base, files, reading, writing)
        finally:
            os.close(writing)
        try:
            with open(reading, "rb") as told:
                failure = told.read().decode(errors="replace")
            if failure:
                raise SpaceFailed(failure)
            (first,) = proc.children(self.init)
            self.root = proc.children(first)[0] if leader else first
        except (ValueError, IndexError, ProcessLookupError):
            self.close()
            raise SpaceFailed("the first process has ended") from None
        except BaseException:
            self.close()
            raise

    def wait(self) -> int:
        """Until the job has ended: the wait status of its root, as init tells it."""
        _, status = os.waitpid(self.init, 0)
        self._over = True
        return status

    def detach(self) -> None:
        """The job outlives the mover from now on."""
        os.kill(self.init, _LIVE_ON)

    def close(self, traced: tuple[int, ...] = ()) -> None:
        """End everybody. Init ends when `traced`, tasks whose tracer we are, are waited for."""
        if self._over:
            return
        self._over = True
        os.kill(self.init, signal.SIGKILL)
        for tid in (*traced, self.init):
            try:
                while os.WIFSTOPPED(os.waitpid(tid, 0x40000000)[1]):
                    pass
            except ChildProcessError:
                continue


def _fork_init(
    *the_rest: int | Mapping[int, int],
) -> int:
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        prctl.unshare(prctl.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                _init(*the_rest)  # type: ignore[arg-type]
        finally:
            libc.syscall(_SYS_SETNS, own, prctl.CLONE_NEWPID)
    finally:
        os.close(own)
    return pid


def _init(
    leader: int, root: int, base: int, files: Mapping[int, int], reading: int, writing: int
) -> None:
    """Process 1 of the namespace. Does not return."""
    try:
        os.close(reading)
        prctl.set_parent_death_signal(signal.SIGKILL)
        _ignore_signals()
        signal.signal(_LIVE_ON, lambda *_: prctl.set_parent_death_signal(0))
        prctl.unshare(prctl.CLONE_NEWNS)
        prctl.mount("none", "/", "", prctl.MS_REC | prctl.MS_PRIVATE)
        flags = prctl.MS_NOSUID | prctl.MS_NODEV | prctl.MS_NOEXEC
        prctl.mount("proc", "/proc", "proc", flags)
        _next_number(leader or root)
        child = os.fork()
        if child == 0:
            if not leader:
                _become_stub(base, files, writing)
            _lead(root, base, files, writing)
        _close_all()
        os._exit(_reap(child, until_last=True))
    except BaseException as error:
        os.write(writing, f"init: {type(error).__name__}: {error}".encode())
        os._exit(127)


def _lead(root: int, base: int, files: Mapping[int, int], writing: int) -> None:
    """Begin the session of the root, and wait for it. Does not return."""
    os.setsid()
    _next_number(root)
    child = os.fork()
    if child == 0:
        _become_stub(base, files, writing)
    _close_all()
    os._exit(_reap(child, until_last=False))


def _become_stub(base: int, files: Mapping[int, int], writing: int) -> None:
    """The descriptors in their places, then the stub's program. Does not return."""
    try:
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                continue
        top = max(files, default=2) + 2
        hard = max(resource.getrlimit(resource.RLIMIT_NOFILE)[1], top)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        program = os.memfd_create("stub")
        os.write(program, stub_program(base))
        keep = {program, writing, *files.values()}
        for fd in range(3):
            if fd not in keep:
                os.close(fd) if _is_open(fd) else None
        for number, fd in files.items():
            os.dup2(fd, number, inheritable=True)
        _close_between(min(files, default=_ALL), {program, writing})
        os.execve(program, ["stub"], {})
    except BaseException as error:
        os.write(writing, f"stub: {type(error).__name__}: {error}".encode())
        os._exit(127)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _close_between(top: int, keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd < top and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue


def _close_all() -> None:
    libc.syscall(_SYS_CLOSE_RANGE, 0, _ALL, 0)


def _ignore_signals() -> None:
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN if number != signal.SIGCHLD else signal.SIG_DFL)
        except (OSError, ValueError):
            continue


def _next_number(number: int) -> None:
    """The next process of this namespace gets it (proc_sys_kernel(5), ns_last_pid)."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))


def _reap(child: int, until_last: bool) -> int:
    """Wait for the child, or for all, and give the child's status as an exit status."""
    status = 0
    while True:
        try:
            pid, found = os.waitpid(-1, 0)
        except ChildProcessError:
            return status
        if pid == child:
            status = os.waitstatus_to_exitcode(found)
            status = 128 - status if status < 0 else status
            if not until_last:
                return status

"""Acting in another task's place: opening a path as it would, reading its UTS names.

Limits: Linux security modules judge the supervisor, not the task; a task that is root with fewer
capabilities than the supervisor opens with the supervisor's.
"""

import errno
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slic.kernel.libc import (
    SYS_OPENAT2,
    SYS_SETFSGID,
    SYS_SETFSUID,
    SYS_SETGROUPS,
    SYS_SETNS,
    syscall,
)
from slic.kernel.pidfd import getfd, open_task, status_fields, terminal_of

AT_FDCWD = -100
RESOLVE_IN_ROOT = 0x10
CLONE_NEWUTS = 0x04000000
_umask_lock = threading.Lock()


def open_as(
    tid: int,
    dirfd: int,
    name: bytes,
    flags: int,
    mode: int,
    resolve: int,
    status: dict[str, str] | None = None,
    check: Callable[[], None] = lambda: None,
) -> int:
    """openat2(2) with the task's root, cwd, fsuid, fsgid, groups and umask; our descriptor.

    OSError as openat2 would give it, ESRCH if the task is gone. O_CLOEXEC and O_NOCTTY are added
    for the supervisor's sake. Paths that mean the caller itself (/proc/self, /dev/fd, /dev/tty)
    are led to the caller. `status` is the task's (`status_fields`) if it is known already. `check`
    raises when what was found by the task's number may be another's.
    """
    status = status or status_fields(tid)
    creating = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
    how_mode = mode & 0o7777 if creating else 0
    flags |= os.O_CLOEXEC | (0 if flags & os.O_PATH else os.O_NOCTTY)
    name = _about_the_caller(tid, int(status["Tgid"]), name)
    same_root = _same_root(tid)
    if same_root and name.startswith(b"/"):
        base = AT_FDCWD
    elif same_root:
        base = _open_base(tid, dirfd)
    else:
        name = os.fsencode(_under_root(tid, dirfd, name))
        base = os.open(f"/proc/{tid}/root", os.O_PATH)
        resolve |= RESOLVE_IN_ROOT
    how = struct.pack("=QQQ", flags, how_mode, resolve)
    try:
        check()
        with acting_as(status, bool(creating)):
            return syscall(SYS_OPENAT2, base, name, how, len(how))
    finally:
        if base != AT_FDCWD:
            os.close(base)


@contextmanager
def acting_as(status: dict[str, str], creating: bool) -> Iterator[None]:
    """A block in which this thread has a task's fsuid, fsgid and groups; its umask if asked.

    `status` is the task's (`status_fields`).
    """
    with _umask(int(status["Umask"], 8) if creating else -1), _credentials(status):
        yield


def _open_base(tid: int, dirfd: int) -> int:
    try:
        where = "cwd" if dirfd == AT_FDCWD else f"fd/{dirfd}"
        return os.open(f"/proc/{tid}/{where}", os.O_PATH)
    except FileNotFoundError:
        if dirfd == AT_FDCWD:
            raise ProcessLookupError from None
        raise OSError(errno.EBADF, "dirfd") from None
    except PermissionError:  # it lets nobody look (slic.kernel.undumpable): the folder is root's
        if dirfd == AT_FDCWD:
            raise
    task = open_task(tid)
    try:
        return getfd(task, dirfd)
    finally:
        os.close(task)


def _same_root(tid: int) -> bool:
    try:
        theirs, ours = os.stat(f"/proc/{tid}/root"), os.stat("/")
        same_mounts = os.stat(f"/proc/{tid}/ns/mnt").st_ino == os.stat("/proc/self/ns/mnt").st_ino
    except FileNotFoundError:
        raise ProcessLookupError from None
    return same_mounts and (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _under_root(tid: int, dirfd: int, name: bytes) -> str:
    if name.startswith(b"/"):
        return os.fsdecode(name)
    base = os.readlink(f"/proc/{tid}/cwd" if dirfd == AT_FDCWD else f"/proc/{tid}/fd/{dirfd}")
    root = os.readlink(f"/proc/{tid}/root").rstrip("/")
    return f"{base.removeprefix(root)}/{os.fsdecode(name)}"


def _about_the_caller(tid: int, pid: int, name: bytes) -> bytes:
    """Names that the kernel resolves by who asks, made to mean the caller."""
    for prefix, meant in (
        (b"/proc/thread-self", b"/proc/%d/task/%d" % (pid, tid)),
        (b"/proc/self", b"/proc/%d" % pid),
        (b"/dev/fd", b"/proc/%d/fd" % pid),
    ):
        if name == prefix or name.startswith(prefix + b"/"):
            return meant + name[len(prefix) :]
    standard = {b"/dev/stdin": 0, b"/dev/stdout": 1, b"/dev/stderr": 2}
    if name in standard:
        return b"/proc/%d/fd/%d" % (pid, standard[name])
    if name == b"/dev/tty":
        return _terminal_of(pid)
    return name


def _terminal_of(pid: int) -> bytes:
    """The device of a process's controlling terminal; ENXIO if it has none (tty(4)), as for it."""
    major, minor = terminal_of(pid)
    if 136 <= major <= 143:
        return b"/dev/pts/%d" % ((major - 136) * 256 + minor)
    try:
        told = Path(f"/sys/dev/char/{major}:{minor}/uevent").read_bytes()
        return b"/dev/" + next(
            line.removeprefix(b"DEVNAME=") for line in told.split(b"\n") if b"DEVNAME=" in line
        )
    except (FileNotFoundError, StopIteration):
        raise OSError(errno.ENXIO, "no controlling terminal, or one without a name") from None


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    if mask < 0:
        yield
        return
    with _umask_lock:  # the umask belongs to the whole supervisor
        before = os.umask(mask)
        try:
            yield
        finally:
            os.umask(before)


@contextmanager
def _credentials(status: dict[str, str]) -> Iterator[None]:
    """This thread's file-system credentials become the task's; only root needs (and can do) it."""
    uid, gid = int(status["Uid"].split()[3]), int(status["Gid"].split()[3])
    groups = [int(g) for g in status["Groups"].split()]
    own = os.getgroups()
    if os.geteuid() != 0 or (uid == 0 and gid == os.getegid() and groups == own):
        yield
        return
    # Raw calls change this thread only; glibc's wrappers would change every thread.
    _set_groups(groups)
    syscall(SYS_SETFSGID, gid)
    syscall(SYS_SETFSUID, uid)  # from 0 this also drops the file capabilities, back to 0 restores
    try:
        yield
    finally:
        syscall(SYS_SETFSUID, 0)
        syscall(SYS_SETFSGID, os.getegid())
        _set_groups(own)


def _set_groups(groups: list[int]) -> None:
    syscall(SYS_SETGROUPS, len(groups), struct.pack(f"={len(groups)}I", *groups))


def uname_of(tid: int) -> os.uname_result:
    """uname(2) in the task's UTS namespace; EPERM if we may not enter a foreign one."""
    theirs = f"/proc/{tid}/ns/uts"
    if os.stat(theirs).st_ino == os.stat("/proc/self/ns/uts").st_ino:
        return os.uname()
    found: list[os.uname_result | OSError] = []

    def enter() -> None:  # a thread has its own UTS namespace and takes it along when it ends
        try:
            fd = os.open(theirs, os.O_RDONLY)
            try:
                syscall(SYS_SETNS, fd, CLONE_NEWUTS)
            finally:
                os.close(fd)
            found.append(os.uname())
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]

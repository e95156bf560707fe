"""clone3(2) with CLONE_INTO_CGROUP: a fork whose child is born in a control group of version 2.

A process that is moved into a group (a write to cgroup.procs) waits until all processors have
passed a quiet state, 5 to 14 ms; a child that begins there waits for nothing. It takes Linux 5.7,
the right to write the group's cgroup.procs, and the one to move a process there from our own group.

To Python the child is one of os.fork(); libc's own handlers (pthread_atfork(3)) do not run, which
is for processes with one thread. Bindings only.
"""

import ctypes
import os
import signal
import struct
from pathlib import Path

_SYS_CLONE3 = 435
_INTO_CGROUP = 0x200000000

_libc = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock, as os.fork() does
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t]


def fork_into(group: int) -> int:
    """Fork into the control group that is open (O_PATH will do) as `group`: as os.fork()."""
    words = (_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, group)
    arguments = ctypes.create_string_buffer(struct.pack("11Q", *words))
    address, size = ctypes.addressof(arguments), len(arguments.raw) - 1
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid: int = _libc.syscall(_SYS_CLONE3, address, size)
    number = ctypes.get_errno()
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid


def probe(folder: Path) -> None:
    """OSError when no child can begin in this group."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pid = fork_into(fd)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    finally:
        os.close(fd)

"""What a node of an embedded cluster does not share with its machine: host name, pids and mounts.

Imports no library: `glunix doctor` asks here, also where nothing of ours is installed.
"""

import os
import socket
from pathlib import Path

from slic.kernel import prctl

ISOLATED = ("uts", "pid", "mount")
"""What an isolated node does not share with the machine."""


def leave_shared(name: str) -> None:
    """Get a UTS, PID and mount namespace of our own; OSError where that cannot be had."""
    uid, gid = os.geteuid(), os.getegid()
    flags = prctl.CLONE_NEWUTS | prctl.CLONE_NEWPID | prctl.CLONE_NEWNS
    if uid == 0:
        prctl.unshare(flags)
    else:
        prctl.unshare(flags | prctl.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    prctl.mount("none", "/", "", prctl.MS_REC | prctl.MS_PRIVATE)
    socket.sethostname(name)


def mount_own_proc() -> None:
    """A /proc of our PID namespace: with another one's, pids would mean other processes."""
    prctl.mount_proc(os.statvfs("/proc").f_flag)


def cannot_isolate() -> str:
    """Why nodes cannot have namespaces of their own here; empty when they can. Really tries.

    All or nothing: a PID namespace cannot be left again when its /proc turns out not to be had.
    """
    said_r, said_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            leave_shared("probe")
            inner = os.fork()
            if inner:
                os.waitpid(inner, 0)
                os._exit(0)
            mount_own_proc()
        except OSError as error:
            os.write(said_w, str(error).encode())
        finally:
            os._exit(0)
    os.close(said_w)
    os.waitpid(pid, 0)
    why = os.read(said_r, 4096).decode()
    os.close(said_r)
    return why

"""The program that is a shadow at home: where it is, and how it is made from forkserver.c.

Without gcc there is none, and a job's processes have no shadows. Root gives its file the right to
choose pids (capabilities(7), CAP_CHECKPOINT_RESTORE), so that everybody's shadows can be in the
sessions that a job makes; all that it does with it is to fork a child that waits for signals.
"""

from __future__ import annotations

import os
import stat
import struct

from glunix import config
from slic.kernel.compiled import NO_LIBC, Compiled

_HERE = os.path.dirname(__file__)
SOURCES = os.path.join(_HERE, "forkserver.c"), os.path.join(_HERE, "forkserver.h")
PROGRAM = Compiled(SOURCES, NO_LIBC)


def built() -> str | None:
    """The program's path; None when there is none that we may trust."""
    return PROGRAM.built(config.state_folder())


_CAPABILITY = "security.capability"
_CHECKPOINT_RESTORE = 40
# struct vfs_cap_data of linux/capability.h, revision 2. Permitted only: where a right of the file
# is not to be had (a container), it runs without; were it effective, execve(2) would be refused.
_RIGHT = struct.pack("<5I", 0x02000000, 0, 0, 1 << (_CHECKPOINT_RESTORE - 32), 0)


def let_choose(path: str) -> bool:
    """Give the program at `path` that right, as setcap(8) would; whether it has it now.

    Only root can, and only for a file of root's that nobody else can write.
    """
    if os.geteuid() != 0:
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        if found.st_uid or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
            return False
        os.setxattr(fd, _CAPABILITY, _RIGHT)
    except OSError:  # the filesystem has no such attributes, or CAP_SETFCAP was taken away
        return False
    finally:
        os.close(fd)
    return True

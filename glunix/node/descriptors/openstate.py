"""What fcntl(2) shows of fds 0-2 when the program begins: as home's open files have it.

Owns the flags that can be changed (O_NONBLOCK, O_APPEND, O_ASYNC, O_NOATIME), the owner and the
signal of the stand-ins. A file that is written is left out: its flags are asked of home
(slic HomeStdio).
"""

import contextlib
import os
from collections.abc import Mapping
from fcntl import F_GETFL, F_SETFL, F_SETOWN, fcntl

from glunix.msg.job import OpenState

F_SETSIG = 10
SHOWN = os.O_APPEND | os.O_NONBLOCK | os.O_ASYNC | os.O_NOATIME


def show_as_home(states: Mapping[int, OpenState]) -> None:
    """In the child, which has the program's pid: make its descriptors show these states.

    An owner that is not in the job's PID namespace is not shown: nothing here could be sent to it.
    """
    for fd, state in states.items():
        with contextlib.suppress(OSError):
            if state.signal:
                fcntl(fd, F_SETSIG, state.signal)
            if state.owner:
                fcntl(fd, F_SETOWN, state.owner)
        with contextlib.suppress(OSError):  # O_NOATIME is for who owns the file (fcntl(2))
            now = fcntl(fd, F_GETFL)
            wanted = now & ~SHOWN | state.flags & SHOWN
            if wanted != now:
                fcntl(fd, F_SETFL, wanted)

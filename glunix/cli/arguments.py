"""Secrets on a command line: taken out of what ps(1) shows of this process.

The kernel reads /proc/PID/cmdline from the memory where execve(2) put the words (proc(5), arg_start
and arg_end of /proc/PID/stat), so they are overwritten there.
"""

import os
from pathlib import Path

_ARG_START = 47 - 2
"""Index of arg_start in what follows the name in /proc/PID/stat: field 48, counted from field 3."""


def hide_argument(secret: str) -> None:
    """Overwrite every word of ours that contains the secret; nothing when /proc does not let us.

    It was to be seen for as long as the interpreter took to get here: other ways are safer.
    """
    try:
        stat = Path("/proc/self/stat").read_bytes()
        start, end = map(int, stat.rpartition(b")")[2].split()[_ARG_START : _ARG_START + 2])
        fd = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        words = os.pread(fd, end - start, start)
        wanted = os.fsencode(secret)
        at = words.find(wanted)
        while at >= 0:
            os.pwrite(fd, b"-".ljust(len(wanted), b" "), start + at)
            at = words.find(wanted, at + len(wanted))
    except OSError:
        pass
    finally:
        os.close(fd)

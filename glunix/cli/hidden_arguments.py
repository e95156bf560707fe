"""Secrets on a command line: taken out of what ps(1) shows of this process.

The kernel reads /proc/PID/cmdline from the memory where execve(2) put the words, so they are
overwritten there (glunix.home.processes.title).
"""

import os

from glunix.home.processes.title import words_area


def hide_argument(secret: str) -> None:
    """Overwrite every word of ours that contains the secret; nothing when /proc does not let us.

    It was to be seen for as long as the interpreter took to get here: other ways are safer.
    """
    try:
        start, end = words_area()
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

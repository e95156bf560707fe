"""How fds 0-2 are open: flags, what a read and a write do. Answers go to descriptor 9.

argv: descriptors; one that would wait for its input is followed by `w`: it is only written.
"""

import errno
import fcntl
import os
import struct
import sys
from collections.abc import Callable
from functools import partial

F_GETOWN_EX = 16


def say(name: str, call: Callable[[], object]) -> None:
    try:
        answer = call()
    except OSError as error:
        answer = errno.errorcode.get(error.errno or 0, error.errno)
    os.write(9, f"{name}: {answer}\n".encode())


def owner(fd: int) -> object:
    kind, pid = struct.unpack("ii", fcntl.fcntl(fd, F_GETOWN_EX, bytes(8)))
    names = {(1, os.getpid()): "own", (2, os.getpgrp()): "group"}
    return names.get((kind, pid), (kind, pid))


def table(fd: int, reads: bool) -> None:
    say(f"{fd} flags", lambda: oct(fcntl.fcntl(fd, fcntl.F_GETFL)))
    say(f"{fd} owner", partial(owner, fd))
    say(f"{fd} signal", partial(fcntl.fcntl, fd, 11))
    say(f"{fd} offset", partial(os.lseek, fd, 0, os.SEEK_CUR))
    if reads:
        say(f"{fd} read", partial(os.read, fd, 3))
    say(f"{fd} write", partial(os.write, fd, b"Xy"))
    if reads:
        say(f"{fd} pread", partial(os.pread, fd, 3, 0))
        say(f"{fd} read again", partial(os.read, fd, 2))
    say(f"{fd} pwrite", partial(os.pwrite, fd, b"Z", 1))
    say(f"{fd} offset after", partial(os.lseek, fd, 0, os.SEEK_CUR))
    say(f"{fd} truncate", partial(os.ftruncate, fd, 12))
    say(f"{fd} size", lambda: os.fstat(fd).st_size)
    say(f"{fd} tty", partial(os.isatty, fd))


for word in sys.argv[1:]:
    table(int(word[0]), "w" not in word)

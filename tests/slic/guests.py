"""C programs the tests compile and run under engines: one behaviour each, told by its output."""

import subprocess
from pathlib import Path

HEAD = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
"""


def build(directory: Path, name: str, source: str, *flags: str) -> str:
    """Compile `source` (with the usual headers) once per directory; the program's path."""
    program = directory / name
    if not program.exists():
        text = directory / f"{name}.c"
        text.write_text(HEAD + source)
        subprocess.run(
            ["gcc", "-O1", "-Wall", "-o", str(program), str(text), "-pthread", *flags], check=True
        )
    return str(program)

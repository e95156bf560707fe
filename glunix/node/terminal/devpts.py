"""The stand-in terminal under home's own name: /dev/pts/N on the node is /dev/pts/N of home.

Owns a private devpts of the job, in a mount namespace of its own (Documentation/filesystems/
devpts.rst): there the number is free, whatever the node's other terminals are. So ttyname,
/proc/PID/stat, `ps` and an open of that name agree with home without a single call being caught.
The job's own pseudo-terminals (script, tmux) are made in it too and get the lowest free numbers.

A supervisor that may not mount gives the terminal the node's next name, as a login there would.
"""

import contextlib
import fcntl
import os
import struct
import termios
from pathlib import Path

from glunix.msg.job import TtySpec
from glunix.node.userlevel.process import open_terminal, set_size
from slic.kernel.prctl import CLONE_NEWNS, MS_NOEXEC, MS_NOSUID, MS_REC, MS_SLAVE, mount, unshare

NUMBER_MAX = 1023
"""The highest number tried: each lower one is a pseudo-terminal for a moment."""

_TIOCGPTN, _TIOCSPTLCK = 0x80045430, 0x40045431
_KEPT_OPTIONS = ("gid=", "mode=")


def stand_in_terminal(tty: TtySpec) -> tuple[int, int, list[int]]:
    """A pseudo-terminal (master, slave) with home's number, group, modes and size, if it can be.

    It belongs to who calls: the job's owner, as at home.

    Also the masters of those with lower numbers: to be closed when there is time for it, a quarter
    of a millisecond each.
    """
    if not 0 <= tty.number <= NUMBER_MAX or not _private_devpts(tty.gid):
        return *open_terminal(tty, os.geteuid()), []
    master, slave, lower = _numbered(tty.number)
    fcntl.ioctl(slave, termios.TCSETS, tty.termios)
    set_size(slave, tty.size)
    os.fchmod(slave, tty.mode)
    return master, slave, lower


def _private_devpts(gid: int) -> bool:
    """Move this process to a mount namespace with an empty /dev/pts; False: it may not.

    Its terminals are of group `gid`, as home's are; where there is no such group (a user namespace)
    they look different, and nobody is kept from anything.
    """
    options = _node_options()
    if options is None:
        return False
    try:
        unshare(CLONE_NEWNS)
        mount("none", "/", "", MS_REC | MS_SLAVE)
    except OSError:
        return False
    for group in ([f",gid={gid}"] if gid >= 0 else []) + [""]:  # of one said twice the last counts
        with contextlib.suppress(OSError):
            flags = MS_NOSUID | MS_NOEXEC
            mount("devpts", "/dev/pts", "devpts", flags, options + group)
            return True
    return False


def _node_options() -> str | None:
    """What the job's own pseudo-terminals are like, as on this node; None: it has no /dev/pts."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split(" ")
        if (place, kind) == ("/dev/pts", "devpts"):
            kept = (word for word in options.split(",") if word.startswith(_KEPT_OPTIONS))
            return ",".join(("newinstance", "ptmxmode=0666", *kept))
    return None


def _numbered(number: int) -> tuple[int, int, list[int]]:
    """The pseudo-terminal of this number, and the masters of those before it."""
    lower: list[int] = []
    while True:
        master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        (given,) = struct.unpack("i", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))
        if given >= number:
            break
        lower.append(master)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = os.open(f"/dev/pts/{given}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, slave, lower

"""`groups`: process groups and sessions are made elsewhere first, then by the kernel here.

Has no form of its own on the command line: a supervisor whose job's processes have shadows on
another machine (glunix.node.processes.groups) puts it into its policy. setpgid, setsid and
tcsetpgrp (TIOCSPGRP) are held until the host has answered; the kernel makes every one.
"""

import enum

from msgspec import Struct

from slic.interposer import Interposer, on
from slic.tracee import Tracee
from slic.verdict import PASS, Asking, Capability, Verdict

TIOCSPGRP = 0x5410

PID_MAX = 1 << 22
"""Linux gives no higher number (proc(5), pid_max): what is asked with one, the kernel refuses."""


class Move(enum.Enum):
    """What a process is about to do."""

    GROUP = "setpgid"
    SESSION = "setsid"
    FOREGROUND = "tcsetpgrp"


class MoveShadow(Struct, frozen=True):
    """A question to the host: answered with anything once it is made there.

    `pid` and `group` as the call has them (0: the caller's own); of FOREGROUND, `device` is the
    terminal's st_rdev.
    """

    move: Move
    pid: int = 0
    group: int = 0
    device: int = 0


class Groups(Interposer):
    """Never answers a call; holds some for a moment."""

    confines = False

    @on("setpgid", needs=Capability.INSPECT)
    def setpgid(self, tracee: Tracee, pid: int, pgid: int) -> Asking:
        if 0 <= pid <= PID_MAX and 0 <= pgid <= PID_MAX:
            yield MoveShadow(Move.GROUP, pid, pgid)
        return PASS

    @on("setsid", needs=Capability.INSPECT)
    def setsid(self, tracee: Tracee) -> Asking:
        yield MoveShadow(Move.SESSION)
        return PASS

    @on("ioctl", where={"cmd": {TIOCSPGRP}}, needs=Capability.INSPECT)
    def tcsetpgrp(self, tracee: Tracee, fd: int, arg: int) -> Verdict | Asking:
        device = tracee.fd_stat(fd).st_rdev  # EBADF is the kernel's to say
        group = int.from_bytes(tracee.read(arg, 4), "little", signed=True)
        return self._give(device, group) if device and 0 < group <= PID_MAX else PASS

    def _give(self, device: int, group: int) -> Asking:
        yield MoveShadow(Move.FOREGROUND, 0, group, device)
        return PASS

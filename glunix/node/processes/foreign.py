"""Programs in a job that have more rights than its owner: setuid, setgid, file capabilities.

They are there only where root's glunix.toml says `setuid = true` for this node; else a transparent
job has no_new_privs. Home answers for what the *owner* may do, and home's half is the owner's own
program: it may lie. So nothing that such a process goes by is filled from home: the kernel of this
node answers it, but for the plain bytes of fds 0-2 and ioctls of the terminal of known size, which
a terminal or a pipe could have given it, too. Who began and who is in which group is noted as ever:
the kernel makes these calls itself (slic.interposers.home.forks, .groups).
"""

import os
from collections.abc import Sequence

from slic.interposer import Call, Interposer, on
from slic.interposers.home.descriptors import Asking, HomeFds
from slic.interposers.home.forks import Forks
from slic.interposers.home.groups import Groups
from slic.interposers.home.ioctls import TERMINAL_IOCTLS
from slic.kernel import undumpable
from slic.kernel.pidfd import status_fields
from slic.policy import Deciding, Decision, Policy
from slic.tracee import Address, CallGone, Tracee
from slic.verdict import PASS, Verdict

_ABOVE_ALL = -1
"""The depth of a decision whose result no interposer sees."""


class PlainBytes(Interposer):
    """`read`, `readv` and known terminal ioctls of the descriptors that the job began with."""

    confines = False

    def __init__(self, fds: HomeFds) -> None:
        self._fds = fds

    def _is_plain(self, tracee: Tracee, fd: int) -> bool:
        stand_in = self._fds.find(tracee, fd)
        return stand_in is not None and not stand_in.path

    @on("read")
    def read(self, tracee: Tracee, fd: int, buf: Address, count: int) -> Verdict | Asking:
        return self._fds.read(tracee, fd, buf, count) if self._is_plain(tracee, fd) else PASS

    @on("readv")
    def readv(self, tracee: Tracee, fd: int, vec: Address, vlen: int) -> Verdict | Asking:
        return self._fds.readv(tracee, fd, vec, vlen) if self._is_plain(tracee, fd) else PASS

    @on("ioctl", where={"cmd": frozenset(TERMINAL_IOCTLS)})
    def ioctl(self, tracee: Tracee, fd: int, cmd: int, arg: int) -> Verdict | Asking:
        return self._fds.ioctl(tracee, fd, cmd, arg) if self._is_plain(tracee, fd) else PASS


class OwnersPolicy(Policy):
    """The stack for the owner's processes; of the others' calls the kernel has nearly all."""

    def __init__(self, interposers: Sequence[Interposer], fds: HomeFds | None) -> None:
        super().__init__(interposers)
        plain = [] if fds is None else [PlainBytes(fds)]
        noted = [one for one in interposers if isinstance(one, Forks | Groups)]
        self._foreign = Policy([*plain, *noted])
        self._owner = _rights(os.getpid())

    def decide(self, call: Call, tracee: Tracee) -> Decision | Deciding:
        """As Policy has it."""
        if self._is_the_owners(tracee):
            return super().decide(call, tracee)
        found = self._foreign.decide(call, tracee)
        return _unseen(found) if isinstance(found, Decision) else _deciding(found)

    def _is_the_owners(self, tracee: Tracee) -> bool:
        """Asked at each call: a program gains rights by exec, and gives them up as it likes."""
        try:
            rights = _rights(tracee.tid)
        except ProcessLookupError:
            raise CallGone from None
        if not tracee.still_valid():
            raise CallGone
        return rights == self._owner


def restrict_looks() -> None:
    """The program has begun: from now on only processes that have gained rights already are looked
    into against the kernel's first word (slic.kernel.undumpable.only)."""
    owner = _rights(os.getpid())
    undumpable.only(lambda tid: _rights(tid) != owner)


def _rights(tid: int) -> tuple[str, ...]:
    """What tells a process with its owner's rights from any other: all its ids, and whether it has
    capabilities of this user namespace (proc(5))."""
    status = status_fields(tid)
    has_some = bool(int(status["CapPrm"], 16)) and tid != os.getpid()
    return status["Uid"], status["Gid"], " ".join(sorted(status["Groups"].split())), str(has_some)


def _unseen(decision: Decision) -> Decision:
    return Decision(decision.verdict, _ABOVE_ALL)


def _deciding(found: Deciding) -> Deciding:
    return _unseen((yield from found))

"""`HomeReopens`: a file of home that is opened once more by its descriptor's name.

/dev/stdout, /dev/fd/N and /proc/PID/fd/N lead to what a descriptor has; opening them begins a new
open file with an offset and flags of its own, and O_TRUNC cuts the file (proc(5)). So home opens
its file anew, and the program gets another stand-in: an input whose reads are answered, or an
output that streams.

Limits: only names of just this form are known, no links to them. Opened for reading and writing, it
is refused with EINVAL where the job has nothing else that is open so. An output is not opened for
reading where the job has no input that is a file: nothing would be caught then, and its stand-in
lets nobody read (EACCES; root waits there). One that is mapped is empty. Two open files of one file
keep the order of their writes where the job is careful (`HomeWrites`); else what was written to the
youngest goes home first.
"""

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import replace

from slic.interposer import Call, Handler, Interposer, any_of, argument_tests, on
from slic.interposers.home.descriptors import FILE_OUTPUT, Asking, HomeFds, StandIn
from slic.interposers.home.questions import CallHome, Opened
from slic.interposers.support.opens import OPENS, Opening, opening
from slic.tracee import Tracee
from slic.verdict import PASS, Capability, Fail, ReturnFd, Verdict

REOPEN = "reopen"
_NAMES = re.compile(
    rb"/dev/(?P<std>stdin|stdout|stderr)|/(?:dev|proc/self|proc/thread-self)/fd/(?P<own>[0-9]{1,9})"
    rb"|/proc/[0-9]+(?:/task/[0-9]+)?/fd/[0-9]+"
)
_STANDARD = (b"stdin", b"stdout", b"stderr")
_KERNELS = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_EXCL
"""Flags with which such a name cannot be opened, or is not followed."""
_NOT_HOMES = os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY


class HomeReopens(Interposer):
    """`reads`: there are inputs that are files, so opens for reading count, too. `whole`: every
    call on a file can be made at home (`HomeFiles`), so opens for both count."""

    confines = False

    def __init__(self, fds: HomeFds, reads: bool, whole: bool) -> None:
        self._whole = whole
        self._fds = fds
        self._reads = reads

    def declarations(self) -> Iterable[Handler]:
        """Most opens are for reading: without inputs none of these is caught."""
        if self._reads:
            return type(self).handlers
        writing = argument_tests({"flags": any_of(os.O_ACCMODE | os.O_TRUNC)})
        return [
            replace(h, where=writing) if h.method == "classic" else h for h in type(self).handlers
        ]

    @on("open", "openat", needs=Capability.RETURN | Capability.ADD_FD)
    def classic(self, tracee: Tracee, call: Call) -> Verdict | Asking:
        return self._opened(tracee, call)

    @on(*(set(OPENS) - {"open", "openat"}), needs=Capability.RETURN | Capability.ADD_FD)
    def others(self, tracee: Tracee, call: Call) -> Verdict | Asking:
        return self._opened(tracee, call)

    def _opened(self, tracee: Tracee, call: Call) -> Verdict | Asking:
        try:
            asked = opening(tracee, call)
        except OSError:
            return PASS  # an openat2 that the kernel refuses
        match = _NAMES.fullmatch(asked.name)
        if match is None or asked.flags & _KERNELS or asked.resolve:
            return PASS
        stand_in = self._behind(tracee, match)
        if stand_in is None or stand_in.kind not in ("file", FILE_OUTPUT):
            return PASS
        access = asked.flags & os.O_ACCMODE
        if access not in (os.O_RDONLY, os.O_WRONLY) and not self._whole:
            return Fail(errno.EINVAL)
        return self._reopen(asked, stand_in)

    def _behind(self, tracee: Tracee, match: re.Match[bytes]) -> StandIn | None:
        """The stand-in that a name leads to."""
        try:
            if match["std"]:
                return self._fds.find(tracee, _STANDARD.index(match["std"]))
            if match["own"]:
                return self._fds.find(tracee, int(match["own"]))
            # In the caller's own /proc, which may number processes otherwise than ours.
            return self._fds.leading(os.stat(b"/proc/%d/root" % tracee.tid + match[0]))
        except OSError:
            return None

    def _reopen(self, asked: Opening, stand_in: StandIn) -> Asking:
        flags = asked.flags & ~_NOT_HOMES
        opened: Opened = yield CallHome(REOPEN, stand_in.fd, (), (flags,))
        self._fds.add(opened.stand_in)
        return ReturnFd(opened.fd, cloexec=asked.cloexec)

"""`HomeMesg`: who may write to the home terminal is set at home (mesg(1), fchmod(2), fchown(2)).

Then here, too, so that the stand-in is as home's terminal is. Limit: by descriptor only; a program
that changes it by name (`chmod g+w $(tty)`) changes the stand-in.
"""

from slic.interposer import on
from slic.interposers.home.descriptors import Asking, StandInCalls
from slic.interposers.home.files import owner
from slic.interposers.home.questions import CallHome
from slic.tracee import Tracee
from slic.verdict import PASS, Verdict


class HomeMesg(StandInCalls):
    """See the module."""

    @on("fchmod", about="fd")
    def fchmod(self, tracee: Tracee, fd: int, mode: int) -> Verdict | Asking:
        return self._both(tracee, fd, "fchmod", mode & 0o7777)

    @on("fchown", about="fd")
    def fchown(self, tracee: Tracee, fd: int, user: int, group: int) -> Verdict | Asking:
        return self._both(tracee, fd, "fchown", *owner(user, group))

    def _both(self, tracee: Tracee, fd: int, call: str, *numbers: int) -> Verdict | Asking:
        stand_in = self._of_kind(tracee, fd, "tty")
        if stand_in is None or stand_in.path:
            return PASS
        return self._at_home(stand_in.fd, call, numbers)

    def _at_home(self, fd: int, call: str, numbers: tuple[int, ...]) -> Asking:
        yield CallHome(call, fd, (), numbers)
        return PASS

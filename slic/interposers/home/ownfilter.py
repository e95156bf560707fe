"""`ownfilter`: prctl(PR_GET_SECCOMP) does not tell of the filter by which calls are caught.

Has no form of its own on the command line: whose program is to find itself as at home asks for it.

Limits: `Seccomp:` and `Seccomp_filters:` of /proc/PID/status do. A program's own filter works as
natively: its verdict comes first where it is the stricter one (seccomp(2)).
"""

from slic.interposer import Interposer, on
from slic.tracee import Tracee
from slic.verdict import PASS, Capability, Return, Verdict

PR_GET_SECCOMP = 21


class OwnFilter(Interposer):
    """See the module."""

    confines = False

    def __init__(self, ours: int) -> None:
        """`ours`: filters of a program that has installed none."""
        self._ours = ours

    @on("prctl", where={"option": {PR_GET_SECCOMP}}, needs=Capability.RETURN)
    def get(self, tracee: Tracee) -> Verdict:
        return Return(0) if tracee.filters == self._ours else PASS

"""A daemon as member of a cluster of machines: renewal, revocations, user policy.

Owns what the master last told about users. What certificates are worth is glunix.trust's to say.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from glunix.comm.loop import Loop
from glunix.errors import GlunixError, Refused
from glunix.ids import Why
from glunix.msg import master
from glunix.msg.base import Message
from glunix.msg.stream import Start
from glunix.trust.revocation import Revocations
from glunix.users import Users

if TYPE_CHECKING:
    from glunix.trust.member import Member

LOOK_MOST = 6 * 3600.0
"""Seconds between looks whether the certificate is to be renewed: clocks are set meanwhile."""

EXPECT_WITHIN = 5.0
"""Seconds that the master's word about a job may come after its home's."""

EXPECTED_MAX = 4096

UNANNOUNCED_MAX = 4096
UNANNOUNCED_BYTES = 512 * 1024 * 1024
"""Jobs of one home, and the bytes of them, for which the master's word is waited for."""

AGAIN = 60.0
"""Seconds until the next try when a renewal was asked for and did not come."""


class Cancellable(Protocol):
    """A call that has not been made yet."""

    def cancel(self) -> None:
        """It is not to be made."""


class Membership:
    """`tell` sends to the master (nothing while there is none); `revoked` ends links."""

    def __init__(
        self,
        loop: Loop,
        member: "Member",
        tell: Callable[[Message], None],
        revoked: Callable[[Revocations], None],
        log: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self.member = member
        self._tell = tell
        self._revoked = revoked
        self._log = log
        self.users = Users()
        self._expected: dict[tuple[int, str], list[int]] = {}
        """(npid, home) -> VNNs that may be started here for a daemon of an ordinary user."""
        self._waiting: dict[tuple[int, str], Callable[[], None]] = {}
        self._unannounced: dict[str, tuple[int, int]] = {}
        """Home -> jobs and bytes that wait for the master's word."""
        self._next: Cancellable | None = None

    def start(self) -> None:
        """Look at the certificate now and then."""
        self._look()

    def _look(self) -> None:
        due = self.member.renew_in()
        if due <= 0:
            self._tell(master.Renew(self.member.request()))
        self._look_later()

    def _look_later(self) -> None:
        if self._next is not None:
            self._next.cancel()
        due = self.member.renew_in()
        self._next = self._loop.call_later(min(due if due > 0 else AGAIN, LOOK_MOST), self._look)

    def welcomed(self) -> None:
        """There is a master again: ask at once for what is overdue."""
        if self.member.renew_in() <= 0:
            self._tell(master.Renew(self.member.request()))

    def _expect(self, what: tuple[int, str], vnns: list[int]) -> None:
        self._expected[what] = vnns
        if len(self._expected) > EXPECTED_MAX:
            del self._expected[next(iter(self._expected))]
        waiting = self._waiting.pop(what, None)
        if waiting is not None:
            waiting()

    def reserve(self, home: str, start: Start) -> Callable[[], None]:
        """Take in a job that was not announced yet; Refused when there are too many already.

        Returns what is to be called once it was announced, or refused.
        """
        spec = start.spec
        size = sum(map(len, spec.argv)) + sum(file.size for file in spec.staged)
        size += sum(len(name) + len(value) for name, value in spec.env.items())
        jobs, held = self._unannounced.get(home, (0, 0))
        if jobs >= UNANNOUNCED_MAX or held + size > UNANNOUNCED_BYTES:
            raise Refused(Why.BAD_REQUEST, f"{home} starts too much that was not announced")
        self._unannounced[home] = (jobs + 1, held + size)

        def release() -> None:
            jobs, held = self._unannounced.pop(home)
            if jobs > 1:
                self._unannounced[home] = (jobs - 1, held - size)

        return release

    def when_expected(
        self, npid: int, home: str, vnns: list[int], go: Callable[[], None], no: Callable[[], None]
    ) -> None:
        """Call `go` once the master has announced that job, `no` when it does not.

        A home that speaks for one user only could otherwise start processes under the number of
        another's job, and our reports of them would be taken for that job's.
        """
        what = (npid, home)

        def decide() -> None:
            self._waiting.pop(what, None)
            late.cancel()
            good = self._expected.pop(what, None) == vnns
            (go if good else no)()

        if what in self._waiting:
            self._loop.call_soon(no)
            return
        late = self._loop.call_later(EXPECT_WITHIN, decide)
        self._waiting[what] = decide
        if what in self._expected:
            self._loop.call_soon(decide)

    def message(self, message: Message) -> bool:
        """Take what is about trust; False: it is about something else."""
        if isinstance(message, master.TrustNews):
            told = Revocations(frozenset(message.revoked), message.before)
            try:
                self.member.now_revoked(told)
            except GlunixError as error:  # a full disk: in force, until we start again
                self._log(f"revocations are not kept: {error}")
            self._revoked(told)
        elif isinstance(message, master.UserPolicy):
            try:
                self.users = Users(message.allow_root, message.users)
            except ValueError as error:
                self._log(f"the master's user policy is not usable, the last one stays: {error}")
        elif isinstance(message, master.Expect):
            self._expect((message.npid, message.home), list(message.vnns))
        elif isinstance(message, master.Renewed):
            try:
                self.member.renewed(message.node_cert, message.listen_cert)
            except GlunixError as error:
                self._log(f"the certificate was not renewed: {error}")
            else:
                self._log("the certificate was renewed")
                self._look_later()
        else:
            return False
        return True

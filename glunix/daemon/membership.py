"""A daemon as member of a cluster of machines: renewal, revocations, user policy.

Owns what the master last told about users. What certificates are worth is glunix.trust's to say.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from glunix.comm.loop import Loop
from glunix.daemon.announced import Announced, Placed
from glunix.errors import GlunixError
from glunix.msg import master
from glunix.msg.base import Message
from glunix.trust.peer import Peer
from glunix.trust.revocation import Revocations
from glunix.users import REFUSE_GROUPS, Users

if TYPE_CHECKING:
    from glunix.trust.member import Member

LOOK_MOST = 6 * 3600.0
"""Seconds between looks whether the certificate is to be renewed: clocks are set meanwhile."""

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
        self.announced = Announced(loop)
        self.announces_all = True
        """The master announces every job; one of an earlier version only those of daemons that
        speak for one user."""
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

    def is_announced(self, home: Peer) -> bool:
        """Whether the master announces what this home starts here."""
        return self.announces_all or home.uid is not None

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
            self._policy(message)
        elif isinstance(message, master.Expect):
            placed = Placed(tuple(message.vnns), message.uid)
            self.announced.expect(message.home, message.npid, placed)
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

    def _policy(self, told: master.UserPolicy) -> None:
        self.announces_all = told.announces_all
        refused = REFUSE_GROUPS if told.refuse_groups is None else tuple(told.refuse_groups)
        try:
            self.users = Users(told.allow_root, told.users, refused)
        except ValueError as error:
            self._log(f"the master's user policy is not usable, the last one stays: {error}")

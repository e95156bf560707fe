"""Whose job a node starts: the node's own check of what another daemon says about an owner.

A daemon of root is believed about uids, as NFS believes its clients; one of an ordinary user only
about that user, and not about groups. Without root a node serves its own uid only.
"""

import os
from collections.abc import Callable

from glunix.daemon.accounts import Accounts
from glunix.errors import GlunixError, Refused
from glunix.ids import Why
from glunix.msg import stream
from glunix.msg.base import Body, Message
from glunix.msg.job import Owner
from glunix.trust.peer import Peer
from glunix.users import Users


def owner_here(users: Users, peer: Peer, node: str, owner: Owner, accounts: Accounts) -> Owner:
    """The owner of a job from `peer` as this node knows the user; Refused when it may not run."""
    if peer.uid is not None and owner.uid != peer.uid:
        text = f"the daemon of {peer.node} serves uid {peer.uid} only, not {owner.uid}"
        raise Refused(Why.NOT_YOURS, text)
    uid = users.on_node(users.may_run(peer.node, owner.uid), node)
    own = os.geteuid()
    if own not in (0, uid):
        text = f"{node} runs without root and serves uid {own} only"
        raise Refused(Why.NOT_YOURS, text)
    if own:
        return Owner(own, os.getegid(), os.getgroups())  # who we are cannot be changed
    if uid == owner.uid and peer.uid is None:
        return owner
    found = accounts.owner(uid)
    if found is None:
        raise Refused(Why.NOT_YOURS, f"{node} has no user with uid {uid}")
    return found


class RefusedJob:
    """Has the shape of glunix.node.userjob.UserJob, and starts nothing."""

    def __init__(
        self,
        start: stream.Start,
        refusal: GlunixError,
        tell: Callable[[Message], None],
        ended: Callable[[], None],
    ) -> None:
        self.start = start
        self._refusal = refusal
        self._tell = tell
        self._ended = ended

    def launch_some(self) -> bool:
        """Tell home why."""
        for vnn in self.start.vnns:
            self._tell(stream.Failed(vnn, "user", 1, str(self._refusal)))
        self._ended()
        return False

    def frame(self, body: Body) -> None:
        """Input for nobody."""

    def kill(self, number: int, vnns: list[int] | None) -> int:
        """There is nothing to kill."""
        return 0

    def abandon(self) -> None:
        """There is nothing to end."""

    def wait_status(self, pid: int, status: int) -> bool:
        """No child is ours."""
        return False

    def roots(self) -> list[int]:
        """We have no children."""
        return []

    def is_root(self, pid: int) -> bool:
        """We have no children."""
        return False

"""Whose job a node starts, in which groups, within which limits: the node's own check.

A daemon of root is believed about the uid of a user, as NFS believes its clients; one of an
ordinary user only about that user. What a user is on this node, the node itself knows: his groups
are its own, and what the other side says of groups, limits and priority can only lower them.
Without root a node serves its own uid only.
"""

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from glunix.daemon.accounts import Account, Accounts
from glunix.errors import GlunixError, Refused
from glunix.ids import Why
from glunix.msg import stream
from glunix.msg.base import Body, Message
from glunix.msg.job import JobSpec, Owner, Rlimit
from glunix.trust.peer import Peer
from glunix.users import ROOT, Users


@dataclass(frozen=True)
class Here:
    """The owner of a job as this node knows the user, and the groups of his that it has not."""

    owner: Owner
    without: list[str]


def owner_here(
    users: Users, peer: Peer, node: str, owner: Owner, ours: bool, accounts: Accounts
) -> Here:
    """The owner of a job from `peer` on this node; Refused when it may not run here.

    `ours`: this very daemon learned the owner from the kernel, so his groups are what they are.
    """
    if peer.uid is not None and owner.uid != peer.uid:
        text = f"the daemon of {peer.node} serves uid {peer.uid} only, not {owner.uid}"
        raise Refused(Why.NOT_YOURS, text)
    uid = users.on_node(users.may_run(peer.node, owner.uid), node)
    own = os.geteuid()
    if own not in (0, uid):
        text = f"{node} runs without root and serves uid {own} only"
        raise Refused(Why.NOT_YOURS, text)
    if own:
        return Here(Owner(own, os.getegid(), os.getgroups()), [])  # which cannot be changed
    account = accounts.account(uid, tuple(users.refuse_groups))
    if not ours and users.is_mapped(node, uid):
        owner = _mapped(node, account, owner)
    elif not ours:
        owner = _lowered(node, uid, account, owner)
    return _without_refused(users, account, owner)


def _mapped(node: str, account: Account, owner: Owner) -> Owner:
    """Numbers of groups mean something else at home: the user's here, or none if he has none."""
    if account.primary < 0:
        raise Refused(Why.NOT_YOURS, f"{node} has no user with uid {account.uid}")
    return Owner(account.uid, account.primary, account.groups if owner.groups else [])


def _lowered(node: str, uid: int, account: Account, owner: Owner) -> Owner:
    """The user's groups on this node, as far as the submitting process had them, too."""
    if account.primary < 0:
        # Who has no name here is in no group here. His own number is one that nobody else has.
        if owner.gid != uid or account.is_group:
            raise Refused(Why.NOT_YOURS, f"{node} has no user with uid {uid}")
        return Owner(uid, uid, [])
    primary, groups = account.primary, account.groups
    had = {owner.gid, *owner.groups}
    gid = owner.gid if owner.gid in groups else primary
    if gid not in had:
        text = f"uid {uid} comes with gid {owner.gid}, which is none of its groups on {node}"
        raise Refused(Why.NOT_YOURS, text)
    return Owner(uid, gid, [group for group in groups if group in set(owner.groups)])


def _without_refused(users: Users, account: Account, owner: Owner) -> Here:
    if owner.uid == ROOT:  # who may run jobs at all; may_run has seen to that
        return Here(owner, [])
    refused = dict(account.refused)
    if owner.gid == ROOT and not users.allow_root:
        text = "group root (gid 0) may not run jobs in this cluster ([users] allow_root)"
        raise Refused(Why.NOT_YOURS, text)
    if owner.gid in refused:
        text = f"group {refused[owner.gid]} may not run jobs in this cluster"
        raise Refused(Why.NOT_YOURS, f"{text} ([users] refuse_groups)")
    if not users.allow_root:
        refused[ROOT] = "root"
    without = [refused[group] for group in owner.groups if group in refused]
    kept = [group for group in owner.groups if group not in refused]
    return Here(Owner(owner.uid, owner.gid, kept), without)


def limits_here(spec: JobSpec) -> JobSpec:
    """Limits and priority within those of this daemon, also where the owner could raise them."""
    nice = max(spec.nice, os.getpriority(os.PRIO_PROCESS, 0))
    return msgspec.structs.replace(
        spec, nice=nice, rlimits=[_within(limit) for limit in spec.rlimits]
    )


def _within(limit: Rlimit) -> Rlimit:
    try:
        _, most = resource.getrlimit(limit.resource)
    except ValueError:
        return limit  # the kernel knows none of that number: the job will hear it
    hard = least(limit.hard, most)
    return Rlimit(limit.resource, least(limit.soft, hard), hard)


def least(one: int, other: int) -> int:
    """The lower of two limits; -1 is none."""
    if one == resource.RLIM_INFINITY:
        return other
    return one if other == resource.RLIM_INFINITY else min(one, other)


class RefusedJob:
    """Has the shape of glunix.node.userlevel.job.UserJob, and starts nothing."""

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

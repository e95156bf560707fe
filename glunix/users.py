"""Who may run jobs, and which uid a user has on which node: the cluster's policy. Pure.

Without a mapping a user has the same uid everywhere. A mapping names users and gives the uid of
each on every node where it differs from `default`. The uid that the master's books hold is the
default one. A uid that belongs to a mapped user elsewhere is nobody's here, so that uid 1000 of
one machine never becomes another person's 1000 of the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from glunix.errors import Refused
from glunix.ids import Why

DEFAULT = "default"
ROOT = 0
REFUSE_GROUPS = (
    "disk",
    "docker",
    "incus-admin",
    "kmem",
    "libvirt",
    "lxd",
    "shadow",
    "sudo",
    "wheel",
)
"""Groups that amount to root on most machines: no job from another machine is in them."""

UsersTable = Mapping[str, Mapping[str, int]]
"""User -> {node or `default`: uid}."""


@dataclass(frozen=True)
class Users:
    """The policy. `canonical` and `on_node` raise Refused with one line."""

    allow_root: bool = False
    table: UsersTable = field(default_factory=dict)
    refuse_groups: Sequence[str] = REFUSE_GROUPS
    """Names, or numbers, of the groups that no job is in."""

    def __post_init__(self) -> None:
        fault = table_fault(self.table)
        if fault:
            raise ValueError(fault)

    def _uid(self, user: str, node: str) -> int:
        row = self.table[user]
        return row.get(node, row[DEFAULT])

    def _owner(self, node: str, uid: int) -> str | None:
        return next((user for user in self.table if self._uid(user, node) == uid), None)

    def canonical(self, node: str, uid: int) -> int:
        """The cluster's uid of the user who is `uid` on `node`; Refused when there is none."""
        user = self._owner(node, uid)
        if user is not None:
            return self.table[user][DEFAULT]
        taken = next((u for u, row in self.table.items() if row[DEFAULT] == uid), None)
        if taken is not None:
            text = f"uid {uid} of {node} is not the {taken} of this cluster (see its user mapping)"
            raise Refused(Why.NOT_YOURS, text)
        return uid

    def may_run(self, node: str, uid: int) -> int:
        """`canonical`, and Refused for root unless the policy allows it."""
        found = self.canonical(node, uid)
        if ROOT in (found, uid) and not self.allow_root:
            raise Refused(
                Why.NOT_YOURS, "root may not run jobs in this cluster ([users] allow_root)"
            )
        return found

    def is_mapped(self, node: str, uid: int) -> bool:
        """Whether the mapping names the user who is `uid` on `node`."""
        return self._owner(node, uid) is not None

    def on_node(self, canonical: int, node: str) -> int:
        """The uid that this user has on `node`; Refused when it is somebody else's there."""
        user = next((u for u, row in self.table.items() if row[DEFAULT] == canonical), None)
        if user is not None:
            return self._uid(user, node)
        other = self._owner(node, canonical)
        if other is not None:
            raise Refused(Why.NOT_YOURS, f"uid {canonical} is {other} on {node}")
        return canonical


def table_fault(table: UsersTable) -> str:
    """What is wrong with a mapping; empty when nothing is."""
    for user, row in table.items():
        if DEFAULT not in row:
            return f"user {user} has no `{DEFAULT}` uid"
        if ROOT in row.values():
            return f"user {user} is mapped to root"
    defaults = [row[DEFAULT] for row in table.values()]
    if len(set(defaults)) < len(defaults):
        return "two users have the same default uid"
    nodes = {node for row in table.values() for node in row}
    for node in nodes:
        uids = [row.get(node, row[DEFAULT]) for row in table.values()]
        if len(set(uids)) < len(uids):
            return f"two users have the same uid on {node}"
    return ""

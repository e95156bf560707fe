"""members.json as values: who has which certificates, what is revoked, which invitations are open.

Owns the file's form, also as earlier versions wrote it. What may be changed is the authority's.
"""

from dataclasses import dataclass, field
from typing import Any

from glunix.trust.files import TrustFiles, read_json, write_json
from glunix.trust.peer import NotTrusted
from glunix.trust.revocation import plain


@dataclass
class Invite:
    """An invitation that is open. `node`: only under this name. `uid`: only for this user."""

    cert: str
    until: float
    node: str = ""
    uid: int | None = None
    since: float = 0.0


@dataclass
class Issued:
    """A member: the serials it may use (two for each time it was certified), and until when."""

    name: str
    serials: dict[str, float]
    """Serial -> when it expires."""
    until: float
    since: float
    uid: int | None = None
    renewed: float = 0.0
    """When it was certified last."""


@dataclass
class Revoked:
    """A node that was a member: what was issued to it until `before` is worth nothing."""

    before: int
    """Microseconds of the books' clock."""
    until: float
    """When the last of these certificates expires."""


@dataclass
class Book:
    """The whole file."""

    members: dict[str, Issued] = field(default_factory=dict)
    revoked: dict[str, float] = field(default_factory=dict)
    """Serial -> when it would have expired, and can be forgotten."""
    nodes: dict[str, Revoked] = field(default_factory=dict)
    """Name (`plain`) -> its revocation."""
    invites: dict[str, Invite] = field(default_factory=dict)
    """Fingerprint of the invitation's certificate (hex) -> invitation."""
    clock: int = 0
    """Microseconds of the last certificate or revocation; the next is later, even if our clock is
    set back."""

    def tick(self, now: float) -> int:
        """The time of what is issued or revoked now."""
        self.clock = max(int(now * 1_000_000), self.clock + 1)
        return self.clock

    def named(self, name: str) -> Issued | None:
        """The member of that name, in whatever case."""
        found = self.members.get(name)
        if found is None:
            wanted = plain(name)
            found = next((m for m in self.members.values() if plain(m.name) == wanted), None)
        return found

    def write(self, files: TrustFiles) -> None:
        """Put it on the disk; GlunixError when that fails."""
        value = {
            "members": [vars(member) for member in self.members.values()],
            "revoked": self.revoked,
            "nodes": {name: vars(node) for name, node in self.nodes.items()},
            "invites": {key: vars(invite) for key, invite in self.invites.items()},
            "clock": self.clock,
        }
        write_json(files.members, value)


def _issued(row: dict[str, Any]) -> Issued:
    serials = row["serials"]
    if isinstance(serials, list):  # of a version without times
        serials = dict.fromkeys(serials, row["until"])
    return Issued(**{**row, "serials": serials})


def read_book(files: TrustFiles) -> Book:
    """Read members.json, or an empty one; NotTrusted when it is damaged."""
    found = read_json(files.members, {"members": [], "revoked": {}, "invites": {}})
    try:
        return Book(
            {str(row["name"]): _issued(row) for row in found["members"]},
            {str(serial): float(until) for serial, until in found["revoked"].items()},
            {str(name): Revoked(**row) for name, row in found.get("nodes", {}).items()},
            {str(key): Invite(**row) for key, row in found["invites"].items()},
            int(found.get("clock", 0)),
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise NotTrusted(f"{files.members} is damaged: {error}") from None

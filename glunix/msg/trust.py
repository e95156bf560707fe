"""Joining and administration: the invited machine and the master; the owner's tool and the master.

The invited machine's connection is TLS like all others, with the invitation's certificate; the
owner's tool comes over a Unix socket in the private folder.
"""

from typing import Annotated

from msgspec import Meta

from glunix.msg.base import Decoder, Message, Record
from glunix.msg.job import U32, MomentField, NameField, TextField, VersionField

Pem = Annotated[bytes, Meta(max_length=16384)]
SecondsField = Annotated[float, Meta(ge=0, le=1e9)]
Serial = Annotated[str, Meta(max_length=64, pattern=r"\A[0-9a-f]+\Z")]


class Offer(Message, frozen=True, tag="offer"):
    """Master to an invited machine, first: who we are. Checked against the token's fingerprint."""

    major: VersionField
    cluster: NameField
    ca: Pem
    time: MomentField
    """The master's clock, seconds since the epoch."""


class Enrol(Message, frozen=True, tag="enrol"):
    """Invited machine to master: a signing request; its key stays where it is."""

    request: Pem
    node: NameField
    uid: U32 | None
    """The only user that its daemon will serve (it runs without root); None: all users."""


class Enrolled(Message, frozen=True, tag="enrolled"):
    """The machine is a member now."""

    node_cert: Pem
    listen_cert: Pem
    names_key: Annotated[bytes, Meta(min_length=16, max_length=64)]
    heartbeat: SecondsField
    lost_after: SecondsField


class JoinRefused(Message, frozen=True, tag="joinrefused"):
    """Why not. The invitation stays open unless it was used."""

    text: TextField


class InviteAsked(Message, frozen=True, tag="invite"):
    """The owner wants an invitation that can be used for `seconds`."""

    seconds: Annotated[float, Meta(gt=0, le=31 * 86400)]
    node: Annotated[str, Meta(max_length=64)] = ""
    uid: U32 | None = None


class RevokeAsked(Message, frozen=True, tag="revoke"):
    """The owner wants a member out."""

    node: NameField


class MembersAsked(Message, frozen=True, tag="members"):
    """Who is a member?"""


class Invited(Message, frozen=True, tag="invited"):
    """Answer to InviteAsked: a secret."""

    token: TextField


class MemberRow(Record, frozen=True):
    """A member as `glunix members` shows it; times are seconds since the epoch."""

    name: NameField
    since: MomentField
    until: MomentField
    uid: U32 | None
    connected: bool


class Members(Message, frozen=True, tag="memberlist"):
    """Answer to MembersAsked."""

    rows: Annotated[list[MemberRow], Meta(max_length=65536)]


class Done(Message, frozen=True, tag="done"):
    """It was done; `text` is for the owner."""

    text: TextField = ""


class AdminRefused(Message, frozen=True, tag="refused"):
    """It was not done; `why` is a glunix.errors.Why."""

    why: NameField
    text: TextField


MasterToJoiner = Offer | Enrolled | JoinRefused
AdminToMaster = InviteAsked | RevokeAsked | MembersAsked
MasterToAdmin = Invited | Members | Done | AdminRefused

joiner_to_master = Decoder(Enrol, "invited machine to master")
master_to_joiner = Decoder(MasterToJoiner, "master to invited machine")
admin_to_master = Decoder(AdminToMaster, "owner to master")
master_to_admin = Decoder(MasterToAdmin, "master to owner")

"""The master's side of trust: who was invited, who has which certificate, which are revoked.

Owns members.json; every change is on disk before it is answered, so that a crash can neither let
an invitation be used twice nor forget a revocation. Takes the time as an argument.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from glunix.errors import GlunixError, Refused
from glunix.ids import NodeName, Why, node_name
from glunix.trust import certs
from glunix.trust.files import TrustFiles, read_json, read_private, write_json, write_private
from glunix.trust.member import renewal
from glunix.trust.peer import NotTrusted, Peer
from glunix.trust.tokens import Token, new_token

INVITES_MAX = 256
MEMBERS_MAX = 4096


@dataclass
class Invite:
    """An invitation that is open. `node`: only under this name. `uid`: only for this user."""

    cert: str
    until: float
    node: str = ""
    uid: int | None = None


@dataclass
class Issued:
    """A member: the serials it may use (two: node and listener), and until when."""

    name: str
    serials: list[str]
    until: float
    since: float
    uid: int | None = None


@dataclass
class _Book:
    members: dict[str, Issued] = field(default_factory=dict)
    revoked: dict[str, float] = field(default_factory=dict)
    """Serial -> when it would have expired, and can be forgotten."""
    invites: dict[str, Invite] = field(default_factory=dict)
    """Fingerprint of the invitation's certificate (hex) -> invitation."""


@dataclass(frozen=True)
class Papers:
    """What a new or renewed member gets, as PEM."""

    node: NodeName
    node_cert: bytes
    listen_cert: bytes


class Authority:
    """The cluster's CA at work. Raises Refused for what a user asked wrongly."""

    def __init__(self, files: TrustFiles, life: float) -> None:
        self._files = files
        self._life = life
        self.ca = certs.load_cert(read_private(files.ca_cert))
        self._signer = certs.Signer(self.ca, certs.load_key(read_private(files.ca_key)))
        self.names_key = read_private(files.names_key)
        self._book = _read(files)

    # -- who is that? ------------------------------------------------------------------------

    def trusted(self) -> bytes:
        """What TLS may trust, PEM: the CA, and the certificates of open invitations."""
        invites = "".join(invite.cert for invite in self._book.invites.values())
        return certs.cert_pem(self.ca) + invites.encode()

    def invite_of(self, der: bytes, now: float) -> Invite | None:
        """The open invitation that this certificate is; None when it is something else."""
        invite = self._book.invites.get(_digest(der))
        if invite is not None and invite.until <= now:
            raise NotTrusted("an invitation that has expired")
        return invite

    def peer(self, der: bytes) -> Peer:
        """The member of this certificate; NotTrusted when it is revoked or was never issued."""
        peer = certs.read_peer(der, self.ca)
        if peer.serial in self._book.revoked:
            raise NotTrusted(f"the certificate of {peer.node} is revoked")
        member = self._book.members.get(peer.node)
        if member is None or peer.serial not in member.serials:
            raise NotTrusted(f"a certificate of {peer.node} that is not in the books")
        return peer

    # -- invitations -------------------------------------------------------------------------

    def invite(self, now: float, seconds: float, node: str = "", uid: int | None = None) -> Token:
        """A new invitation; it can be used once, within `seconds`."""
        if node:
            self._free_name(node)
        self.forget_expired(now)
        if len(self._book.invites) >= INVITES_MAX:
            raise Refused(Why.BAD_REQUEST, f"{INVITES_MAX} invitations are open already")
        token = new_token(certs.fingerprint(self.ca))
        invite = Invite(token.cert.decode(), now + seconds, node, uid)
        self._book.invites[_digest(certs.cert_der(certs.load_cert(token.cert)))] = invite
        self._save()
        return token

    def enrol(self, der: bytes, request: bytes, name: str, uid: int | None, now: float) -> Papers:
        """Use an invitation: certificates for `name`, which speaks for `uid` only (None: all)."""
        invite = self.invite_of(der, now)
        if invite is None:
            raise Refused(Why.NOT_YOURS, "this invitation was used or has expired")
        if invite.node and name != invite.node:
            raise Refused(Why.NOT_YOURS, f"this invitation is for a node named {invite.node}")
        if invite.uid is not None and uid not in (None, invite.uid):
            raise Refused(Why.NOT_YOURS, f"this invitation is for a daemon of uid {invite.uid}")
        checked = self._free_name(name)
        key = _asked(request)
        del self._book.invites[_digest(der)]
        only = invite.uid if invite.uid is not None else uid
        return self._issue(key, checked, only, now)

    def admit(self, request: bytes, name: str, now: float) -> Papers:
        """Certificates for the master's own machine, at `glunix init`."""
        return self._issue(_asked(request), self._free_name(name), None, now)

    def renew(self, peer: Peer, request: bytes, now: float) -> Papers:
        """New certificates for a member; those it has stay valid until they expire."""
        key = _asked(request)
        return self._issue(key, peer.node, peer.uid, now)

    def _free_name(self, name: str) -> NodeName:
        try:
            checked = node_name(name)
        except ValueError as error:
            raise Refused(Why.BAD_REQUEST, str(error)) from None
        if name == certs.MASTER:
            raise Refused(Why.BAD_REQUEST, f"no node can be called {name}")
        if name in self._book.members:
            text = f"{name} is a member already: choose another --name, or revoke it first"
            raise Refused(Why.BAD_REQUEST, text)
        if len(self._book.members) >= MEMBERS_MAX:
            raise Refused(Why.BAD_REQUEST, f"the cluster has {MEMBERS_MAX} members")
        return checked

    def _issue(self, key: Ed25519PublicKey, name: NodeName, uid: int | None, now: float) -> Papers:
        tag = certs.tag_of(self.names_key, f"node:{name}")
        node = self._signer.node(key, name, uid, now, self._life)
        listen = self._signer.listener(key, tag, now, self._life)
        serials = [certs.serial_of(node), certs.serial_of(listen)]
        before = self._book.members.get(name)
        since = before.since if before is not None else now
        # Of a renewed member the pair before last is let go; the last may still be in use.
        kept = before.serials[-2:] if before is not None else []
        self._book.members[name] = Issued(name, kept + serials, certs.ends(node), since, uid)
        self._save()
        return Papers(name, certs.cert_pem(node), certs.cert_pem(listen))

    # -- the master's own --------------------------------------------------------------------

    def own_listener(self, now: float) -> None:
        """Make or renew the master's listener certificate, if that is due."""
        files = self._files
        if files.master_cert.exists():
            cert = certs.load_cert(read_private(files.master_cert))
            if renewal(cert) > now:
                return
        key = certs.load_key(read_private(files.master_key))
        tag = certs.tag_of(self.names_key, certs.MASTER)
        cert = self._signer.listener(key.public_key(), tag, now, self._life)
        write_private(files.master_cert, certs.cert_pem(cert))

    # -- revocation --------------------------------------------------------------------------

    def revoke(self, name: str) -> None:
        """This member's certificates are worth nothing from now on; its name is free again."""
        member = self._book.members.pop(name, None)
        if member is None:
            raise Refused(Why.BAD_REQUEST, f"no member is called {name}")
        for serial in member.serials:
            self._book.revoked[serial] = member.until
        self._save()

    def revoked(self) -> list[str]:
        """Serials that nobody may accept."""
        return sorted(self._book.revoked)

    def members(self) -> list[Issued]:
        """Who has certificates, by name."""
        return [self._book.members[name] for name in sorted(self._book.members)]

    def forget_expired(self, now: float) -> bool:
        """Drop what time has ended; True when the invitations changed."""
        book = self._book
        old = [key for key, invite in book.invites.items() if invite.until <= now]
        gone = [serial for serial, until in book.revoked.items() if until <= now]
        for key in old:
            del book.invites[key]
        for serial in gone:
            del book.revoked[serial]
        if old or gone:
            self._save()
        return bool(old)

    def _save(self) -> None:
        book = self._book
        try:
            write_json(
                self._files.members,
                {
                    "members": [vars(member) for member in book.members.values()],
                    "revoked": book.revoked,
                    "invites": {key: vars(invite) for key, invite in book.invites.items()},
                },
            )
        except GlunixError:
            self._book = _read(self._files)  # a full disk: what was not written did not happen
            raise


def _read(files: TrustFiles) -> _Book:
    found = read_json(files.members, {"members": [], "revoked": {}, "invites": {}})
    try:
        return _Book(
            {str(row["name"]): Issued(**row) for row in found["members"]},
            {str(serial): float(until) for serial, until in found["revoked"].items()},
            {str(key): Invite(**row) for key, row in found["invites"].items()},
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise NotTrusted(f"{files.members} is damaged: {error}") from None


def _digest(der: bytes) -> str:
    return certs.fingerprint(certs.load_cert(der)).hex()


def _asked(request: bytes) -> Ed25519PublicKey:
    try:
        return certs.requested_key(request)
    except NotTrusted as error:
        raise Refused(Why.BAD_REQUEST, str(error)) from None


def new_cluster(files: TrustFiles, life: float, now: float, names_key: bytes) -> Authority:
    """Make a CA and the master's key; refused when there are any already."""
    if files.ca_key.exists():
        raise Refused(Why.BAD_REQUEST, f"there is a cluster already ({files.ca_key})")
    key, master = certs.new_key(), certs.new_key()
    write_private(files.ca_cert, certs.cert_pem(certs.new_ca(key, now)))
    write_private(files.names_key, names_key)
    write_private(files.master_key, certs.key_pem(master))
    write_private(files.ca_key, certs.key_pem(key))
    authority = Authority(files, life)
    authority.own_listener(now)
    return authority

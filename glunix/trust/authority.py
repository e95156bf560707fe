"""The master's side of trust: who was invited, who has which certificate, which are revoked.

Owns members.json; every change is on disk before it is answered, so that a crash can neither let
an invitation be used twice nor forget a revocation. Takes the time as an argument.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from glunix.errors import GlunixError, Refused
from glunix.ids import NodeName, Why, node_name
from glunix.trust import certs
from glunix.trust.book import Invite, Issued, Revoked, read_book
from glunix.trust.files import TrustFiles, read_private, write_private
from glunix.trust.member import renewal
from glunix.trust.peer import NotTrusted, Peer
from glunix.trust.revocation import Revocations, plain
from glunix.trust.tokens import Token, new_token

INVITES_MAX = 256
MEMBERS_MAX = 4096

RENEWALS = 8
RENEWALS_EACH = 32
"""Pairs of certificates of one member that have not expired: over RENEWALS of them, one more in so
many parts of a certificate's life. A member that asks without end is refused, not remembered."""

LONGER = 30 * 86400.0
"""Seconds for which a revocation is kept after its certificates have expired: clocks of nodes may
be behind, and the master's may have been ahead for a while."""


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
        self._book = read_book(files)

    # -- who is that? ------------------------------------------------------------------------

    def trusted(self) -> bytes:
        """What TLS may trust, PEM: the CA, and the certificates of open invitations."""
        invites = "".join(invite.cert for invite in self._book.invites.values())
        return certs.cert_pem(self.ca) + invites.encode()

    def invite_of(self, der: bytes, now: float) -> Invite | None:
        """The open invitation that this certificate is; None when it is something else."""
        invite = self._book.invites.get(_digest(der))
        if invite is not None and not invite.since - certs.SKEW <= now < invite.until:
            raise NotTrusted("an invitation that has expired")  # or our clock was set back
        return invite

    def peer(self, der: bytes) -> Peer:
        """The member of this certificate; NotTrusted when it is revoked or was never issued."""
        peer = certs.read_peer(der, self.ca)
        self.check(peer)
        return peer

    def check(self, peer: Peer) -> None:
        """NotTrusted when this certificate, which was good once, is not good now."""
        if self.revocations().covers(peer.node, peer.serial):
            raise NotTrusted(f"the certificate of {peer.node} is revoked")
        member = self._book.members.get(peer.node)
        if member is None or peer.serial not in member.serials:
            raise NotTrusted(f"a certificate of {peer.node} that is not in the books")

    # -- invitations -------------------------------------------------------------------------

    def invite(self, now: float, seconds: float, node: str = "", uid: int | None = None) -> Token:
        """A new invitation; it can be used once, within `seconds`."""
        if node:
            self._free_name(node)
        self.forget_expired(now)
        if len(self._book.invites) >= INVITES_MAX:
            raise Refused(Why.BAD_REQUEST, f"{INVITES_MAX} invitations are open already")
        token = new_token(certs.fingerprint(self.ca))
        invite = Invite(token.cert.decode(), now + seconds, node, uid, now)
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
        self.check(peer)
        key = _asked(request)
        member = self._book.members[peer.node]
        self._drop_expired(member, now)
        since = now - member.renewed
        if len(member.serials) >= 2 * RENEWALS and 0 <= since < self._life / RENEWALS_EACH:
            raise Refused(Why.BAD_REQUEST, f"{peer.node} asks for certificates too often")
        return self._issue(key, peer.node, peer.uid, now)

    def _free_name(self, name: str) -> NodeName:
        try:
            checked = node_name(name)
        except ValueError as error:
            raise Refused(Why.BAD_REQUEST, str(error)) from None
        if plain(name) == certs.MASTER:
            raise Refused(Why.BAD_REQUEST, f"no node can be called {name}")
        member = self._book.named(name)
        if member is not None:
            text = f"{member.name} is a member already: choose another --name, or revoke it first"
            raise Refused(Why.BAD_REQUEST, text)
        if len(self._book.members) >= MEMBERS_MAX:
            raise Refused(Why.BAD_REQUEST, f"the cluster has {MEMBERS_MAX} members")
        return checked

    def _issue(self, key: Ed25519PublicKey, name: NodeName, uid: int | None, now: float) -> Papers:
        book, life = self._book, self._life
        issued = book.tick(now)
        tag = certs.tag_of(self.names_key, f"node:{name}")
        node = self._signer.node(key, name, uid, now, life, issued)
        listen = self._signer.listener(key, tag, now, life, issued)
        member = book.members.get(name)
        if member is None:
            member = book.members[name] = Issued(name, {}, 0.0, now, uid)
        # All that it has stay in the books until they expire: the last may still be in use, and
        # whoever revokes the node must reach every one.
        for cert in (node, listen):
            member.serials[certs.serial_of(cert)] = certs.ends(cert)
        member.until = max(member.until, certs.ends(node))
        member.renewed = now
        self._save()
        return Papers(name, certs.cert_pem(node), certs.cert_pem(listen))

    def _drop_expired(self, member: Issued, now: float) -> None:
        gone = [s for s, until in member.serials.items() if until + certs.SKEW <= now]
        for serial in gone:
            del member.serials[serial]

    # -- the master's own --------------------------------------------------------------------

    def own_listener(self, now: float) -> None:
        """Make or renew the master's listener certificate, if that is due."""
        files = self._files
        if files.master_cert.exists():
            cert = certs.load_cert(read_private(files.master_cert))
            if certs.begins(cert) <= now < renewal(cert):  # else our clock has been set back
                return
        key = certs.load_key(read_private(files.master_key))
        tag = certs.tag_of(self.names_key, certs.MASTER)
        cert = self._signer.listener(key.public_key(), tag, now, self._life)
        write_private(files.master_cert, certs.cert_pem(cert))

    # -- revocation --------------------------------------------------------------------------

    def revoke(self, name: str, now: float) -> str:
        """Whatever was issued to this member is worth nothing from now on; its name is free again.

        Returns the name as its certificates have it. An open invitation for that name ends, too.
        """
        book = self._book
        member = book.named(name)
        if member is None:
            raise Refused(Why.BAD_REQUEST, f"no member is called {name}")
        del book.members[member.name]
        book.revoked |= member.serials
        last = max([now, member.until, *member.serials.values()])
        before = book.nodes.get(plain(name))
        if before is not None:
            last = max(last, before.until)
        book.nodes[plain(name)] = Revoked(book.tick(now), last)
        for key in [k for k, i in book.invites.items() if i.node and plain(i.node) == plain(name)]:
            del book.invites[key]
        self._save()
        return member.name

    def revocations(self) -> Revocations:
        """What nobody may accept."""
        nodes = self._book.nodes
        before = {name: revoked.before for name, revoked in nodes.items()}
        return Revocations(frozenset(self._book.revoked), before)

    def invitations(self) -> int:
        """How many are open, or were when they were last looked at."""
        return len(self._book.invites)

    def members(self) -> list[Issued]:
        """Who has certificates, by name."""
        return [self._book.members[name] for name in sorted(self._book.members)]

    def is_member(self, name: str) -> bool:
        """Whether a node of exactly that name has certificates."""
        return name in self._book.members

    def forget_expired(self, now: float) -> bool:
        """Drop what time has ended; True when the invitations changed."""
        book = self._book
        old = [key for key, invite in book.invites.items() if invite.until <= now]
        gone = [serial for serial, until in book.revoked.items() if until + certs.SKEW <= now]
        free = [name for name, revoked in book.nodes.items() if revoked.until + LONGER <= now]
        for key in old:
            del book.invites[key]
        for serial in gone:
            del book.revoked[serial]
        for name in free:
            del book.nodes[name]
        if old or gone or free:
            self._save()
        return bool(old)

    def _save(self) -> None:
        try:
            self._book.write(self._files)
        except GlunixError:
            self._book = read_book(self._files)  # a full disk: what was not written did not happen
            raise


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

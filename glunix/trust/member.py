"""What a member of a cluster holds, and what it checks of others: certificates, tags, revocations.

Owns the TLS contexts (rebuilt when a certificate is renewed) and the question "who is that?",
which is asked of every connection before a byte of ours is sent on it.
"""

import hmac
import os
import ssl
import time
from pathlib import Path

from cryptography import x509

from glunix.trust import certs
from glunix.trust.files import TrustFiles, read_json, read_private, write_json, write_private
from glunix.trust.peer import NotTrusted, Peer
from glunix.trust.revocation import Revocations

RENEW_AT = 2 / 3
"""Part of a certificate's life after which it is renewed."""


def server_context(cert: Path, key: Path, trusted: bytes) -> ssl.SSLContext:
    """TLS 1.3 for a listener: nobody gets in without a certificate that `trusted` (PEM) covers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _strict(context, cert, key, trusted)
    context.num_tickets = 0  # else they go out before we could look at who is there
    return context


def client_context(cert: Path, key: Path, trusted: bytes) -> ssl.SSLContext:
    """TLS 1.3 for dialling. Which member it is, the caller checks (`Member.is_listener`)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the tag is what is compared, and the name stays untold
    _strict(context, cert, key, trusted)
    return context


def joining_context(cert: bytes, key: bytes) -> ssl.SSLContext:
    """TLS 1.3 for the first call of an invited machine: who answers is checked afterwards, with
    the token's fingerprint, before anything is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    fd = os.memfd_create("glunix-join", os.MFD_CLOEXEC)
    try:
        os.write(fd, cert + key)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return context


def _strict(context: ssl.SSLContext, cert: Path, key: Path, trusted: bytes) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(cert, key)
        context.load_verify_locations(cadata=trusted.decode())
    except (OSError, ssl.SSLError) as error:
        raise NotTrusted(f"cannot use {cert} with {key}: {error}") from None


class Member:
    """This machine's own certificate and its knowledge of the cluster."""

    def __init__(self, files: TrustFiles) -> None:
        self._files = files
        self.ca = certs.load_cert(read_private(files.ca_cert))
        self._names_key = read_private(files.names_key)
        self.revoked = _read_revoked(files)
        self._load()

    def _load(self) -> None:
        files = self._files
        read_private(files.node_key)  # its mode is checked; OpenSSL reads it by itself
        self.cert = certs.load_cert(read_private(files.node_cert))
        self.me = certs.read_peer(certs.cert_der(self.cert), self.ca)
        trusted = certs.cert_pem(self.ca)
        self.listening = server_context(files.listen_cert, files.node_key, trusted)
        self.dialling = client_context(files.node_cert, files.node_key, trusted)

    # -- who is that? ------------------------------------------------------------------------

    def peer(self, der: bytes) -> Peer:
        """The node of a certificate that dialled us; NotTrusted when it is not to be served."""
        peer = certs.read_peer(der, self.ca)
        if self.revoked.covers(peer.node, peer.serial):
            raise NotTrusted(f"the certificate of {peer.node} is revoked")
        return peer

    def is_master(self, der: bytes) -> None:
        """NotTrusted unless the master answered."""
        certs.read_listener(der, self.ca, certs.tag_of(self._names_key, certs.MASTER))

    def is_node(self, der: bytes, node: str) -> str:
        """Return the serial of who answered; NotTrusted unless it is that node's daemon."""
        serial = certs.read_listener(der, self.ca, certs.tag_of(self._names_key, f"node:{node}"))
        if self.revoked.covers(node, serial):
            raise NotTrusted(f"the certificate of {node} is revoked")
        return serial

    def now_revoked(self, told: Revocations) -> None:
        """The master's list, which takes the place of what we knew; GlunixError when it is in
        force, but could not be written."""
        if told != self.revoked:
            self.revoked = told
            value = {"serials": sorted(told.serials), "before": dict(told.before)}
            write_json(self._files.revoked, value)

    # -- renewal -----------------------------------------------------------------------------

    def renew_in(self, now: float | None = None) -> float:
        """Seconds until the certificate is to be renewed; not positive: now."""
        now = time.time() if now is None else now
        return renewal(self.cert) - now

    def request(self) -> bytes:
        """A signing request for the key we have."""
        return certs.new_request(certs.load_key(read_private(self._files.node_key)))

    def renewed(self, node_cert: bytes, listen_cert: bytes) -> None:
        """Take new certificates in use; NotTrusted, and no change, when they are not for us."""
        fresh = certs.load_cert(node_cert)
        peer = certs.read_peer(certs.cert_der(fresh), self.ca)
        ours = certs.load_key(read_private(self._files.node_key)).public_key()
        listener = certs.load_cert(listen_cert)
        self.is_node(certs.cert_der(listener), self.me.node)
        for cert in (fresh, listener):
            if peer.node != self.me.node or cert.public_key() != ours:
                raise NotTrusted("the master sent a certificate that is not ours")
        write_private(self._files.node_cert, node_cert)
        write_private(self._files.listen_cert, listen_cert)
        self._load()


def _read_revoked(files: TrustFiles) -> Revocations:
    found = read_json(files.revoked, [])
    if isinstance(found, list):  # of a version that knew serials only
        found = {"serials": found, "before": {}}
    try:
        before = {str(name): int(until) for name, until in found["before"].items()}
        return Revocations(frozenset(map(str, found["serials"])), before)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise NotTrusted(f"{files.revoked} is damaged: {error}") from None


def renewal(cert: x509.Certificate) -> float:
    """Seconds since the epoch at which a certificate is to be renewed."""
    since, until = certs.begins(cert) + certs.SKEW, certs.ends(cert)
    return since + (until - since) * RENEW_AT


def same_ca(pem: bytes, fingerprint: bytes) -> x509.Certificate:
    """The CA certificate of these bytes; NotTrusted unless it is the one of the token."""
    ca = certs.load_cert(pem)
    if not hmac.compare_digest(certs.fingerprint(ca), fingerprint):
        raise NotTrusted("whoever answered is not the master of this invitation")
    return ca
